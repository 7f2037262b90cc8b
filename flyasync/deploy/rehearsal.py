"""A deploy rehearsed on a clock of its own, to see how long it takes; pure.

The rehearsal knows what decides the time: creates of an app share one bucket, machines of a region stand in line one
at a time, the first creation of a group that is not there goes alone, only so many of a region may be away at once,
and many machines of one app are waited for by one list a second. What else a step costs is in `Usual`.
"""

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

from attrs import define, frozen

from flyasync.deploy.plan import (
    Adopt,
    Aim,
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    DeleteVolume,
    Destroy,
    GiveUp,
    Plan,
    RunToEnd,
    Stage,
    Start,
    Step,
    Stop,
    TakeVolume,
    Track,
    Uncordon,
    Update,
    Watch,
)
from flyasync.deploy.rehearsal_clock import LOOK_EVERY, Bucket, Clock, Doorway, Looks, Pace, Places, Waits
from flyasync.models.machine import Machine

FEW_POLLS = 32
"""How many machines of one app are waited for with a long poll each, before one list a second serves all."""

CLOSE = 1e-9

Bounds = tuple[float, float]
"""The least seconds that something takes, and the most."""


@frozen(kw_only=True)
class Usual:
    """How long things take as a rule, in seconds; the defaults are the emulator's.

    `request` is one request and its answer. The others are bounds, and each machine has its luck between them: `boot`
    from created, or updated, to started; `start` from stopped to started; `settle` from the update of a stopped machine
    to stopped; `checks` from started to all checks passing; `stop` from told to stopped; `command` from started to the
    end of a release command.
    """

    request: float = 0.0
    boot: Bounds = (1.0, 3.0)
    start: Bounds = (0.6, 1.8)
    settle: Bounds = (0.4, 1.2)
    checks: Bounds = (1.0, 2.0)
    stop: Bounds = (0.2, 0.8)
    command: Bounds = (1.0, 1.0)


USUAL = Usual()


@frozen
class Standing:
    """How far one track has come: so many steps, and `passed` seconds of the next one."""

    steps: int = 0
    passed: float = 0.0
    region: str | None = None
    has_begun: bool = False


FRESH = Standing()


@define
class _Going:
    """One machine on its way: its luck, when it is ready for what it is waited for, and what it has of a step."""

    track: Track
    region: str
    usual: Usual
    luck: str
    passed: float = 0.0
    ready: float | None = None
    lacks_volume: bool = False

    def draw(self, what: str) -> float:
        """Give the seconds that something takes for this machine: always the same in one rehearsal."""
        low, high = getattr(self.usual, what)
        return float(low + _luck(f"{self.luck}/{what}") * (high - low))

    def take_passed(self) -> float:
        """Give what has passed already of the first step; that counts once."""
        passed, self.passed = self.passed, 0.0
        return passed


