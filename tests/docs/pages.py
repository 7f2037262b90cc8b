"""The pages of the documentation, README among them, and the code blocks in them."""

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs/pages"
README = ROOT / "README.md"
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (README, *sorted(DOCS.rglob("*.md")))}

_BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@frozen
class Block:
    """A code block: its language, its title if any, and where it begins in which page."""

    page: str
    line: int
    language: str
    title: str | None
    text: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, *languages: str) -> Iterator[Block]:
    """Yield the code blocks of a page in these languages."""
    text = PAGES[page].read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        if found[1] in languages:
            line = text.count("\n", 0, found.start()) + 1
            yield Block(page, line, found[1], found[2], found[3], found.start(3), found.end(3))


def pages_with(*languages: str) -> list[str]:
    """Return the pages that have blocks in one of these languages."""
    return [page for page in PAGES if any(blocks_of(page, *languages))]
