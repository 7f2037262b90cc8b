"""The long poll: the condition of a `wait`, and when it is met."""

from attrs import frozen

from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.lifecycle import SETTLED, STATES
from flyasync.emulator.core.records import MachineRecord, ReachedState

# The proxy in front of the API closes requests after 60 s, so this is the longest wait.
LONGEST = 60
_SETTLED = "settled"


@frozen(kw_only=True)
class WaitCondition:
    """The condition of a wait: states, version, and the event after which they must be reached.

    `since` is the serial of the last state that is too old. Without `past_only`, the present state counts too.
    """

    states: tuple[str, ...]
    version: str | None
    since: int
    past_only: bool = False

    def fits(self, state: str) -> bool:
        """Whether this is one of the states of the condition."""
        return state in self.states or (_SETTLED in self.states and state in SETTLED)


def condition(
    machine: MachineRecord, *, states: tuple[str, ...], version: str | None, from_event: str | None
) -> WaitCondition:
    """Return the condition of a wait; raise 400 for an unknown state or version."""
    asked = states or ("started",)
    for state in asked:
        if state not in STATES and state != _SETTLED:
            raise bad_request(f"invalid state: {state!r}")
    if version and version not in {known.id for known in machine.versions}:
        raise bad_request(f"unknown machine version: {version!r}")
    # An event with several states ends with the last one. An event that is no longer known is ignored.
    serials = [reach.serial for reach in machine.reached if from_event and reach.event_id == from_event]
    return WaitCondition(
        states=asked,
        version=version or None,
        since=serials[-1] if serials else machine.serial,
        past_only=bool(serials),
    )


def reached_state(machine: MachineRecord, wait: WaitCondition) -> ReachedState | None:
    """Return the state that meets the condition, if any."""
    # 1. The present state, unless only states after an event count.
    state = state_of(machine, wait.version)
    if not wait.past_only and wait.fits(state):
        newest = machine.events[0].id if machine.events else ""
        version = wait.version or machine.instance_id
        return ReachedState(serial=machine.serial, state=state, version=version, event_id=newest)
    # 2. A past state: a short-lived machine can leave a state before a poll sees it.
    for reach in machine.reached:
        if reach.serial > wait.since and wait.version in {None, reach.version} and wait.fits(reach.state):
            return reach
    return None


def state_of(machine: MachineRecord, version: str | None) -> str:
    """Return the state of a version of the machine; `replaced` for an earlier version."""
    return machine.state if version in {None, machine.instance_id} else "replaced"


def timed_out(machine: MachineRecord, wait: WaitCondition) -> ApiError:
    """Return the 408 of a wait that timed out; only its text has the current state."""
    states, current = ",".join(wait.states), state_of(machine, wait.version)
    text = f"deadline_exceeded: machine failed to reach desired state, {states}, currently {current}"
    return ApiError(408, text)


def seconds(asked: int | None) -> float:
    """Return the timeout of a wait in seconds: 60 by default; raise 400 outside 1 to 60."""
    if asked is not None and not 1 <= asked <= LONGEST:
        text = "invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]"
        raise bad_request(f"invalid_argument: {text}")
    return LONGEST if asked is None else asked
