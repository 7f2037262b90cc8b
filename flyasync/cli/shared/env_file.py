"""Reading the assignments of a `.env` file; what is wrong is reported by its line, never by its content."""

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
    r"""Return the values by name; raises UsageError, with the number of the line, for what cannot be meant.

    A line is `NAME=VALUE`, with `export` before it or not. Empty lines and those that begin with `#` are left out, as
    is what follows a value after a blank and `#`. A value in quotes keeps its blanks, and may go on over several lines:
    in single quotes it is taken as it is, in double ones `\n`, `\r`, `\t` and a backslash before another special
    letter are read, and between three quotes it is as it stands, less a line break at its beginning. `$NAME` is not
    expanded.
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
        # A value is in quotes, and may then go on over several lines, or goes to the end of its line.
        if quoted := _QUOTED.match(text, name.end()):
            end = _BLANK.match(text, quoted.end())
            if end is None:
                raise _wrong(number, "something follows the closing quote: quote the whole value")
            value, at = _quoted_value(quoted), end.end()
        else:
            line_end = text.find("\n", name.end())
            line_end = len(text) if line_end < 0 else line_end
            value, at = _bare_value(number, text[name.end() : line_end]), line_end + 1
        if "\0" in value:
            raise _wrong(number, "the value holds a NUL, which no environment can")
        if name[1] in found:
            raise _wrong(number, f"{name[1]} is given twice")
        found[name[1]] = value
    if not found:
        raise click.UsageError("there is no NAME=VALUE to read")
    return found


def _quoted_value(quoted: re.Match[str]) -> str:
    # An unknown escape stays as it is: programs differ, and a password may well hold a backslash.
    if quoted["double"] is not None:
        return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), quoted["double"])
    return quoted["raw"] if quoted["single"] is None else quoted["single"]


def _bare_value(number: int, text: str) -> str:
    """Return a value without quotes, without the comment after it."""
    value = _COMMENT.sub("", text).strip(" \t")
    if value.startswith(_QUOTES):
        raise _wrong(number, "the quote is not closed")
    # A shell runs what is between backticks, others take it as it is. `A= # b` is empty to some, and `# b` to others.
    if value.startswith("`") or (not value and text.strip(" \t")):
        raise _wrong(number, "programs differ on what the value is: put it in quotes")
    return value


def _wrong(number: int, problem: str) -> click.UsageError:
    return click.UsageError(f"line {number}: {problem}")
