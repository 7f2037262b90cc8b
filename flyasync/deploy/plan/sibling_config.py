"""The config of a new machine of a group: that of one sibling, with what the spec states merged in; pure.

It never mixes the configs of several siblings. If siblings differ, those of the last completed release count, and among
these the majority.
"""

from collections.abc import Iterable, Sequence

from attrs import evolve, field, frozen

from flyasync.api.machines.create_once import LAUNCH
from flyasync.api.machines.edit import is_of_one_launch
from flyasync.deploy.plan.config_merge import FINGERPRINT, MANAGED, STANDBY_FOR, changes, observed
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.fleet import Fleet, home
from flyasync.deploy.plan.machine_roles import Role
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.machine import GONE, Machine

_RELEASES = (LAUNCH, "fly_release_id", "fly_release_version")
"""Metadata keys with the release of a machine."""


@frozen(kw_only=True)
class Pattern:
    """The pattern of a new machine: `config` is complete except for the volume's id.

    `like` is the machine whose config it inherits, if there is one, and `changes` are the differences from that config.
    `volume` is the volume that the new machine gets.
    """

    config: MachineConfig = field(repr=False)
    like: Machine | None = None
    changes: tuple[Change, ...] = ()
    volume: DesiredVolume | None = None

    @classmethod
    def of(cls, spec: DeploySpec, fleet: Fleet, machine: Machine | None, *, keeps_schedule: bool = True) -> "Pattern":
        """Return the pattern of a machine like another one, or like none."""
        if machine is None or machine.config is None:
            return cls(config=_mounting(spec, spec.tagged), volume=spec.volume)
        old = _inherited_from(spec, machine)
        config = _new(spec, old if keeps_schedule else evolve(old, schedule=None))
        shown = changes(evolve(machine.config, image=machine.image, mounts=old.mounts), config)
        volume = spec.volume or _volume(fleet, machine)
        return cls(config=config, like=machine, changes=shown, volume=volume)

    @classmethod
    def instead(cls, spec: DeploySpec, fleet: Fleet, machine: Machine, desired: MachineConfig) -> "Pattern":
        """Return the pattern of a machine that replaces one which was to have this config."""
        config = spec.starting(_mounting(spec, inherited(desired)))
        return cls(config=config, like=machine, volume=spec.volume or _volume(fleet, machine))


def inherited(config: MachineConfig) -> MachineConfig:
    """Return the part of a config that another machine can inherit: not what belongs to one machine or deploy."""
    metadata = {
        key: value
        for key, value in (config.metadata or {}).items()
        if key in {MANAGED, FINGERPRINT} or not is_of_one_launch(key)
    }
    env = config.env and {name: value for name, value in config.env.items() if name != STANDBY_FOR}
    return evolve(
        config,
        metadata=metadata,
        env=env,
        standbys=None,
        guest=config.guest and evolve(config.guest, host_dedication_id=None),
        mounts=config.mounts and [evolve(mount, volume=None) for mount in config.mounts],
    )


def pattern(spec: DeploySpec, fleet: Fleet) -> Pattern:
    """Return the pattern of new machines of the group.

    Raises InvalidInput if the existing machines are ambiguous: as many have one config as another, or no complete
    config is known.
    """
    # A new machine is like those of the group, not like those that it adopts, unless there are no others.
    there = fleet.own(machine for machine in fleet.group(spec.group) if machine.state not in GONE)
    # It is like the members, or like any machine of the group if there are none; never like flyctl canaries.
    known = [machine for machine in there if machine.config is not None and "fly_canary" not in machine.metadata]
    known = list(spec.members(known)) or known
    # 1. No complete config is known. Then only a group that flyasync created is safe: it has no other settings.
    if not known:
        for machine in there:
            config = machine.incomplete_config
            if spec.keeps_config or FINGERPRINT not in ((config and config.metadata) or {}):
                raise InvalidInput(
                    f"the complete config of no machine of the group {spec.group} is known, because their hosts, such "
                    f"as that of {machine.name}, do not respond: a new machine would lack settings that are not stated "
                    "here; try again once a host responds"
                )
        return Pattern.of(spec, fleet, None)
    # 2. All lead to the same config. 3. Otherwise the last completed release counts, 4. and in it the majority.
    alike = _alike(spec, known)
    if len(alike) > 1:
        alike = _alike(spec, _last_completed(known))
    # A tie: only the owner knows which config is right.
    most = max(map(len, alike))
    first, *ties = [each for each in alike if len(each) == most]
    if ties:
        raise InvalidInput(_undecided(spec, first[0], ties[0][0], most))
    # The only machine is scheduled: new ones get no schedule, or each of them would do its work again.
    is_lone_job = len(known) == 1 and spec.role(known[0]) is Role.SCHEDULED
    return Pattern.of(spec, fleet, first[0], keeps_schedule=not is_lone_job)


