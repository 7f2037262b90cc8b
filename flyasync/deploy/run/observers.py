"""The observers of one deploy, and the clock for its events."""

import asyncio
from collections.abc import Callable

from attrs import define

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.reporting.events import Event, OnEvent, Progress
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.result import Failure
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.errors import FlyError

SOON = 0.2
"""Up to this interval in seconds, an estimate without a likely value is made again at every event."""


@define
class RemainingTime:
    """The remaining time of a deploy: estimated at intervals, and counted down in between."""

    _estimate: Callable[[], Estimate]
    _every: float
    _last: Estimate | None = None
    _estimated_at: float = 0.0

    def at(self, now: float) -> Estimate:
        """Return the time that is left at `now`, at least 0."""
        # Any event may add what an estimate lacked, so a small deploy estimates again each time until it has a value.
        passed = now - self._estimated_at
        may_be_known = self._every <= SOON and self._last is not None and self._last.likely is None
        if self._last is None or passed >= self._every or may_be_known:
            self._last, self._estimated_at = self._estimate(), now
        return self._last.after(now - self._estimated_at)


class Observers:
    """Notifies every observer; an error in an observer does not affect the deploy."""

    def __init__(self, observers: tuple[OnEvent, ...]) -> None:
        self._observers = observers
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._remaining: RemainingTime | None = None

    @property
    def are_there(self) -> bool:
        """Whether there are any observers."""
        return bool(self._observers)

    def clock(self) -> float:
        """Return the seconds since the deploy began."""
        return round(self._loop.time() - self._start, 3)

    def expect(self, remaining: Callable[[], Estimate], *, every: float) -> None:
        """Add the remaining time of the deploy to each event from now on.

        `remaining` estimates it, and is called at most once in `every` seconds.
        """
        self._remaining = RemainingTime(remaining, every) if self._observers else None

    def notify(self, run: MachineRun, phase: Phase, detail: str | FlyError | None = None) -> None:
        """Record the phase that a machine has reached, and emit it; the detail of an error has both wordings."""
        now = self.clock()
        for_command = None
        if isinstance(detail, FlyError):
            failure = Failure.of(detail)
            detail, for_command = failure.message, failure.for_command
        run.enter(phase, at=now, detail=detail, for_command=for_command)
        self.emit(
            Progress(
                at=now,
                name=run.desired.name,
                asked=run.desired.region,
                region=run.region,
                phase=phase,
                machine_id=run.machine.id if run.machine else None,
                detail=detail,
                for_command=for_command,
                remaining=self._remaining.at(self._loop.time()) if self._remaining else None,
            )
        )

    def emit(self, event: Event) -> None:
        """Pass an event to every observer."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - reported like any unhandled error in asyncio
                self._loop.call_exception_handler(
                    {"message": f"on_event failed for {type(event).__name__}", "exception": error}
                )
