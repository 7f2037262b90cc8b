"""Whether a machine that is waited for has reached the state, or can no longer reach it. Pure functions."""

import re
from collections.abc import Sequence
from typing import Final

from flyasync.models.machine import GONE, KNOWN_STATES, ExitEvent, Machine, MachineEvent

_VERSION: Final = re.compile(r"[0-9A-Z]{26}")


def is_impossible(desired: str, version: str | None) -> bool:
    """Whether no machine can have that state or version, so that the API always refuses to wait for it."""
    return desired not in KNOWN_STATES | {"settled"} or bool(version and not _VERSION.fullmatch(version))


def has_reached(machine: Machine, desired: str, version: str | None, checks: int = 0) -> bool:
    """Whether `machine` is in the state `desired`, and in `version` if that is not None.

    For `healthy`, at least `checks` checks must have reported, and all checks of its config must pass.
    """
    if version and machine.current_version != version:
        return False
    if desired == "healthy":
        return machine.is_healthy and len(machine.reported_checks) >= checks
    # A machine leaves the state `created` by itself, once its image has been pulled.
    return machine.state == desired or (desired == "settled" and machine.is_settled and machine.state != "created")


def why_hopeless(machine: Machine, desired: str, version: str | None) -> str | None:
    """Return why `machine` can no longer reach the state `desired` by itself; None while it can."""
    # 1. A newer version has replaced the one waited for. Versions sort by age; an older one is outdated data.
    if version and (present := machine.current_version) and present > version:
        return f"version {version} was replaced by {present}"
    # 2. It has reached the state, or any final state is accepted.
    if desired in {"destroyed", "settled"} or has_reached(machine, desired, None):
        return None
    # 3. It is destroyed, in any version.
    if machine.state in GONE:
        return "it no longer exists"
    # 4. This is outdated data, from before the version waited for.
    if version and machine.current_version != version:
        return None
    # 5. It has failed.
    if machine.state == "failed":
        return "it has failed"
    # 6. It should run, but its process has ended permanently or crashes repeatedly.
    if desired in {"started", "healthy"}:
        loop = _crash_loop(machine)
        if end := loop or _crash(machine):
            memory = ", out of memory" if end.oom_killed else ""
            restarts = f", after {loop.restart_count} restarts" if loop else ""
            return f"its process ended with exit code {end.exit_code}{memory}{restarts}"
    return None


def _crash(machine: Machine) -> ExitEvent | None:
    """Return the exit event that stopped the machine, unless it was requested or the machine has been started since."""
    if machine.state != "stopped":
        return None
    for event in _newest_first(machine):
        if event.type in {"start", "restart", "launch", "update"}:
            return None
        if event.type == "exit" and (end := event.exit_event):
            return None if end.requested_stop else end
    return None


def _crash_loop(machine: Machine) -> ExitEvent | None:
    """Return the last exit event of a process that has crashed repeatedly since a user last started it, or None.

    A single crash may be temporary, for example if a database was not up yet. The crashes are counted here too, since
    it is not documented whether the API's count is reset by a start.
    """
    crashes: list[ExitEvent] = []
    for event in _newest_first(machine):
        # Stop at a start by a user or an update; after a crash, `flyd` starts the process again.
        if event.type in {"launch", "update"} or (event.type in {"start", "restart"} and event.source != "flyd"):
            break
        if event.type == "exit" and (end := event.exit_event):
            if end.exit_code == 0 or end.requested_stop:
                break
            crashes.append(end)
    return crashes[0] if len(crashes) > 1 and crashes[0].restart_count > 1 else None


def _newest_first(machine: Machine) -> Sequence[MachineEvent]:
    return sorted(machine.events or (), key=lambda event: event.timestamp or 0, reverse=True)
