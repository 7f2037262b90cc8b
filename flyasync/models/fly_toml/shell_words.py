"""Split a command line into words as a POSIX shell does, without expansions and operators."""

import re
from typing import Final

_PART: Final = re.compile(
    r"""
    (?P<blank>(?:[ \t\r\n]|\\\n)+)         # ends a word; a backslash before a line break joins the lines
    | '(?P<single>[^']*)'                  # in single quotes nothing is special
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | \\(?P<escaped>.)
    | (?P<plain>[^ \t\r\n'"\\]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"#[^\n]*")
_ESCAPE: Final = re.compile(r"\\([$`\"\\\n])")
"""The characters that a backslash escapes in double quotes; before any other it is a literal backslash."""


def split_words(command: str) -> tuple[str, ...]:
    """Split a command line into its words.

    Quotes and backslashes work as in POSIX. An unquoted `#` at the beginning of a word starts a comment that ends with
    its line. `$NAME` and globs are kept unchanged, since no shell is involved. Raises ValueError for a quote that is
    not closed, and for a backslash at the end.
    """
    words: list[str] = []
    word: str | None = None
    at = 0
    while at < len(command):
        if word is None and (comment := _COMMENT.match(command, at)):
            at = comment.end()
            continue
        part = _PART.match(command, at)
        if part is None:
            raise ValueError("it ends with a backslash" if command[at] == "\\" else "a quote is not closed")
        at = part.end()
        if part["blank"] is not None:
            # 1. A blank ends a word, unless it only joins lines, across which the word continues.
            if word is not None and part["blank"].replace("\\\n", ""):
                words.append(word)
                word = None
        elif part["double"] is not None:
            # 2. In double quotes, a backslash escapes few characters; one before a line break removes both.
            text = _ESCAPE.sub(lambda found: "" if found[1] == "\n" else found[1], part["double"])
            word = (word or "") + text
        else:
            # 3. Anything else is used unchanged. An empty pair of quotes makes an empty word.
            word = (word or "") + next(text for text in part.group("single", "escaped", "plain") if text is not None)
    return (*words, *(() if word is None else (word,)))
