"""DeployReport: what runs where, what was skipped, and why."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Self

from attrs import frozen

from flyasync.deploy.deployment import Deployment
from flyasync.deploy.outcome import Outcome, Phase, Run
from flyasync.deploy.placement import Refusal
from flyasync.errors import CallFailed, DeployFailed, FlyError, Refused
from flyasync.models.convert import structure, unstructure
from flyasync.models.machine import Machine, machine_host


class Result(StrEnum):
    """What became of one machine."""

    RUNNING = "running"  # it was looked at last, and is in the state promised
    SKIPPED = "skipped"  # no region had room for it
    FAILED = "failed"  # it is not what was asked for; it may be there nevertheless: see its id
    UNKNOWN = "unknown"  # a request for it went unanswered, and it could not be found: it may exist
    NOT_BEGUN = "not begun"  # the deploy was cancelled before it was asked for
    NOT_AWAITED = "not awaited"  # it is there, but the deploy was cancelled before it was as promised
    DESTROYED = "destroyed"  # it was taken back


@frozen(kw_only=True)
class Failure:
    """An error, in words that survive being written down."""

    kind: str
    message: str
    status: int | None = None
    code: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, error: FlyError) -> "Failure":
        """Keep what `error` says."""
        if isinstance(error, Refused):
            return cls(
                kind=type(error).__name__,
                message=str(error),
                status=error.status,
                code=error.code,
                request_id=error.request_id,
            )
        return cls(kind=type(error).__name__, message=str(error))

    def __str__(self) -> str:
        return self.message


@frozen(kw_only=True)
class MachineReport:
    """What became of one machine that was asked for.

    `asked` is the region it was wanted in, `region` the one it is in; `refusals` are the regions that had no room, in
    order, each with the API's words. `created_after` and `ready_after` are seconds from the deploy's begin.
    """

    name: str
    asked: str
    result: Result
    region: str | None = None
    id: str | None = None
    state: str | None = None
    host: str | None = None
    adopted: bool = False
    refusals: tuple[Refusal, ...] = ()
    failure: Failure | None = None
    created_after: float | None = None
    ready_after: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was seen in the state promised."""
        return self.result is Result.RUNNING

    @property
    def fell_back(self) -> bool:
        """Whether it is in another region than asked for."""
        return self.region is not None and self.region != self.asked

    def __str__(self) -> str:
        what = f"{self.name}  {self.result}"
        where = f" in {self.region}" if self.region and self.id else ""
        details = [self.id, self.host if self.is_running else None, _seconds(self.ready_after or self.created_after)]
        line = "  ".join([what + where, *filter(None, details)])
        reasons = [*map(str, self.refusals), *([str(self.failure)] if self.failure else [])]
        return "\n".join([line, *(f"  {reason}" for reason in reasons)])


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f} s"


@frozen(kw_only=True)
class RegionReport:
    """What became of one region: how many machines were asked for, and each of them."""

    region: str
    asked: int
    machines: tuple[MachineReport, ...]

    @property
    def running(self) -> int:
        """How many of its machines run, here or where they fell back to."""
        return sum(machine.is_running for machine in self.machines)

    @property
    def is_running(self) -> bool:
        """Whether all its machines run."""
        return self.running == self.asked

    @property
    def seconds(self) -> float:
        """How long it took until its last machine was ready, from the deploy's begin."""
        return max((machine.ready_after or machine.created_after or 0.0 for machine in self.machines), default=0.0)

    def __str__(self) -> str:
        lines = [f"{self.region}  {self.running}/{self.asked} run"]
        lines += [f"  {line}" for machine in self.machines for line in str(machine).splitlines()]
        return "\n".join(lines)


