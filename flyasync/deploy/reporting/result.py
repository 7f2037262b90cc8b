"""The result of one machine of a deploy, from the last observation and not from earlier responses; pure."""

from enum import StrEnum
from typing import Self

from attrs import field, frozen
from attrs.converters import optional

from flyasync.deploy.plan.config_merge import has_secrets, holds, observed
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.deploy.reporting.styles import Look, Tone
from flyasync.errors import CallFailed, FlyError, NoCapacity, Refused, WaitFailed
from flyasync.models.json.codec import omit_if_unset
from flyasync.models.machine import Machine
from flyasync.models.redaction import without_passwords


class Result(StrEnum):
    """The result of one machine; `tone` is its tone in text, `look` its style on the page."""

    tone: Tone
    look: Look

    def __new__(cls, word: str, tone: Tone = Tone.PLAIN, look: Look = Look.OTHER) -> Self:
        """Create a member from its word, tone and look."""
        result = str.__new__(cls, word)
        result._value_ = word
        result.tone = tone
        result.look = look
        return result

    RUNNING = "running", Tone.GOOD, Look.GOOD  # it was observed in the state that the deploy promises
    RESTING = "resting", Tone.GOOD, Look.GOOD  # it is as desired, and is stopped: as before, or by autostop
    OUTSIDE = "outside routing", Tone.CAUTION, Look.OTHER  # it is ready, but the deploy did not uncordon it
    RETIRED = "retired", Tone.GOOD, Look.GONE  # it was no longer desired, and is gone
    ENDED = "ended well", Tone.PLAIN, Look.OTHER  # the release command ended with exit code 0
    SKIPPED = "skipped", Tone.CAUTION, Look.GONE  # no region had room for it
    FAILED = "failed", Tone.BAD, Look.BAD  # it is not as desired; it may exist: see its id
    UNKNOWN = "unknown", Tone.BAD, Look.OTHER  # a request for it had no response, and it was not found: it may exist
    NOT_BEGUN = "not begun", Tone.CAUTION, Look.GONE  # the deploy ended before it began: unchanged, or not created
    NOT_AWAITED = "not awaited", Tone.PLAIN, Look.OTHER  # it exists, but the deploy was cancelled before it was ready
    DESTROYED = "destroyed", Tone.CAUTION, Look.GONE  # the rollback destroyed it
    RESTORED = "restored", Tone.CAUTION, Look.GONE  # the rollback restored it: it is as it was before the deploy

    @property
    def is_as_promised(self) -> bool:
        """Whether the machine was observed in the state that the deploy promises."""
        return self in {Result.RUNNING, Result.RESTING}


@frozen(kw_only=True)
class Failure:
    """An error as plain values, which can be written as JSON.

    `for_command` is the message in the terms of the command `flyasync`; None if it is the same.
    """

    kind: str
    message: str = field(converter=without_passwords)
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    for_command: str | None = field(default=None, converter=optional(without_passwords))

    @classmethod
    def of(cls, error: FlyError) -> "Failure":
        """Return the failure for an error."""
        for_command = error.for_command if error.for_command != str(error) else None
        if isinstance(error, Refused):
            return cls(
                kind=type(error).__name__,
                message=str(error),
                status=error.status,
                code=error.code,
                request_id=error.request_id,
                for_command=for_command,
            )
        return cls(kind=type(error).__name__, message=str(error), for_command=for_command)

    @classmethod
    def of_refusal(cls, refusal: Refusal) -> "Failure":
        """Return the failure for a region without room."""
        return cls(
            kind=NoCapacity.__name__,
            message=str(refusal),
            status=refusal.status,
            code=refusal.code,
            request_id=refusal.request_id,
        )

    def __str__(self) -> str:
        return self.message


omit_if_unset(Failure, "for_command")


AS_OBSERVED = "Seen"
"""The kind of a failure that is not an error: what the last observation shows."""


