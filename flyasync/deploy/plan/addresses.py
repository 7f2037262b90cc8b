"""Which addresses an app needs so that its public services are reachable, and the texts about them; pure."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

from flyasync.deploy.plan.fleet import is_in
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.models.config import MachineConfig
from flyasync.models.ip_assignment import IPAssignment
from flyasync.models.machine import Machine
from flyasync.models.service import Port

AddressType = Literal["shared_v4", "v4", "v6"]
"""The types of addresses that a first deploy allocates."""

# The ports on which the proxy finds the app of a shared address by the host name, and the handlers that this needs.
_SHARED: Final = {80: ({"http"},), 443: ({"tls", "http"},)}
_NAMES: Final = {"shared_v4": "a shared IPv4", "v4": "a dedicated IPv4 (billed)", "v6": "an IPv6"}


def is_public(config: MachineConfig) -> bool:
    """Whether a config has a service with public ports."""
    return any(service.ports for service in config.services or ())


def suitable(configs: Iterable[MachineConfig]) -> tuple[AddressType, ...]:
    """Return the types of addresses with which the public services of these configs are reachable; () for none.

    A shared IPv4 and an IPv6 serve HTTP on port 80, and HTTP over TLS on port 443. Anything else needs a dedicated
    IPv4, which is billed. UDP works over IPv4 only, so an app with UDP gets no IPv6, which some of its users would try
    first. docs: networking/services, networking/udp-and-tcp
    """
    services = [service for config in configs for service in config.services or () if service.ports]
    if not services:
        return ()
    if any(service.protocol == "udp" for service in services):
        return ("v4",)
    is_shareable = all(_is_shareable(port) for service in services for port in service.ports or ())
    return ("shared_v4", "v6") if is_shareable else ("v4", "v6")


def _is_shareable(port: Port) -> bool:
    """Whether a shared IPv4 serves a port."""
    least, most = port.port_range or (0, 0)
    return least == most and set(port.handlers or ()) in _SHARED.get(least, ())


def needed(
    configs: Iterable[MachineConfig], addresses: Collection[IPAssignment], machines: Collection[Machine]
) -> tuple[AddressType, ...]:
    """Return the types of addresses that a first deploy of these configs has to allocate.

    1. The app has machines, besides one of a release command: none, even if none of them has public services. An
       address makes an app reachable from everywhere and may be billed, so in an app that runs already its owner
       decides: the plan and the report show the commands that allocate what is lacking.
    2. It has no address: those that are suitable.
    3. It has only the first of two: the other one, an IPv6, which is not billed. A first deploy that was killed in
       between leaves exactly that. The API does not show who has allocated an address, so one like it that the app's
       owner has allocated by hand is completed too.
    4. It has other addresses, such as Flycast, egress, an IPv6 alone, or one of a region or a service: a first deploy
       allocates none of these first, so its owner has decided already.
    """
    if any(not is_in(machine, RELEASE_GROUP) for machine in machines):
        return ()
    types = suitable(configs)
    there = tuple(map(type_of, addresses))
    is_ours = all(map(_is_plain, addresses)) and there == types[: len(there)]
    return types[len(there) :] if is_ours else ()


def _is_plain(address: IPAssignment) -> bool:
    """Whether an address is like those that a first deploy allocates: of the whole app, in no region."""
    return reaches(address) and address.region in {None, "", "global"} and not address.service_name


def type_of(address: IPAssignment) -> str:
    """Return the type of an address, which the API does not always show."""
    if address.type:
        return address.type
    if ":" in (address.ip or ""):
        return "private_v6" if str(address.ip).startswith("fdaa:") else "v6"
    return "shared_v4" if address.shared else "v4"


def reaches(address: IPAssignment) -> bool:
    """Whether an app can be reached at an address; an egress address is only for its own connections."""
    return not (address.egress or "egress" in (address.type or ""))


def allocation(types: Sequence[AddressType]) -> str:
    """Return what is allocated, in words: `allocate a shared IPv4 and an IPv6`."""
    return f"allocate {' and '.join(_NAMES[kind] for kind in types)}"


def remark_on(
    app: str, configs: Collection[MachineConfig], addresses: Collection[IPAssignment] | None
) -> tuple[str, ...]:
    """Return the remark of `no_address`, if it applies; None stands for addresses that are not known."""
    is_reachable = addresses is None or any(map(reaches, addresses))
    return () if is_reachable or not any(map(is_public, configs)) else (no_address(app, configs),)


def no_address(app: str, configs: Iterable[MachineConfig]) -> str:
    """Return the remark for an app that has public services, but no address at which it can be reached."""
    types = suitable(configs)
    commands = ", and ".join(f"flyasync ips allocate {app} --type {kind}" for kind in types)
    both = " both kinds" if len(types) > 1 else " one"
    return f"{app} has no IP address, so its services are not reachable from outside; to allocate{both}: {commands}"


def url(app: str, configs: Iterable[MachineConfig]) -> str | None:
    """Return the URL of an app whose configs have a public web server: https where a port has TLS, else http."""
    ports = [port for config in configs for service in config.services or () for port in service.ports or ()]
    web = {port.port: set(port.handlers or ()) for port in ports if "http" in (port.handlers or ())}
    if "tls" in web.get(443, ()):
        return f"https://{app}.fly.dev"
    return f"http://{app}.fly.dev" if 80 in web else None  # noqa: PLR2004 - the port of http
