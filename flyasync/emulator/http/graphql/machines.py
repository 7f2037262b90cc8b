"""Machines, volumes and snapshots."""

from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.http.graphql.apps import addresses
from flyasync.emulator.http.graphql.connections import Fields, connection, stamp
from flyasync.emulator.world import snapshots
from flyasync.emulator.world.world import World

# The prefix of a machine's private network.
_MASK_SIZE = 112


def _private_ip(_world: World, machine: MachineRecord, **page: object) -> object:
    ip = {"id": machine.private_ip, "family": "v6", "kind": "privatenet", "ip": machine.private_ip}
    return connection([{**ip, "mask_size": _MASK_SIZE}], **page)  # type: ignore[arg-type]


MACHINE: Fields = {
    "config": lambda _, machine: machine.config if machine.has_host else {},
    "app": lambda world, machine: world.apps[machine.app],
    # A host is known only for a machine with a volume; the region stands for the others.
    "host": lambda world, machine: {
        "id": world.volumes[machine.volume_id].zone if machine.volume_id in world.volumes else machine.region
    },
    "ips": _private_ip,
    "egressIpAddresses": lambda world, machine, **page: connection(
        addresses(world.apps[machine.app], is_egress=True, machine_id=machine.id), **page
    ),
    "createdAt": stamp("created_at"),
    "updatedAt": stamp("updated_at"),
}

VOLUME: Fields = {
    "internalId": lambda _, volume: volume.id,
    "state": lambda world, volume: volume.schedule.state(world.clock),
    "app": lambda world, volume: world.apps[volume.app],
    "attachedMachine": lambda world, volume: world.machines.get(volume.machine_id or ""),
    "createdAt": stamp("created_at"),
    "snapshots": lambda world, volume, **page: connection(snapshots.listed(world, volume), **page),
}

SNAPSHOT: Fields = {
    "size": lambda world, snapshot: str(0 if snapshots.is_pending(world, snapshot) else snapshot.size),
    "createdAt": stamp("created_at"),
}
