"""The lifecycle of a machine: states, transitions, the states in which an action is legal, and log lines."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from flyasync.emulator.core.errors import ApiError, aborted, failed_precondition, not_found

# The three kinds of states in the documentation.
PERSISTENT = frozenset({"created", "started", "stopped", "suspended", "failed"})
TRANSIENT = frozenset(
    {
        "creating", "starting", "stopping", "restarting", "suspending", "destroying", "updating", "replacing",
        "launch_failed",
    }
)  # fmt: skip
TERMINAL = frozenset({"destroyed", "replaced", "migrated"})
STATES = PERSISTENT | TRANSIENT | TERMINAL
# The states that `wait` regards as settled. A `created` machine is still being prepared, although `created` is a
# persistent state.
SETTLED = (PERSISTENT - {"created"}) | TERMINAL
RUNNING = frozenset({"started", "stopping", "suspending", "restarting"})

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "created": frozenset({"starting", "stopped", "replacing", "destroying"}),
    "starting": frozenset({"started", "failed", "launch_failed", "stopping", "replacing", "destroying"}),
    "started": frozenset(
        {"stopping", "suspending", "restarting", "replacing", "stopped", "starting", "destroying"}
    ),
    "stopping": frozenset({"stopped", "destroying"}),
    "suspending": frozenset({"suspended", "destroying"}),
    "restarting": frozenset({"starting", "destroying"}),
    "replacing": frozenset({"starting", "stopped", "destroying"}),
    "stopped": frozenset({"starting", "replacing", "destroying"}),
    "suspended": frozenset({"starting", "stopped", "replacing", "destroying"}),
    "failed": frozenset({"starting", "stopped", "replacing", "destroying"}),
    "launch_failed": frozenset({"destroying", "destroyed"}),
    "destroying": frozenset({"destroyed"}),
    "destroyed": frozenset(),
}  # fmt: skip
LIVE = frozenset(TRANSITIONS) - {"destroyed"}


_LOGGED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("launch", "created"): ("info", "Pulling container image"),
    ("start", "starting"): ("info", "Starting machine"),
    ("start", "started"): ("info", "Machine started"),
    ("start", "failed"): ("error", "Machine failed to start"),
    ("launch", "launch_failed"): ("error", "Failed to launch machine"),
    ("suspend", "suspended"): ("info", "Machine suspended"),
    ("destroy", "destroyed"): ("info", "Machine destroyed"),
}


@frozen(kw_only=True)
class ActionRule:
    """The states in which an action is legal, those in which it has no effect, and the error in other states."""

    legal: frozenset[str]
    idle: frozenset[str] = frozenset()
    refusals: Mapping[str, ApiError] = {}
    otherwise: ApiError | None = None


_STILL_STARTING = aborted("machine still attempting to start")
_NOT_RUNNING = failed_precondition("machine not running")
_CONCURRENT = aborted("machine update failed due to concurrent update")

# Stop, cordon and uncordon succeed when there is nothing to do; a second start is an error.
RULES: Mapping[str, ActionRule] = {
    "start": ActionRule(
        legal=frozenset({"stopped", "suspended", "failed"}),
        refusals={
            "starting": _STILL_STARTING,
            "started": _STILL_STARTING,
            "restarting": _STILL_STARTING,
            "replacing": failed_precondition("machine getting replaced, refusing to start"),
        },
    ),
    "stop": ActionRule(
        legal=frozenset({"started", "starting", "suspended", "failed"}), idle=frozenset({"stopped", "stopping"})
    ),
    "suspend": ActionRule(legal=frozenset({"started"})),
    "restart": ActionRule(legal=frozenset({"started", "stopped", "suspended", "failed"})),
    "signal": ActionRule(legal=frozenset({"started"}), otherwise=_NOT_RUNNING),
    "exec": ActionRule(legal=frozenset({"started"}), otherwise=_NOT_RUNNING),
    "update": ActionRule(
        legal=frozenset({"created", "starting", "started", "stopped", "suspended", "failed"}),
        refusals={"replacing": _CONCURRENT},
    ),
    "destroy": ActionRule(
        legal=frozenset({"stopped", "suspended", "created", "failed", "launch_failed"}),
        idle=frozenset({"destroying"}),
        otherwise=failed_precondition("unable to destroy machine, not currently stopped"),
    ),
    "kill": ActionRule(legal=LIVE - {"destroying"}, idle=frozenset({"destroying"})),
    "cordon": ActionRule(legal=LIVE),
    "uncordon": ActionRule(legal=LIVE),
}


def must_act(action: str, state: str) -> bool:
    """Whether `action` has an effect on a machine in `state`; raise the API's error if it is illegal."""
    rule = RULES[action]
    if state == "destroyed":
        raise not_found("machine")
    if state in rule.legal or state in rule.idle:
        return state in rule.legal
    unable = failed_precondition(f"unable to {action} machine from current state: '{state}'")
    raise fresh(rule.refusals.get(state) or rule.otherwise or unable)


def may_transition(state: str, to: str) -> bool:
    """Whether a machine can change directly from one state to the other."""
    return to in TRANSITIONS[state]


def fresh(error: ApiError) -> ApiError:
    """Return a copy of a stored error: a raised exception accumulates the traceback of each raise."""
    return ApiError(error.status, error.text, code=error.code)


def log_line(event: str, status: str, request: dict[str, Any] | None) -> tuple[str, str] | None:
    """Return the level and message that the platform logs for an event; None if it logs nothing."""
    if event != "exit":
        return _LOGGED.get((event, status))
    exit_event = (request or {}).get("exit_event") or {}
    # A clean exit has no exit code: Go omits zero values.
    code = exit_event.get("exit_code", 0)
    ending = "restarting" if exit_event.get("restarting") else "not restarting"
    return ("error" if code else "info", f"machine exited with exit code {code}, {ending}")
