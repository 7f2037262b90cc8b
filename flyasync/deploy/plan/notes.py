"""The remarks of a plan: machines that it leaves unchanged, and machines that differ from the others; pure."""

from collections.abc import Iterable, Iterator
from itertools import islice
from shlex import quote
from typing import Self

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.fleet import Fleet, group_of, in_order, tags
from flyasync.deploy.plan.machine_roles import Role
from flyasync.deploy.plan.reconcile import Action, Member, left_alone
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.models.image import without_digest
from flyasync.models.lint.linter import Finding
from flyasync.models.machine import Machine
from flyasync.models.redaction import without_passwords
from flyasync.models.volume import Volume

SHOWN = 3
"""The number of machines that a remark lists by name."""


class Remark(str):
    """A remark with the advice of Python, which names methods; `for_command` has that of the command: its options."""

    __slots__ = ("for_command",)

    for_command: str

    def __new__(cls, text: str, *, python: str = "", command: str = "") -> Self:
        """Return the remark `text` with its advice in both wordings."""
        remark = super().__new__(cls, ": ".join(filter(None, [text, python])))
        remark.for_command = ": ".join(filter(None, [text, command]))
        return remark

    def without_passwords(self) -> "Remark":
        """Return it without the passwords in its URLs and image references."""
        remark = Remark(without_passwords(self))
        remark.for_command = without_passwords(self.for_command)
        return remark


def public(remarks: Iterable[str]) -> tuple[str, ...]:
    """Return remarks without the passwords in their URLs and image references, in both wordings."""
    return tuple(each.without_passwords() if isinstance(each, Remark) else without_passwords(each) for each in remarks)


def remarks_of_group(
    spec: DeploySpec, fleet: Fleet, members: Iterable[Member], differing: Iterable[Finding]
) -> Iterator[str]:
    """Yield remarks on machines of a group that are left unchanged or do not count, and on `differing` services."""
    members = tuple(members)
    for region, count in left_alone(spec, fleet).items():
        machines, them = ("machines are", "them") if count > 1 else ("machine is", "it")
        yield f"{region} is not listed, so its {count} {machines} left unchanged; a count of 0 retires {them}"
    yield from _apart(spec, members)
    if spec.volume:
        held = (each.volume or (fleet.volume_of(each.machine) if each.machine else None) for each in members)
        yield from remarks_of_volumes(spec.app, spec.volume, filter(None, held))
    for finding in islice(differing, SHOWN):
        yield f"{finding.path.removesuffix('.services')}: {finding.message}; the proxy treats them as equal"


def remarks_of_volumes(app: str, desired: DesiredVolume, volumes: Iterable[Volume]) -> Iterator[str]:
    """Yield remarks on existing volumes whose snapshot settings differ from those stated."""
    differing = [(volume, found) for volume in volumes if (found := desired.differing(volume))]
    for volume, found in differing[:SHOWN]:
        yield (
            f"volume {volume.id} keeps its settings: {', '.join(found.values())}; a deploy does not change an existing "
            f"volume, but this does: flyasync volumes update {app} {volume.id} {' '.join(found)}"
        )
    if len(differing) > SHOWN:
        yield f"{len(differing) - SHOWN} more volumes {desired.name} keep other snapshot settings than those stated"


