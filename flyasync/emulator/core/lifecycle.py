"""The states of a machine, the moves between them, and which action is legal from where."""

from collections.abc import Mapping

from attrs import frozen

from flyasync.emulator.core.errors import ApiError, aborted, failed_precondition, not_found

PERSISTENT = frozenset({"created", "started", "stopped", "suspended", "failed"})
TRANSIENT = frozenset(
    {
        "creating", "starting", "stopping", "restarting", "suspending", "destroying", "updating", "replacing",
        "launch_failed",
    }
)  # fmt: skip
TERMINAL = frozenset({"destroyed", "replaced", "migrated"})
STATES = PERSISTENT | TRANSIENT | TERMINAL
# What `wait` calls settled. A `created` machine is still on its way, although its state is a persistent one.
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


@frozen(kw_only=True)
class ActionRule:
    """Where an action is legal, where it has nothing to do, and what it is told elsewhere."""

    legal: frozenset[str]
    idle: frozenset[str] = frozenset()
    refusals: Mapping[str, ApiError] = {}
    otherwise: ApiError | None = None


_STILL_STARTING = aborted("machine still attempting to start")
_NOT_RUNNING = failed_precondition("machine not running")
_CONCURRENT = aborted("machine update failed due to concurrent update")

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
    """Tell whether `action` has work to do on a machine in `state`; an illegal one raises the API's refusal."""
    rule = RULES[action]
    if state == "destroyed":
        raise not_found("machine")
    if state in rule.legal or state in rule.idle:
        return state in rule.legal
    raise fresh(rule.refusals.get(state) or rule.otherwise or _unable(action, state))


def may_transition(state: str, to: str) -> bool:
    """Tell whether a machine can go straight from one state to the other."""
    return to in TRANSITIONS[state]


def fresh(error_response: ApiError) -> ApiError:
    """Copy a refusal kept as data, because a raised exception collects the traceback of each raise."""
    return ApiError(error_response.status, error_response.text, code=error_response.code)


def _unable(action: str, state: str) -> ApiError:
    return failed_precondition(f"unable to {action} machine from current state: '{state}'")
