"""A rich console that removes control sequences from the texts that it shows."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from flyasync.cli.shared.streams import unfiltered
from flyasync.safe_text import readable


class SafeConsole(Console):
    """A console that removes control sequences from its texts, which come from the API and from apps."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(file=unfiltered(out), highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, without control sequences in texts."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(readable(segment.text), segment.style)
