"""Which volumes, addresses and machines of an app are orphans, according to one observation; pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from flyasync.api.machines.create_once import LAUNCH, OURS
from flyasync.deploy.plan.config_merge import RETIRED
from flyasync.deploy.plan.fleet import group_of, tags
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.models.ip_assignment import IPAssignment
from flyasync.models.machine import GONE, Machine, OrgMachine
from flyasync.models.volume import Volume

_ENDED: Final = frozenset({"stopped", "suspended", "failed"})
"""The states of a machine that does not run, and will not by itself."""


@frozen(kw_only=True)
class Orphan:
    """Something that costs money or confuses, and that nothing uses; `command` removes it.

    Without a command it is in use for now, for the reason in `why`.
    """

    kind: str
    app: str
    id: str
    name: str | None
    region: str | None
    why: str
    command: str | None

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What two observations must agree on."""
        return self.app, self.kind, self.id, self.command is None


@frozen(kw_only=True)
class AppHoldings:
    """What an app has, according to lists of its own; addresses are read only if it has no machines."""

    app: str
    machines: Sequence[Machine]
    volumes: Sequence[Volume]
    addresses: Sequence[IPAssignment]


def is_managed(machine: Machine | OrgMachine) -> bool:
    """Whether flyasync has created or deployed the machine, according to its metadata."""
    metadata = tags(machine) if isinstance(machine, Machine) else (machine.config and machine.config.metadata) or {}
    return any(key.startswith(OURS) for key in metadata)


def is_candidate(machine: OrgMachine) -> bool:
    """Whether a row in the list of an organization may be a leftover of flyasync."""
    metadata = (machine.config and machine.config.metadata) or {}
    is_left = RETIRED in metadata or metadata.get("fly_process_group") == RELEASE_GROUP
    return is_left and is_managed(machine) and machine.state not in GONE


def orphans(held: AppHoldings) -> Iterator[Orphan]:
    """Yield the orphans of an app; never a machine of another tool."""
    there = [machine for machine in held.machines if machine.state not in GONE]
    for machine in there:
        if found := _leftover(held.app, machine):
            yield found
    configs = (machine.config or machine.incomplete_config for machine in there)
    mounted = {mount.volume for config in configs for mount in (config and config.mounts) or ()}
    for volume in held.volumes:
        # The list of volumes lags behind that of machines, whose mounts count too.
        if volume.is_free and volume.id not in mounted:
            yield Orphan(
                kind="volume",
                app=held.app,
                id=volume.id,
                name=volume.name,
                region=volume.region,
                why=f"{volume.size_gb or '?'} GB, not attached to a machine",
                command=f"flyasync volumes destroy {held.app} {volume.id}",
            )
    for address in held.addresses if not there else ():
        if address.ip:
            yield Orphan(
                kind="address",
                app=held.app,
                id=address.ip,
                name=address.type,
                region=address.region,
                why="the app has no machines",
                command=f"flyasync ips release {held.app} {address.ip}",
            )


def _leftover(app: str, machine: Machine) -> Orphan | None:
    """Return a machine that a launch of flyasync was to destroy; None for any other machine."""
    metadata = tags(machine)
    launch = metadata.get(LAUNCH)
    is_release = group_of(machine) == RELEASE_GROUP and launch is not None
    if not (is_release or (RETIRED in metadata and is_managed(machine))):
        return None
    kind = "release command" if is_release else "retired machine"
    why = f"of launch {launch}" if is_release else f"retired by launch {metadata[RETIRED]}"
    force = "" if machine.state in _ENDED else " --force"
    command: str | None = f"flyasync machines destroy {app} {machine.id}{force}"
    # 1. A deploy, or another client, is about to change it. 2. The command may still be running.
    if machine.lease is not None:
        why, command = f"{why}, leased by {machine.lease.owner or 'an unknown client'}", None
    elif is_release and machine.state not in _ENDED:
        why, command = f"{why}, {machine.state}", None
    return Orphan(kind=kind, app=app, id=machine.id, name=machine.name, region=machine.region, why=why, command=command)
