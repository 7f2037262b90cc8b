"""What a plan says of the machines that it leaves alone, or that are not like the others; pure."""

from collections.abc import Iterable, Iterator
from itertools import islice
from shlex import quote

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.fleet import Fleet, group_of, in_order, tags
from flyasync.deploy.plan.machine_roles import Role
from flyasync.deploy.plan.reconcile import Action, Member, left_alone
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.models.image import without_digest
from flyasync.models.lint.linter import Finding
from flyasync.models.machine import Machine

SHOWN = 3
"""How many machines are named one by one."""


def remarks_of_group(
    spec: DeploySpec, fleet: Fleet, members: Iterable[Member], differing: Iterable[Finding]
) -> Iterator[str]:
    """Yield what a strategy leaves alone, what it does not count, and which services are `differing` in the group."""
    members = tuple(members)
    for region, count in left_alone(spec, fleet).items():
        stay, them = ("s stay as they are", "them") if count > 1 else (" stays as it is", "it")
        yield f"{region} is not among the regions, so its {count} machine{stay}; a count of 0 retires {them}"
    yield from _apart(spec, members)
    for finding in islice(differing, SHOWN):
        yield f"{finding.path.removesuffix('.services')}: {finding.message}; the proxy takes them for equal"
    groups = {spec.group, *spec.retired_groups}
    # Secrets are rolled out group after group, so other groups are not left alone for good.
    is_of_all = spec.only_secrets
    outside = [each for each in fleet.machines if not is_of_all and group_of(each) not in groups]
    for group in sorted({group_of(machine) or "" for machine in outside}):
        those = [machine for machine in outside if (group_of(machine) or "") == group]
        if group:
            yield f"{_counted(those)} of the group {group} left alone"
            continue
        # Machines of no group are those of launches, which one command takes away, and those of other tools.
        for launch in sorted({tags(machine).get(LAUNCH, "") for machine in those}):
            if launch:
                yield (
                    f"machines of launch {launch} are left alone: made without a strategy, they are of no process "
                    f"group; flyasync destroy {spec.app} --launch {quote(launch)} takes them away"
                )
            else:
                count = sum(LAUNCH not in tags(machine) for machine in those)
                yield f"{count} of no process group left alone: no strategy touches such machines"


def remarks_of_launch(spec: DeploySpec, fleet: Fleet) -> Iterator[str]:
    """Yield what runs beside a launch, and how to replace it."""
    beside: dict[tuple[str, str], list[Machine]] = {}
    for machine in fleet.others:
        group = group_of(machine) or ""
        beside.setdefault((group, "" if group else tags(machine).get(LAUNCH, "")), []).append(machine)
    for (group, launch), those in sorted(beside.items()):
        of = f" of the group {group}" if group else f" of launch {launch}" if launch else ""
        images = " and ".join(sorted({without_digest(each.image) for each in those if each.image}))
        run = images or "an unknown image"
        what = f"{_counted(those, 'other machine')}{of} with {run} beside this launch, which only adds"
        if group:
            yield f"{what}; a deploy of this group with a strategy replaces them"
        elif launch:
            yield f"{what}; flyasync destroy {spec.app} --launch {quote(launch)} takes them away"
        else:
            yield f"{what}; no launch has made them"


def _apart(spec: DeploySpec, members: tuple[Member, ...]) -> Iterator[str]:
    """Yield which machines stand by or run on a schedule, and what to do about them."""
    kinds: dict[Role, list[Machine]] = {}
    for member in members:
        if member.machine and (role := spec.role(member.machine)) is not Role.MEMBER:
            kinds.setdefault(role, []).append(member.machine)
    if standbys := kinds.get(Role.STANDBY):
        yield f"{_counted(standbys)} standing by for others, neither counted nor started: {names_of(standbys)}"
    # The platform starts a standby when its machine's host fails; for a machine that is gone it never would.
    leaving = {each.machine.id for each in members if each.machine and each.action is Action.RETIRE}
    for standby in standbys or ():
        if orphaned := leaving.intersection((standby.config and standby.config.standbys) or ()):
            whom = ", ".join(sorted(orphaned))
            yield f"{standby.name} stands by for {whom}, which goes: name another in its standbys"
    if scheduled := kinds.get(Role.SCHEDULED):
        yield f"{_counted(scheduled)} on a schedule, neither waited for nor started: {names_of(scheduled)}"
    stopped = [
        each.machine
        for each in members
        if each.action is Action.UPDATE and each.machine and spec.role(each.machine) is Role.SCHEDULED and each.rests
    ]
    if stopped:
        yield (
            f"{names_of(stopped)}: updated without a start, and Fly.io may start no such machine by its schedule "
            "before it is started once: flyasync machines start"
        )


def _counted(machines: list[Machine], what: str = "machine") -> str:
    return f"{len(machines)} {what}{'' if len(machines) == 1 else 's'}"


def names_of(machines: Iterable[Machine]) -> str:
    """Return the names of the first few machines, and how many more there are."""
    ordered = in_order(machines)
    names = ", ".join(f"{machine.name} ({machine.id})" for machine in ordered[:SHOWN])
    return f"{names} and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else names
