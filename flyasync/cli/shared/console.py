"""What rich paints on: a terminal that obeys rich, and no text that it is given to show."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from flyasync.cli.shared.streams import unfiltered
from flyasync.text import readable


class Paint(Console):
    """A console for a stream of the command, from whose texts everything is stripped that drives a terminal."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(file=unfiltered(out), highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with readable texts."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(readable(segment.text), segment.style)
