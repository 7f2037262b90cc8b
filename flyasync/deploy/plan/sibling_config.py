"""The config that a new machine of a group gets: one sibling's, with what the spec states merged in; pure.

It is never a mixture of several. Where siblings would lead to different configs, that of the majority counts, in the
last release that completed.
"""

from collections.abc import Iterable, Sequence

from attrs import evolve, field, frozen

from flyasync.api.machines.create_once import LAUNCH
from flyasync.api.machines.edit import is_of_one_launch
from flyasync.deploy.plan.config_merge import FINGERPRINT, MANAGED, changes
from flyasync.deploy.plan.fleet import Fleet, home
from flyasync.deploy.plan.machine_roles import Role
from flyasync.deploy.plan.spec import DeploySpec, DesiredVolume
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.diff import Change
from flyasync.models.machine import GONE, Machine

_RELEASES = (LAUNCH, "fly_release_id", "fly_release_version")
"""Metadata keys that say which release a machine is of."""


@frozen(kw_only=True)
class Pattern:
    """What a new machine is made from: `config` lacks only the volume's id.

    `like` is the machine whose config it inherits, if there is one, and `changes` is what differs from that; `volume`
    is the volume that it gets for itself.
    """

    config: MachineConfig = field(repr=False)
    like: Machine | None = None
    changes: tuple[Change, ...] = ()
    volume: DesiredVolume | None = None

    @classmethod
    def of(cls, spec: DeploySpec, fleet: Fleet, machine: Machine | None, *, keeps_schedule: bool = True) -> "Pattern":
        """Return what a machine is made from that is to be like another one, or like none."""
        if machine is None or machine.config is None:
            return cls(config=_mounting(spec, spec.tagged), volume=spec.volume)
        old = inherited(machine.config)
        config = _new(spec, old if keeps_schedule else evolve(old, schedule=None))
        shown = changes(evolve(machine.config, image=machine.image, mounts=old.mounts), config)
        volume = spec.volume or _volume(fleet, machine)
        return cls(config=config, like=machine, changes=shown, volume=volume)

    @classmethod
    def instead(cls, spec: DeploySpec, fleet: Fleet, machine: Machine, desired: MachineConfig) -> "Pattern":
        """Return what a machine is made from that takes the place of one which was to have this config."""
        config = spec.starting(_mounting(spec, inherited(desired)))
        return cls(config=config, like=machine, volume=spec.volume or _volume(fleet, machine))


def inherited(config: MachineConfig) -> MachineConfig:
    """Return what of a machine's config holds for another one: all but what is of this one machine or of one deploy."""
    metadata = {
        key: value
        for key, value in (config.metadata or {}).items()
        if key in {MANAGED, FINGERPRINT} or not is_of_one_launch(key)
    }
    env = config.env and {name: value for name, value in config.env.items() if name != "FLY_STANDBY_FOR"}
    return evolve(
        config,
        metadata=metadata,
        env=env,
        standbys=None,
        guest=config.guest and evolve(config.guest, host_dedication_id=None),
        mounts=config.mounts and [evolve(mount, volume=None) for mount in config.mounts],
    )


def pattern(spec: DeploySpec, fleet: Fleet) -> Pattern:
    """Return what new machines of the group are made from.

    Raises InvalidInput when the machines there are do not tell: as many have one config as another, or no config is
    known whole.
    """
    there = [machine for machine in fleet.group(spec.group) if machine.state not in GONE]
    # Members are what a new machine is to be like, or else whatever there is of the group; canaries of flyctl are not.
    known = [machine for machine in there if machine.config is not None and "fly_canary" not in machine.metadata]
    known = list(spec.members(known)) or known
    # 1. No config is known whole. Only what deploys like this one made has nothing that is not stated.
    if not known:
        for machine in there:
            config = machine.incomplete_config
            if FINGERPRINT not in ((config and config.metadata) or {}):
                raise InvalidInput(
                    f"no machine of the group {spec.group} shows its whole config, {machine.name} among them, as its "
                    "host does not respond: a new machine would lack what is not stated here; try again once a host "
                    "responds"
                )
        return Pattern.of(spec, fleet, None)
    # 2. All lead to one config. 3. Else those of the last release that completed count, 4. and of these the majority.
    alike = _alike(spec, known)
    if len(alike) > 1:
        alike = _alike(spec, _last_completed(known))
    # As many of one kind as of another: only who runs them knows which is right.
    most = max(map(len, alike))
    first, *ties = [each for each in alike if len(each) == most]
    if ties:
        raise InvalidInput(_undecided(spec, first[0], ties[0][0], most))
    # The only machine of a group is a job: new ones are no jobs as well, or each would do its work once more.
    is_lone_job = len(known) == 1 and spec.role(known[0]) is Role.SCHEDULED
    return Pattern.of(spec, fleet, first[0], keeps_schedule=not is_lone_job)


def _alike(spec: DeploySpec, machines: Iterable[Machine]) -> list[list[Machine]]:
    """Return machines grouped by the config that a new machine like them would have."""
    found: list[tuple[MachineConfig, MachineConfig, list[Machine]]] = []
    for machine in machines:
        assert machine.config is not None  # noqa: S101 - the caller has seen to that
        old = inherited(machine.config)
        new: MachineConfig | None = None
        for other_old, other_new, those in found:
            if old == other_old or not changes(other_new, new := new or _new(spec, old)):
                those.append(machine)
                break
        else:
            found.append((old, new or _new(spec, old), [machine]))
    return [those for _, _, those in found]


def _last_completed(machines: Sequence[Machine]) -> list[Machine]:
    """Return the machines of the newest release that has left none of an older one in its regions."""
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
    assert one.config is not None  # noqa: S101 - only such are compared
    assert other.config is not None  # noqa: S101
    between = changes(_new(spec, inherited(one.config)), _new(spec, inherited(other.config)))
    lines = "".join(f"\n  {change}" for change in between)
    return (
        f"a new machine of the group {spec.group} could be like {one.name} or like {other.name}, and "
        f"{count} of the machines there {'is' if count == 1 else 'are'} like each of them: make them equal first, or "
        f"state what differs; from {one.name} ({one.id}) to {other.name} ({other.id}):{lines}"
    )


def _new(spec: DeploySpec, old: MachineConfig) -> MachineConfig:
    """Return the config that a new machine has which inherits this one."""
    return _mounting(spec, spec.desired(old))


def _mounting(spec: DeploySpec, config: MachineConfig) -> MachineConfig:
    """Return a config with a mount for the volume that is desired."""
    if spec.volume is None or config.mounts:
        return config
    return evolve(config, mounts=(Mount(path=spec.volume.path),))


def _volume(fleet: Fleet, machine: Machine) -> DesiredVolume | None:
    """Return the volume that a machine like this one needs: of the same name and size, at the same path."""
    mount = next(iter((machine.config and machine.config.mounts) or ()), None)
    if mount is None:
        return None
    volume = fleet.volume_of(machine)
    name = (volume and volume.name) or mount.name
    if not name or not mount.path:
        raise InvalidInput(
            f"a new machine like {machine.name} needs a volume of its own, but neither name nor size of {mount.volume} "
            "is known",
            python="state the volume with with_volume(…)",
            command="state the volume with --volume NAME:PATH:SIZE_GB",
        )
    return DesiredVolume(name=name, path=mount.path, size_gb=(volume and volume.size_gb) or mount.size_gb or 1)
