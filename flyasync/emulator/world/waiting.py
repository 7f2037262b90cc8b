"""The long poll: what `wait` asks for, and when it is answered."""

from attrs import frozen

from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.lifecycle import SETTLED, STATES
from flyasync.emulator.core.records import MachineRecord, ReachedState

# The proxy in front of the API cuts at 60 s, so nothing waits longer.
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

    def fits(self, state: str) -> bool:
        """Whether this is one of the states waited for."""
        return state in self.states or (_SETTLED in self.states and state in SETTLED)


def condition(
    machine: MachineRecord, *, states: tuple[str, ...], version: str | None, from_event: str | None
) -> WaitCondition:
    """Read what a wait asks for; an unknown state or version raises 400."""
    asked = states or ("started",)
    for state in asked:
        if state not in STATES and state != _SETTLED:
            raise bad_request(f"invalid state: {state!r}")
    if version and version not in {known.id for known in machine.versions}:
        raise bad_request(f"unknown machine version: {version!r}")
    # An event that brought several states ends with the last of them. One that is not known any more counts as none.
    serials = [reach.serial for reach in machine.reached if from_event and reach.event_id == from_event]
    return WaitCondition(
        states=asked,
        version=version or None,
        since=serials[-1] if serials else machine.serial,
        past_only=bool(serials),
    )


def answer(machine: MachineRecord, wait: WaitCondition) -> ReachedState | None:
    """Return the state that fulfils a wait, if there is one by now."""
    # 1. The present state, unless the client asks only for what came after an event.
    state = state_of(machine, wait.version)
    if not wait.past_only and wait.fits(state):
        newest = machine.events[0].id if machine.events else ""
        version = wait.version or machine.instance_id
        return ReachedState(serial=machine.serial, state=state, version=version, event_id=newest)
    # 2. A state that was passed meanwhile: a short-lived machine may have left it before the poll could see it.
    for reach in machine.reached:
        if reach.serial > wait.since and wait.version in {None, reach.version} and wait.fits(reach.state):
            return reach
    return None


def state_of(machine: MachineRecord, version: str | None) -> str:
    """Return the state of a version of the machine; one that was superseded stays `replaced`."""
    return machine.state if version in {None, machine.instance_id} else "replaced"


def timed_out(machine: MachineRecord, wait: WaitCondition) -> ApiError:
    """Return the 408 of a wait that was not fulfilled; its text alone names the current state."""
    states, current = ",".join(wait.states), state_of(machine, wait.version)
    text = f"deadline_exceeded: machine failed to reach desired state, {states}, currently {current}"
    return ApiError(408, text)


def seconds(asked: int | None) -> float:
    """Return how long a wait may take: a minute, or what was asked for if that is within one."""
    if asked is not None and not 1 <= asked <= LONGEST:
        text = "invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]"
        raise bad_request(f"invalid_argument: {text}")
    return LONGEST if asked is None else asked
