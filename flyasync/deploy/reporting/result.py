"""What became of one machine of a deploy: what was seen last counts, not what was answered on the way; pure."""

from enum import StrEnum

from attrs import field, frozen

from flyasync.deploy.plan.config_merge import has_secrets, holds, observed
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.run_state import MachineRun, Observation, Phase
from flyasync.errors import CallFailed, FlyError, NoCapacity, Refused, WaitFailed
from flyasync.models.machine import Machine
from flyasync.models.redaction import without_passwords


class Result(StrEnum):
    """What became of one machine."""

    RUNNING = "running"  # it was looked at last, and is in the state promised
    RESTING = "resting"  # it has what was asked for, and is stopped: as it was before, or by autostop
    OUTSIDE = "outside routing"  # it is ready, but the deploy did not come to letting it in
    RETIRED = "retired"  # it was not wanted any more, and is gone
    ENDED = "ended well"  # the release command came to exit code 0
    SKIPPED = "skipped"  # no region had room for it
    FAILED = "failed"  # it is not what was asked for; it may be there nevertheless: see its id
    UNKNOWN = "unknown"  # a request for it went unanswered, and it could not be found: it may exist
    NOT_BEGUN = "not begun"  # the deploy ended before its turn: it is as it was, or not there
    NOT_AWAITED = "not awaited"  # it is there, but the deploy was cancelled before it was as promised
    DESTROYED = "destroyed"  # it was taken back


@frozen(kw_only=True)
class Failure:
    """An error, in words that survive being written down."""

    kind: str
    message: str = field(converter=without_passwords)
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

    @classmethod
    def of_refusal(cls, refusal: Refusal) -> "Failure":
        """Keep what a region without room said."""
        return cls(
            kind=NoCapacity.__name__,
            message=str(refusal),
            status=refusal.status,
            code=refusal.code,
            request_id=refusal.request_id,
        )

    def __str__(self) -> str:
        return self.message


def result_of(spec: DeploySpec, outcome: Observation, run: MachineRun) -> tuple[Result, Failure | None]:
    """Say what became of a machine: what was seen last counts, not what was answered on the way."""
    error = Failure.of(run.error) if run.error else None
    machine = outcome.machine(run)
    unseen = outcome.unseen.get(run.wanted.name) if run.phase is not Phase.DESTROYED else None
    if unseen and (run.machine or run.in_doubt):
        return Result.UNKNOWN, error or Failure.of(unseen)
    if run.target is Target.END:
        return _ended(run), error
    if run.target is Target.GO:
        return _retired(run, machine), error
    if run.phase is Phase.DESTROYED:
        return Result.DESTROYED, error
    if machine is None:
        return _absent(run), error or _told("it is not there any more" if run.machine else None)
    return _present(spec, run, machine, error)


def _ended(run: MachineRun) -> Result:
    if run.phase is Phase.ENDED:
        return Result.ENDED
    return Result.NOT_BEGUN if run.phase is None else Result.SKIPPED if run.phase is Phase.SKIPPED else Result.FAILED


def _retired(run: MachineRun, machine: Machine | None) -> Result:
    if machine is None:
        return Result.RETIRED
    return Result.NOT_BEGUN if run.taken == 0 and run.error is None else Result.FAILED


def _present(
    spec: DeploySpec, run: MachineRun, machine: Machine, error: Failure | None
) -> tuple[Result, Failure | None]:
    trouble = _trouble(spec, run, machine)
    if trouble and run.adopted and run.taken == 0 and run.error is None and run.phase in {None, Phase.KEPT}:
        return (Result.NOT_BEGUN, None) if run.phase is None else (Result.FAILED, _told(trouble))
    if trouble:
        return (Result.NOT_AWAITED if run.was_cut_short and machine.is_alive else Result.FAILED), error or _told(
            trouble
        )
    if run.error is not None and (run.verifies or not _proves_nothing(run.error)):
        return Result.FAILED, error
    if spec.strategy and machine.cordoned and not run.stays_out:
        return Result.OUTSIDE, error
    return Result.RESTING if _rests(spec, run, machine) else Result.RUNNING, None


def _rests(spec: DeploySpec, run: MachineRun, machine: Machine) -> bool:
    return machine.state != "started" and (run.target in {Target.REST, Target.APART} or spec.rests(machine, run.config))


def _proves_nothing(error: FlyError) -> bool:
    """Tell whether a machine that is seen to be as promised may be so in spite of this error.

    It may after a call that failed on the way or a wait that ran out of time; not after one that found it hopeless.
    """
    return isinstance(error, CallFailed) or (isinstance(error, WaitFailed) and not error.hopeless)


def _trouble(spec: DeploySpec, run: MachineRun, machine: Machine) -> str | None:
    """Say what keeps a machine from being as promised, if anything."""
    current = observed(machine)
    if run.config is None or current is None or not holds(current, run.config):
        return "it was made, or changed, with another config"
    if spec.strategy and not has_secrets(current, run.config):  # a launch changes no machine for its secrets
        return "it has not been updated with the secrets as they are"
    may_rest = run.target is Target.REST and machine.state != "started" and machine.is_alive
    is_up = may_rest or spec.is_up(machine, run.config)
    return None if is_up else _how_it_is(machine)


def _how_it_is(machine: Machine) -> str:
    failing = ", ".join(f"{check.name} {check.status}: {check.output}" for check in machine.failing_checks)
    state = f"it is {machine.state} at the last look" + (f", with checks that fail ({failing})" if failing else "")
    if (end := machine.exit_event) and not end.requested_stop:
        memory = ", out of memory" if end.oom_killed else ""
        return f"{state}; its process ended with exit code {end.exit_code}{memory}, restarted {end.restart_count} times"
    return state


def _absent(run: MachineRun) -> Result:
    if run.in_doubt:
        return Result.UNKNOWN
    if run.phase is Phase.SKIPPED:
        return Result.SKIPPED
    return Result.FAILED if run.error or run.machine else Result.NOT_BEGUN


def _told(message: str | None) -> Failure | None:
    return Failure(kind="Seen", message=message) if message else None