@frozen(kw_only=True)
class DeployReport:
    """What a deploy left behind, as it was last seen.

    `ok` says whether enough regions run: `needed` of them, which is what `require` comes to. `surplus` are ids of
    machines that carry this launch's tag and a name of its own, but are not the ones reported: there should be none,
    and with one the report is not ok. `unseen` says why the last look failed, if it did; nothing counts as running
    then.
    """

    app: str
    launch: str
    image: str
    require: str
    needed: int
    regions: tuple[RegionReport, ...]
    seconds: float
    cancelled: bool = False
    surplus: tuple[str, ...] = ()
    unseen: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether the requirement is met and nothing is there that should not be."""
        return not self.cancelled and not self.surplus and self.running_regions >= self.needed

    @property
    def is_missed(self) -> bool:
        """Whether the requirement is known to be missed; what could not be seen may be running for all one knows."""
        return not self.ok and self.unseen is None

    @property
    def running_regions(self) -> int:
        """How many of the wanted regions have all their machines running."""
        return sum(region.is_running for region in self.regions)

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
        """The ids of machines that are there, whether they run or not, surplus ones included."""
        there = (machine.id for machine in self.machines if machine.id and machine.result is not Result.DESTROYED)
        return (*there, *self.surplus)

    @classmethod
    def of(cls, deployment: Deployment, outcome: Outcome, *, seconds: float, cancelled: bool = False) -> "DeployReport":
        """Judge an outcome by what was wanted."""
        machines = [_machine_report(deployment, outcome, run) for run in outcome.runs]
        return cls(
            app=deployment.app,
            launch=deployment.launch,
            image=str(deployment.config.image),
            require=str(deployment.requirement),
            needed=deployment.requirement.needed(len(deployment.counts)),
            regions=tuple(
                RegionReport(
                    region=region,
                    asked=asked,
                    machines=tuple(machine for machine in machines if machine.asked == region),
                )
                for region, asked in deployment.counts.items()
            ),
            seconds=seconds,
            cancelled=cancelled,
            surplus=outcome.surplus,
            unseen=next((Failure.of(error) for error in outcome.unseen.values()), None),
        )

    def raise_for_failure(self) -> Self:
        """Give the report back if it is ok, else raise DeployFailed with it."""
        if not self.ok:
            raise DeployFailed(self)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Give the whole report as JSON ready to dump; `from_dict` reads it back."""
        data: dict[str, Any] = unstructure(self)
        return {**data, "ok": self.ok}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "DeployReport":
        """Read a report that `to_dict` wrote."""
        return structure({key: value for key, value in data.items() if key != "ok"}, cls)

    def __str__(self) -> str:
        lines = [self._headline(), *(f"  {line}" for region in self.regions for line in str(region).splitlines())]
        return "\n".join([*lines, *self._remarks()])

    def _headline(self) -> str:
        verdict = "ok" if self.ok else "cancelled" if self.cancelled else "failed"
        return (
            f"{self.app}: {verdict}: {len(self.running)} of {len(self.machines)} machines run, "
            f"{self.running_regions} of {len(self.regions)} regions complete, {self.seconds:.1f} s "
            f"(launch {self.launch} of {self.image}, required: {self.require})"
        )

    def _remarks(self) -> Iterable[str]:
        if self.unseen:
            yield f"  could not see everything at the end, and calls nothing running that it did not see: {self.unseen}"
        if self.surplus:
            yield f"  too many: {', '.join(self.surplus)} carry this launch's tag besides the machines above"
        if not self.ok and self.left_behind:
            yield f"  left behind, to keep or to destroy: {', '.join(self.left_behind)}"
        if any(machine.result in {Result.UNKNOWN, Result.NOT_BEGUN} for machine in self.machines):
            yield f"  the same launch again ({self.launch}) finds what is there and makes only what is missing"


def _machine_report(deployment: Deployment, outcome: Outcome, run: Run) -> MachineReport:
    machine = outcome.machine(run) or (run.machine if run.wanted.name in outcome.unseen else None)
    result, failure = _result(deployment, outcome, run)
    return MachineReport(
        name=run.wanted.name,
        asked=run.wanted.region,
        result=result,
        region=machine.region if machine else None,
        id=machine.id if machine else None,
        state=machine.state if machine else None,
        host=machine_host(deployment.app, machine.id) if machine else None,
        adopted=run.adopted,
        refusals=tuple(run.refusals),
        failure=failure,
        created_after=run.created_after,
        ready_after=run.ready_after,
    )


def _result(deployment: Deployment, outcome: Outcome, run: Run) -> tuple[Result, Failure | None]:
    """Say what became of a machine: what was seen last counts, not what was answered on the way."""
    error = Failure.of(run.error) if run.error else None
    machine = outcome.machine(run)
    if run.phase is Phase.DESTROYED:
        return Result.DESTROYED, error
    if (unseen := outcome.unseen.get(run.wanted.name)) and (run.machine or run.in_doubt):
        return Result.UNKNOWN, error or Failure.of(unseen)
    if machine is None:
        return _absent(run), error or _told("it is not there any more" if run.machine else None)
    if not deployment.keeps_promise(machine):
        seen = error or _told(_trouble(deployment, machine))
        return (Result.NOT_AWAITED if run.was_cut_short and machine.is_alive else Result.FAILED), seen
    # A call that failed on the way proves nothing against a machine that is seen to be as promised; a wait that found
    # it hopeless does.
    return (Result.RUNNING, None) if run.error is None or isinstance(run.error, CallFailed) else (Result.FAILED, error)


def _trouble(deployment: Deployment, machine: Machine) -> str:
    """Say what keeps a machine from being as promised."""
    if not deployment.made(machine):
        return "it was made, or changed, with another config"
    failing = ", ".join(f"{check.name} {check.status}: {check.output}" for check in machine.failing_checks)
    state = f"it is {machine.state} at the last look" + (f", with checks that fail ({failing})" if failing else "")
    if (end := machine.exit_event) and not end.requested_stop:
        memory = ", out of memory" if end.oom_killed else ""
        return f"{state}; its process ended with exit code {end.exit_code}{memory}, restarted {end.restart_count} times"
    return state


def _absent(run: Run) -> Result:
    if run.in_doubt:
        return Result.UNKNOWN
    if run.phase is Phase.SKIPPED:
        return Result.SKIPPED
    return Result.FAILED if run.error or run.machine else Result.NOT_BEGUN


def _told(message: str | None) -> Failure | None:
    return Failure(kind="Seen", message=message) if message else None
