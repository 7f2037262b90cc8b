"""Leases: who holds a machine, and who may change it meanwhile."""

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError, LeaseError, bad_request, not_found
from flyasync.emulator.core.records import LeaseRecord, MachineRecord
from flyasync.emulator.world.world import World

# The API documents no default.
_DEFAULT_TTL = 30
# Nor does it document a longest; this one keeps the moment at which a lease expires in the calendar.
_LONGEST_TTL = 10**8


def current(world: World, machine: MachineRecord) -> LeaseRecord | None:
    """Return the lease in force, if any."""
    lease = machine.lease
    return lease if lease is not None and lease.expires_at > world.clock else None


def guard(world: World, machine: MachineRecord, nonce: str | None) -> None:
    """Raise 409 for a change to a machine that another client holds."""
    lease = current(world, machine)
    if lease is not None and lease.nonce != nonce:
        # Outside the lease calls the text is the same, but its time is RFC 3339, and there is no envelope.
        raise ApiError(409, _held(machine, lease, world.stamp(lease.expires_at)))


def seconds(ttl: int | None) -> int:
    """Return how long a lease lasts that asks for `ttl` seconds; 0 or None is the default."""
    if ttl is not None and not 0 <= ttl <= _LONGEST_TTL:
        raise bad_request(f"invalid ttl: {ttl}")
    return ttl or _DEFAULT_TTL


def grant(world: World, machine: MachineRecord, *, ttl: int | None, owner: str, description: str = "") -> LeaseRecord:
    """Lease the machine to a new holder for `ttl` seconds."""
    machine.lease = LeaseRecord(
        nonce=ids.hexadecimal(world.random, 12),
        owner=owner,
        expires_at=world.clock + seconds(ttl),
        description=description,
        # flyctl compares this with the version it holds, to skip reading the machine again.
        version=machine.instance_id,
    )
    return machine.lease


def acquire(
    world: World, app: str, machine_id: str, *, ttl: int | None, owner: str, description: str, nonce: str | None
) -> LeaseRecord:
    """Acquire the lease; with its nonce, extend it to `ttl` seconds from now under the same nonce."""
    machine = _live(world, app, machine_id)
    if nonce:
        lease = _own(world, machine, nonce)
        lease.expires_at = world.clock + seconds(ttl)
        lease.version = machine.instance_id
        return lease
    if held := current(world, machine):
        raise _held_by_another(world, machine, held)
    return grant(world, machine, ttl=ttl, owner=owner, description=description)


def release(world: World, app: str, machine_id: str, *, nonce: str | None) -> None:
    """Release the lease that the nonce belongs to."""
    machine = _live(world, app, machine_id)
    _own(world, machine, nonce)
    machine.lease = None


def read(world: World, app: str, machine_id: str) -> LeaseRecord:
    """Return the lease in force; where there is none, raise 404."""
    return _found(current(world, _live(world, app, machine_id)))


def _live(world: World, app: str, machine_id: str) -> MachineRecord:
    # A lease dies with its machine, although the machine stays readable.
    machine = world.machine(app, machine_id)
    if machine.is_destroyed:
        raise not_found("machine")
    return machine


def _own(world: World, machine: MachineRecord, nonce: str | None) -> LeaseRecord:
    lease = _found(current(world, machine))
    if lease.nonce != nonce:
        raise _held_by_another(world, machine, lease)
    return lease


def _found(lease: LeaseRecord | None) -> LeaseRecord:
    if lease is None:
        raise LeaseError(404, "lease not found", code="not_found")
    return lease


def _held_by_another(world: World, machine: MachineRecord, lease: LeaseRecord) -> LeaseError:
    expires = world.moment(lease.expires_at).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    return LeaseError(409, _held(machine, lease, expires), code="invalid")


def _held(machine: MachineRecord, lease: LeaseRecord, expires: str) -> str:
    return f"machine ID {machine.id} lease currently held by {lease.owner}, expires at {expires}"
