"""The observers of one deploy, and the clock that they see it by."""

import asyncio
from collections.abc import Callable

from attrs import define

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.reporting.events import Event, OnEvent, Progress
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun

SOON = 0.2
"""Seconds between two estimates, up to which one that knows too little is made again with each event."""


@define
class RemainingTime:
    """How long a deploy still takes: estimated now and then, in between the last estimate less the time since."""

    _estimate: Callable[[], Estimate]
    _every: float
    _last: Estimate | None = None
    _estimated_at: float = 0.0

    def at(self, now: float) -> Estimate:
        """Return what is left at `now`, never less than nothing."""
        # An estimate that knows too little may know enough after any event, so a small deploy asks again each time.
        passed = now - self._estimated_at
        may_be_known = self._every <= SOON and self._last is not None and self._last.likely is None
        if self._last is None or passed >= self._every or may_be_known:
            self._last, self._estimated_at = self._estimate(), now
        return self._last.after(now - self._estimated_at)


class Observers:
    """Notifies every observer; an observer's own failure must not change what becomes of the deploy."""

    def __init__(self, observers: tuple[OnEvent, ...]) -> None:
        self._observers = observers
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._remaining: RemainingTime | None = None

    @property
    def are_there(self) -> bool:
        """Whether there are any."""
        return bool(self._observers)

    def clock(self) -> float:
        """Return the seconds since the deploy began."""
        return round(self._loop.time() - self._start, 3)

    def expect(self, remaining: Callable[[], Estimate], *, every: float) -> None:
        """Have each event say from now on how long the deploy still takes.

        `remaining` estimates that; it is called once in `every` seconds at most.
        """
        self._remaining = RemainingTime(remaining, every) if self._observers else None

    def notify(self, run: MachineRun, phase: Phase, detail: str | None = None) -> None:
        """Record the phase that a machine came to, and emit it."""
        now = self.clock()
        run.enter(phase, at=now, detail=detail)
        self.emit(
            Progress(
                at=now,
                name=run.desired.name,
                asked=run.desired.region,
                region=run.region,
                phase=phase,
                machine_id=run.machine.id if run.machine else None,
                detail=detail,
                remaining=self._remaining.at(self._loop.time()) if self._remaining else None,
            )
        )

    def emit(self, event: Event) -> None:
        """Pass an event to every observer."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - reported where asyncio reports what nothing has caught
                self._loop.call_exception_handler(
                    {"message": f"on_event failed for {type(event).__name__}", "exception": error}
                )
