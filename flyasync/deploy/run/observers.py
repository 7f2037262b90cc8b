"""Those who watch one deploy, and the clock they see it by."""

import asyncio
from collections.abc import Callable

from attrs import define

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.reporting.events import Event, OnEvent, Progress
from flyasync.deploy.reporting.phase import Moment, Phase
from flyasync.deploy.reporting.run_state import MachineRun

SOON = 0.2
"""Seconds between two estimates, up to which one that knows too little is made again with each event."""


@define
class Left:
    """What is left: estimated now and then, in between the last estimate less the time since."""

    _estimate: Callable[[], Estimate]
    _every: float
    _last: Estimate | None = None
    _estimated_at: float = 0.0

    def at(self, now: float) -> Estimate:
        """Return what is left, never less than none."""
        passed = now - self._estimated_at
        may_be_known = self._every <= SOON and self._last is not None and self._last.likely is None
        if self._last is None or passed >= self._every or may_be_known:
            self._last, self._estimated_at = self._estimate(), now
        return self._last.after(now - self._estimated_at)


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

    def expect(self, left: Callable[[], Estimate], *, every: float) -> None:
        """Tell from now on how much is left by `left`, which is asked once in `every` seconds at most."""
        self._left = Left(left, every) if self._onlookers else None

    def note(self, run: MachineRun, phase: Phase, detail: str | None) -> None:
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
                remaining=self._left.at(self._loop.time()) if self._left else None,
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
