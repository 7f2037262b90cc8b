"""Keeps in a traceback only our own frames and those of the caller."""

from pathlib import PurePath
from types import TracebackType
from typing import Final

_OURS: Final = str(PurePath(__file__).parent.parent)


def trim(error: BaseException) -> None:
    """Remove the frames of other packages from the traceback of an error, and from those of all that led to it.

    Their locals hold what was sent as it goes over the wire, the token and secrets included; and what shows locals,
    such as `rich`, `pytest -l` and many error trackers, would show it.
    """
    left: list[BaseException | None] = [error]
    done: set[int] = set()
    while left:
        link = left.pop()
        if link is None or id(link) in done:
            continue
        done.add(id(link))
        frames: list[TracebackType] = []
        traceback = link.__traceback__
        while traceback:
            if traceback.tb_frame.f_code.co_filename.startswith(_OURS):
                frames.append(traceback)
            traceback = traceback.tb_next
        # The links of a traceback are read-only where others see them too, so ours is built anew from its end.
        kept: TracebackType | None = None
        for each in reversed(frames):
            kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
        link.__traceback__ = kept
        left += [link.__cause__, link.__context__]
