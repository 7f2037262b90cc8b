"""Which machines outside the groups of a deploy it adopts: they join a group, and are updated like its own; pure."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from attrs import evolve

from flyasync.deploy.plan.fleet import Fleet, group_of, home
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.errors import InvalidInput
from flyasync.models.machine import Machine

ALL: Final = "all"
"""What stands for all machines without a process group."""

_TEMPORARY: Final = "fly_app_"
"""What the process groups of release commands and consoles begin with."""


def adopting(spec: DeploySpec, fleet: Fleet) -> tuple[DeploySpec, Fleet]:
    """Return the spec with the ids of the machines that it adopts, and the fleet in which they are in their new groups.

    1. A machine that is stated by its id or name is adopted, whatever its group. It may be in its new group already, or
       have been replaced there: then an earlier run has adopted it.
    2. `all` adopts the machines without a process group that may be adopted; the others are left unchanged.

    Raises InvalidInput for a machine that does not exist, or may not be adopted.
    """
    adopted: dict[str, str] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for group in spec.groups:
        found = [each for name in group.adopts for each in _meant(group, fleet, name)]
        groups[group.group] = tuple(dict.fromkeys(machine.id for machine in found))
        for machine in found:
            _check(spec, group, machine, adopted)
            if group_of(machine) != group.group:
                adopted[machine.id] = group.group
    if not any(groups.values()):
        return spec, fleet
    return spec.changed(lambda group: evolve(group, adopts=groups[group.group])), evolve(fleet, adopted=adopted)


def is_stated(spec: DeploySpec, machine: Machine) -> bool:
    """Whether a deploy may adopt a machine: it is stated, or belongs to all that are."""
    stated = {name for group in spec.groups for name in group.adopts}
    return bool(stated & {machine.id, machine.name}) or (ALL in stated and group_of(machine) is None)


def _meant(group: DeploySpec, fleet: Fleet, name: str) -> Iterator[Machine]:
    """Yield the machines that a name or an id stands for; none for a machine that is destroyed."""
    if name == ALL:
        outside = (machine for machine in fleet.machines if group_of(machine) is None)
        yield from (machine for machine in outside if why_not(machine) is None and _is_in_region(group, machine))
        return
    there = [machine for machine in fleet.machines if name in {machine.id, machine.name}]
    if not there and not any(name in {machine.id, machine.name} for machine in fleet.gone):
        close = get_close_matches(name, [machine.name for machine in fleet.machines], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(f"{group.app} has no machine {name!r} to adopt{hint}")
    yield from there


def why_not(machine: Machine) -> str | None:
    """Return why a machine cannot be adopted, or None if it can."""
    config, group = machine.config, group_of(machine) or ""
    if group.startswith(_TEMPORARY):
        return f"is temporary: its process group is {group}"
    if config is None:
        return f"does not show its complete config: its host is {machine.host_status}"
    if config.standbys:
        return f"stands by for {', '.join(config.standbys)}"
    return "destroys itself when its process exits (auto_destroy)" if config.auto_destroy else None


def _is_in_region(group: DeploySpec, machine: Machine) -> bool:
    return not group.stated_regions or home(machine) in group.stated_regions


def _check(spec: DeploySpec, group: DeploySpec, machine: Machine, adopted: Mapping[str, str]) -> None:
    """Raise InvalidInput if a group cannot adopt a machine that is stated for it."""
    if group_of(machine) == group.group:
        return
    who = f"{machine.name} ({machine.id}) cannot be adopted by the group {group.group}"
    own = group_of(machine)
    if reason := why_not(machine):
        raise InvalidInput(f"{who}: it {reason}")
    if own in {*spec.group_names, *spec.retired_groups}:
        raise InvalidInput(f"{who}: it is in the group {own}, which this deploy changes too")
    if adopted.get(machine.id, group.group) != group.group:
        raise InvalidInput(f"{who}: the group {adopted[machine.id]} adopts it")
    if not _is_in_region(group, machine):
        raise InvalidInput(
            f"{who}: it is in {home(machine)}, which is not among the regions of the deploy",
            python="add the region with to_regions(…)",
            command="add the region with --region",
        )
