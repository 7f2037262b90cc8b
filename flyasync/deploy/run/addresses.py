"""Whether an app whose machines serve has an IP address, without which nothing outside reaches it."""

from flyasync.api.client import FlyClient
from flyasync.errors import FlyError
from flyasync.models.config import MachineConfig


async def lacking_address(fly: FlyClient, app: str, config: MachineConfig) -> tuple[str, ...]:
    """Return a remark on how to allocate an address, if a config states services and its app has none.

    An address to call out from is none of these. What the token may not see is left open.
    """
    if not serves(config):
        return ()
    try:
        addresses = await fly.ip_assignments.list(app)
    except FlyError:
        return ()
    is_reached = any(not (each.egress or "egress" in (each.type or "")) for each in addresses)
    return () if is_reached else (no_address(app),)


def serves(config: MachineConfig) -> bool:
    """Whether a config states a service that is to be reached from outside."""
    return any(service.ports for service in config.services or ())


def no_address(app: str) -> str:
    """Return the remark on an app without an address."""
    allocate = f"flyasync ips allocate {app} --type"
    return (
        f"{app} has no IP address, so nothing outside reaches its services; to allocate both kinds: "
        f"{allocate} shared_v4, and {allocate} v6"
    )
