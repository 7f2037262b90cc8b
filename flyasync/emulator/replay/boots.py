"""The boots of a recording: how long each took and how it ended, as far as its responses show it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from attrs import frozen

from flyasync.emulator.core.faults import Fault
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import tagged
from flyasync.emulator.replay.recording import Exchange

_FAILED = {"failed": "fail", "launch_failed": "launch_fail"}
_STUCK = {"created": "stay_created", "starting": "stay_starting"}
# Seconds after which a state is regarded as final, and after which a check has had its first result.
_FINAL, _CHECKED = 20.0, 5.0


@frozen(kw_only=True)
class ObservedState:
    """A machine as one response shows it; `checks` is their worst status, None if there are none or not shown."""

    at: float
    state: str
    checks: str | None = None
    exit_code: int | None = None


@frozen(kw_only=True)
class Boot:
    """One boot: the seconds until `started` if it was seen, and the fault that explains its end, if any."""

    name: str
    region: str
    image: str
    seconds: float | None
    fault: str | None = None
    after: float = 0.0


def machine_views(exchange: Exchange) -> Iterator[Json]:
    """Yield the machines that a response shows with their config."""
    if not exchange.is_success or "/machines" not in exchange.path:
        return
    rows: list[Any] = exchange.response if isinstance(exchange.response, list) else [exchange.response]
    for row in rows:
        if isinstance(row, dict) and {"id", "name", "state", "region"} <= row.keys() and config_of(row):
            yield row


def config_of(view: Json) -> Json:
    """Return the config that a machine is shown with, also on a host that is lost."""
    found: Json = view.get("config") or view.get("incomplete_config") or {}
    return found


def boots(exchanges: Iterable[Exchange]) -> list[Boot]:
    """Return the boots of all machines that were created, updated or started, in order."""
    observations: defaultdict[str, list[ObservedState]] = defaultdict(list)
    begun: list[tuple[float, str, Json]] = []
    latest: dict[str, Json] = {}
    for exchange in sorted(exchanges, key=lambda each: each.end):
        for view in machine_views(exchange):
            latest[view["id"]] = view
            observations[view["id"]].append(_observed(exchange.end, view))
        machine_id, action = _machine_of(exchange)
        if exchange.is_success and action == "wait":
            states = [value for name, value in exchange.query if name == "state"]
            observations[machine_id].append(ObservedState(at=exchange.end, state=states[0] if len(states) == 1 else ""))
        elif exchange.is_success and exchange.method == "POST" and action in {"", "start", "restart"}:
            made = exchange.response.get("id") if isinstance(exchange.response, dict) and not machine_id else machine_id
            if made in latest:
                begun.append((exchange.end, made, latest[made]))
    found = []
    for number, (at, machine_id, view) in enumerate(begun):
        until = next((later for later, other, _ in begun[number + 1 :] if other == machine_id), float("inf"))
        found.append(_boot(at, view, [each for each in observations[machine_id] if at < each.at <= until]))
    return found


def faults(found: Iterable[Boot]) -> list[Fault]:
    """Return the faults with which machines boot as they did.

    A fault is for all machines of an image in a region if all its boots there ended the same way, so that it also
    applies to machines that the recording does not have; otherwise for the machines by their names.
    """
    by_region: defaultdict[tuple[str, str], list[Boot]] = defaultdict(list)
    for boot in found:
        by_region[boot.image, boot.region].append(boot)
    made: list[Fault] = []
    for (image, region), group in by_region.items():
        has_one_end = len({boot.fault for boot in group}) == 1
        named = {"*": group} if has_one_end else {boot.name: [boot] for boot in group}  # the last boot of each
        for name, boots_of in named.items():
            if (does := boots_of[-1].fault) is not None:
                after = median(each.after for each in boots_of)
                made.append(Fault(does=does, region=region, name=name, image=image, seconds=after))
    return made


def _machine_of(exchange: Exchange) -> tuple[str, str]:
    """Return the machine in a path and the action on it, both empty for other paths."""
    parts = exchange.path.split("/")  # "", v1, apps, APP, machines, ID, ACTION
    if len(parts) < 5 or parts[2] != "apps" or parts[4] != "machines":  # noqa: PLR2004 - see above
        return "", "-"
    return ("".join(parts[5:6]), "".join(parts[6:7]))


def _observed(at: float, view: Json) -> ObservedState:
    statuses = [row.get("status") for row in view.get("checks") or ()]
    worst = next((each for each in ("critical", "warning", "passing") if each in statuses), None)
    ends = [(event.get("request") or {}).get("exit_event") or {} for event in view.get("events") or ()]
    crash = next((each.get("exit_code") for each in ends[:3] if each and not each.get("requested_stop")), None)
    return ObservedState(at=at, state=view["state"], checks=worst, exit_code=crash)


def _boot(at: float, view: Json, seen: list[ObservedState]) -> Boot:
    up = next((each for each in seen if each.state == "started"), None)
    image = tagged(str(config_of(view).get("image") or ""))
    fault, after = _end(at, up, seen)
    return Boot(
        name=view["name"],
        region=view["region"],
        image=image,
        seconds=up.at - at if up else None,
        fault=fault,
        after=after,
    )


def _end(at: float, up: ObservedState | None, seen: list[ObservedState]) -> tuple[str | None, float]:
    """Return the fault that explains how a boot ended, and its seconds."""
    # 1. It failed, its process crashed, or it never got further.
    if failed := next((_FAILED[each.state] for each in seen if each.state in _FAILED), None):
        return failed, 0.0
    if crash := next((each for each in seen if each.exit_code), None):
        return "crash", max(0.0, crash.at - up.at) if up else 0.0
    if up is None:
        is_final = bool(seen) and seen[-1].at - at > _FINAL
        return (_STUCK.get(seen[-1].state) if is_final else None), 0.0
    # 2. Its checks passed late, for a time, or never.
    checked = [each for each in seen if each.checks and each.at >= up.at]
    passed = next((each for each in checked if each.checks == "passing"), None)
    if passed is None:
        is_final = bool(checked) and checked[-1].at - up.at > _CHECKED
        never = "checks_stay_warning" if checked and checked[-1].checks == "warning" else "checks_never_pass"
        return (never if is_final else None), 0.0
    if turned := next((each for each in checked if each.at > passed.at and each.checks == "critical"), None):
        return "checks_turn_critical", turned.at - passed.at
    late = passed.at - up.at
    return ("checks_pass_late", late) if late > _CHECKED else (None, 0.0)
