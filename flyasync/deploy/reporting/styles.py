"""The style of what a report shows: its tone in text, its look on a page. Displays choose the colours."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Self

from flyasync.safe_text import readable


class Tone(StrEnum):
    """The meaning of a part of a text for its reader."""

    PLAIN = "plain"
    GOOD = "good"
    CAUTION = "caution"
    BAD = "bad"


class Look(StrEnum):
    """The style of a phase or a result, in the order of a legend; `sign` shows it where a colour is not enough."""

    sign: str

    def __new__(cls, word: str, sign: str = "") -> Self:
        """Create a member from its word and sign."""
        look = str.__new__(cls, word)
        look._value_ = word
        look.sign = sign
        return look

    WAITING = "waiting"
    MAKING = "making"
    CHANGING = "changing"
    STARTING = "starting"
    CHECKING = "checking"
    GOOD = "good", "✓"
    WARNING = "warning", "!"
    BAD = "bad", "✕"
    GONE = "gone", "⊘"
    OTHER = "other", "?"


Part = tuple[str, Tone]
Line = tuple[Part, ...]


def plain(text: str, indent: str = "") -> Iterator[Line]:
    """Yield the lines of a text without a tone, such as the output of a command; each line is indented."""
    yield from (((f"{indent}{line}", Tone.PLAIN),) for line in readable(text).splitlines())


def indented(lines: Iterable[Line], by: str) -> Iterator[Line]:
    """Yield lines with `by` in front of each."""
    yield from (((by, Tone.PLAIN), *line) for line in lines)


def joined(lines: Iterable[Line]) -> Iterator[Part]:
    """Yield the parts of all lines, with line breaks between the lines."""
    for number, line in enumerate(lines):
        if number:
            yield "\n", Tone.PLAIN
        yield from line