def _alike(spec: DeploySpec, machines: Iterable[Machine]) -> list[list[Machine]]:
    """Return the machines grouped by the config that a new machine like them would have."""
    found: list[tuple[MachineConfig, MachineConfig, list[Machine]]] = []
    for machine in machines:
        old = _inherited_from(spec, machine)
        new: MachineConfig | None = None
        for other_old, other_new, those in found:
            if old == other_old or not changes(other_new, new := new or _new(spec, old)):
                those.append(machine)
                break
        else:
            found.append((old, new or _new(spec, old), [machine]))
    return [those for _, _, those in found]


def _last_completed(machines: Sequence[Machine]) -> list[Machine]:
    """Return the machines of the newest release in whose regions no machine of an older release is left."""
    releases: dict[tuple[str | None, ...], list[Machine]] = {}
    for machine in machines:
        releases.setdefault(tuple(map(machine.metadata.get, _RELEASES)), []).append(machine)
    # The id of a version is a ULID: its first ten characters are the time.
    begun = {name: min((each.current_version or "")[:10] for each in those) for name, those in releases.items()}

    def is_complete(name: tuple[str | None, ...]) -> bool:
        regions = set(map(home, releases[name]))
        older = (those for other, those in releases.items() if begun[other] < begun[name])
        return not any(home(machine) in regions for those in older for machine in those)

    last = max(begun[name] for name in releases if is_complete(name))
    return [machine for name, those in releases.items() if begun[name] == last for machine in those]


def _undecided(spec: DeploySpec, one: Machine, other: Machine, count: int) -> str:
    between = changes(_new(spec, _inherited_from(spec, one)), _new(spec, _inherited_from(spec, other)))
    lines = "".join(f"\n  {change}" for change in between)
    return (
        f"a new machine of the group {spec.group} could be like {one.name} or like {other.name}, and "
        f"{count} existing {'machine is' if count == 1 else 'machines are'} like each of them: make them equal, or "
        f"state the settings that differ; from {one.name} ({one.id}) to {other.name} ({other.id}):{lines}"
    )


def _new(spec: DeploySpec, old: MachineConfig) -> MachineConfig:
    """Return the config of a new machine that inherits this one."""
    # It starts with the current secrets, even if no setting of the machine that it is like would change.
    return _mounting(spec, spec.starting(spec.desired(old)))


def _inherited_from(spec: DeploySpec, machine: Machine) -> MachineConfig:
    """Return what a new machine inherits from one; if images are kept, the image with the digest that it runs."""
    config = observed(machine) if spec.keeps_config else machine.config
    assert config is not None  # noqa: S101 - only machines with a config are compared
    return inherited(config)


def _mounting(spec: DeploySpec, config: MachineConfig) -> MachineConfig:
    """Return a config with a mount for the volume that is desired."""
    if spec.volume is None or config.mounts:
        return config
    return evolve(config, mounts=spec.volume.mounts(None))


def _volume(fleet: Fleet, machine: Machine) -> DesiredVolume | None:
    """Return the volume for a machine like this one: with the same name, size, path and snapshot settings."""
    mount = next(iter((machine.config and machine.config.mounts) or ()), None)
    if mount is None:
        return None
    volume = fleet.volume_of(machine)
    name = (volume and volume.name) or mount.name
    if not name or not mount.path:
        raise InvalidInput(
            f"a new machine like {machine.name} needs a volume of its own, but the name and size of {mount.volume} "
            "are unknown",
            python="state the volume with with_volume(…)",
            command="state the volume with --volume NAME:PATH:SIZE_GB",
        )
    return DesiredVolume(
        name=name,
        path=mount.path,
        size_gb=(volume and volume.size_gb) or mount.size_gb or 1,
        snapshot_retention=volume.snapshot_retention if volume else None,
        scheduled_snapshots=volume.auto_backup_enabled if volume else None,
    )