def remarks_of_others(spec: DeploySpec, fleet: Fleet) -> Iterator[str]:
    """Yield remarks on the machines outside the groups of a deploy."""
    groups = {*spec.group_names, *spec.retired_groups}
    for group in spec.retired_groups:
        if not fleet.group(group):
            yield f"the group {group} has no machines, so there is nothing to retire"
    # Secrets are rolled out one group after another, so other groups get their turn.
    is_of_all = spec.only_secrets
    # The machine of a release command is destroyed by itself, or by the next deploy with such a command.
    groups.add(RELEASE_GROUP)
    # A deploy that keeps the configs of machines cannot adopt any.
    adopt = "" if spec.keeps_config else "; to take them into a group"
    ways = {"python": "adopt('all')", "command": "--adopt all"} if adopt else {}
    outside = [each for each in fleet.machines if not is_of_all and (fleet.group_of(each) or None) not in groups]
    for group in sorted({group_of(machine) or "" for machine in outside}):
        those = [machine for machine in outside if (group_of(machine) or "") == group]
        if group:
            yield f"{_counted(those)} of the group {group} left unchanged"
            continue
        # Machines without a group were created by launches, which one command destroys, or by other tools.
        for launch in sorted({tags(machine).get(LAUNCH, "") for machine in those}):
            if launch:
                yield Remark(
                    f"machines of launch {launch} are left unchanged: created without a strategy, they have no process "
                    f"group; to destroy them: flyasync destroy {spec.app} --launch {quote(launch)}{adopt}",
                    **ways,
                )
            else:
                count = sum(LAUNCH not in tags(machine) for machine in those)
                yield Remark(f"{count} without a process group left unchanged{adopt}", **ways)


def remarks_of_launch(spec: DeploySpec, fleet: Fleet) -> Iterator[str]:
    """Yield remarks on the other machines of the app, and how to replace or destroy them."""
    beside: dict[tuple[str, str], list[Machine]] = {}
    for machine in fleet.others:
        group = group_of(machine) or ""
        beside.setdefault((group, "" if group else tags(machine).get(LAUNCH, "")), []).append(machine)
    for (group, launch), those in sorted(beside.items()):
        of = f" of the group {group}" if group else f" of launch {launch}" if launch else ""
        images = " and ".join(sorted({without_digest(each.image) for each in those if each.image}))
        run = images or "an unknown image"
        what = f"{_counted(those, 'other machine')}{of} with {run} left unchanged: a launch only adds machines"
        if group:
            yield f"{what}; to update them, deploy this group with a strategy"
        elif launch:
            yield f"{what}; to destroy them: flyasync destroy {spec.app} --launch {quote(launch)}"
        else:
            yield f"{what}; they have no launch tag"


def _apart(spec: DeploySpec, members: tuple[Member, ...]) -> Iterator[str]:
    """Yield remarks on standbys and scheduled machines, and what to do about them."""
    kinds: dict[Role, list[Machine]] = {}
    for member in members:
        if member.machine and (role := spec.role(member.machine)) is not Role.MEMBER:
            kinds.setdefault(role, []).append(member.machine)
    if standbys := kinds.get(Role.STANDBY):
        yield f"{_counted(standbys, 'standby')}, neither counted nor started: {names_of(standbys)}"
    # The platform starts a standby when the host of its machine fails; it never does so for a destroyed machine.
    leaving = {each.machine.id for each in members if each.machine and each.action is Action.RETIRE}
    helped = {each.desired.name for each in members if each.standby_for}
    for standby in (each for each in standbys or () if each.name not in helped):
        if orphaned := leaving.intersection((standby.config and standby.config.standbys) or ()):
            whom = ", ".join(sorted(orphaned))
            yield f"{standby.name} is a standby for {whom}, which is destroyed: set its standbys to another machine"
    if scheduled := kinds.get(Role.SCHEDULED):
        yield f"{_counted(scheduled, 'scheduled machine')}, neither waited for nor started: {names_of(scheduled)}"
    stopped = [
        each.machine
        for each in members
        if each.action is Action.UPDATE and each.machine and spec.role(each.machine) is Role.SCHEDULED and each.rests
    ]
    if stopped:
        yield (
            f"{names_of(stopped)}: updated but not started; Fly.io may ignore the schedule until the machine has been "
            "started once: flyasync machines start"
        )


def _counted(machines: list[Machine], what: str = "machine") -> str:
    return f"{len(machines)} {what}{'' if len(machines) == 1 else 's'}"


def names_of(machines: Iterable[Machine]) -> str:
    """Return the names of the first few machines, and the number of the others."""
    ordered = in_order(machines)
    names = ", ".join(f"{machine.name} ({machine.id})" for machine in ordered[:SHOWN])
    return f"{names} and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else names
