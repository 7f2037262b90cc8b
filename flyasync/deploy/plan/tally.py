"""Counts the resources that exist before, during and after a plan; pure."""

from collections.abc import Iterable, Iterator

from attrs import evolve

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import Create, DeleteVolume, Destroy, Plan, TakeVolume, Track, Update
from flyasync.deploy.plan.resources import ResourceChange, Resources
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE, Machine


def counted(plan: Plan, spec: DeploySpec) -> Plan:
    """Return a plan with its resources; raises InvalidInput if it would leave more machines than the spec allows."""
    change = tally(plan, spec.retired_groups)
    noun = "groups" if len(plan.groups) > 1 else "group"
    change.check(spec.max_machines, f"the {noun} {', '.join(plan.groups)}" if plan.groups else plan.app)
    return evolve(plan, resources=change)


def tally(plan: Plan, retired_groups: Iterable[str] = ()) -> ResourceChange:
    """Return the resources before and after a plan.

    The machines of the plan's groups and of the retired ones count; for a launch, which has no group, all machines of
    the app. Volumes count if one of these machines holds them, or gets them. A volume outlives its machine.
    """
    fleet = plan.before or Fleet(plan.app, ())
    groups = (*plan.groups, *retired_groups)
    # A launch belongs to no group.
    every = [each for each in (*fleet.machines, *fleet.others) if each.state not in GONE]
    those = [each for each in every if not plan.groups or fleet.group_of(each) in groups]
    machines: dict[str, MachineConfig | None] = {each.id: each.config or each.incomplete_config for each in those}
    volumes = dict(held for machine in those for held in _held(fleet, machine))
    steps = [step for step in plan.steps if isinstance(step, TakeVolume) and step.volume_id]
    volumes |= {step.volume_id: _size(fleet, step.volume_id) for step in steps if step.volume_id}
    before = Resources.of(machines.values(), volumes.values())

    peak = before.machines
    for stage in plan.stages:
        for track in stage.tracks:
            _arrive(track, machines)
            _take(track, fleet, volumes)
        # Machines are destroyed while others are created, in any order.
        peak = max(peak, len(machines))
        for track in stage.tracks:
            if track.target.command or any(isinstance(step, Destroy) for step in track.steps):
                machines.pop(_key(track), None)
    return ResourceChange(
        before=before, after=Resources.of(machines.values(), volumes.values()), peak_machines=max(peak, before.machines)
    )


def _key(track: Track) -> str:
    return track.machine_id or track.machine.name


def _arrive(track: Track, machines: dict[str, MachineConfig | None]) -> None:
    """Add the machine of a track that creates it, or set its new config."""
    if any(isinstance(step, Create | Update) for step in track.steps):
        machines[_key(track)] = track.config


def _take(track: Track, fleet: Fleet, volumes: dict[str, int | None]) -> None:
    """Add the volume that a track creates, and remove those that it deletes."""
    for step in track.steps:
        match step:
            case TakeVolume(volume_id=None, source=None):
                volumes[f"of {track.machine.name}"] = step.volume.size_gb
            case TakeVolume(volume_id=None, source=str(source)):  # a fork is as large as its source
                volumes[f"of {track.machine.name}"] = _size(fleet, source)
            case DeleteVolume():
                volumes.pop(step.volume_id, None)
            case _:
                pass


def _held(fleet: Fleet, machine: Machine) -> Iterator[tuple[str, int | None]]:
    """Yield the ids and sizes of the volumes that a machine holds."""
    volume = fleet.volume_of(machine)
    if volume:
        yield volume.id, volume.size_gb
    config = machine.config or machine.incomplete_config
    for mount in (config and config.mounts) or ():
        if mount.volume and not (volume and mount.volume == volume.id):
            yield mount.volume, mount.size_gb


def _size(fleet: Fleet, volume_id: str) -> int | None:
    return next((volume.size_gb for volume in fleet.volumes if volume.id == volume_id), None)
