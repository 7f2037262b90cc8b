"""Markdown as GitHub renders it, from texts that may contain anything; pure."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from flyasync.safe_text import readable

# A backslash makes these literal: markup anywhere in a line, and what would begin a list or a heading at its start.
_MARKUP = re.compile(r"[\\`*_\[\]|~]|\A[-+#=]")
_NUMBERED = re.compile(r"\A(\d+)([.)])(?=\s|\Z)")
# These would begin an entity, a tag, a formula or a link.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}
_LINK = re.compile(r"(:)(?=//)|(?<=www)(\.)", re.IGNORECASE)


class Markdown(str):
    """Text that is Markdown already; any other text is escaped when it is put into an element."""

    __slots__ = ()


def escaped(text: str) -> Markdown:
    """Return a text so that GitHub shows exactly its characters on one line, wherever it stands."""
    if isinstance(text, Markdown):
        return text
    line = " ".join(readable(text).split())
    unmarked = _NUMBERED.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", line))
    literal = "".join(_ENTITIES.get(each, each) for each in unmarked)
    return Markdown(_LINK.sub(lambda found: f"&#{ord(found[0])};", literal))


def several_lines(text: str) -> Markdown:
    """Return a text of several lines as one paragraph with line breaks, which can also stand in a table."""
    return Markdown("<br>".join(map(escaped, filter(None, (line.strip() for line in readable(text).splitlines())))))


def heading(level: int, text: str) -> Markdown:
    """Return a heading."""
    return Markdown(f"{'#' * level} {escaped(text)}\n")


def bold(text: str) -> Markdown:
    """Return a text in bold type."""
    return Markdown(f"<b>{escaped(text)}</b>")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    """Return a table; an empty text is an empty cell."""
    lines = [heads, ["---"] * len(heads), *rows]
    cells = ([each if number == 1 else escaped(each) for each in line] for number, line in enumerate(lines))
    return Markdown("".join(f"| {' | '.join(line)} |\n" for line in cells))


def items(texts: Iterable[str]) -> Markdown:
    """Return a list."""
    return Markdown("".join(f"- {escaped(each)}\n" for each in texts))


def preformatted(text: str) -> Markdown:
    """Return a text in a fixed-width type, with its line breaks."""
    # An element of HTML, as a fence could be closed by the text. Empty lines do not end it.
    return Markdown(f"<pre>\n{escape(readable(text))}\n</pre>\n")


def details(summary: str, inside: Markdown) -> Markdown:
    """Return a part that the reader can open."""
    return Markdown(f"<details><summary>{escaped(summary)}</summary>\n\n{inside}\n</details>\n")


def fenced(language: str, text: str) -> Markdown:
    """Return a block in a language; the text must not contain a fence."""
    return Markdown(f"```{language}\n{text}```\n")
