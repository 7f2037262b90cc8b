"""Remove the frames of other packages from tracebacks."""

from pathlib import PurePath
from types import TracebackType
from typing import Final

_OURS: Final = str(PurePath(__file__).parent.parent)


def trim(error: BaseException) -> None:
    """Remove the frames of other packages from the traceback of an error, and from those of its causes and contexts.

    The locals of these frames hold the request as it is sent, including the token and secrets. Tools that show locals,
    such as `rich`, `pytest -l` and many error trackers, would show them.
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
        # A traceback may be shared, so it is not changed in place: a new one is built from its end.
        kept: TracebackType | None = None
        for each in reversed(frames):
            kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
        link.__traceback__ = kept
        left += [link.__cause__, link.__context__]
