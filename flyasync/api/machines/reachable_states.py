"""Whether a machine that is waited for has reached the state, or can no longer reach it; pure."""

import re
from collections.abc import Sequence
from typing import Final

from flyasync.models.machine import GONE, KNOWN_STATES, ExitEvent, Machine, MachineEvent

_VERSION: Final = re.compile(r"[0-9A-Z]{26}")


def is_impossible(desired: str, version: str | None) -> bool:
    """Whether no machine can have that state or that version, so that the API rightly refuses to wait for it."""
    return desired not in KNOWN_STATES | {"settled"} or bool(version and not _VERSION.fullmatch(version))


def has_reached(machine: Machine, desired: str, version: str | None, checks: int = 0) -> bool:
    """Whether `machine` is in the state `desired`, in that version of it if one is given.

    For `healthy`, at least `checks` checks must have reported, and all those of its own config must pass.
    """
    if version and machine.current_version != version:
        return False
    if desired == "healthy":
        return machine.is_healthy and len(machine.reported_checks) >= checks
    # A machine does leave the state created by itself, once its image is there.
    return machine.state == desired or (desired == "settled" and machine.is_settled and machine.state != "created")


def why_hopeless(machine: Machine, desired: str, version: str | None) -> str | None:
    """Return why `machine` can no longer reach the state `desired` by itself; None while it can."""
    # 1. A newer version has replaced the one waited for. Versions sort by age; an older one is an old view of the
    #    machine.
    if version and (present := machine.current_version) and present > version:
        return f"version {version} was replaced by {present}"
    # 2. It is there already, or any end will do.
    if desired in {"destroyed", "settled"} or has_reached(machine, desired, None):
        return None
    # 3. It is destroyed, in whatever version.
    if machine.state in GONE:
        return "it is gone for good"
    # 4. This is an old view of it, from before the version waited for.
    if version and machine.current_version != version:
        return None
    # 5. It has failed.
    if machine.state == "failed":
        return "it has failed"
    # 6. It should run, but its process has ended for good or ends over and over.
    if desired in {"started", "healthy"}:
        loop = _crash_loop(machine)
        if end := loop or _crash(machine):
            memory = ", out of memory" if end.oom_killed else ""
            restarts = f", after {loop.restart_count} restarts" if loop else ""
            return f"its process ended with exit code {end.exit_code}{memory}{restarts}"
    return None


def _crash(machine: Machine) -> ExitEvent | None:
    """Return the exit that stopped the machine, unless it was requested or the machine was started again since."""
    if machine.state != "stopped":
        return None
    for event in _newest_first(machine):
        if event.type in {"start", "restart", "launch", "update"}:
            return None
        if event.type == "exit" and (end := event.exit_event):
            return None if end.requested_stop else end
    return None


def _crash_loop(machine: Machine) -> ExitEvent | None:
    """Return the last exit of a process that has failed and been restarted over and over since a user last started it.

    One crash may pass, for example if a database was not up yet. Crashes are counted here too, since it is not
    documented whether the API's own count starts again with each start.
    """
    crashes: list[ExitEvent] = []
    for event in _newest_first(machine):
        # Someone started it here, or an update did; after a crash, it is `flyd` that starts the process again.
        if event.type in {"launch", "update"} or (event.type in {"start", "restart"} and event.source != "flyd"):
            break
        if event.type == "exit" and (end := event.exit_event):
            if end.exit_code == 0 or end.requested_stop:
                break
            crashes.append(end)
    return crashes[0] if len(crashes) > 1 and crashes[0].restart_count > 1 else None


def _newest_first(machine: Machine) -> Sequence[MachineEvent]:
    return sorted(machine.events or (), key=lambda event: event.timestamp or 0, reverse=True)
