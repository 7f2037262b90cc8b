"""The options that describe a machine, and what they change in a config."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flyasync.cli.shared.option_types import pairs
from flyasync.cli.shared.parameters import metadata_option

if TYPE_CHECKING:
    from flyasync.models.config import MachineConfig

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--size", metavar="NAME", help="Named size, such as shared-cpu-2x; --memory can raise its memory."),
    click.option("--cpus", type=click.IntRange(min=1), metavar="N", help="Number of CPUs."),
    click.option("--memory", type=click.IntRange(min=1), metavar="MB", help="Memory in MB."),
    click.option(
        "--env",
        metavar="NAME=VALUE",
        multiple=True,
        callback=pairs,
        help="Environment variable; may be repeated. For secrets, use flyasync secrets.",
    ),
    metadata_option,
)
port_option = click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Port of the web server in the machine; the proxy serves it on ports 80 and 443.",
)


def config_options(function: Function) -> Function:
    """Add the options that describe a machine."""
    # Decorators apply from the bottom up, so the last one is first in the help.
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True)
class ConfigChange:
    """Changes of a config; a field that is None or empty changes nothing."""

    image: str | None = None
    size: str | None = None
    cpus: int | None = None
    memory: int | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)
    unset_env: tuple[str, ...] = ()

    def applied(self, config: "MachineConfig") -> "MachineConfig":
        """Return the changed config; raises UsageError if both a size and CPUs are given."""
        from attrs import evolve

        from flyasync.models.guest import Guest

        changes: dict[str, Any] = {}
        if self.image is not None:
            changes["image"] = self.image
        # A named size replaces the whole guest. CPUs and memory alone change the current guest, which the config may
        # state as a size.
        if self.size is not None and self.cpus is not None:
            raise click.UsageError("--size includes the CPUs, so it cannot be combined with --cpus")
        if self.size is not None:
            changes |= {"guest": Guest.of_size(self.size, self.memory), "size": None}
        elif (self.cpus, self.memory) != (None, None):
            guest = config.guest or (Guest.of_size(config.size) if config.size else Guest())
            guest = guest if self.cpus is None else evolve(guest, cpus=self.cpus)
            guest = guest if self.memory is None else evolve(guest, memory_mb=self.memory)
            changes |= {"guest": guest, "size": None}
        # A variable that is set and unset at once is set: it is unset first.
        if self.env or self.unset_env:
            kept = {name: value for name, value in (config.env or {}).items() if name not in self.unset_env}
            changes["env"] = {**kept, **self.env}
        if self.metadata:
            changes["metadata"] = {**(config.metadata or {}), **self.metadata}
        return evolve(config, **changes)


def with_port(config: "MachineConfig", port: int | None) -> "MachineConfig":
    """Return a config with a service: the Fly Proxy routes ports 80 and 443 to the web server on `port`."""
    if port is None:
        return config
    from attrs import evolve

    from flyasync.models.service import Port, Service

    outside = (
        Port(port=80, handlers=("http",), force_https=True),
        Port(port=443, handlers=("tls", "http")),
    )
    return evolve(config, services=(Service(protocol="tcp", internal_port=port, ports=outside),))
