"""Fleet: the observed state of an app, as one value."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from attrs import field, frozen

from flyasync.deploy.plan.spec import GROUP, HOME, LaneKey
from flyasync.models.machine import Machine
from flyasync.models.volume import Volume


@frozen
class Fleet:
    """The observed machines of an app that a deploy may change, and the app's volumes.

    `has_secrets` is whether the app has any secrets. `secrets` is the fingerprint of all of them; None if they could
    not be listed, for the reason in `secrets_hidden`. `others` are the other machines of the app, if the deploy has no
    strategy. `gone` are destroyed machines, if they were read. `adopted` is the new group of each machine to adopt.
    """

    app: str
    machines: tuple[Machine, ...]
    volumes: tuple[Volume, ...] = field(default=(), kw_only=True)
    has_secrets: bool = field(default=False, kw_only=True)
    secrets: str | None = field(default=None, kw_only=True)
    secrets_hidden: str | None = field(default=None, kw_only=True)
    others: tuple[Machine, ...] = field(default=(), kw_only=True)
    gone: tuple[Machine, ...] = field(default=(), kw_only=True)
    adopted: Mapping[str, str] = field(factory=dict, kw_only=True)

    def named(self, name: str) -> Machine | None:
        """Return the machine of this name."""
        return self._by_name.get(name)

    def group(self, name: str) -> tuple[Machine, ...]:
        """Return the machines of a process group, sorted by name; the empty name means machines without a group.

        Machines that the group adopts belong to it.
        """
        return in_order(machine for machine in self.machines if self.group_of(machine) == name)

    def group_of(self, machine: Machine) -> str:
        """Return the process group of a machine, or the one that adopts it; the empty name if there is none."""
        return self.adopted.get(machine.id) or group_of(machine) or ""

    def lane_of(self, machine: Machine) -> LaneKey:
        """Return the key of the lane that a machine is in: the region that it was created for, and its group."""
        return home(machine), self.group_of(machine)

    def own(self, machines: Iterable[Machine]) -> list[Machine]:
        """Return those of the machines that are not adopted; if all are, all."""
        every = list(machines)
        return [machine for machine in every if machine.id not in self.adopted] or every

    def volume_of(self, machine: Machine) -> Volume | None:
        """Return the volume that a machine holds."""
        # The list of volumes lags, so the mounts of the machine count too.
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
    """Return the process group of a machine, even if its complete config is not known."""
    return tags(machine).get(GROUP)


def is_in(machine: Machine, group: str | None) -> bool:
    """Whether a machine is in this process group; the empty name means machines without a group."""
    return (group_of(machine) or "") == group


def home(machine: Machine) -> str:
    """Return the region that a machine was created for; it may have fallen back to another one."""
    return tags(machine).get(HOME) or machine.region


def tags(machine: Machine) -> dict[str, str]:
    """Return a machine's metadata, even if its complete config is not known."""
    config = machine.config or machine.incomplete_config
    return dict((config and config.metadata) or {})


def serves(machine: Machine) -> bool:
    """Whether a machine is healthy and takes traffic."""
    return machine.is_healthy and not machine.cordoned


def in_order(machines: Iterable[Machine]) -> tuple[Machine, ...]:
    """Return machines sorted by name, with numbers in numeric order."""
    return tuple(sorted(machines, key=_by_name))


def oldest(machines: Iterable[Machine]) -> Machine | None:
    """Return the oldest machine, which every deployer chooses: a later machine never takes precedence."""
    return min((each for each in machines if each.host_is_ok), key=_by_age, default=None)


def _by_age(machine: Machine) -> tuple[float, str]:
    made = machine.created_at.datetime if machine.created_at else None
    return made.timestamp() if made else 0.0, machine.id


def _by_name(machine: Machine) -> tuple[int, str, str]:
    return len(machine.name), machine.name, machine.id  # app-iad-2 before app-iad-10
