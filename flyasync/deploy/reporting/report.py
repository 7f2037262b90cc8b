"""DeployReport: what runs where, what was skipped, and why."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Self

from attrs import field, frozen
from attrs.converters import optional

from flyasync.deploy.plan.fleet import serves
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.result import Failure, Result, result_of
from flyasync.deploy.reporting.run_state import MachineRun, Moment, Observation
from flyasync.errors import DeployFailed
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.machine import Machine, machine_host
from flyasync.models.redaction import all_without_passwords, without_passwords
from flyasync.text import readable


@frozen(kw_only=True)
class MachineReport:
    """What became of one machine that was asked for.

    `asked` is the region it was wanted in, `region` the one it is in; `refusals` are the regions that had no room, in
    order, each with the API's words. `created_after` and `ready_after` are seconds from the deploy's begin. Of a
    machine that failed, `exit` says how its process ended and `logs` are its last lines, with the values of its env
    masked. `volumes` are ids of those made for it that it does not hold, as of before a rollback: nobody pays for them
    but you. `beside` are ids of machines that it had before, or that raced with it, and that are still there. A machine
    observed once keeps its `id` here, also when it is `gone`. `moments` are the phases it came to. `serves` tells
    whether it takes traffic with its checks passing, whatever it runs; its `image` is told where a strategy is used.
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
    beside: tuple[str, ...] = ()
    gone: bool = False
    moments: tuple[Moment, ...] = field(default=(), repr=False)
    created_after: float | None = None
    ready_after: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was seen in the state promised."""
        return self.result in {Result.RUNNING, Result.RESTING}

    @property
    def fell_back(self) -> bool:
        """Whether it is in another region than asked for."""
        return self.region is not None and self.region != self.asked

    def __str__(self) -> str:
        what = f"{self.name}  {self.result}"
        where = f" in {self.region}" if self.region and self.id else ""
        details = [
            self.id,
            self.host if self.is_running else None,
            self._what_runs(),
            _seconds(self.ready_after or self.created_after),
        ]
        line = "  ".join([what + where, *filter(None, details)])
        reasons = [*map(str, self.refusals), *([str(self.failure)] if self.failure else [])]
        reasons += [f"its process: {self.exit}"] if self.exit else []
        reasons += [f"also there: {machine_id}" for machine_id in self.beside]
        reasons += [f"| {part}" for said in self.logs for part in said.splitlines() or [""]]
        return readable("\n".join([line, *(f"  {reason}" for reason in reasons)]))

    def _what_runs(self) -> str | None:
        """Say what is there of a machine that is not as asked for."""
        if self.image is None or self.is_running or self.result is Result.DESTROYED:
            return None
        return f"{self.state} with {self.image}{', and serves' if self.serves else ''}"


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f} s"


@frozen(kw_only=True)
class RegionReport:
    """What became of one region: how many machines were asked for, each of them, and those that had to go."""

    region: str
    asked: int
    machines: tuple[MachineReport, ...]
    retired: tuple[MachineReport, ...] = ()

    @property
    def running(self) -> int:
        """How many of its machines run, here or where they fell back to."""
        return sum(machine.is_running for machine in self.machines)

    @property
    def is_running(self) -> bool:
        """Whether all its machines run, and those that had to go are gone."""
        return self.running == self.asked and all(machine.result is Result.RETIRED for machine in self.retired)

    @property
    def seconds(self) -> float:
        """How long it took until its last machine was ready, from the deploy's begin."""
        return max((machine.ready_after or machine.created_after or 0.0 for machine in self.machines), default=0.0)

    def __str__(self) -> str:
        return readable("\n".join(self.lines("run")))

    def lines(self, what: str) -> Iterator[str]:
        """Give it as text; `what` says what its machines do that are as asked."""
        gone = sum(machine.result is Result.RETIRED for machine in self.retired)
        retired = f", {gone}/{len(self.retired)} retired" if self.retired else ""
        yield f"{self.region}  {self.running}/{self.asked} {what}{retired}"
        yield from (f"  {line}" for each in (*self.machines, *self.retired) for line in str(each).splitlines())


