"""Which machines may begin: admission to the whole deploy, and the slots of a lane; no I/O."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Set as AbstractSet
from contextlib import asynccontextmanager

from attrs import define

from flyasync.deploy.plan.plan import AwaitOthersStopped, Lane
from flyasync.deploy.plan.spec import DeploySpec, LaneKey
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun


class Admission:
    """Once a machine has failed, no other machine begins, and those under way finish.

    A lane without room closes only itself: another group in its region may need less room. It closes all lanes only if
    the requirement, which counts complete regions, can no longer be met. Only a failed release or seed command closes a
    deploy that `presses_on`. `closed_by` is the machine that closed admission. `settled` are the lanes past the point
    of no return.
    """

    def __init__(self, spec: DeploySpec, *, presses_on: bool) -> None:
        self._regions = len(spec.asked)
        self._needed = spec.required.needed(self._regions)
        self._presses_on = presses_on
        # `admits` is called for every machine, so it must not iterate over all machines: only the failures are kept.
        self._is_unreleased = False
        self._failed: set[LaneKey] = set()
        self._full: set[LaneKey] = set()
        self.closed_by: MachineRun | None = None
        self.settled: frozenset[LaneKey] = frozenset()

    def __repr__(self) -> str:
        state = f"closed by {self.closed_by!r}" if self.is_closed else "open"
        return f"<Admission {state}: failed {sorted(self._failed)}, full {sorted(self._full)}>"

    def record(self, run: MachineRun) -> None:
        """Record a machine that has failed, or for which no region had room."""
        self._is_unreleased |= run.target.command is not None
        if run.error is not None:
            self._failed.add(run.desired.lane)
        if run.phase is Phase.SKIPPED:
            self._full.add(run.desired.lane)
        if self.closed_by is None and self.is_closed:
            self.closed_by = run

    @property
    def is_closed(self) -> bool:
        """Whether no further machine may begin."""
        # 1. The release or seed command has failed: nothing may change.
        # 2. The deploy presses on: nothing else closes it.
        # 3. A machine has failed: the next one may fail for the same reason.
        # 4. Too many regions have no room: the requirement can no longer be met.
        if self._is_unreleased or self._presses_on:
            return self._is_unreleased
        return bool(self._failed) or self._regions - len({region for region, _ in self._full}) < self._needed

    def admits(self, lane: LaneKey) -> bool:
        """Whether another machine of a lane may begin."""
        return not self.is_closed and (self._presses_on or lane not in self._full)

    @property
    def lost(self) -> AbstractSet[LaneKey]:
        """The lanes in which a machine has failed, or got no room in any region."""
        return self._failed | self._full

    def settle(self, lanes: Iterable[LaneKey]) -> None:
        """Record that these lanes, except those that are closed, now pass the point of no return."""
        self.settled |= {lane for lane in lanes if self.admits(lane)}


@define(eq=False)
class Slot:
    """Permission for one machine to be unavailable; a slot that `is_lost` is never freed: its machine stays down."""

    is_free: bool = True
    is_lost: bool = False

    def lose(self) -> None:
        """Record that the machine stays unavailable, so the slot is never freed."""
        self.is_lost = True


class Slots:
    """Limits how many serving machines of one lane are unavailable at once; first come, first served."""

    def __init__(self, width: int) -> None:
        self._left = max(0, width)
        self._free = asyncio.Semaphore(self._left)

    def __repr__(self) -> str:
        return f"<Slots: {self._left} left{', all taken' if self._free.locked() else ''}>"

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Slot]:
        """Wait for a slot and hold it for the block; the slot is not free if all slots have been lost."""
        if self._left <= 0:
            yield Slot(is_free=False)
            return
        await self._free.acquire()
        slot = Slot(is_free=self._left > 0)
        try:
            yield slot
        finally:
            self._left -= slot.is_lost
            # Once the last slot is lost, all waiters are released, and each finds that no slot is left.
            if not slot.is_lost or self._left <= 0:
                self._free.release()


class StopBarrier:
    """A barrier for the machines of a lane: none starts before all machines that are to stop have stopped.

    It breaks if a track ends before it has reached the barrier, or reaches it while its machine still runs.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._awaited = set(names)
        self._is_broken = False
        self._all_arrived = asyncio.Event()

    def __repr__(self) -> str:
        return f"<StopBarrier{' broken' if self._is_broken else ''}: waits for {sorted(self._awaited)}>"

    def arrive(self, name: str, *, stopped: bool) -> None:
        """Record that a machine has reached the barrier, or that its track has ended; only the first call counts."""
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
    """One lane of a stage in progress: its slots, its barrier, and whether the machines it relies on were verified.

    `lost` is how many of its machines are already down and stay down.
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
        """Record that the machines that stay are verified, once for all tracks of the lane."""
        self.are_others_up = True
