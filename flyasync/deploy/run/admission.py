"""Who may begin: admission to the whole deploy, and the slots of a lane; no I/O."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

from attrs import define

from flyasync.deploy.plan.plan import AwaitOthersStopped, Lane, Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun


class Admission:
    """Drain, don't cut: once a machine has failed no other begins, and those under way finish.

    A region without room closes its own lane; all of them only once the requirement can no longer be met. A deploy that
    `presses_on` is closed by nothing but a failed release command. `closed_by` is the machine after which no other was
    admitted. `settled` are the regions past the point of no return.
    """

    def __init__(self, spec: DeploySpec, *, presses_on: bool) -> None:
        self._regions = len(spec.counts)
        self._needed = spec.required.needed(self._regions)
        self._presses_on = presses_on
        # Asked before every machine, it must not go through all of them: it remembers only what has closed something.
        self._is_unreleased = False
        self._failed: set[str] = set()
        self._full: set[str] = set()
        self.closed_by: MachineRun | None = None
        self.settled: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        state = f"closed by {self.closed_by!r}" if self.is_closed else "open"
        return f"<Admission {state}: failed {sorted(self._failed)}, full {sorted(self._full)}>"

    def record(self, run: MachineRun) -> None:
        """Record a machine that has failed, or that found no room."""
        self._is_unreleased |= run.target is Target.END
        if run.error is not None:
            self._failed.add(run.desired.region)
        if run.phase is Phase.SKIPPED:
            self._full.add(run.desired.region)
        if self.closed_by is None and self.is_closed:
            self.closed_by = run

    @property
    def is_closed(self) -> bool:
        """Whether no further machine may begin."""
        # 1. The release command has failed: nothing may change.
        # 2. The deploy presses on: nothing else closes it.
        # 3. A machine has failed: the next one would be put at risk by the same.
        # 4. So many regions have no room that the requirement cannot be met any more.
        if self._is_unreleased or self._presses_on:
            return self._is_unreleased
        return bool(self._failed) or self._regions - len(self._full) < self._needed

    def admits(self, region: str) -> bool:
        """Whether another machine of a region may begin."""
        return not self.is_closed and (self._presses_on or region not in self._full)

    def has_lost_one(self, region: str) -> bool:
        """Whether a machine of a region has failed, or found no room."""
        return region in self._failed | self._full

    def settle(self, regions: Iterable[str]) -> None:
        """Record that the machines of these regions, where any may begin, now pass the point of no return."""
        self.settled |= {region for region in regions if self.admits(region)}


@define(eq=False)
class Slot:
    """The right of one machine to be away; one that `is_lost` does not come back, for its machine stays away."""

    is_free: bool = True
    is_lost: bool = False

    def lose(self) -> None:
        """Record that its machine does not come back."""
        self.is_lost = True


class Slots:
    """How many serving machines of one lane may be away at once, first come, first served."""

    def __init__(self, width: int) -> None:
        self._left = max(0, width)
        self._free = asyncio.Semaphore(self._left)

    def __repr__(self) -> str:
        return f"<Slots: {self._left} left{', all taken' if self._free.locked() else ''}>"

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Slot]:
        """Wait for a slot and keep it for the block; it is not free when all have been lost."""
        if self._left <= 0:
            yield Slot(is_free=False)
            return
        await self._free.acquire()
        slot = Slot(is_free=self._left > 0)
        try:
            yield slot
        finally:
            self._left -= slot.is_lost
            # The last one that is lost lets the others go, each to find that no slot is left.
            if not slot.is_lost or self._left <= 0:
                self._free.release()


class StopBarrier:
    """Where the machines of a lane wait for each other: nothing starts before all that are to stop have stopped.

    It breaks when the track of one of them ends without having come here, or comes here while its machine runs.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._awaited = set(names)
        self._is_broken = False
        self._all_arrived = asyncio.Event()

    def __repr__(self) -> str:
        return f"<StopBarrier{' broken' if self._is_broken else ''}: waits for {sorted(self._awaited)}>"

    @contextmanager
    def one(self, name: str) -> Iterator[None]:
        """Let the others go on once the block has ended, in whichever way: it is the track of one machine."""
        try:
            yield
        finally:
            self.arrive(name, stopped=False)

    def arrive(self, name: str, *, stopped: bool) -> None:
        """Record that a machine has come here, or that its track has ended; only the first of these counts."""
        if name not in self._awaited:
            return
        self._awaited.discard(name)
        self._is_broken |= not stopped
        if not self._awaited:
            self._all_arrived.set()

    async def all_stopped(self) -> bool:
        """Wait for the others; return whether all of them have stopped."""
        await self._all_arrived.wait()
        return not self._is_broken


class LaneRun:
    """One lane of a stage under way: its slots, its barrier, and whether the machines that it relies on were seen up.

    `lost` of its machines are away for good already.
    """

    def __init__(self, lane: Lane, *, relies_on_others: bool, lost: int) -> None:
        self.slots = Slots(lane.width - lost) if lane.width else None
        self.barrier = StopBarrier(
            track.machine.name
            for track in lane.tracks
            if any(isinstance(step, AwaitOthersStopped) for step in track.steps)
        )
        self.relies_on_others = relies_on_others
        self.lock = asyncio.Lock()
        self.are_others_up = False

    def rely(self) -> None:
        """Record that the machines that stay were seen up: one check serves all tracks of the lane."""
        self.are_others_up = True
