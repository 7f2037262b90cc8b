"""IP addresses: assigned to apps and released."""

from collections.abc import Callable
from random import Random

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import bad_request, not_found
from flyasync.emulator.core.records import AppRecord
from flyasync.emulator.core.regions import CODES, NEAREST
from flyasync.emulator.core.resources import AddressRecord
from flyasync.emulator.world.world import World

_EGRESS = "egress-pair"
_SHARED = "shared_v4"


def assign(world: World, app: AppRecord, kind: str, *, region: str, service_name: str) -> list[AddressRecord]:
    """Assign an address of this type, or the two of a pair; the shared one is the same at each time."""
    if kind not in _DRAW:
        raise bad_request(f"invalid type: {kind!r}")
    if region not in {"", "global", *CODES}:
        raise bad_request(f"unknown region {region!r}")
    shared = [address for address in app.addresses.values() if address.is_shared]
    if kind == _SHARED and shared:
        return shared
    found = [_address(world, kind, ip, region, service_name) for ip in _DRAW[kind](world.random)]
    app.addresses |= {address.ip: address for address in found}
    return found


def release(app: AppRecord, ip: str) -> None:
    """Take an address away, or refuse with 404."""
    if ip not in app.addresses:
        raise not_found("ip assignment")
    del app.addresses[ip]


def _address(world: World, kind: str, ip: str, region: str, service_name: str) -> AddressRecord:
    is_egress = kind == _EGRESS
    return AddressRecord(
        ip=ip,
        type=kind,
        region=region or (NEAREST if is_egress else "global"),
        service_name=service_name,
        created_at=world.clock,
        is_shared=kind == _SHARED,
        is_egress=is_egress,
    )


def _v4(random: Random) -> tuple[str, ...]:
    return (f"137.66.{random.randint(0, 255)}.{random.randint(1, 254)}",)


def _v6(random: Random) -> tuple[str, ...]:
    return (f"2a09:8280:1::{random.randint(1, 0xFFFF):x}:{random.randint(1, 0xFFFF):x}",)


def _shared_v4(random: Random) -> tuple[str, ...]:
    return (f"66.241.{random.randint(124, 125)}.{random.randint(1, 254)}",)


def _private_v6(random: Random) -> tuple[str, ...]:
    return (ids.private_ip(random),)


def _pair(random: Random) -> tuple[str, ...]:
    return _v4(random) + _v6(random)


_DRAW: dict[str, Callable[[Random], tuple[str, ...]]] = {
    "v4": _v4,
    "v6": _v6,
    _SHARED: _shared_v4,
    "private_v6": _private_v6,
    _EGRESS: _pair,
}
