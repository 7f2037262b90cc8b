"""What is unwise in services and checks: each rule yields warnings."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from flyasync.models.lint.finding import Finding, warning
from flyasync.models.redaction import shown
from flyasync.models.service import Check, Port, Service

STOPS: Final = ("stop", "suspend")
"""The words of autostop by which the proxy stops an idle machine."""

_LAST_PORT: Final = 65535
# The platform moves the times of a service's checks into these limits (docs: machines/api/machines-resource).
_SHORTEST, _LONGEST = 1.0, 60.0  # seconds


def warn_of_services(services: Sequence[Service]) -> Iterator[Finding]:
    """Check each service by itself, then whether two of them use the same public port."""
    for number, service in enumerate(services):
        path = f"services[{number}]"
        if service.internal_port is None:
            yield warning("service-port", f"{path}.internal_port", "no port to send traffic to", "name one")
        elif not 1 <= service.internal_port <= _LAST_PORT:
            message = f"{service.internal_port} is not a port: they go from 1 to {_LAST_PORT}"
            yield warning("service-port", f"{path}.internal_port", message, "name the one that the process listens on")
        if service.protocol is None:
            yield warning("service-protocol", f"{path}.protocol", "no protocol", "write tcp or udp")
        # The two belong together (docs: launch/autostop-autostart).
        if service.autostop in STOPS and not service.autostart:
            message = f"{service.autostop} without autostart: what the proxy stops never comes back"
            yield warning("autostop-without-autostart", f"{path}.autostop", message, "set both, or neither")
        if service.autostart and service.autostop == "off":
            message = "autostart without autostop: what the proxy starts runs for ever"
            yield warning("autostart-without-autostop", f"{path}.autostart", message, "set both, or neither")
        for inside, port in enumerate(service.ports or ()):
            yield from _warn_of_port(f"{path}.ports[{inside}]", port, service.protocol)
        for inside, check in enumerate(service.checks or ()):
            yield from _warn_of_type(f"{path}.checks[{inside}]", check)
            for name in ("interval", "timeout", "grace_period"):
                seconds = getattr(check, name)
                shortest = 0.0 if name == "grace_period" else _SHORTEST
                if seconds and not shortest <= seconds <= _LONGEST:
                    message = f"{seconds} will be moved into {shortest:g} s to {_LONGEST:g} s by the platform"
                    at = f"{path}.checks[{inside}].{name}"
                    yield warning("check-clamped", at, message, "write what will be done")
    yield from _warn_of_ports_used_twice(services)


def warn_of_checks(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Check the checks at the top of a config, which have no service to take a port from."""
    for name, check in checks.items():
        if check.port is None:
            message = "a check outside a service has no port to take over"
            yield warning("check-port", f"checks.{name}.port", message, "name one")
        yield from _warn_of_type(f"checks.{name}", check)


def _warn_of_type(path: str, check: Check) -> Iterator[Finding]:
    if check.type not in {"tcp", "http"}:
        message = f"{shown(check.type)} is no known kind of check"
        yield warning("check-type", f"{path}.type", message, "write tcp or http")


def _warn_of_port(path: str, port: Port, protocol: str | None) -> Iterator[Finding]:
    if port.port_range is None:
        message = "no port, so nothing is reached from outside"
        yield warning("public-port", path, message, "set port, or both start_port and end_port")
    else:
        first, last = port.port_range
        if not 1 <= first <= last <= _LAST_PORT:
            message = f"{first if first == last else f'{first} to {last}'} is not a port, or a range of them"
            yield warning("public-port", path, message, f"they go from 1 to {_LAST_PORT}, the lower first")
    if protocol == "udp" and port.handlers:
        yield warning("udp-handlers", f"{path}.handlers", "handlers read TCP only", "leave them empty for udp")


def _warn_of_ports_used_twice(services: Sequence[Service]) -> Iterator[Finding]:
    # Sorted by protocol and first port, a range that overlaps any other one overlaps a neighbour.
    taken = sorted(
        (service.protocol or "tcp", *port.port_range, f"services[{number}].ports[{inside}]")
        for number, service in enumerate(services)
        for inside, port in enumerate(service.ports or ())
        if port.port_range is not None
    )
    for (protocol, _, until, path), (other_protocol, first, _, other_path) in pairwise(taken):
        if protocol == other_protocol and first <= until:
            message = f"the public port {first} is that of {path} too, and only one of them can have it"
            yield warning("port-twice", other_path, message, "keep one of the two, or change its port")
