"""The long poll: what `wait` asks for, and when it is answered."""

from attrs import frozen

from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.lifecycle import SETTLED, STATES
from flyasync.emulator.core.records import MachineRecord, ReachedState

LONGEST = 60
_SETTLED = "settled"


@frozen(kw_only=True)
class WaitCondition:
    """The states waited for, of which version, reached after which moment of the machine's history.

    `since` is the serial of the last state that is too old to count. Without `past_only` the present state counts too.
    """

    states: tuple[str, ...]
    version: str | None
    since: int
    past_only: bool = False


def condition(
    machine: MachineRecord, *, states: tuple[str, ...], version: str | None, from_event: str | None
) -> WaitCondition:
    """Read what a wait asks for; an unknown state or version is refused with 400."""
    wanted = states or ("started",)
    for state in wanted:
        if state not in STATES and state != _SETTLED:
            raise bad_request(f"invalid state: {state!r}")
    if version and version not in {known.id for known in machine.versions}:
        raise bad_request(f"unknown machine version: {version!r}")
    since = _serial_of(machine, from_event) if from_event else None
    return WaitCondition(
        states=wanted,
        version=version or None,
        since=machine.serial if since is None else since,
        past_only=since is not None,
    )


def answer(machine: MachineRecord, wanted: WaitCondition) -> ReachedState | None:
    """Give the state that fulfils a wish, if there is one by now."""
    if not wanted.past_only and _fits(state_of(machine, wanted.version), wanted):
        return _present(machine, wanted.version)
    return next((reach for reach in machine.reached if _counts(reach, wanted)), None)


def state_of(machine: MachineRecord, version: str | None) -> str:
    """Give the state of a version of the machine; one that was superseded is `replaced` for ever."""
    return machine.state if version in {None, machine.instance_id} else "replaced"


def timed_out(machine: MachineRecord, wanted: WaitCondition) -> ApiError:
    """Word the end of a wait that was not fulfilled."""
    states, current = ",".join(wanted.states), state_of(machine, wanted.version)
    text = f"deadline_exceeded: machine failed to reach desired state, {states}, currently {current}"
    return ApiError(408, text)


def seconds(asked: int | None) -> float:
    """Return how long a wait may take: a minute, or what was asked for if that is within one."""
    if asked is not None and not 1 <= asked <= LONGEST:
        text = "invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]"
        raise bad_request(f"invalid_argument: {text}")
    return LONGEST if asked is None else asked


def _counts(reach: ReachedState, wanted: WaitCondition) -> bool:
    return reach.serial > wanted.since and wanted.version in {None, reach.version} and _fits(reach.state, wanted)


def _fits(state: str, wanted: WaitCondition) -> bool:
    return state in wanted.states or (_SETTLED in wanted.states and state in SETTLED)


def _present(machine: MachineRecord, version: str | None) -> ReachedState:
    newest = machine.events[0].id if machine.events else ""
    state = state_of(machine, version)
    return ReachedState(serial=machine.serial, state=state, version=version or machine.instance_id, event_id=newest)


def _serial_of(machine: MachineRecord, event_id: str) -> int | None:
    found = [reach.serial for reach in machine.reached if reach.event_id == event_id]
    return found[-1] if found else None
