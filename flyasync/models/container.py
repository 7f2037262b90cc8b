"""The processes and containers of machines that run more than one."""

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from flyasync.models.model import Model, names_only, settled
from flyasync.models.service import HTTPHeader
from flyasync.models.types import Duration, duration


@frozen(kw_only=True, repr=False, field_transformer=settled)
class File(Model):
    """A file that is written to the absolute `guest_path` before the machine's processes start.

    Its content is exactly one of `raw_value` (base64), `secret_name` (a secret in base64) and `image_config` (an image
    whose OCI config is the content). `mode` is the permission bits, such as `0o644`.
    """

    guest_path: str | None = None
    raw_value: str | None = field(default=None, repr=False)
    secret_name: str | None = None
    image_config: str | None = None
    mode: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class EnvFrom(Model):
    """An environment variable with a property of the machine.

    `field_ref` is `id`, `version`, `app_name`, `private_ip`, `region` or `image`.
    """

    env_var: str | None = None
    field_ref: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineSecret(Model):
    """An app secret that a process or container gets as the environment variable `env_var`."""

    env_var: str | None = None
    name: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Process(Model):
    """One of several processes of a machine; the repr does not show the values of `env`."""

    exec: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    cmd: Sequence[str] | None = None
    user: str | None = None
    env: Mapping[str, str] | None = field(default=None, repr=names_only)
    env_from: Sequence[EnvFrom] | None = None
    secrets: Sequence[MachineSecret] | None = None
    ignore_app_secrets: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Restart(Model):
    """Whether the main process is restarted when it ends: `policy` is `no`, `always` or `on-failure`.

    `max_retries` applies only to on-failure, within five minutes. docs: machines/guides-examples/machine-restart-policy
    """

    policy: str | None = None
    max_retries: int | None = None
    gpu_bid_price: float | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class StopConfig(Model):
    """How a machine is stopped: by `signal`, then SIGKILL after `timeout` (seconds or a Go duration, at most 300 s)."""

    timeout: Duration | None = field(default=None, converter=duration)
    signal: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ContainerDependency(Model):
    """A container to wait for until it is `started`, `healthy` or `exited_successfully` (`condition`)."""

    name: str | None = None
    condition: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class HTTPHealthcheck(Model):
    """A request over `scheme` http or https that must succeed."""

    port: int | None = None
    method: str | None = None
    path: str | None = None
    headers: Sequence[HTTPHeader] | None = None
    scheme: str | None = None
    tls_skip_verify: bool | None = None
    tls_server_name: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class TCPHealthcheck(Model):
    """A port that must accept a connection."""

    port: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ExecHealthcheck(Model):
    """A command that must end with exit code 0."""

    command: Sequence[str] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ContainerHealthcheck(Model):
    """A check of one container: exactly one of `http`, `tcp` and `exec`.

    `interval`, `timeout` and `grace_period` are whole seconds, unlike those of a service's check. `kind` is `readiness`
    or `liveness`; `unhealthy` is the action for an unhealthy container: `stop`.
    """

    name: str | None = None
    kind: str | None = None
    interval: int | None = None
    timeout: int | None = None
    grace_period: int | None = None
    success_threshold: int | None = None
    failure_threshold: int | None = None
    unhealthy: str | None = None
    http: HTTPHealthcheck | None = None
    tcp: TCPHealthcheck | None = None
    exec: ExecHealthcheck | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ContainerMount(Model):
    """A mount of one of the config's `volumes`, by `name`, at `path` in a container."""

    name: str | None = None
    path: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Container(Model):
    """One of several containers of a machine; it gets only the app secrets that it lists.

    The repr does not show the values of `env`. docs: machines/guides-examples/multi-container-machines
    """

    name: str | None = None
    image: str | None = None
    exec: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    cmd: Sequence[str] | None = None
    user: str | None = None
    env: Mapping[str, str] | None = field(default=None, repr=names_only)
    env_from: Sequence[EnvFrom] | None = None
    secrets: Sequence[MachineSecret] | None = None
    files: Sequence[File] | None = None
    mounts: Sequence[ContainerMount] | None = None
    restart: Restart | None = None
    stop: StopConfig | None = None
    depends_on: Sequence[ContainerDependency] | None = None
    healthchecks: Sequence[ContainerHealthcheck] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class TempDir(Model):
    """A directory that exists while the machine runs, on `disk` or in `memory` (`storage_type`)."""

    storage_type: str | None = None
    size_mb: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ContainerVolume(Model):
    """A directory that containers can mount by `name`: a `temp_dir`, or the content of an `image`."""

    name: str | None = None
    temp_dir: TempDir | None = None
    image: str | None = None