def result_of(spec: DeploySpec, observation: Observation, run: MachineRun) -> tuple[Result, Failure | None]:
    """Return the result of a machine, and the failure if it is not as promised.

    The last observation counts, not the responses to earlier requests.
    """
    error = Failure.of(run.error) if run.error else None
    machine = observation.machine(run)
    unseen = observation.unseen.get(run.desired.name) if run.phase is not Phase.DESTROYED else None
    # 1. It could not be observed, and it may exist: whatever is known of it may be out of date.
    if unseen and (run.machine or run.in_doubt):
        return Result.UNKNOWN, error or Failure.of(unseen)
    # 2. It ran the release or seed command: the end of the command counts, not whether the machine exists.
    if run.target.command:
        ends = {Phase.ENDED: Result.ENDED, Phase.SKIPPED: Result.SKIPPED, None: Result.NOT_BEGUN}
        return ends.get(run.phase, Result.FAILED), error
    # 3. It was to be destroyed.
    if run.target is Target.GO:
        is_untouched = run.taken == 0 and run.error is None
        return Result.RETIRED if machine is None else Result.NOT_BEGUN if is_untouched else Result.FAILED, error
    # 4. It was created and then destroyed, for instance by a rollback.
    if run.phase is Phase.DESTROYED:
        return Result.DESTROYED, error
    # 5. It does not exist: its create may have happened, no region had room, it is lost, or it was not created.
    if machine is None:
        if run.in_doubt:
            return Result.UNKNOWN, error
        if run.phase is Phase.SKIPPED:
            return Result.SKIPPED, error
        lost = _as_observed("the machine no longer exists") if run.machine else None
        return Result.FAILED if run.error or run.machine else Result.NOT_BEGUN, error or lost
    return _result_of_present(spec, run, machine, error)


def _result_of_present(
    spec: DeploySpec, run: MachineRun, machine: Machine, error: Failure | None
) -> tuple[Result, Failure | None]:
    """Return the result of a machine that exists and was to stay."""
    trouble = _trouble(spec, run, machine)
    # 1. It is not as promised because the deploy ended before it began with this machine.
    if trouble and run.adopted and run.phase is None and run.taken == 0 and run.error is None:
        return Result.NOT_BEGUN, None
    # 2. It is not as promised. If the deploy was cancelled while it waited for the machine, that may still change.
    if trouble:
        may_come = run.was_cut_short and machine.is_alive
        return Result.NOT_AWAITED if may_come else Result.FAILED, error or _as_observed(trouble)
    # 3. It is as promised, but there was an error. A failed call or a wait that timed out does not contradict the
    #    observation. A wait that found the state out of reach does, and so does any error of a machine that was started
    #    only for verification.
    if run.error is not None:
        ran_out = isinstance(run.error, WaitFailed) and not run.error.hopeless
        if run.verifies or not (ran_out or isinstance(run.error, CallFailed)):
            return Result.FAILED, error
    # 4. It is ready, but the deploy did not uncordon it.
    if not spec.strategy.only_adds and machine.cordoned and not run.stays_out:
        return Result.OUTSIDE, error
    # 5. It is as promised.
    may_rest = run.target in {Target.REST, Target.APART} or spec.rests(machine, run.config)
    return Result.RESTING if machine.state != "started" and may_rest else Result.RUNNING, None


def _trouble(spec: DeploySpec, run: MachineRun, machine: Machine) -> str | None:
    """Return why a machine is not as promised, or None if it is."""
    current = observed(machine)
    if run.config is None or current is None or not holds(current, run.config):
        return "its config is not the one that was deployed"
    # A launch changes no machine for its secrets.
    if not spec.strategy.only_adds and not has_secrets(current, run.config):
        return "it has not been updated with the current secrets"
    may_rest = run.target is Target.REST and machine.state != "started" and machine.is_alive
    if may_rest or spec.is_up(machine, run.config):
        return None
    failing = ", ".join(f"{check.name} {check.status}: {check.output}" for check in machine.failing_checks)
    state = f"its state is {machine.state}" + (f", with failing checks ({failing})" if failing else "")
    if (end := machine.exit_event) and not end.requested_stop:
        return f"{state}; its process ended with {end}"
    return state


def _as_observed(message: str) -> Failure:
    return Failure(kind=AS_OBSERVED, message=message)
