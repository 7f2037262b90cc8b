"""Machines: create, update, destroy, metadata, list filters, and which machines serve."""

from collections import Counter
from collections.abc import Mapping

from attrs import frozen

from flyasync.emulator.core import ids
from flyasync.emulator.core.config import accepted
from flyasync.emulator.core.errors import ApiError, aborted, bad_request, failed_precondition, not_found
from flyasync.emulator.core.lifecycle import RUNNING, must_act
from flyasync.emulator.core.processes import is_release
from flyasync.emulator.core.records import ConfigVersion, MachineRecord
from flyasync.emulator.world import checks, images, leases, secrets, volumes
from flyasync.emulator.world.capacity import region_for
from flyasync.emulator.world.transitions import enter, record_exit
from flyasync.emulator.world.world import World

# Official clients check the code, not the status.
# An update starts the new version of machines in these states; a stopped machine stays stopped.
_SHOULD_RUN = frozenset({"started", "starting", "failed"})


@frozen(kw_only=True)
class NewMachine:
    """The parameters of a new machine."""

    config: object
    name: str = ""
    region: str | None = None
    skip_launch: bool = False
    is_cordoned: bool = False
    lease_ttl: int | None = None
    owner: str = ""
    min_secrets_version: int | None = None


@frozen(kw_only=True)
class MachineFilter:
    """The filter of a list of machines."""

    states: frozenset[str] = frozenset()
    region: str = ""
    with_destroyed: bool = False
    metadata: Mapping[str, str] = {}

    def keeps(self, machine: MachineRecord) -> bool:
        """Whether a machine matches the filter."""
        metadata = machine.config.get("metadata") or {}
        return (
            (self.with_destroyed or not machine.is_destroyed)
            and (not self.states or machine.state in self.states)
            and (not self.region or machine.region == self.region)
            and all(metadata.get(key) == value for key, value in self.metadata.items())
        )


def create(world: World, app: str, launch: NewMachine) -> MachineRecord:
    """Create a machine in the first region of its expression that has capacity."""
    owner = world.app(app)
    # 1. The request is valid.
    config = accepted(launch.config)
    ttl = leases.seconds(launch.lease_ttl) if launch.lease_ttl else None
    secrets.demand_version(world, owner, launch.min_secrets_version)
    digest = images.resolve(world, config.get("image") or "")
    # 2. The name is free. Clients parse the id out of the text, to adopt a machine of an earlier attempt.
    if launch.name and (other := world.holder(app, launch.name)):
        held = f'machine ID {other.id} already exists with name "{other.name}"'
        raise ApiError(409, f"already_exists: unique machine name violation, {held}")
    # 3. Its volume, if any, is free, and a region has capacity.
    mounts = config.get("mounts")
    volume = volumes.claimable(world, app, mounts[0]["volume"]) if mounts else None
    region = region_for(world, launch.region, volume)

    instance_id = world.ulid()
    machine = MachineRecord(
        id=ids.machine_id(world.random),
        app=app,
        name=launch.name or ids.machine_name(world.random),
        region=region,
        config=config,
        digest=digest,
        instance_id=instance_id,
        private_ip=ids.private_ip(world.random),
        created_at=world.clock,
        updated_at=world.clock,
        boot_seconds=world.boots.get(launch.name) or world.random.uniform(*world.boot),
        visible_at=world.clock + world.draw(world.lag),
        is_cordoned=launch.is_cordoned,
        shall_run=not launch.skip_launch,
        versions=[ConfigVersion(instance_id, config)],
    )
    owner.is_deployed = True
    world.add(machine)
    if volume is not None:
        volume.machine_id = machine.id
        volume.updated_at = world.clock
    world.record(machine, "launch", "created")
    enter(world, machine, "created")
    if ttl:
        leases.grant(world, machine, ttl=ttl, owner=launch.owner)
    return machine


def serving(world: World, app: str) -> Counter[str]:
    """Return the number of machines of an app that serve now, by region; empty for an unknown app."""
    return Counter(item.region for item in world.machines.values() if item.app == app and serves(world, item))


def serves(world: World, machine: MachineRecord) -> bool:
    """Whether a machine is started, not cordoned, on a reachable host, and passes all its checks, if any.

    The machine of a release command serves no requests.
    """
    is_up = machine.state == "started" and not machine.is_cordoned and machine.has_host
    return is_up and checks.are_passing(world, machine) and not is_release(machine.config)


def update(
    world: World,
    machine: MachineRecord,
    config: object,
    *,
    skip_launch: bool = False,
    current_version: str | None = None,
    min_secrets_version: int | None = None,
    nonce: str | None = None,
) -> None:
    """Replace the config by a new version; a running machine restarts, a stopped one stays stopped."""
    leases.guard(world, machine, nonce)
    new = accepted(config)
    must_act("update", machine.state)
    # A precondition: the client must not overwrite a concurrent change.
    if current_version and current_version != machine.instance_id:
        raise aborted("machine update failed due to concurrent update")
    secrets.demand_version(world, world.app(machine.app), min_secrets_version)
    mounts = new.get("mounts")
    if (mounts[0]["volume"] if mounts else None) != machine.volume_id:
        raise bad_request(f"unable to update machine {machine.id}: the volume of a machine can not be changed")

    # The same reference is not resolved again, even if its tag has moved.
    if new.get("image") != machine.config.get("image"):
        machine.digest = images.resolve(world, new.get("image") or "")
    should_run = machine.shall_run if machine.state == "created" else machine.state in _SHOULD_RUN
    machine.shall_run = should_run and not skip_launch
    machine.config = new
    machine.instance_id = world.ulid()
    machine.versions.append(ConfigVersion(machine.instance_id, new))
    machine.restart_count = 0
    machine.memory_limit_mb = None
    # A running old version is stopped first.
    world.record(machine, "update", "replacing")
    if machine.state in RUNNING:
        record_exit(world, machine)
    enter(world, machine, "replacing")


def destroy(world: World, machine: MachineRecord, *, force: bool, nonce: str | None = None) -> None:
    """Destroy a stopped machine, or any machine with force; it stays readable."""
    leases.guard(world, machine, nonce)
    if not must_act("kill" if force else "destroy", machine.state):
        return
    # A lost host reports no exit of the process.
    if machine.state in RUNNING and machine.has_host:
        record_exit(world, machine)
    world.record(machine, "destroy", "destroying")
    enter(world, machine, "destroying")


def write_metadata(
    world: World, machine: MachineRecord, changes: Mapping[str, str | None], *, machine_version: str | None = None
) -> None:
    """Set these keys, without a new version; None or an empty text removes a key."""
    if machine.is_destroyed:
        raise not_found("machine")
    if machine_version and machine_version != machine.instance_id:
        raise failed_precondition(f"machine version {machine_version} is not current")
    merged = {**(machine.config.get("metadata") or {}), **changes}
    machine.config = machine.config | {"metadata": {key: value for key, value in merged.items() if value}}
    machine.updated_at = world.clock
    # Observers are not notified: metadata does not decide which machines serve.
    world.keep(machine)