class Status(StrEnum):
    """What a deploy came to."""

    OK = "ok"
    NOT_VERIFIED = "not verified"  # all is as asked for, and none of what was changed has been seen to run
    CANCELLED = "cancelled"
    FAILED = "failed"


@frozen(kw_only=True)
class Cause:
    """Why a deploy ended early: after what this machine met, no further one was begun."""

    name: str
    region: str
    failure: Failure
    id: str | None = None

    @classmethod
    def of(cls, run: MachineRun) -> "Cause":
        """Keep what the machine met: an error, or no room."""
        failure = Failure.of(run.error) if run.error else Failure.of_refusal(run.refusals[-1])
        machine_id = run.machine.id if run.machine else None
        return cls(name=run.wanted.name, region=run.region, id=machine_id, failure=failure)

    def __str__(self) -> str:
        return f"{self.name} in {self.region}: {self.failure}"


@frozen(kw_only=True)
class DeployReport:
    """What a deploy left behind, as it was last seen.

    `ok` says whether enough regions run: `needed` of them, which is what `require` comes to. `surplus` are ids of
    machines that carry this launch's tag and a name of its own, but are not the ones reported: there should be none,
    and with one the report is not ok. `unseen` says why the last look failed, if it did; nothing counts as running
    then. `strategy` is None for a launch, which only adds. `release` is the machine of the release command, and
    `rollback` tells how the way back went, where there was one: its own `ok` says whether all is as it was before.
    `others` are machines of the group that stand by or run on a schedule, besides those asked for. `remarks` say what
    it left alone, though one may have meant it to change. `closed_by` says after what no further machine was begun, if
    so. `stray_volumes` are ids of volumes that came to be meanwhile without any machine's knowing of them: a create
    whose answer was lost may have made them. `unverified` are regions where machines were changed that are stopped,
    while none of the group was seen to run: all may be as asked for, and the report is not ok.
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
    rollback: "DeployReport | None" = None
    remarks: tuple[str, ...] = field(default=(), converter=all_without_passwords)
    others: tuple[MachineReport, ...] = ()
    closed_by: Cause | None = None
    stray_volumes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the requirement is met, nothing is there that should not be, and what was changed is known to run."""
        return self._is_met and not self.unverified

    @property
    def status(self) -> Status:
        """What the deploy came to."""
        if self._is_met:
            return Status.NOT_VERIFIED if self.unverified else Status.OK
        return Status.CANCELLED if self.cancelled else Status.FAILED

    @property
    def _is_met(self) -> bool:
        is_clear = all(region.is_running for region in self.regions if not region.asked)
        is_clear = is_clear and all(each.is_running for each in self.others)
        enough = self.running_regions >= self.needed
        return enough and is_clear and not (self.cancelled or self.surplus or self.rollback)

    @property
    def is_missed(self) -> bool:
        """Whether the requirement is known to be missed; what could not be seen may be running for all one knows."""
        return not self._is_met and self.unseen is None

    @property
    def running_regions(self) -> int:
        """How many of the wanted regions have all their machines running."""
        return sum(region.is_running for region in self.regions if region.asked)

    @property
    def machines(self) -> tuple[MachineReport, ...]:
        """Every machine that was asked for, whatever became of it."""
        return tuple(machine for region in self.regions for machine in region.machines)

    @property
    def running(self) -> tuple[MachineReport, ...]:
        """The machines that run."""
        return tuple(machine for machine in self.machines if machine.is_running)

    @property
    def left_behind(self) -> tuple[str, ...]:
        """The ids of machines that are there, whether they run or not, surplus ones included.

        With a strategy, only those that this deploy made and that are not as promised.
        """
        there = (each for each in self.machines if each.id and not each.gone and each.result is not Result.DESTROYED)
        made = (each.id for each in there if not self.strategy or not (each.adopted or each.is_running))
        return (*filter(None, made), *self.surplus)

    @property
    def loose_volumes(self) -> tuple[str, ...]:
        """The ids of volumes that were made and that no machine holds; a rollback takes away those it knows of."""
        taken_back = self.rollback is not None and self.rollback.ok
        made = () if taken_back else (volume for machine in self.machines for volume in machine.volumes)
        return (*made, *self.stray_volumes)

    @classmethod
    def of(
        cls,
        spec: DeploySpec,
        outcome: Observation,
        *,
        seconds: float,
        strategy: str | None = None,
        cancelled: bool = False,
    ) -> "DeployReport":
        """Judge an outcome by what was wanted."""
        machines = [(run, _machine_report(spec, outcome, run)) for run in outcome.runs]
        staying, leaving = _by_region(machines, Target.SERVE, Target.REST), _by_region(machines, Target.GO)
        return cls(
            app=spec.app,
            launch=spec.launch,
            image=spec.image,
            require=str(spec.requirement),
            needed=spec.requirement.needed(sum(asked > 0 for asked in spec.counts.values())),
            regions=tuple(
                RegionReport(
                    region=region,
                    asked=asked,
                    machines=tuple(staying.get(region, ())),
                    retired=tuple(leaving.get(region, ())),
                )
                for region, asked in {
                    **spec.counts,
                    **{gone: 0 for gone in leaving if gone not in spec.counts},
                }.items()
            ),
            seconds=seconds,
            cancelled=cancelled,
            surplus=outcome.surplus,
            unseen=next((Failure.of(error) for error in outcome.unseen.values()), None),
            strategy=strategy,
            release=next((report for run, report in machines if run.target is Target.END), None),
            others=tuple(report for run, report in machines if run.target is Target.APART),
            closed_by=Cause.of(outcome.closed_by) if outcome.closed_by else None,
            stray_volumes=outcome.loose_volumes,
            unverified=_unverified(machines) if strategy not in {None, "undo"} and spec.goal else (),
        )

    def raise_for_failure(self) -> Self:
        """Give the report back if it is ok, else raise DeployFailed with it."""
        if not self.ok:
            raise DeployFailed(self)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Give the whole report as JSON ready to dump; `from_dict` reads it back."""
        data: dict[str, Any] = unstructure(self)
        return {**data, "ok": self.ok, "status": str(self.status)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "DeployReport":
        """Read a report that `to_dict` wrote."""
        return structure({key: value for key, value in data.items() if key not in {"ok", "status"}}, cls)

    def to_html(self) -> str:
        """Give one self-contained page with a timeline of each region and machine; it loads nothing from elsewhere."""
        from flyasync.deploy.reporting.html import page  # it needs this class in turn

        return page(self)

    def __str__(self) -> str:
        release = str(self.release).splitlines() if self.release else []
        regions = [line for region in self.regions for line in region.lines(self._done)]
        others = [f"  {line}" for each in self.others for line in str(each).splitlines()]
        others = [f"{len(self.others)} that stand by or run on a schedule", *others] if others else []
        lines = [self._headline(), *(f"  {line}" for line in [*release, *regions, *others]), *self._remarks()]
        return readable("\n".join(lines))

    @property
    def _done(self) -> str:
        return "as wanted" if self.strategy else "run"

    def _headline(self) -> str:
        wanted = sum(region.asked > 0 for region in self.regions)
        how = f"{self.strategy}, " if self.strategy else ""
        serving = f"{sum(machine.serves for machine in self.machines)} serve, " if self.strategy and not self.ok else ""
        return (
            f"{self.app}: {self.status}: {len(self.running)} of {len(self.machines)} machines {self._done}, {serving}"
            f"{self.running_regions} of {wanted} regions complete, {self.seconds:.1f} s "
            f"({how}launch {self.launch} of {self.image}, required: {self.require})"
        )

    def _remarks(self) -> Iterable[str]:
        yield from (f"  {remark}" for remark in self.remarks)
        if self.unseen:
            yield f"  could not see everything at the end, and calls nothing running that it did not see: {self.unseen}"
        if self.surplus:
            yield f"  too many: {', '.join(self.surplus)} carry this launch's tag besides the machines above"
        if self.unverified:
            yield f"  {self.why_unverified}"
        if not self.ok and self.closed_by:
            yield f"  no further machine was begun after {self.closed_by}"
        if not self.ok and self.left_behind:
            yield f"  left behind, to keep or to destroy: {', '.join(self.left_behind)}"
        if self.loose_volumes:
            yield f"  made and held by no machine, to use or to delete: volumes {', '.join(self.loose_volumes)}"
        if not self.rollback and any(each.result in {Result.UNKNOWN, Result.NOT_BEGUN} for each in self.machines):
            yield self._way_on()
        if self.rollback:
            yield "  rolled back, and all is as it was:" if self.rollback.ok else "  rolled back, but not all of it:"
            yield from (f"    {line}" for line in str(self.rollback).splitlines())

    @property
    def why_unverified(self) -> str:
        """What was not verified, and how it can be."""
        return (
            f"not verified: all machines of the group are stopped, and none in {', '.join(self.unverified)} was "
            "started; verify_stopped('always'), or --verify-stopped always, starts one of each region for a while"
        )

    def _way_on(self) -> str:
        if self.strategy:
            return "  the same deploy again goes on from what is there"
        return f"  the same launch again ({self.launch}) finds what is there and makes only what is missing"


def _machine_report(spec: DeploySpec, outcome: Observation, run: MachineRun) -> MachineReport:
    seen = outcome.machine(run) or (run.machine if run.wanted.name in outcome.unseen else None)
    machine = seen or run.machine
    result, failure = result_of(spec, outcome, run)
    is_fine = result in {Result.RUNNING, Result.RESTING}  # whatever a wait on the way has met
    return MachineReport(
        name=run.wanted.name,
        asked=run.wanted.region,
        result=result,
        region=machine.region if machine else None,
        id=machine.id if machine else None,
        state=seen.state if seen else None,
        image=seen.image if seen and spec.strategy else None,
        serves=seen is not None and serves(seen),
        host=machine_host(spec.app, machine.id) if machine else None,
        adopted=run.adopted,
        refusals=tuple(run.refusals),
        failure=failure,
        exit=None if is_fine else run.exit,
        logs=() if is_fine else run.logs,
        volumes=tuple(_loose(run, seen)),
        beside=tuple(each.id for each in outcome.seen if each.id in run.beside and each.id not in outcome.surplus),
        gone=seen is None and machine is not None,
        moments=tuple(run.moments),
        created_after=run.created_after,
        ready_after=run.ready_after,
    )


def _loose(run: MachineRun, machine: Machine | None) -> Iterator[str]:
    """Give the volumes that were made for a machine and that it does not hold, as far as that can be seen."""
    if machine is None:
        yield from run.made_volumes
    elif machine.config:
        held = {mount.volume for mount in machine.config.mounts or ()}
        yield from (volume for volume in run.made_volumes if volume not in held)


def _unverified(machines: Iterable[tuple[MachineRun, MachineReport]]) -> tuple[str, ...]:
    """Return the regions in which stopped machines were changed and none was seen up, if none of the group runs."""
    members = [(run, report) for run, report in machines if run.target in {Target.SERVE, Target.REST}]
    if any(report.result is not Result.RESTING for _, report in members):
        return ()
    seen_up = {run.wanted.region for run, _ in members if run.checked_from}
    changed = (run.wanted.region for run, _ in members if run.taken)
    return tuple(dict.fromkeys(region for region in changed if region not in seen_up))


def _by_region(
    machines: Iterable[tuple[MachineRun, MachineReport]], *targets: Target
) -> dict[str, list[MachineReport]]:
    found: dict[str, list[MachineReport]] = {}
    for run, report in machines:
        if run.target in targets:
            found.setdefault(report.asked, []).append(report)
    return found
