"""Hostnames of machines and apps, in the private network and on the internet.

The `.internal` names resolve to the private (6PN) addresses of started machines, within the same organization and
network. The addresses may change, the names do not. docs: networking/private-networking
"""

from flyasync.errors import InvalidInput
from flyasync.models.machine import machine_host

__all__ = [
    "all_machines_txt",
    "all_regions_txt",
    "app_host",
    "apps_txt",
    "flycast_host",
    "global_host",
    "instances_txt",
    "machine_host",
    "machines_txt",
    "metadata_host",
    "nearest_host",
    "peer_host",
    "process_group_host",
    "public_host",
    "region_host",
    "regions_txt",
]


def app_host(app: str) -> str:
    """Return the name of all started machines of an app."""
    return f"{app}.internal"


def global_host(app: str) -> str:
    """Return the name of all started machines of an app, wherever they are."""
    return f"global.{app}.internal"


def region_host(app: str, region: str) -> str:
    """Return the name of an app's started machines in one region, such as `lhr`."""
    return f"{region}.{app}.internal"


def process_group_host(app: str, group: str) -> str:
    """Return the name of an app's started machines of one process group, such as `worker`."""
    return f"{group}.process.{app}.internal"


def nearest_host(app: str, count: int = 1) -> str:
    """Return the name of the `count` started machines of an app nearest to the caller. Raise InvalidInput below 1."""
    if count < 1:
        raise InvalidInput(f"count is {count!r}, but must be 1 or more")
    return f"top{count}.nearest.of.{app}.internal"


def metadata_host(app: str, key: str, value: str) -> str:
    """Return the name of an app's started machines whose metadata has `value` under `key`."""
    return f"{value}.{key}.kv._metadata.{app}.internal"


def peer_host(peer: str) -> str:
    """Return the name of a WireGuard peer of the organization."""
    return f"{peer}._peer.internal"


def flycast_host(app: str) -> str:
    """Return the name of an app's private address behind the Fly Proxy, which starts machines as needed.

    It needs a private IPv6 assignment and a service without `force_https`. docs: networking/flycast
    """
    return f"{app}.flycast"


def public_host(app: str) -> str:
    """Return the name of an app for the public internet."""
    return f"{app}.fly.dev"


def machines_txt(app: str) -> str:
    """Return the name of the TXT record that lists id and region of an app's started machines."""
    return f"vms.{app}.internal"


def all_machines_txt(app: str) -> str:
    """Return the name of the TXT record that lists id and region of all machines of an app, stopped ones included."""
    return f"all.vms.{app}.internal"


def regions_txt(app: str) -> str:
    """Return the name of the TXT record that lists the regions of an app's started machines."""
    return f"regions.{app}.internal"


def all_regions_txt(app: str) -> str:
    """Return the name of the TXT record that lists the regions of all machines of an app, stopped ones included."""
    return f"all.regions.{app}.internal"


def apps_txt() -> str:
    """Return the name of the TXT record that lists the organization's apps."""
    return "_apps.internal"


def instances_txt(*, stopped: bool = False) -> str:
    """Return the name of the TXT record that lists the organization's started machines; with `stopped`, all of them."""
    return "all._instances.internal" if stopped else "_instances.internal"
