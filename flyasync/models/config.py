"""What a machine is asked to be."""

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from flyasync.models.container import Container, ContainerVolume, File, Process, Restart, StopConfig
from flyasync.models.guest import Guest
from flyasync.models.model import Model, names_only, settled
from flyasync.models.service import Check, Service


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Init(Model):
    """How the main process is run; `exec` overrides all that the image says, `cmd` and `entrypoint` their own part."""

    exec: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    cmd: Sequence[str] | None = None
    tty: bool | None = None
    swap_size_mb: int | None = None
    kernel_args: Sequence[str] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Mount(Model):
    """A volume, by its id (`volume`), seen by the machine at the absolute `path`; a machine has at most one.

    It may grow by itself: by `add_size_gb` (1 to 100) when `extend_threshold_percent` (50 to 99) of it is used, up to
    `size_gb_limit` (at most 500; 0 is no limit). docs: machines/api/machines-resource
    """

    volume: str | None = None
    path: str | None = None
    name: str | None = None
    encrypted: bool | None = None
    size_gb: int | None = None
    extend_threshold_percent: int | None = None
    add_size_gb: int | None = None
    size_gb_limit: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Metrics(Model):
    """Where the platform scrapes Prometheus metrics: `port` and `path`."""

    port: int | None = None
    path: str | None = None
    https: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Static(Model):
    """Files that the proxy serves by itself: `guest_path` of the image, or a Tigris bucket, under `url_prefix`."""

    guest_path: str | None = None
    url_prefix: str | None = None
    tigris_bucket: str | None = None
    index_document: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DNSOption(Model):
    """A line `options` of resolv.conf."""

    name: str | None = None
    value: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DNSForwardRule(Model):
    """Names under `basename` are asked of the resolver at `addr`."""

    basename: str | None = None
    addr: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DNS(Model):
    """How the machine asks and is asked for names; `skip_registration` keeps it out of the app's `.internal` names."""

    skip_registration: bool | None = None
    nameservers: Sequence[str] | None = None
    searches: Sequence[str] | None = None
    options: Sequence[DNSOption] | None = None
    dns_forward_rules: Sequence[DNSForwardRule] | None = None
    hostname: str | None = None
    hostname_fqdn: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Rootfs(Model):
    """Whether the root filesystem outlives a restart: `persist` is `never`, `restart` or `always`."""

    persist: str | int | None = None
    size_gb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CacheDrive(Model):
    """A scratch drive of `size_mb` megabytes."""

    size_mb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Spot(Model):
    """What is paid at most, as a fraction of the full price: above 0, up to 1."""

    max_price_fraction: float | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineConfig(Model):
    """What a machine is asked to be; an update replaces all of it, so send back what you read with your change made.

    Only `image` is required. `guest` and `size` exclude each other. `env` and `metadata` hold texts only; the values of
    `env` stay out of the repr. `schedule` is `hourly`, `daily`, `weekly` or `monthly`. `standbys` are ids of machines
    to stand in for. docs: machines/api/machines-resource
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
