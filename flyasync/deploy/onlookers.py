"""Those who watch one deploy, and the clock they see it by."""

import asyncio
from collections.abc import Callable

from attrs import define

from flyasync.deploy.events import Event, OnEvent, Progress
from flyasync.deploy.outcome import Moment, Phase, Run


@define
class Left:
    """The seconds that are left: estimated now and then, in between the last estimate less the time since."""

    _estimate: Callable[[], float]
    _every: float
    _seconds: float = 0.0
    _estimated_at: float = float("-inf")

    def at(self, now: float) -> float:
        """Give the seconds left, never less than none."""
        if now - self._estimated_at >= self._every:
            self._seconds, self._estimated_at = self._estimate(), now
        return round(max(0.0, self._seconds - (now - self._estimated_at)), 3)


class Onlookers:
    """Tells everyone who watches; an onlooker's own failure must not change what becomes of the deploy."""

    def __init__(self, onlookers: tuple[OnEvent, ...]) -> None:
        self._onlookers = onlookers
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._left: Left | None = None

    @property
    def are_there(self) -> bool:
        """Whether anybody watches."""
        return bool(self._onlookers)

    def clock(self) -> float:
        """Give the seconds since the deploy began."""
        return round(self._loop.time() - self._start, 3)

    def expect(self, left: Callable[[], float], *, every: float) -> None:
        """Tell from now on how many seconds are left by `left`, which is asked once in `every` seconds at most."""
        self._left = Left(left, every) if self._onlookers else None

    def note(self, run: Run, phase: Phase, detail: str | None) -> None:
        """Note the phase a machine came to, and tell of it."""
        run.phase = phase
        run.moments.append(Moment(at=self.clock(), phase=phase, region=run.region, detail=detail))
        if phase in {Phase.CREATED, Phase.ADOPTED}:
            run.created_after = self.clock()
        self.tell(
            Progress(
                at=self.clock(),
                name=run.wanted.name,
                asked=run.wanted.region,
                region=run.region,
                phase=phase,
                machine_id=run.machine.id if run.machine else None,
                detail=detail,
                left=self._left.at(self._loop.time()) if self._left else None,
            )
        )

    def tell(self, event: Event) -> None:
        """Tell everyone of an event."""
        for onlooker in self._onlookers:
            try:
                onlooker(event)
            except Exception as error:  # noqa: BLE001 - told where asyncio tells of what nobody caught
                self._loop.call_exception_handler(
                    {"message": f"on_event failed for {type(event).__name__}", "exception": error}
                )
