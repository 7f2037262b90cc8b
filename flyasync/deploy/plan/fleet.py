"""Fleet: what was observed, as one value."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from attrs import field, frozen

from flyasync.deploy.plan.spec import GROUP, HOME
from flyasync.models.machine import Machine
from flyasync.models.volume import Volume


@frozen
class Fleet:
    """The machines of an app that concern a deploy, as they were when it looked, and the app's volumes.

    `has_secrets` tells whether the app has any: then it matters with which version of them a machine starts. `secrets`
    is the fingerprint of all of them, None where `secrets_hidden` says why they could not be listed. `others`
    are the app's machines that a launch without a strategy is not about, and `gone` those that were destroyed, as far
    as they were read.
    """

    app: str
    machines: tuple[Machine, ...]
    volumes: tuple[Volume, ...] = field(default=(), kw_only=True)
    has_secrets: bool = field(default=False, kw_only=True)
    secrets: str | None = field(default=None, kw_only=True)
    secrets_hidden: str | None = field(default=None, kw_only=True)
    others: tuple[Machine, ...] = field(default=(), kw_only=True)
    gone: tuple[Machine, ...] = field(default=(), kw_only=True)

    def named(self, name: str) -> Machine | None:
        """Return the machine of this name."""
        return self._by_name.get(name)

    def group(self, name: str) -> tuple[Machine, ...]:
        """Return the machines of a process group, by their names; those of none are the group with the empty name."""
        return in_order(machine for machine in self.machines if is_in(machine, name))

    def volume_of(self, machine: Machine) -> Volume | None:
        """Return the volume that a machine holds."""
        # The list of volumes names their holders, but lags behind: what the machine mounts says it too.
        mounts = (machine.config and machine.config.mounts) or ()
        mounted = (self._by_id.get(mount.volume or "") for mount in mounts)
        return self._by_holder.get(machine.id) or next(filter(None, mounted), None)

    @cached_property
    def _by_name(self) -> Mapping[str, Machine]:
        return {machine.name: machine for machine in reversed(self.machines)}

    @cached_property
    def _by_id(self) -> Mapping[str, Volume]:
        return {volume.id: volume for volume in self.volumes}

    @cached_property
    def _by_holder(self) -> Mapping[str, Volume]:
        return {each.attached_machine_id: each for each in reversed(self.volumes) if each.attached_machine_id}


def group_of(machine: Machine) -> str | None:
    """Return the process group of a machine, also of one whose config is not known whole."""
    return tags(machine).get(GROUP)


def is_in(machine: Machine, group: str | None) -> bool:
    """Whether a machine is of this process group; one of none is in the group with the empty name."""
    return (group_of(machine) or "") == group


def home(machine: Machine) -> str:
    """Return the region that a machine was made for; it may have fallen back to another."""
    return tags(machine).get(HOME) or machine.region


def tags(machine: Machine) -> dict[str, str]:
    """Return a machine's metadata, also where its config is not known whole."""
    config = machine.config or machine.incomplete_config
    return dict((config and config.metadata) or {})


def serves(machine: Machine) -> bool:
    """Whether a machine takes traffic now, and is able to."""
    return machine.is_healthy and not machine.cordoned


def in_order(machines: Iterable[Machine]) -> tuple[Machine, ...]:
    """Return machines sorted by name, and numbers by size."""
    return tuple(sorted(machines, key=_by_name))


def oldest(machines: Iterable[Machine]) -> Machine | None:
    """Choose one machine as every deployer chooses it: one that is made later never comes before it."""
    return min((each for each in machines if each.host_is_ok), key=_by_age, default=None)


def _by_age(machine: Machine) -> tuple[float, str]:
    made = machine.created_at.datetime if machine.created_at else None
    return made.timestamp() if made else 0.0, machine.id


def _by_name(machine: Machine) -> tuple[int, str, str]:
    return len(machine.name), machine.name, machine.id  # app-iad-2 before app-iad-10