class Rehearsal:
    """A deploy without a network: the same lines, the same turns, and the usual times."""

    def __init__(
        self,
        plan: Plan,
        pace: Pace,
        usual: Usual,
        standings: Mapping[int, Standing],
        *,
        made: Iterable[float],
        luck: int,
    ) -> None:
        self._plan = plan
        self._usual = usual
        self._request = usual.request
        self._standings = standings
        self._luck = luck
        self._clock = Clock()
        self._creates = Bucket(pace)
        self._volumes = Bucket(pace)
        self._looks = Looks()
        self._doors: dict[str, Doorway] = {}
        self._opening = Places(self._clock, is_open=plan.group is None or self._has_lock())
        self._there = {machine.id: machine for machine in plan.before.machines} if plan.before else {}
        for moment in made:
            self._creates.turn(moment)
            self._opening.is_open = True
        self._take: dict[type, Callable[[_Going, Any], Waits]] = {
            TakeVolume: self._take_volume,
            Create: self._create,
            Adopt: self._adopt,
            Update: self._update,
            Start: self._start,
            AwaitStarted: self._await_started,
            AwaitHealthy: self._await_healthy,
            AwaitSettled: self._await_settled,
            Watch: self._watch,
            Cordon: self._cordon,
            Uncordon: self._ask,
            Stop: self._stop,
            Destroy: self._destroy,
            DeleteVolume: self._ask,
            RunToEnd: self._run_to_end,
            GiveUp: self._give_up,
        }

    def seconds(self) -> float:
        """Rehearse it from the first lease to the last look."""
        if not self._standings:
            self._clock.now += self._request * self._preparations()
        index = 0
        for stage in self._plan.stages:
            self._pass(stage, index)
            index += sum(len(lane.tracks) for lane in stage.lanes)
        return self._clock.now + self._request

    def _preparations(self) -> int:
        """Count the requests before the first step: for the lease that locks, and for the secrets' version."""
        has_secrets = self._plan.before is not None and self._plan.before.has_secrets
        return int(self._has_lock()) + int(has_secrets)

    def _has_lock(self) -> bool:
        plan = self._plan
        if plan.before is None or plan.group is None:
            return False
        return any(machine.host_is_ok for machine in plan.before.group(plan.group))

    def _pass(self, stage: Stage, index: int) -> None:
        """Let the machines of a stage go; `index` is that of its first track among all of the plan."""
        places = {lane.region: Places(self._clock, lane.width) for lane in stage.lanes if lane.width}
        tracks = (track for lane in stage.lanes for track in lane.tracks)
        numbered = sorted(enumerate(tracks, start=index), key=_number if self._opening.is_open else _name)
        for place, track in numbered:
            standing = self._standings.get(place, FRESH)
            if standing.steps < len(track.steps):
                self._clock.begin(self._in_turn(track, standing, places))
        self._clock.run()

    def _in_turn(self, track: Track, standing: Standing, places: Mapping[str, Places]) -> Waits:
        place = places.get(track.machine.region) if track.takes_a_place else None
        if place:
            yield place
        yield from self._follow(track, standing)
        if place:
            place.leave()

    def _follow(self, track: Track, standing: Standing) -> Waits:
        going = _Going(
            track=track,
            region=standing.region or track.machine.region,
            usual=self._usual,
            luck=f"{self._plan.app}/{track.machine.name}/{self._luck}",
            passed=standing.passed,
        )
        is_leased = self._plan.group is not None and track.machine_id is not None
        if is_leased and not standing.has_begun:
            yield self._request
        for step in track.steps[standing.steps :]:
            yield from self._take[type(step)](going, step)
            going.passed = 0.0
        if is_leased:
            yield self._request

    # Machines are made, taken, changed.

    def _take_volume(self, going: _Going, step: TakeVolume) -> Waits:
        going.lacks_volume = step.volume_id is None
        yield from ()

    def _create(self, going: _Going, _: Create) -> Waits:
        if going.track.aim is Aim.END:
            yield from self._make(going)
            return
        yield self._opening
        yield from self._make(going)
        if not self._opening.is_open:
            yield self._request  # the lease on it
            self._opening.open()

    def _make(self, going: _Going) -> Waits:
        door = self._doors.setdefault(going.region, Doorway(Places(self._clock)))
        yield door.gate
        if going.lacks_volume:
            yield self._volumes.turn(self._clock.now) + self._request
        yield self._creates.turn(self._clock.now)
        holds_up = not door.has_answered
        if not holds_up:
            door.gate.leave()
        yield self._request
        door.has_answered = True
        if holds_up:
            door.gate.leave()
        going.ready = self._clock.now + going.draw("boot")

    def _adopt(self, going: _Going, step: Adopt) -> Waits:
        yield self._request
        machine = self._there.get(step.machine_id)
        if machine and machine.state == "started":
            going.ready = self._clock.now

    def _update(self, going: _Going, step: Update) -> Waits:
        yield self._request * 3  # two looks at it, and the change
        going.ready = self._clock.now + going.draw("boot" if step.launches else "settle")

    def _start(self, going: _Going, _: Start) -> Waits:
        yield self._request
        going.ready = self._clock.now + going.draw("start")

    def _ask(self, _: _Going, __: Step) -> Waits:
        yield self._request

    def _give_up(self, _: _Going, __: GiveUp) -> Waits:
        yield from ()

    # Machines are waited for.

    def _await_started(self, going: _Going, _: AwaitStarted) -> Waits:
        yield from self._until(self._ready(going, "boot"))

    def _await_settled(self, going: _Going, _: AwaitSettled) -> Waits:
        yield from self._until(self._ready(going, "settle"))

    def _await_healthy(self, going: _Going, _: AwaitHealthy) -> Waits:
        started = self._ready(going)
        passing = started if self._was_healthy(going.track) else started + going.draw("checks")
        self._looks.waiting += 1
        yield from self._by_looks(passing)
        self._looks.waiting -= 1

    def _was_healthy(self, track: Track) -> bool:
        machine: Machine | None = self._there.get(track.machine_id or "")
        changed = any(isinstance(step, Update | Start) for step in track.steps)
        return machine is not None and machine.is_healthy and not changed

    def _ready(self, going: _Going, what: str | None = None) -> float:
        """Say when a machine is there that is under way: what it is at began some time ago, and takes its time."""
        if going.ready is None:
            going.ready = self._clock.now - going.take_passed() + (going.draw(what) if what else 0.0)
        return going.ready

    def _until(self, ready: float) -> Waits:
        self._looks.waiting += 1
        if self._looks.waiting <= FEW_POLLS:
            yield max(self._request, ready - self._clock.now)
        else:
            yield from self._by_looks(ready)
        self._looks.waiting -= 1

    def _by_looks(self, ready: float) -> Waits:
        pause = 0.0
        while True:
            is_crowded = self._looks.waiting > FEW_POLLS
            yield (self._looks.next(self._clock.now) if is_crowded else pause) + self._request
            if self._clock.now >= ready - CLOSE:
                return
            pause = LOOK_EVERY

    def _watch(self, going: _Going, step: Watch) -> Waits:
        yield max(0.0, step.seconds - going.take_passed()) + self._request

    def _run_to_end(self, going: _Going, _: RunToEnd) -> Waits:
        end = self._ready(going, "boot") + going.draw("command")
        yield self._request
        while self._clock.now < end - CLOSE:
            yield LOOK_EVERY + self._request

    # Machines leave.

    def _cordon(self, going: _Going, step: Cordon) -> Waits:
        yield self._request
        yield max(0.0, step.drain - going.take_passed())

    def _stop(self, going: _Going, _: Stop) -> Waits:
        yield self._request
        yield from self._until(self._clock.now - going.take_passed() + going.draw("stop"))

    def _destroy(self, going: _Going, _: Destroy) -> Waits:
        yield self._request * (2 if going.track.aim is Aim.GO else 1)  # the mark for who wants it back, and the end


def _number(numbered: tuple[int, Track]) -> int:
    return numbered[1].machine.number


def _name(numbered: tuple[int, Track]) -> str:
    return numbered[1].machine.name


def _luck(key: str) -> float:
    """Give a number from 0 to 1 that looks like chance, and is always the same for the same key."""
    return int.from_bytes(blake2b(key.encode(), digest_size=4).digest()) / 2**32
