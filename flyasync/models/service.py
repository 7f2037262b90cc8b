"""Services: the traffic that the Fly Proxy sends to a machine, and the health checks."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Autostop, Duration, autostop, duration


@frozen(kw_only=True, repr=False, field_transformer=settled)
class HTTPHeader(Model):
    """A header that a check sends. The repr does not show its values, which may contain a token."""

    name: str | None = None
    values: Sequence[str] | None = field(default=None, repr=False)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Check(Model):
    """A periodic health check of a machine, of type `tcp` or `http`.

    In a service, it determines whether the proxy sends traffic. At the top of a config, where it needs a `port`, it is
    only informative unless `kind` is `readiness`. Times are in seconds, or Go durations such as `"15s"`. At the top of
    a config `interval` must be at least 2 s and `timeout` at most 60 s; in a service the platform limits both to 1 s to
    60 s. docs: machines/api/machines-resource
    """

    type: str | None = None
    port: int | None = None
    interval: Duration | None = field(default=None, converter=duration)
    timeout: Duration | None = field(default=None, converter=duration)
    grace_period: Duration | None = field(default=None, converter=duration)
    kind: str | None = None
    method: str | None = None
    path: str | None = None
    protocol: str | None = None
    headers: Sequence[HTTPHeader] | None = None
    tls_skip_verify: bool | None = None
    tls_server_name: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class TLSOptions(Model):
    """The TLS options of a port: the protocols in `alpn`, and `versions` such as `TLSv1.3`."""

    alpn: Sequence[str] | None = None
    versions: Sequence[str] | None = None
    default_self_signed: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ReplayCache(Model):
    """How long the proxy caches a replay; `ttl_seconds` is at least 10, `type` is `cookie` or `header`."""

    path_prefix: str | None = None
    ttl_seconds: int | None = None
    type: str | None = None
    name: str | None = None
    allow_bypass: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class HTTPResponseOptions(Model):
    """Response headers that the proxy sets: to a string or a list of strings, or false to remove one."""

    headers: Mapping[str, Any] | None = None
    pristine: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class HTTPOptions(Model):
    """The HTTP options of a port; both timeouts are whole seconds."""

    compress: bool | None = None
    h2_backend: bool | None = None
    idle_timeout: int | None = None
    headers_read_timeout: int | None = None
    response: HTTPResponseOptions | None = None
    replay_cache: Sequence[ReplayCache] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ProxyProtoOptions(Model):
    """The `version` of the PROXY protocol: `"2"` for the binary format."""

    version: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Port(Model):
    """A public port: `port`, or the range from `start_port` to `end_port`.

    `handlers` are `http`, `tls`, `pg_tls` and `proxy_proto`. Without handlers the port is raw TCP; UDP supports none.
    `force_https` needs the http handler. docs: networking/services
    """

    port: int | None = None
    start_port: int | None = None
    end_port: int | None = None
    handlers: Sequence[str] | None = None
    force_https: bool | None = None
    tls_options: TLSOptions | None = None
    http_options: HTTPOptions | None = None
    proxy_proto_options: ProxyProtoOptions | None = None

    @property
    def port_range(self) -> tuple[int, int] | None:
        """The first and the last public port; None if either is missing."""
        first, last = (self.start_port, self.end_port) if self.port is None else (self.port, self.port)
        return None if first is None or last is None else (first, last)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Concurrency(Model):
    """The load limits of one machine, counted in `connections` or `requests` (`type`).

    Above `soft_limit` the proxy prefers other machines; above `hard_limit` it sends nothing.
    """

    type: str | None = None
    soft_limit: int | None = None
    hard_limit: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Service(Model):
    """Traffic from public ports to one `internal_port`, over `tcp` or `udp`.

    `autostop` is `off`, `stop` or `suspend`. Without `autostart`, machines that it stops are not started again.
    `min_machines_running` applies only to the app's primary region. All machines of a process group should have equal
    services, which the proxy assumes. docs: machines/api/machines-resource, launch/autostop-autostart
    """

    protocol: str | None = None
    internal_port: int | None = None
    ports: Sequence[Port] | None = None
    autostop: Autostop | None = field(default=None, converter=autostop)
    autostart: bool | None = None
    min_machines_running: int | None = None
    concurrency: Concurrency | None = None
    checks: Sequence[Check] | None = None
    force_instance_key: str | None = None
    force_instance_description: str | None = None
