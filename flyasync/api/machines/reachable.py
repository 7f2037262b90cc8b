"""What can still become of a machine that is waited for; pure."""

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from flyasync.models.machine import GONE, KNOWN_STATES, ExitEvent, Machine, MachineEvent

_VERSION: Final = re.compile(r"[0-9A-Z]{26}")


def is_wrong(wanted: str, version: str | None) -> bool:
    """Whether a wait that the API refuses was refused for what it asked: a state or a version that cannot be one."""
    return wanted not in KNOWN_STATES | {"settled"} or bool(version and not _VERSION.fullmatch(version))


def why_hopeless(machine: Machine, wanted: str, version: str | None) -> str | None:
    """Say why `machine` can no longer reach the state `wanted` by itself, or None while it can."""
    # Versions sort by age; an older one than the one waited for is an old view of the machine.
    if version and (present := machine.current_version) and present > version:
        return f"version {version} was replaced by {present}"
    if wanted in {"destroyed", "settled"} or is_there(machine, wanted, None):
        return None
    if machine.state in GONE:
        return "it is gone for good"
    if version and machine.current_version != version:
        return None
    if machine.state == "failed":
        return "it has failed"
    return _end_in_words(machine) if wanted in {"started", "healthy"} else None


def is_there(machine: Machine, wanted: str, version: str | None, checks: int = 0) -> bool:
    """Tell whether `machine` is in the state `wanted`, in that version of it if one is given.

    To be healthy, it has to report so many `checks` at least, and those that its own config has.
    """
    if version and machine.current_version != version:
        return False
    if wanted == "healthy":
        return machine.is_healthy and len(machine.reported_checks) >= checks
    # A machine does leave the state created by itself, once its image is there.
    return machine.state == wanted or (wanted == "settled" and machine.is_settled and machine.state != "created")


def _end_in_words(machine: Machine) -> str | None:
    """Say how the process of a machine that should run has ended, if that was for good or is a crash loop."""
    loop = _crash_loop(machine)
    if (end := loop or _crash(machine)) is None:
        return None
    memory = ", out of memory" if end.oom_killed else ""
    restarts = f", after {loop.restart_count} restarts" if loop else ""
    return f"its process ended with exit code {end.exit_code}{memory}{restarts}"


def _crash(machine: Machine) -> ExitEvent | None:
    """Give the exit that stopped the machine, unless it was asked for or the machine was started again since."""
    if machine.state != "stopped":
        return None
    for event in _newest_first(machine):
        if event.type in {"start", "restart", "launch", "update"}:
            return None
        if event.type == "exit" and (end := event.exit_event):
            return None if end.requested_stop else end
    return None


def _crash_loop(machine: Machine) -> ExitEvent | None:
    """Give the last exit of a process that fails and is restarted over and over, since somebody last began it.

    One crash may pass, be it that a database was not there yet. Crashes are counted too, for whether the API's own
    count begins anew with each start is not documented.
    """
    begun_here = takewhile(lambda event: not _is_asked_for(event), _newest_first(machine))
    ends = (end for event in begun_here if event.type == "exit" and (end := event.exit_event))
    crashes = tuple(takewhile(lambda end: end.exit_code != 0 and not end.requested_stop, ends))
    return crashes[0] if len(crashes) > 1 and crashes[0].restart_count > 1 else None


def _is_asked_for(event: MachineEvent) -> bool:
    """Tell whether somebody began the machine's process with this event; after a crash it is `flyd` that starts it."""
    return event.type in {"launch", "update"} or (event.type in {"start", "restart"} and event.source != "flyd")


def _newest_first(machine: Machine) -> Sequence[MachineEvent]:
    return sorted(machine.events or (), key=lambda event: event.timestamp or 0, reverse=True)
