"""DeployReport: what runs where, what was skipped, and why."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, field, frozen
from attrs.converters import optional

from flyasync.deploy.markup import tag
from flyasync.deploy.plan.fleet import serves
from flyasync.deploy.plan.launch_origin import LaunchOrigin
from flyasync.deploy.plan.notes import public
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.html import page
from flyasync.deploy.reporting.page_assets import positions_of
from flyasync.deploy.reporting.phase import Moment, Phase
from flyasync.deploy.reporting.result import AS_OBSERVED, Failure, Result, result_of
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.deploy.reporting.status import Status
from flyasync.deploy.reporting.styles import Line, Part, Tone, indented, joined, plain
from flyasync.deploy.reporting.timeline_replay import TimelineReplay
from flyasync.errors import DeployFailed, LeaseHeld, NoCapacity, WaitFailed
from flyasync.garbage import PausedCollection
from flyasync.models.json.codec import omit_if_unset, structure, unstructure
from flyasync.models.machine import machine_host
from flyasync.models.redaction import without_passwords
from flyasync.models.region import Region
from flyasync.safe_text import readable

if TYPE_CHECKING:  # only for an annotation: the last event holds a report
    from flyasync.deploy.reporting.events import Event


@frozen(kw_only=True)
class MachineReport:
    """The result of one machine.

    `asked` is the desired region, `region` the one where the machine is. `refusals` are the regions that had no room,
    in order, each with the API's message. `created_after` and `ready_after` are in seconds since the deploy began.
    `moments` are the phases that it reached.

    If the machine failed, `exit` is how its process ended, and `logs` are the last lines of its log, with the values of
    its environment redacted. A machine that was observed once keeps its `id`, even if it is `gone`. `serves` is whether
    it takes traffic with its checks passing, whatever image it runs. `image` is set if the deploy has a strategy.

    `volumes` are the ids of volumes that were created for the machine and are not attached to it, before any rollback:
    they cost money. `claimed_volumes` are volumes that it was to have, but that a machine which no longer exists still
    claimed: it got a new one instead. `beside` are the ids of machines that it replaced or raced with, and that still
    exist.
    """

    name: str
    asked: str
    result: Result
    region: str | None = None
    id: str | None = None
    state: str | None = None
    host: str | None = None
    image: str | None = field(default=None, converter=optional(without_passwords))
    serves: bool = False
    adopted: bool = False
    refusals: tuple[Refusal, ...] = ()
    failure: Failure | None = None
    exit: str | None = None
    logs: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    claimed_volumes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    gone: bool = False
    moments: tuple[Moment, ...] = field(default=(), repr=False)
    created_after: float | None = None
    ready_after: float | None = None

    @classmethod
    def of(cls, spec: DeploySpec, observation: Observation, run: MachineRun) -> "MachineReport":
        """Return the report of a run's machine, from its last observation."""
        # A machine that could not be observed is reported as it was last known.
        seen = observation.machine(run) or (run.machine if run.desired.name in observation.unseen else None)
        machine = seen or run.machine
        result, failure = result_of(spec, observation, run)
        # A machine in a crash loop may be observed as started between two crashes: it does not serve.
        has_crashed = result is Result.FAILED and isinstance(run.error, WaitFailed)
        is_observed = seen is not None and run.desired.name not in observation.unseen
        loose = run.made_volumes
        if seen:
            # The API returns no config for an unreachable host: the machine may hold any volume created for it.
            held = {mount.volume for mount in seen.config.mounts or ()} if seen.config else set(loose)
            loose = tuple(volume for volume in loose if volume not in held)
        return cls(
            name=run.desired.name,
            asked=run.desired.region,
            result=result,
            region=machine.region if machine else None,
            id=machine.id if machine else None,
            state=seen.state if seen else None,
            image=seen.image if seen and not spec.strategy.only_adds else None,
            serves=seen is not None and is_observed and serves(seen) and not has_crashed,
            host=machine_host(spec.app, machine.id) if machine else None,
            adopted=run.adopted,
            refusals=run.refusals,
            failure=failure,
            # An earlier failure no longer matters if the machine is as promised in the end.
            exit=None if result.is_as_promised else run.exit,
            logs=() if result.is_as_promised else run.logs,
            volumes=loose,
            claimed_volumes=run.claimed_volumes,
            beside=observation.beside(run),
            gone=seen is None and machine is not None,
            moments=run.moments,
            created_after=run.created_after,
            ready_after=run.ready_after,
        )

    @property
    def is_running(self) -> bool:
        """Whether it was observed in the state that the deploy promises."""
        return self.result.is_as_promised

    @property
    def lacked_room(self) -> bool:
        """Whether no region had room for it, or its host had none for its update."""
        return self.result is Result.SKIPPED or (self.failure is not None and self.failure.kind == NoCapacity.__name__)

    @property
    def is_untouched(self) -> bool:
        """Whether it is certain that the deploy did not change it."""
        # A create or an update that was refused for lack of room changed nothing; any other failure may have.
        refused = {Phase.UPDATING, Phase.FAILED} if self.lacked_room else set()
        harmless = {Phase.CREATING, Phase.MOVING, Phase.SKIPPED, *refused}
        is_known = self.result is not Result.UNKNOWN and not self.volumes
        return is_known and all(moment.phase in harmless for moment in self.moments)

    @property
    def fell_back(self) -> bool:
        """Whether it is in another region than the desired one."""
        return self.region is not None and self.region != self.asked

    def after_rollback(self, rollback: "Mapping[str, MachineReport]") -> "MachineReport":
        """Return the report of the machine after a rollback: restored or destroyed, if it was, instead of failed.

        The error that it had is kept. `rollback` are the machines of the rollback by their ids, or by their names where
        the ids are not known.
        """
        then = rollback.get(self.id or "") or rollback.get(self.name)
        if self.result is not Result.FAILED or then is None:
            return self
        if then.is_running:
            result = Result.RESTORED
        elif self.gone and then.result is Result.RETIRED:
            result = Result.DESTROYED
        else:
            return self
        error = self.failure if self.failure and self.failure.kind != AS_OBSERVED else None
        return evolve(self, result=result, failure=error)

    def lines(self) -> Iterator[Line]:
        """Yield the lines of the report: the result of the machine, then the reasons."""
        where = f" in {self.region}" if self.region and self.id else ""
        seconds = self.ready_after or self.created_after
        # The image is shown only if the machine may run another one than desired.
        is_other = self.image is not None and not self.is_running and self.result is not Result.DESTROYED
        details = [
            self.id,
            self.host if self.is_running else None,
            f"{self.state} with {self.image}{', serving' if self.serves else ''}" if is_other else None,
            None if seconds is None else f"{seconds:.1f} s",
        ]
        rest = "".join(f"  {detail}" for detail in details if detail)
        yield (
            (readable(f"{self.name}  "), Tone.PLAIN),
            (str(self.result), self.result.tone),
            (readable(where + rest), Tone.PLAIN),
        )
        reasons = [*map(str, self.refusals), *([str(self.failure)] if self.failure else [])]
        reasons += [f"its process: {self.exit}"] if self.exit else []
        reasons += [
            f"a new volume: {volume_id} is still claimed by a machine that no longer exists"
            for volume_id in self.claimed_volumes
        ]
        reasons += [f"also there: {machine_id}" for machine_id in self.beside]
        reasons += [f"| {part}" for logged in self.logs for part in logged.splitlines() or [""]]
        for reason in reasons:
            yield from plain(reason, "  ")

    def __str__(self) -> str:
        return "".join(text for text, _ in joined(self.lines()))


