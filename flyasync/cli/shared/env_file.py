"""Parse a `.env` file; errors name the line, never its content."""

import re

import click

# An empty line or a comment, up to the end of its line; a name; a value in quotes, on one line or several.
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=")
_QUOTED = re.compile(
    r"""
    [ \t]*
    (?:(?P<triple>\"{3}|'{3})\n?(?P<raw>.*?)(?P=triple)
      |'(?P<single>[^']*)'
      |"(?P<double>(?:[^"\\]|\\.)*)")
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"[ \t]+#.*")
_QUOTES = ("'", '"')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "$": "$", "`": "`", "\n": ""}


def read(text: str) -> dict[str, str]:
    r"""Return the values by name; raises UsageError with the line number for an invalid line.

    A line is `NAME=VALUE`, optionally after `export`. Empty lines and lines that start with `#` are skipped, and so is
    a comment after a value, which starts with a blank and `#`. A quoted value keeps its blanks and may span several
    lines. In single quotes it is literal. In double quotes, `\n`, `\r`, `\t` and a backslash before another special
    character are escapes. In triple quotes it is literal, without a line break at its start. `$NAME` is not expanded.
    """
    # Files from Windows begin with a byte order mark, and end their lines with two characters.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        number = text.count("\n", 0, at) + 1
        if blank := _BLANK.match(text, at):
            at = blank.end()
            continue
        name = _NAME.match(text, at)
        if name is None:
            raise click.UsageError(f"line {number} is not NAME=VALUE")
        # A quoted value may span several lines; an unquoted one ends with its line.
        if quoted := _QUOTED.match(text, name.end()):
            end = _BLANK.match(text, quoted.end())
            if end is None:
                raise _wrong(number, "there is text after the closing quote: quote the whole value")
            value, at = _quoted_value(quoted), end.end()
        else:
            line_end = text.find("\n", name.end())
            line_end = len(text) if line_end < 0 else line_end
            value, at = _bare_value(number, text[name.end() : line_end]), line_end + 1
        if "\0" in value:
            raise _wrong(number, "the value contains a NUL character, which an environment variable cannot")
        if name[1] in found:
            raise _wrong(number, f"{name[1]} is set twice")
        found[name[1]] = value
    if not found:
        raise click.UsageError("there is no NAME=VALUE line")
    return found


def _quoted_value(quoted: re.Match[str]) -> str:
    # An unknown escape stays as it is: programs differ, and a password may contain a backslash.
    if quoted["double"] is not None:
        return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), quoted["double"])
    return quoted["raw"] if quoted["single"] is None else quoted["single"]


def _bare_value(number: int, text: str) -> str:
    """Return an unquoted value without its comment."""
    value = _COMMENT.sub("", text).strip(" \t")
    if value.startswith(_QUOTES):
        raise _wrong(number, "the quote is not closed")
    # A shell runs a command in backticks, other programs read it as text. `A= # b` is empty or `# b`, by program.
    if value.startswith("`") or (not value and text.strip(" \t")):
        raise _wrong(number, "the value is ambiguous: put it in quotes")
    return value


def _wrong(number: int, problem: str) -> click.UsageError:
    return click.UsageError(f"line {number}: {problem}")
