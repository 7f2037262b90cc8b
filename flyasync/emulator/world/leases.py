"""Leases: who holds a machine, and who may change it."""

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError, LeaseError, bad_request, not_found
from flyasync.emulator.core.records import LeaseRecord, MachineRecord
from flyasync.emulator.world.world import World

# The API documents no default.
_DEFAULT_TTL = 30
# Nor does it document a maximum; this one keeps the expiry within the calendar.
_LONGEST_TTL = 10**8


def current(world: World, machine: MachineRecord) -> LeaseRecord | None:
    """Return the current lease, if any."""
    lease = machine.lease
    return lease if lease is not None and lease.expires_at > world.clock else None


def guard(world: World, machine: MachineRecord, nonce: str | None) -> None:
    """Raise 409 for a change to a machine that is leased by another client."""
    lease = current(world, machine)
    if lease is not None and lease.nonce != nonce:
        # Outside the lease routes the text is the same, but its time is RFC 3339, and there is no envelope.
        raise ApiError(409, _held(machine, lease, world.stamp(lease.expires_at)))


def seconds(ttl: int | None) -> int:
    """Return the duration of a lease for a requested `ttl` in seconds; the default for 0 or None."""
    if ttl is not None and not 0 <= ttl <= _LONGEST_TTL:
        raise bad_request(f"invalid ttl: {ttl}")
    return ttl or _DEFAULT_TTL


def grant(world: World, machine: MachineRecord, *, ttl: int | None, owner: str, description: str = "") -> LeaseRecord:
    """Create a lease for a new holder, for `ttl` seconds."""
    machine.lease = LeaseRecord(
        nonce=ids.hexadecimal(world.random, 12),
        owner=owner,
        expires_at=world.clock + seconds(ttl),
        description=description,
        # flyctl compares this with the version it has, to avoid another read of the machine.
        version=machine.instance_id,
    )
    return machine.lease


def acquire(
    world: World, app: str, machine_id: str, *, ttl: int | None, owner: str, description: str, nonce: str | None
) -> LeaseRecord:
    """Acquire the lease; with its nonce, extend it to `ttl` seconds from now and keep the nonce."""
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
    """Return the current lease; raise 404 if there is none."""
    return _found(current(world, _live(world, app, machine_id)))


def _live(world: World, app: str, machine_id: str) -> MachineRecord:
    # A lease ends with its machine, although the machine stays readable.
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