_OF_A_PAUSE = frozenset(
    {Result.RUNNING, Result.RESTING, Result.RETIRED, Result.ENDED, Result.SKIPPED, Result.NOT_BEGUN}
)
"""The results of machines when a deploy pauses without trouble."""

_AS_DESIRED = 2


def _severity(machine: MachineReport) -> int:
    """Return the rank of a machine in a report: first what failed, then what is not as desired, then the others."""
    if machine.is_running or machine.result is Result.RETIRED:
        return _AS_DESIRED
    return 0 if machine.result.tone is Tone.BAD or machine.failure else 1


@frozen(kw_only=True)
class RegionReport:
    """The result of one region: `asked` is the desired number of machines, `retired` are those to be destroyed."""

    region: str
    asked: int
    machines: tuple[MachineReport, ...]
    retired: tuple[MachineReport, ...] = ()

    @property
    def running(self) -> int:
        """How many of its machines run, here or in a fallback region."""
        return sum(machine.is_running for machine in self.machines)

    @property
    def is_running(self) -> bool:
        """Whether all its machines run; this is what a requirement counts."""
        return self.running == self.asked

    @property
    def is_complete(self) -> bool:
        """Whether all its machines run, and all machines that the deploy retires are gone."""
        return self.is_running and all(machine.result is Result.RETIRED for machine in self.retired)

    @property
    def severity(self) -> int:
        """The rank of its machine with the worst result."""
        return min(map(_severity, (*self.machines, *self.retired)), default=_AS_DESIRED)

    @property
    def seconds(self) -> float:
        """The seconds from the start of the deploy until the last machine of the region was ready."""
        return max((machine.ready_after or machine.created_after or 0.0 for machine in self.machines), default=0.0)

    def lines(self, what: str = "run") -> Iterator[Line]:
        """Yield the lines of the report; `what` is the word for machines that are as desired."""
        gone = sum(machine.result is Result.RETIRED for machine in self.retired)
        retired = f", {gone}/{len(self.retired)} retired" if self.retired else ""
        yield from plain(f"{self.region}  {self.running}/{self.asked} {what}{retired}")
        for machine in (*self.machines, *self.retired):
            yield from indented(machine.lines(), "  ")

    def __str__(self) -> str:
        return "".join(text for text, _ in joined(self.lines()))


