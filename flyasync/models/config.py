"""The config of a machine."""

import re
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from flyasync.models.container import Container, ContainerVolume, File, Process, Restart, StopConfig
from flyasync.models.guest import Guest
from flyasync.models.model import Model, names_only, settled
from flyasync.models.service import Check, Service


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Init(Model):
    """How the main process is run. `exec` overrides the image's command, `cmd` and `entrypoint` a part of it."""

    exec: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    cmd: Sequence[str] | None = None
    tty: bool | None = None
    swap_size_mb: int | None = None
    kernel_args: Sequence[str] | None = None


def is_volume_id(text: str | None) -> bool:
    """Whether a text has the form of the id of a volume, such as `vol_4xp0z9y2gw8kq6jr`; any other is a name."""
    return re.fullmatch(r"vol_\w+", text or "") is not None


def is_volume_name(text: str) -> bool:
    """Whether the API accepts a text as the name of a volume."""
    return re.fullmatch(r"[a-z0-9_]{1,30}", text) is not None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Mount(Model):
    """The mount of a volume, by its id (`volume`), at the absolute `path`; a machine has at most one.

    The volume is extended automatically when `extend_threshold_percent` (50 to 99) of it is used: either by
    `add_size_gb` (1 to 100), or by `add_size_percent` of its size, rounded up to whole GB and at least
    `min_add_size_gb` (1 if it is not set). `size_gb_limit` is the largest size (at most 500; 0 means no limit).
    docs: machines/api/machines-resource

    A mount may name its volume instead, by `name` or in place of the id: deploys, `create_once` and `flyasync machines
    run` then take a free volume of that name in the machine's region.
    """

    volume: str | None = None
    path: str | None = None
    name: str | None = None
    encrypted: bool | None = None
    size_gb: int | None = None
    extend_threshold_percent: int | None = None
    add_size_gb: int | None = None
    add_size_percent: int | None = None
    min_add_size_gb: int | None = None
    size_gb_limit: int | None = None

    @property
    def volume_name(self) -> str | None:
        """The name of the volume if the mount has no id of one; None if it has, or has neither."""
        return None if is_volume_id(self.volume) else self.volume or self.name or None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Metrics(Model):
    """Where the platform scrapes Prometheus metrics: `port` and `path`."""

    port: int | None = None
    path: str | None = None
    https: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Static(Model):
    """Files that the proxy serves under `url_prefix`: those in `guest_path` of the image, or in a Tigris bucket."""

    guest_path: str | None = None
    url_prefix: str | None = None
    tigris_bucket: str | None = None
    index_document: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DNSOption(Model):
    """An option of resolv.conf."""

    name: str | None = None
    value: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DNSForwardRule(Model):
    """A rule that forwards queries for names under `basename` to the resolver at `addr`."""

    basename: str | None = None
    addr: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DNS(Model):
    """The DNS settings of a machine; `skip_registration` keeps it out of the app's `.internal` names."""

    skip_registration: bool | None = None
    nameservers: Sequence[str] | None = None
    searches: Sequence[str] | None = None
    options: Sequence[DNSOption] | None = None
    dns_forward_rules: Sequence[DNSForwardRule] | None = None
    hostname: str | None = None
    hostname_fqdn: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Rootfs(Model):
    """Whether the root filesystem is kept across restarts: `persist` is `never`, `restart` or `always`."""

    persist: str | int | None = None
    size_gb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CacheDrive(Model):
    """A scratch drive of `size_mb` megabytes."""

    size_mb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Spot(Model):
    """The maximum price of a spot machine, as a fraction of the full price: above 0, at most 1."""

    max_price_fraction: float | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineConfig(Model):
    """The config of a machine. An update replaces all of it, so start from the config that you read.

    Only `image` is required. `guest` and `size` cannot be combined. The values of `env` and `metadata` are strings; the
    repr does not show those of `env`. `schedule` is `hourly`, `daily`, `weekly` or `monthly`. `standbys` are the ids of
    machines for which this one is a standby. docs: machines/api/machines-resource
    """

    image: str | None = None
    guest: Guest | None = None
    size: str | None = None
    env: Mapping[str, str] | None = field(default=None, repr=names_only)
    init: Init | None = None
    services: Sequence[Service] | None = None
    checks: Mapping[str, Check] | None = None
    mounts: Sequence[Mount] | None = None
    metadata: Mapping[str, str] | None = None
    files: Sequence[File] | None = None
    restart: Restart | None = None
    stop_config: StopConfig | None = None
    auto_destroy: bool | None = None
    schedule: str | None = None
    standbys: Sequence[str] | None = None
    processes: Sequence[Process] | None = None
    containers: Sequence[Container] | None = None
    volumes: Sequence[ContainerVolume] | None = None
    dns: DNS | None = None
    metrics: Metrics | None = None
    statics: Sequence[Static] | None = None
    rootfs: Rootfs | None = None
    cache_drive: CacheDrive | None = None
    spot: Spot | None = None
    disable_machine_autostart: bool | None = None  # deprecated: a service's autostart
