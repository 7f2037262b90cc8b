import pytest

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.lifecycle import (
    LIVE,
    RULES,
    SETTLED,
    STATES,
    TRANSIENT,
    TRANSITIONS,
    may_transition,
    must_act,
)

STILL_STARTING = (409, "aborted: machine still attempting to start")
CONCURRENT = (409, "aborted: machine update failed due to concurrent update")
REPLACING = (412, "failed_precondition: machine getting replaced, refusing to start")
NOT_STOPPED = (412, "failed_precondition: unable to destroy machine, not currently stopped")
NOT_RUNNING = (412, "failed_precondition: machine not running")


def unable(action: str, state: str) -> tuple[int, str]:
    return 412, f"failed_precondition: unable to {action} machine from current state: '{state}'"


def verdict(action: str, state: str) -> bool | tuple[int, str]:
    try:
        return must_act(action, state)
    except ApiError as error:
        return error.status, error.text


EXPECTED: dict[str, dict[str, bool | tuple[int, str]]] = {
    "start": {
        "stopped": True, "suspended": True, "failed": True, "starting": STILL_STARTING, "started": STILL_STARTING,
        "restarting": STILL_STARTING, "replacing": REPLACING,
    },
    "stop": {"started": True, "starting": True, "suspended": True, "failed": True, "stopped": False, "stopping": False},
    "suspend": {"started": True},
    "restart": {"started": True, "stopped": True, "suspended": True, "failed": True},
    "signal": {"started": True, **dict.fromkeys(LIVE - {"started"}, NOT_RUNNING)},
    "exec": {"started": True, **dict.fromkeys(LIVE - {"started"}, NOT_RUNNING)},
    "update": {
        "created": True, "starting": True, "started": True, "stopped": True, "suspended": True, "failed": True,
        "replacing": CONCURRENT,
    },
    "destroy": {
        "stopped": True, "suspended": True, "created": True, "failed": True, "launch_failed": True,
        "destroying": False,
        **dict.fromkeys(("starting", "started", "stopping", "suspending", "restarting", "replacing"), NOT_STOPPED),
    },
    "kill": {"destroying": False, **dict.fromkeys(LIVE - {"destroying"}, True)},
    "cordon": dict.fromkeys(LIVE, True),
    "uncordon": dict.fromkeys(LIVE, True),
}  # fmt: skip


@pytest.mark.parametrize("action", RULES)
@pytest.mark.parametrize("state", sorted(LIVE))
def test_every_action_is_judged_from_every_state(action: str, state: str) -> None:
    assert verdict(action, state) == EXPECTED[action].get(state, unable(action, state))


@pytest.mark.parametrize("action", RULES)
def test_a_destroyed_machine_is_not_found(action: str) -> None:
    assert verdict(action, "destroyed") == (404, "machine not found")


def test_a_refusal_is_a_new_one_each_time() -> None:
    with pytest.raises(ApiError) as first:
        must_act("start", "started")
    with pytest.raises(ApiError) as second:
        must_act("start", "started")
    assert first.value is not second.value


def test_every_move_leads_to_a_state_that_is_known() -> None:
    assert set().union(*TRANSITIONS.values()) | TRANSITIONS.keys() <= STATES
    assert not may_transition("destroyed", "started")
    assert all(may_transition(state, "destroying") for state in LIVE - {"destroying"})


def test_settled_states_are_those_nothing_follows_by_itself() -> None:
    assert not SETTLED & TRANSIENT
    assert "created" not in SETTLED