@frozen(kw_only=True)
class Cause:
    """Why a deploy ended early: the machine after whose failure no further machine was begun."""

    name: str
    region: str
    failure: Failure
    id: str | None = None

    @classmethod
    def of(cls, run: MachineRun) -> "Cause":
        """Return the cause from a run that failed, or that found no room."""
        failure = Failure.of(run.error) if run.error else Failure.of_refusal(run.refusals[-1])
        machine_id = run.machine.id if run.machine else None
        return cls(name=run.desired.name, region=run.region, id=machine_id, failure=failure)

    def __str__(self) -> str:
        return f"{self.name} in {self.region}: {self.failure}"


@frozen(kw_only=True)
class DeployReport:
    """The result of a deploy, from its last observation of the app.

    `status` is the result as a whole. `ok` is true if the status is *ok*, or if it is *degraded* and a requirement was
    stated (`require_stated`). `paused_after` is the number of the wave after which the deploy has paused, with the
    status *paused*. `require` is the requirement as text, and `needed` the number of regions that it demands.
    `strategy` is None for a launch, which only adds machines.

    `regions`, and the machines of each, are sorted so that failures come first. `serving` is the number of machines
    that the final check found started, in routing, and with their checks passing, including older machines of the
    group, or of the app if there is no strategy. `others` are standby and scheduled machines of the group. `release` is
    the machine of the release command, and `seed` that of the seed command. `remarks` list what the deploy left
    unchanged.

    `surplus` are ids of machines that have the tag of this launch, but are not among those reported: there should be
    none, and with any the status is not *ok*. `stray_volumes` are ids of volumes that appeared during the deploy and
    that no machine is known to hold: a create whose response was lost may have made them. `addresses` are the IP
    addresses that were allocated, and `unallocated` is why they could not be. `url` is the URL of the app, None if it
    has no public web server, or is known to lack an address. `unverified` are regions
    whose changed machines are stopped, if no machine of the group was seen to run: the status is *not verified*.

    `unseen` is why the final check failed, if it did; machines that it did not see do not count as running. `closed_by`
    is the failure after which no further machine was begun. `rollback` is the report of the rollback, if there was one;
    its own `ok` is true if everything is as it was before the deploy. `origin` is the message, the commit and the user
    of the launch.
    """

    app: str
    launch: str
    image: str = field(converter=without_passwords)
    require: str
    needed: int
    regions: tuple[RegionReport, ...]
    seconds: float
    cancelled: bool = False
    surplus: tuple[str, ...] = ()
    unseen: Failure | None = None
    strategy: str | None = None
    release: MachineReport | None = None
    seed: MachineReport | None = None
    rollback: "DeployReport | None" = None
    remarks: tuple[str, ...] = field(default=(), converter=public)
    others: tuple[MachineReport, ...] = ()
    closed_by: Cause | None = None
    stray_volumes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    unallocated: Failure | None = None
    url: str | None = None
    require_stated: bool = False
    serving: int = 0
    paused_after: int | None = None
    origin: LaunchOrigin = field(factory=LaunchOrigin)

    @classmethod
    def of(
        cls,
        spec: DeploySpec,
        observation: Observation,
        *,
        seconds: float,
        strategy: str | None = None,
        cancelled: bool = False,
    ) -> "DeployReport":
        """Return the report of all machines of a deploy, from their last observation."""
        with PausedCollection():
            machines = [(run, MachineReport.of(spec, observation, run)) for run in observation.runs]
            staying: dict[str, list[MachineReport]] = {}
            leaving: dict[str, list[MachineReport]] = {}
            for run, report in machines:
                if run.target in {Target.SERVE, Target.REST}:
                    staying.setdefault(report.asked, []).append(report)
                elif run.target is Target.GO:
                    leaving.setdefault(report.asked, []).append(report)
            counts = {**spec.asked, **{gone: 0 for gone in leaving if gone not in spec.asked}}
            regions = [
                RegionReport(
                    region=region,
                    asked=asked,
                    machines=tuple(sorted(staying.get(region, ()), key=_severity)),
                    retired=tuple(sorted(leaving.get(region, ()), key=_severity)),
                )
                for region, asked in counts.items()
            ]
            # Machines that the deploy neither created nor changed may serve as well.
            mine = {report.id for _, report in machines}
            besides = (each for each in (*observation.seen, *observation.others) if each.id not in mine)
            return cls(
                app=spec.app,
                launch=spec.launch,
                image=spec.image,
                require=str(spec.required),
                needed=spec.required.needed(sum(asked > 0 for asked in spec.asked.values())),
                # Failures first; then the desired regions in their order, then those where all machines are retired.
                regions=tuple(sorted(regions, key=lambda region: region.severity)),
                seconds=seconds,
                cancelled=cancelled,
                surplus=observation.surplus,
                unseen=next((Failure.of(error) for error in observation.unseen.values()), None),
                strategy=strategy,
                release=next((report for run, report in machines if run.target is Target.END), None),
                seed=next((report for run, report in machines if run.target is Target.SEED), None),
                others=tuple(report for run, report in machines if run.target is Target.APART),
                closed_by=Cause.of(observation.closed_by) if observation.closed_by else None,
                stray_volumes=observation.loose_volumes,
                unverified=_unverified(machines) if strategy not in {None, "undo"} and spec.goal else (),
                require_stated=spec.required.is_stated,
                origin=spec.origin,
                serving=sum(report.serves for _, report in machines) + sum(map(serves, besides)),
            )

    def rolled_back(self, rollback: "DeployReport") -> "DeployReport":
        """Return the report with that of its rollback; what this one restored or destroyed is not called failed."""
        then = {each.id or each.name: each for each in rollback.everything}

        def after(machines: Iterable[MachineReport]) -> tuple[MachineReport, ...]:
            return tuple(sorted((each.after_rollback(then) for each in machines), key=_severity))

        regions = [evolve(each, machines=after(each.machines), retired=after(each.retired)) for each in self.regions]
        return evolve(
            self,
            rollback=rollback,
            serving=max(self.serving, rollback.serving),
            regions=tuple(sorted(regions, key=lambda region: region.severity)),
            others=after(self.others),
        )

    @property
    def ok(self) -> bool:
        """Whether the status is *ok*, or *degraded* with a stated requirement."""
        return self.status is Status.OK or (self.status is Status.DEGRADED and self.require_stated)

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0 if the report is ok, else that of the status."""
        return Status.OK.exit_code if self.ok else self.status.exit_code

    @property
    def status(self) -> Status:
        """The result of the deploy as a whole."""
        # 1. It was cancelled.
        if self.cancelled:
            return Status.CANCELLED
        # 2. It has paused where it was to pause, and no machine that it has changed is in trouble.
        if self.paused_after is not None and all(each.result in _OF_A_PAUSE for each in self.everything):
            return Status.PAUSED
        # 3. The requirement is met. Even so, stopped machines may be unverified, regions or standby machines may not be
        #    as desired, or machines may remain that should be gone.
        if self._is_met:
            if self.unverified:
                return Status.NOT_VERIFIED
            return Status.DEGRADED if any(self._deficits()) else Status.OK
        # 4. It is missed. The state of the fleet precedes the cause: all is as before, or something serves.
        if self._is_rolled_back:
            return Status.ROLLED_BACK
        if self.serving:
            return Status.MISSED
        # 5. Nothing is known to serve. The cause is the status only if certainly nothing was changed.
        everything = self.everything
        is_changed = self.surplus or self.loose_volumes or self.rollback
        if everything and all(each.is_untouched for each in everything) and not is_changed:
            if any(each.lacked_room for each in everything):
                return Status.NO_CAPACITY
            if all(each.failure is not None and each.failure.kind == LeaseHeld.__name__ for each in everything):
                return Status.LOCKED
        return Status.FAILED

    @property
    def _is_rolled_back(self) -> bool:
        """Whether everything is as it was before the deploy."""
        if self.rollback:
            return self.rollback.ok
        # The rollback of a launch destroys the machines that it created, and has no report of its own.
        if self.surplus or self.loose_volumes or all(each.result is not Result.DESTROYED for each in self.machines):
            return False
        return all(
            each.result is Result.DESTROYED or (each.result is not Result.UNKNOWN and (each.adopted or not each.id))
            for each in self.machines
        )

    @property
    def commands(self) -> tuple[MachineReport, ...]:
        """The machines of the release command and of the seed command, as far as they ran."""
        return tuple(each for each in (self.release, self.seed) if each)

    @property
    def everything(self) -> tuple[MachineReport, ...]:
        """All machines in the report, those of its rollback excepted."""
        in_regions = (each for region in self.regions for each in (*region.machines, *region.retired))
        return (*self.commands, *in_regions, *self.others)

    @property
    def _is_met(self) -> bool:
        """Whether enough regions run; what else is wrong makes the deploy degraded."""
        return self.running_regions >= self.needed and not (self.cancelled or self.rollback)

    def _deficits(self) -> Iterator[str]:
        """Yield what is not as desired, besides the requirement."""
        if self.unallocated:
            yield f"its IP addresses could not be allocated, so it is not reachable from outside: {self.unallocated}"
        if down := [region.region for region in self.regions if not region.is_running]:
            yield f"not all machines run in {', '.join(down)}"
        if differing := [each.name for each in self.others if not each.is_running]:
            yield f"these standby or scheduled machines are not as desired: {', '.join(differing)}"
        retired = (each for region in self.regions for each in region.retired if each.result is not Result.RETIRED)
        if remaining := [*(each.id or each.name for each in retired), *self.surplus]:
            advice = "run the deploy again, or destroy them" if self.strategy else "destroy them"
            yield f"surplus machines remain, {advice}: {', '.join(remaining)}"

    @property
    def is_missed(self) -> bool:
        """Whether the requirement is certainly missed; machines that could not be observed may be running."""
        return not self._is_met and self.unseen is None

    @property
    def running_regions(self) -> int:
        """How many of the desired regions have all their machines running."""
        return sum(region.is_running for region in self.regions if region.asked)

    @property
    def complete_regions(self) -> int:
        """How many of the desired regions have all their machines running, and no machine left that should be gone."""
        return sum(region.is_complete for region in self.regions if region.asked)

    @property
    def machines(self) -> tuple[MachineReport, ...]:
        """All desired machines, whatever their result."""
        return tuple(machine for region in self.regions for machine in region.machines)

    @property
    def running(self) -> tuple[MachineReport, ...]:
        """The desired machines that run."""
        return tuple(machine for machine in self.machines if machine.is_running)

    @property
    def left_behind(self) -> tuple[str, ...]:
        """The ids of machines that exist and that you may want to destroy, surplus ones included.

        With a strategy, these are the machines that this deploy created and that are not as promised. Without one they
        are all machines of the launch; if the requirement is met, only those that do not run.
        """
        there = (each for each in self.machines if each.id and not each.gone and each.result is not Result.DESTROYED)
        if self.strategy:
            there = (each for each in there if not each.adopted)
        if self.strategy or self._is_met:
            there = (each for each in there if not each.is_running)
        return (*(each.id for each in there if each.id), *self.surplus)

    @property
    def loose_volumes(self) -> tuple[str, ...]:
        """The ids of created volumes that no machine holds; a rollback deletes those that it knows of."""
        taken_back = self.rollback is not None and self.rollback.ok
        made = () if taken_back else (volume for machine in self.machines for volume in machine.volumes)
        return (*made, *self.stray_volumes)

    @property
    def why_degraded(self) -> str:
        """Why the status is *degraded* although the requirement is met."""
        return f"the requirement ({self.require}) is met, but {', and '.join(self._deficits())}"

    @property
    def why_unverified(self) -> str:
        """What was not verified; see `DeployBuilder.verify_stopped` and --verify-stopped."""
        return (
            f"not verified: all machines of the group are stopped, and none in {', '.join(self.unverified)} was "
            "started to verify it"
        )

    @property
    def is_failure(self) -> bool:
        """Whether the deploy is neither `ok` nor paused."""
        return not self.ok and self.status is not Status.PAUSED

    def raise_for_failure(self) -> Self:
        """Return the report if it is `ok` or paused; otherwise raise DeployFailed, which holds the report.

        A *degraded* deploy raises too, unless a requirement was stated.
        """
        if self.is_failure:
            raise DeployFailed(self)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as a dict that can be dumped as JSON; `from_dict` reads it back."""
        data: dict[str, Any] = unstructure(self)
        # A remark has a wording for the command beside its text, which is Python's.
        remarks = [str(remark) for remark in self.remarks]
        return {**data, "remarks": remarks, "ok": self.ok, "status": str(self.status)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "DeployReport":
        """Read a report that `to_dict` returned."""
        return structure({key: value for key, value in data.items() if key not in {"ok", "status"}}, cls)

    def to_html(self, events: "Iterable[Event]" = (), *, regions: Iterable[Region] = (), notice: str = "") -> str:
        """Return a self-contained HTML page: a recording of the deploy on a map, and a timeline of each machine.

        The recording needs a script, which is in the page, and which its Content-Security-Policy allows; without
        scripts the page shows the timeline alone. With the `events` that an observer received, the recording also shows
        the plan and its causes. `regions` are those of `fly.platform.regions()`; by default the map has the positions
        that Fly.io publishes. The `notice` is a text above the recording and the timeline, such as that it was a
        rehearsal.
        """
        from flyasync.deploy.reporting.page_events import page_event, recorded_events

        recorded = [page_event(event) for event in events] or recorded_events(self)
        return page(self, TimelineReplay.of(recorded, positions_of(regions)), notice)

    def _repr_html_(self) -> str:
        """Return the report for a notebook: the page without its recording, in a frame that runs no script."""
        frame = "width:100%;height:32em;border:0;background:#fff"
        return tag("iframe", srcdoc=page(self), sandbox="allow-same-origin", style=frame, title=f"deploy of {self.app}")

    def __str__(self) -> str:
        return "".join(text for text, _ in self.parts())

    def parts(self) -> Iterator[Part]:
        """Yield the text of the report in parts, each with its tone; the first is the headline.

        Their texts, joined, are `str(report)`.
        """
        yield from joined(self.lines())

    def lines(self) -> Iterator[Line]:
        """Yield the lines of the report's text."""
        # The headline: the result of the deploy in figures.
        done = "up to date" if self.strategy else "run"
        asked = sum(region.asked > 0 for region in self.regions)
        how = f"{self.strategy}, " if self.strategy else ""
        shows_serving = (self.strategy and not self.ok) or self.status is Status.MISSED
        serving = f"{self.serving} serve, " if shows_serving else ""
        headline = (
            f"{self.app}: {self.status}: {len(self.running)} of {len(self.machines)} machines {done}, {serving}"
            f"{self.complete_regions} of {asked} regions complete, {self.seconds:.1f} s "
            f"({how}launch {self.launch} of {self.image}, required: {self.require})"
        )
        yield ((readable(headline), self.status.tone),)
        # Each machine, in its region.
        for command in self.commands:
            yield from indented(command.lines(), "  ")
        for region in self.regions:
            yield from indented(region.lines(done), "  ")
        if self.others:
            yield from plain(f"{len(self.others)} standby or scheduled machines", "  ")
        for other in self.others:
            yield from indented(other.lines(), "    ")
        # The remarks.
        yield from self._remarks()
        # The rollback, which is a report of its own.
        if self.rollback:
            is_whole = self.rollback.ok
            words = "rolled back" if is_whole else "rolled back incompletely"
            yield ("  ", Tone.PLAIN), (words, Tone.GOOD if is_whole else Tone.BAD), (":", Tone.PLAIN)
            yield from indented(self.rollback.lines(), "    ")

    def _remarks(self) -> Iterator[Line]:
        """Yield remarks that are not about one machine, and how to continue."""
        for remark in self.remarks:
            yield from plain(remark, "  ")
        if self.unseen:
            what = "the final check is incomplete, and machines that it did not see do not count as running"
            yield from plain(f"{what}: {self.unseen}", "  ")
        if self.surplus:
            those = f": {', '.join(self.surplus)} have this launch's tag, but are not among the machines above"
            yield ("  ", Tone.PLAIN), ("surplus machines", Tone.BAD), (readable(those), Tone.PLAIN)
        if self.addresses:
            where = f", for {self.url}" if self.url else ""
            yield from plain(f"allocated {' and '.join(self.addresses)}{where}", "  ")
        if self.status is Status.DEGRADED:
            yield from plain(self.why_degraded, "  ")
        if self.status is Status.PAUSED:
            text = f"paused after wave {self.paused_after}; to continue, resume the deploy from its journal"
            yield from plain(text, "  ")
            return
        if self.unverified:
            yield from plain(self.why_unverified, "  ")
        if not self.ok and self.closed_by:
            yield from plain(f"stopped after the failure of {self.closed_by}", "  ")
        if not self.ok and (left := [each for each in self.left_behind if each not in self.surplus]):
            those = f", keep or destroy them: {', '.join(left)}"
            yield ("  ", Tone.PLAIN), ("left behind", Tone.CAUTION), (readable(those), Tone.PLAIN)
        if self.loose_volumes:
            volumes = ", ".join(self.loose_volumes)
            yield from plain(f"created, but not attached to a machine; use or delete them: volumes {volumes}", "  ")
        if not self.rollback and any(each.result in {Result.UNKNOWN, Result.NOT_BEGUN} for each in self.machines):
            again = f"to continue, run the same launch again ({self.launch}): it creates only the missing machines"
            yield from plain("to continue, run the same deploy again" if self.strategy else again, "  ")


omit_if_unset(DeployReport, "origin")
omit_if_unset(DeployReport, "seed")
omit_if_unset(DeployReport, "unallocated")
omit_if_unset(DeployReport, "url")


def _unverified(machines: Iterable[tuple[MachineRun, MachineReport]]) -> tuple[str, ...]:
    """Return the regions whose changed machines are stopped and were not seen up, if no machine of the group runs."""
    members = [(run, report) for run, report in machines if run.target in {Target.SERVE, Target.REST}]
    if any(report.result is not Result.RESTING for _, report in members):
        return ()
    seen_up = {run.desired.region for run, _ in members if run.checked_from}
    changed = (run.desired.region for run, _ in members if run.taken)
    return tuple(dict.fromkeys(region for region in changed if region not in seen_up))
