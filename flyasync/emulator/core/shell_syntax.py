"""The syntax of the emulated shell: scripts are parsed into pipelines of commands before the first one runs."""

import re
from collections.abc import Iterator

from attrs import define, field

_BLANK = re.compile(r"(?:[ \t]|\\\n|(?<!\S)#[^\n]*)*")
_TOKEN = re.compile(
    r"""(?: (?P<operator> \n | ; | && | \|\|? | [12]?>&[12] | [12]?>>? | < )
      | (?P<word> (?: [^\s;&|<>()'"\\`] | \\. | '[^']*' | "(?:[^"\\]|\\.)*" )+ ) )""",
    re.VERBOSE | re.DOTALL,
)


class ScriptError(Exception):
    """The script uses syntax that this shell does not support."""


@define
class Command:
    """A command of a script: its words and redirections."""

    words: list[str] = field(factory=list)
    redirections: list[tuple[str, str]] = field(factory=list)


def pipelines(script: str) -> Iterator[tuple[str, list[Command]]]:
    """Yield the pipelines of a script, each with the operator before it."""
    connective, pipeline = ";", [Command()]
    redirection = ""
    # A final semicolon, so that the last pipeline ends like the others.
    for operator, word in (*_tokens(script), (";", "")):
        current = pipeline[-1]
        is_empty = not current.words and not current.redirections
        # 1. A word: the target of a pending redirection, or the next word of the command.
        if word:
            if redirection:
                current.redirections.append((redirection, word))
                redirection = ""
            else:
                current.words.append(word)
        # 2. An operator in place of a required word.
        elif redirection or (is_empty and operator in {"|", "&&", "||"}):
            raise ScriptError(f"unexpected {operator!r}")
        # 3. A redirection: `2>&1` is complete, `>` needs a target.
        elif "&" in operator and operator != "&&":
            current.redirections.append((operator, ""))
        elif operator[-1] in "<>":
            redirection = operator
        # 4. The next command of the same pipeline, or the end of the pipeline.
        elif operator == "|":
            pipeline.append(Command())
        else:
            if is_empty and (len(pipeline) > 1 or connective in {"&&", "||"}) and operator != "\n":
                raise ScriptError("unexpected end of command")
            if not is_empty:
                yield connective, pipeline
                connective, pipeline = (";" if operator == "\n" else operator), [Command()]


def options(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the option letters of a shell, and the arguments after the options; the name after -o is skipped."""
    letters, at = "", 0
    while at < len(arguments) and arguments[at][:1] in {"-", "+"} and len(arguments[at]) > 1:
        option = arguments[at]
        at += 1
        if option == "--":
            break
        if not option.startswith(("--", "+")):
            letters += option[1:]
        at += not option.startswith("--") and option.endswith("o")
    return letters, arguments[at:]


def _tokens(script: str) -> Iterator[tuple[str, str]]:
    """Yield each operator or word; the pattern for blanks also matches an empty text, so it always matches."""
    at = 0
    while (at := _BLANK.match(script, at).end()) < len(script):  # type: ignore[union-attr]
        found = _TOKEN.match(script, at)
        # Command substitution is not emulated; its text must not be run as words.
        if found is None or "$(" in (found["word"] or ""):
            raise ScriptError(f"unexpected {script[at:].strip()[:20]!r}")
        yield found["operator"] or "", found["word"] or ""
        at = found.end()
