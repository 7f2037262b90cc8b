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
    """A script uses what this shell does not know."""


@define
class Command:
    """A command of a script: its words, and where it reads from and writes to."""

    words: list[str] = field(factory=list)
    redirections: list[tuple[str, str]] = field(factory=list)


def pipelines(script: str) -> Iterator[tuple[str, list[Command]]]:
    """Yield the pipelines of a script, each with what connects it to the one before."""
    connective, pipeline = ";", [Command()]
    redirection = ""
    # A semicolon at the end ends the last pipeline as it ends the others.
    for operator, word in (*_tokens(script), (";", "")):
        current = pipeline[-1]
        is_empty = not current.words and not current.redirections
        # 1. A word: the target of a redirection that has begun, or one more word of the command.
        if word:
            if redirection:
                current.redirections.append((redirection, word))
                redirection = ""
            else:
                current.words.append(word)
        # 2. An operator where a word must come.
        elif redirection or (is_empty and operator in {"|", "&&", "||"}):
            raise ScriptError(f"unexpected {operator!r}")
        # 3. A redirection: `2>&1` is complete, `>` waits for its target.
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
    """Return the letters of a shell's options, and the arguments after them; the name that follows -o is left out."""
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
    """Yield each operator or word; the pattern of blanks fits the empty text too, so it always matches."""
    at = 0
    while (at := _BLANK.match(script, at).end()) < len(script):  # type: ignore[union-attr]
        found = _TOKEN.match(script, at)
        # Command substitution is not emulated; its text must not run as if it were words.
        if found is None or "$(" in (found["word"] or ""):
            raise ScriptError(f"unexpected {script[at:].strip()[:20]!r}")
        yield found["operator"] or "", found["word"] or ""
        at = found.end()
