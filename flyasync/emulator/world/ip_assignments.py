"""IP addresses: assign them to apps, and release them."""

from random import Random

from attrs import evolve

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import bad_request, not_found
from flyasync.emulator.core.records import AddressRecord, AppRecord
from flyasync.emulator.core.regions import CODES, NEAREST
from flyasync.emulator.world.world import World

# Both spellings of a pair: the text of the API document has one, its list of types the other.
_EGRESS = {
    "egress_v4": ("egress_v4",),
    "egress_v6": ("egress_v6",),
    "egress-pair": ("egress_v4", "egress_v6"),
    "egress_pair": ("egress_v4", "egress_v6"),
}
KINDS = ("v4", "v6", "shared_v4", "private_v6", *_EGRESS)


def assign(
    world: World,
    app: AppRecord,
    kind: str,
    *,
    region: str = "",
    service_name: str = "",
    network: str = "",
    network_org: str = "",
    machine_id: str = "",
) -> list[AddressRecord]:
    """Assign an address of this type, or both of a pair; the shared address of an app is always the same."""
    if kind not in KINDS:
        raise bad_request(f"invalid type: {kind!r}")
    if region not in {"", "global", *CODES}:
        raise bad_request(f"unknown region {region!r}")
    # An app has at most one shared address: the proxy distinguishes apps by host name.
    if kind == "shared_v4" and (shared := [address for address in app.addresses.values() if address.is_shared]):
        return shared
    is_egress = kind in _EGRESS
    found = [
        AddressRecord(
            ip=_ip(world.random, each),
            type=each,
            # An egress address belongs to a region; an ingress address is announced everywhere.
            region=region or (NEAREST if is_egress else "global"),
            service_name=service_name,
            created_at=world.clock,
            is_shared=kind == "shared_v4",
            is_egress=is_egress,
            network=network,
            network_org=network_org,
            machine_id=machine_id,
        )
        for each in _EGRESS.get(kind, (kind,))
    ]
    app.addresses |= {address.ip: address for address in found}
    return found


def release(app: AppRecord, ip: str) -> None:
    """Release an address; an unknown one raises 404."""
    if ip not in app.addresses:
        raise not_found("ip assignment")
    del app.addresses[ip]


def promote(app: AppRecord, ip: str) -> None:
    """Take the egress address of a machine, and the other of its pair, from it; another address raises 404."""
    owner = app.addresses[ip].machine_id if ip in app.addresses else ""
    if not owner:
        raise not_found("egress ip")
    app.addresses |= {
        each.ip: evolve(each, machine_id="") for each in app.addresses.values() if each.machine_id == owner
    }


def _ip(random: Random, kind: str) -> str:
    match kind:
        case "shared_v4":
            return f"66.241.{random.randint(124, 125)}.{random.randint(1, 254)}"
        case "private_v6":
            # Flycast: a private address behind the proxy.
            return ids.private_ip(random)
        case "v4" | "egress_v4":
            return f"137.66.{random.randint(0, 255)}.{random.randint(1, 254)}"
    return f"2a09:8280:1::{random.randint(1, 0xFFFF):x}:{random.randint(1, 0xFFFF):x}"
