"""Plan → Observation: stages in order, lanes together, tracks by width, then a last look; decides nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from functools import partial
from typing import Any

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.deploy.estimate import CreateRate, estimate, left
from flyasync.deploy.freshness import APART, CATCH_UP, fetch, is_behind, past_pauses
from flyasync.deploy.observe import observe
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.fleet import Fleet, home, is_in, oldest
from flyasync.deploy.plan.plan import Cordon, Create, Destroy, Plan, Stage, Target, Track, Update
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.journal import Journal
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.result import Result, result_of
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.deploy.run.admission import Gate
from flyasync.deploy.run.create import Unlisted
from flyasync.deploy.run.leases import Leases
from flyasync.deploy.run.rechecks import Rechecks
from flyasync.deploy.run.slots import Place, Places
from flyasync.deploy.run.spans import Walking
from flyasync.deploy.run.steps import NoRoomError, NotBegunError, Steps, Tell, needs_lease
from flyasync.deploy.timings import Timings
from flyasync.errors import FlyError, WaitFailed
from flyasync.models.machine import GONE, Machine

LAST_LOOK = 30.0
"""Seconds that the last look of a cancelled deploy may take, and before it the return of what it only verified."""


class Execution:
    """One walk over a plan. `presses_on` past failures: what one machine meets then stops no other.

    `rollback` says that it is the way back of the deploy it belongs to. `past` are the times known before it; without,
    what the machines' events tell.
    """

    def __init__(
        self,
        fly: FlyClient,
        spec: DeploySpec,
        plan: Plan,
        tell: Tell,
        clock: Callable[[], float],
        *,
        leases: Leases,
        journal: Journal,
        presses_on: bool = False,
        rollback: bool = False,
        past: Timings | None = None,
    ) -> None:
        self.plan = plan
        self.leases = leases
        self.journal = journal
        self.runs = _runs(plan)
        self._secrets: str | None = None
        self._fly = fly
        self._spec = spec
        self._tell = tell
        self._clock = clock
        self._past = past or Timings.of(plan.before, plan.group)
        self._walking = Walking(fly.spans, (track.machine for track in plan.tracks), tell, rollback=rollback)
        self._steps = Steps(fly, spec, tell, leases)
        self._steps.is_open = plan.group is None or leases.holds(locking(plan))
        self._settled: set[str] = set()
        self._relied_on: set[str] = set()
        self._listed_volumes: set[str] = set()
        self._gate = Gate(spec, presses_on=presses_on or plan.group is None)
        self._steps.may_begin = self._gate.lets
        is_rolled_out = plan.group is not None and not presses_on
        self._rechecks = Rechecks(fly, spec.app, self._steps.watching, clock) if is_rolled_out else None
        if plan.before is not None:
            self._steps.know(plan.before)

    async def prepare(self) -> None:
        """Learn what every machine that starts from now on has to know."""
        starts_any = any(isinstance(step, Create | Update) for step in self.plan.steps)
        if self.plan.group is not None and self.plan.before and self.plan.before.has_secrets and starts_any:
            self._secrets = await self._steps.learn_secrets_version()

    async def walk(self) -> None:
        """Take all steps of all machines: stages one after the other, the machines of a stage together.

        A failure of one machine lets those under way finish, and no other begin. Cancelled, machines in line for their
        create are not created, and creates under way are heard out.
        """
        with closing(self._walking):
            for stage in self.plan.stages:
                if self._gate.is_shut:
                    return
                if stage.point_of_no_return:
                    self._settled |= {lane.region for lane in stage.lanes if self._gate.lets(lane.region)}
                await self._hand_over(stage)
                await self._pass(stage)

    async def _hand_over(self, stage: Stage) -> None:
        """Lock another machine before the one that locks is destroyed: the one that other deployers come to next."""
        leaving = {track.machine_id for track in stage.tracks if any(isinstance(each, Destroy) for each in track.steps)}
        if self.leases.locking not in leaving:
            return
        there = [run.machine for run in self.runs.values() if run.machine and run.phase is not Phase.DESTROYED]
        if heir := oldest(each for each in there if each.id not in leaving):
            with suppress(FlyError):  # somebody has that one for himself; each machine is guarded by its own lease
                await self.leases.lock(heir.id)

    async def _pass(self, stage: Stage) -> None:
        self._relied_on.clear()
        away = Counter(run.wanted.region for run in self.runs.values() if run.error)
        places = {lane.region: Places(lane.width - away[lane.region]) for lane in stage.lanes if lane.width}
        others = {lane.region: asyncio.Lock() for lane in stage.lanes if stage.relies_on_others}
        await together(self._in_turn(track, places, others) for track in self._in_line(stage))

    def _in_line(self, stage: Stage) -> Iterable[Track]:
        """Give the tracks in the order to begin them; all deployers of an empty group begin with the same one."""
        return stage.tracks if self._steps.is_open else sorted(stage.tracks, key=lambda track: track.machine.name)

    async def _in_turn(self, track: Track, places: Mapping[str, Places], others: Mapping[str, asyncio.Lock]) -> None:
        region, run = track.machine.region, self.runs[track.machine.name]
        with self._walking.turn(track.machine):
            place = places.get(region) if track.takes_a_place or await self._has_woken(track) else None
            async with place.one() if place else nullcontext(Place()) as held:
                if held.is_there and self._gate.lets(region) and not others:
                    await self._recheck()
                run.begun_after = self._clock()
                if held.is_there and self._gate.lets(region) and not self._has_to_stay(track):
                    with self._walking.machine(run):
                        await self._follow(track, others.get(region))
                held.is_lost = run.error is not None

    async def _has_woken(self, track: Track) -> bool:
        """Tell whether a machine that was at rest when the plan was made runs by now, and so serves, perhaps."""
        if track.target is not Target.REST or not any(isinstance(step, Update) for step in track.steps):
            return False
        machine = await self._get(track.machine_id or "")
        return isinstance(machine, Machine) and machine.state not in RESTING

    def _has_to_stay(self, track: Track) -> bool:
        """Tell whether a machine takes traffic that others of its region were to take over on the way back, in vain."""
        if self.plan.strategy != "undo" or not any(isinstance(step, Cordon) for step in track.steps):
            return False
        return track.target is Target.GO and self._gate.has_lost_one(track.machine.region)

    async def _follow(self, track: Track, others: asyncio.Lock | None = None) -> None:
        run = self.runs[track.machine.name]
        run.deadline = None
        self.journal.began(track, run)
        try:
            self.leases.check()
            if others:
                await self._others_serve(track, others)
            async with self._leased(track):
                for step in track.steps:
                    await self._steps.take(step, run)
                    self.journal.stepped(run, step)
            run.ready_after = self._clock()
        except NotBegunError:
            pass
        except NoRoomError:
            self._tell(run, Phase.SKIPPED, str(run.refusals[-1]))
            self._gate.note(run)
        except FlyError as error:
            await self._fail(run, error)
            await self._steps.give_rest(track.steps, run)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_LOOK):
                    await self._steps.give_rest(track.steps, run)
            raise
        self.journal.ended(run)

    async def _fail(self, run: MachineRun, error: FlyError) -> None:
        run.error = error
        self._gate.note(run)
        self._tell(run, Phase.FAILED, str(error))
        if isinstance(error, WaitFailed):
            await self._steps.evidence(run)

    async def _recheck(self) -> None:
        """See that the machines changed so far are still as they shall be: one that is not lets no other begin."""
        for run, error in await self._rechecks.failed(self._changed) if self._rechecks else ():
            await self._fail(run, error)
            self.journal.ended(run)

    def _changed(self) -> list[MachineRun]:
        done = (run for run in self.runs.values() if run.ready_after is not None and run.taken and run.error is None)
        up = (run for run in done if run.target is Target.SERVE and run.machine and run.phase is not Phase.DESTROYED)
        return [run for run in up if self._spec.goal_of(run.config) is not None]

    async def _others_serve(self, track: Track, lock: asyncio.Lock) -> None:
        """See that the machines of a region that stay are up before one leaves, or is let in; one look serves all."""
        region = track.machine.region
        async with lock:
            if region in self._relied_on:
                return
            staying = [run for run in self.runs.values() if run.wanted.region == region and run.target is Target.SERVE]
            await asyncio.gather(*(self._steps.see_up(run) for run in staying if run.machine))
            self._relied_on.add(region)

    @asynccontextmanager
    async def _leased(self, track: Track) -> AsyncIterator[None]:
        """Hold the lease of a machine that is there already while it is changed; the one that locks is held anyway."""
        machine = self.runs[track.machine.name].machine
        is_there = machine is not None and machine.host_is_ok  # a host that is gone grants no lease, and needs none
        if self.plan.group is None or track.machine_id is None or not (is_there and any(map(needs_lease, track.steps))):
            yield
            return
        await self.leases.take(track.machine_id)
        try:
            yield
        finally:
            await self.leases.give_back(track.machine_id)

    @property
    def unlisted(self) -> frozenset[str]:
        """The ids of machines that were there all the time, as creates have found, though no list had shown them."""
        return frozenset(run.error.machine.id for run in self.runs.values() if isinstance(run.error, Unlisted))

    @property
    def may_begin_anew(self) -> bool:
        """Whether a plan that counts what was unlisted may follow this one.

        Not after another failure, nor after a release command, which would run twice. A rollback has to know what was
        there before the first change, so after one a deploy that is to roll back goes on no more.
        """
        runs = self.runs.values()
        is_certain = not any(run.in_doubt or (run.error and not isinstance(run.error, Unlisted)) for run in runs)
        is_released = any(run.target is Target.END and run.phase is not None for run in runs)
        has_changed = any(run.taken and run.machine for run in runs)
        return is_certain and not is_released and not (has_changed and self._spec.rolls_back)

    async def has_released_volumes(self) -> bool:
        """Delete the volumes made for machines that were there all the time; return whether none of them is left."""
        runs = [run for run in self.runs.values() if isinstance(run.error, Unlisted)]
        await together(self._destroy(run) for run in runs)
        return not any(run.made_volumes for run in runs)

    def report(self, outcome: Observation, *, cancelled: bool = False) -> DeployReport:
        """Put down what is known now."""
        report = DeployReport.of(
            self._spec, outcome, strategy=self.plan.strategy, seconds=self._clock(), cancelled=cancelled
        )
        return evolve(report, image=self._steps.stamp.image, remarks=tuple(self._remarks()))

    def _remarks(self) -> Iterator[str]:
        """Yield what the plan remarks, and what was learnt on the way."""
        yield from self.plan.remarks
        if self._secrets:
            yield self._secrets
        if self._steps.stamp.is_unknown:
            yield (
                f"no machine showed the digest that it runs of {self._spec.image}: if the tag has moved "
                "meanwhile, they may run different ones; an image with a digest leaves no doubt"
            )

    @property
    def timings(self) -> Timings:
        """The times known by now: those known before it, and those of its machines."""
        return self._past.and_of(self.runs.values())

    def left(self) -> Estimate:
        """Estimate how many seconds this walk still takes, from how far its machines have come."""
        drains = self._gate.is_shut
        return left(self.plan, self.runs, self._clock(), pace(self._fly), self.timings, drains=drains)

    async def take_back(self) -> None:
        """Destroy the machines that this walk made, with the volumes it made for them, and no others."""
        made = [run for run in self.runs.values() if run.made_volumes or (run.machine and not run.adopted)]
        with closing(Walking(self._fly.spans, (run.wanted for run in made), self._tell, rollback=True)) as back:
            await together(self._take_back(run, back) for run in made)

    async def _take_back(self, run: MachineRun, back: Walking) -> None:
        with back.turn(run.wanted), back.machine(run):
            await self._destroy(run)

    async def _destroy(self, run: MachineRun) -> None:
        try:
            if run.machine and not run.adopted:
                await self._steps.destroy(run.machine_id)
            while run.made_volumes:
                await self._steps.delete_volume(run.made_volumes[-1])
                run.made_volumes.pop()
        except FlyError as error:
            run.error = error
        else:
            if run.machine:
                self._tell(run, Phase.DESTROYED, None)

    async def look(self, *, changed: Collection[str] = ()) -> Observation:
        """See what is there now; a machine that was in doubt and is found belongs to its run from then on.

        Lists lag. One is enough for a machine that it shows as promised, and not as it was before this walk observed
        it last; every other machine is fetched by its id, and so are those that another walk has `changed`.
        """
        runs = tuple(self.runs.values())
        try:
            fleet = await self._listed()
        except FlyError as error:
            return evolve(Observation.blind(runs, error), closed_by=self._gate.closed_by)
        hint = self._outcome(fleet)
        mine = {machine.id: run for run in runs if (machine := run.machine or hint.machine(run))}
        doubtful = [id_ for id_, run in mine.items() if id_ in changed or not self._is_proven(hint, run)]
        others = (*hint.surplus, *(machine_id for run in runs for machine_id in run.beside))
        ids = tuple(dict.fromkeys([*doubtful, *others]))
        found = dict(zip(ids, await asyncio.gather(*map(self._get, ids)), strict=True))
        hidden = {id_: error for id_, error in found.items() if isinstance(error, FlyError)}
        kept = (machine for machine in hint.seen if machine.id not in found or machine.id in hidden)
        outcome = evolve(
            hint,
            seen=(*kept, *(machine for machine in found.values() if isinstance(machine, Machine))),
            unseen={run.wanted.name: hidden[id_] for id_, run in mine.items() if id_ in hidden},
        )
        before = {machine.id for machine in self.plan.before.machines} if self.plan.before else set()
        for run in runs:
            run.machine = run.machine or outcome.machine(run)
            run.adopted |= run.machine is not None and run.machine.id in before
        return outcome

    async def _listed(self) -> Fleet:
        """List what is there; once more some seconds later where a machine that may have been made is missing."""
        list_ = partial(past_pauses, partial(observe, self._fly, self._spec, by_id=False, with_secrets=False))
        fleet = await list_()
        in_doubt = [run for run in self.runs.values() if run.in_doubt and run.machine is None]
        if not all(fleet.named(run.wanted.name) for run in in_doubt):
            await asyncio.sleep(APART)
            fleet = await list_()
        return await self._with_volumes(fleet)

    async def _with_volumes(self, fleet: Fleet) -> Fleet:
        """Return a fleet with a list of volumes that shows those made here, as far as it comes to that in time.

        One that lacks them is behind, and may lack another that nothing but a list tells of.
        """
        made = {volume_id for run in self.runs.values() for volume_id in run.made_volumes}
        until = asyncio.get_running_loop().time() + CATCH_UP
        while True:
            self._listed_volumes |= {volume.id for volume in fleet.volumes}
            if made <= self._listed_volumes or asyncio.get_running_loop().time() >= until:
                return fleet
            await asyncio.sleep(1)
            with suppress(FlyError):  # what one list does not tell, the next may
                fleet = evolve(fleet, volumes=await self._fly.volumes.list(self._spec.app))

    def _is_proven(self, hint: Observation, run: MachineRun) -> bool:
        """Whether a list proves that a machine is as promised: no row of it proves that one is not."""
        row = hint.machine(run)
        if row is None or run.machine is None or run.error or is_behind(row, run.machine):
            return False
        return result_of(self._spec, hint, run)[0] in {Result.RUNNING, Result.RESTING}

    def _outcome(self, fleet: Fleet) -> Observation:
        machines = self._concerning(fleet.machines)
        return Observation(
            runs=tuple(self.runs.values()),
            seen=machines,
            left_alone=self._left_alone(machines),
            settled=frozenset(self._settled),
            launch=self._spec.launch if self.plan.group is not None else None,
            loose_volumes=tuple(self._loose(fleet)),
            closed_by=self._gate.closed_by,
        )

    def _loose(self, fleet: Fleet) -> Iterator[str]:
        """Yield the ids of volumes that came to be meanwhile, that no machine holds, and that no run knows of.

        A create whose answer was lost may have made one, as one that arrived twice.
        """
        if self.plan.before is None:
            return
        names = {
            desired.name for desired in (self._spec.volume, *(run.volume for run in self.runs.values())) if desired
        }
        known = {volume.id for volume in self.plan.before.volumes}
        known |= {volume_id for run in self.runs.values() for volume_id in run.made_volumes}
        known |= {mount.volume or "" for each in fleet.machines if each.config for mount in each.config.mounts or ()}
        for volume in fleet.volumes:
            if volume.name in names and volume.is_free and volume.id not in known:
                yield volume.id

    def _concerning(self, machines: Iterable[Machine]) -> tuple[Machine, ...]:
        """Give the machines that this deploy is about: those of the launch, or of its groups."""
        groups = (self.plan.group, *self._spec.retired_groups)
        return tuple(
            each for each in machines if self.plan.group is None or any(is_in(each, group) for group in groups)
        )

    def _left_alone(self, machines: Iterable[Machine]) -> frozenset[str]:
        if self.plan.group is None:
            return frozenset()
        return frozenset(each.id for each in machines if home(each) not in self._spec.counts)

    def as_before(self) -> Observation:
        """Say that all is as it was seen when the plan was made."""
        seen = self._concerning(self.plan.before.machines if self.plan.before else ())
        return Observation(runs=tuple(self.runs.values()), seen=seen, left_alone=self._left_alone(seen))

    async def last_look(self) -> Observation:
        """See what is there after a cancellation: within a bounded time, and cut short by another one."""
        try:
            async with asyncio.timeout(LAST_LOOK):
                return await self.look()
        except (TimeoutError, asyncio.CancelledError):
            cut_short = Observation.blind(tuple(self.runs.values()), FlyError("the last look was cut short"))
            return evolve(cut_short, closed_by=self._gate.closed_by)

    async def _get(self, machine_id: str) -> Machine | FlyError | None:
        """Give the machine, None when it is gone, or the error that hides it."""
        try:
            machine = await fetch(self._fly, self._spec.app, machine_id)
        except FlyError as error:
            return error
        return None if machine is None or machine.state in GONE else machine


def _runs(plan: Plan) -> dict[str, MachineRun]:
    """Make a run for each machine, however many stages it is in, and for those that are kept."""
    there = {machine.id: machine for machine in plan.before.machines} if plan.before else {}
    runs: dict[str, MachineRun] = {}
    for track in plan.tracks:
        runs.setdefault(track.machine.name, _run(track, there))
    for track in plan.kept:
        if track.machine.name not in runs:
            kept = runs[track.machine.name] = _run(track, there)
            kept.phase, kept.ready_after = Phase.KEPT, 0.0
    return runs


def _run(track: Track, there: Mapping[str, Machine]) -> MachineRun:
    machine = there.get(track.machine_id or "")
    return MachineRun(
        wanted=track.machine,
        region=machine.region if machine else track.machine.region,
        target=track.target,
        config=track.config,
        stays_out=track.stays_out,
        verifies=track.verifies,
        machine=machine,
        adopted=machine is not None,
        old_exit=machine.exit_event if machine else None,
    )


def timed(plan: Plan, fly: FlyClient, timings: Timings | None = None) -> Plan:
    """Return a plan with how long it takes, by `timings` or else by its machines' events; an empty one gets none."""
    if plan.is_empty:
        return plan
    return evolve(plan, estimate=estimate(plan, pace(fly), timings or Timings.of(plan.before, plan.group)))


def pace(fly: FlyClient) -> CreateRate:
    """Say how fast a client may make machines in one app."""
    rate = fly.limits.rate("machines.create")
    return CreateRate(usable=rate.usable, per_second=rate.per_second)


def locking(plan: Plan) -> str | None:
    """Choose the machine whose lease keeps other deployers out: they all choose the same one."""
    if plan.before is None or plan.group is None:
        return None
    first = oldest(plan.before.group(plan.group))
    return first.id if first else None


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all work at once and leave none of it behind, whether one part fails or all are cancelled."""
    # A plain gather returns with the first part that is cancelled, while the others are still at it.
    for result in await asyncio.gather(*work, return_exceptions=True):
        if result is not None:
            raise result
