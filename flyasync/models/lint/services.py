"""Rules for services and checks; they yield warnings."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from flyasync.models.lint.finding import Finding, warning
from flyasync.models.redaction import shown
from flyasync.models.service import Check, Port, Service

STOPS: Final = ("stop", "suspend")
"""The values of autostop with which the proxy stops an idle machine."""

_LAST_PORT: Final = 65535
# The platform changes the times of a service's checks to fit these limits (docs: machines/api/machines-resource).
_SHORTEST, _LONGEST = 1.0, 60.0  # seconds


def warn_of_services(services: Sequence[Service]) -> Iterator[Finding]:
    """Check each service, then whether two of them use the same public port."""
    for number, service in enumerate(services):
        path = f"services[{number}]"
        if service.internal_port is None:
            yield warning("service-port", f"{path}.internal_port", "no port to send traffic to", "set it")
        elif not 1 <= service.internal_port <= _LAST_PORT:
            message = f"{service.internal_port} is not a port from 1 to {_LAST_PORT}"
            yield warning("service-port", f"{path}.internal_port", message, "use the port that the process listens on")
        if service.protocol is None:
            yield warning("service-protocol", f"{path}.protocol", "no protocol", "use tcp or udp")
        # The two options must be combined (docs: launch/autostop-autostart).
        if service.autostop in STOPS and not service.autostart:
            message = f"{service.autostop} without autostart: a machine that the proxy stops is never started again"
            yield warning("autostop-without-autostart", f"{path}.autostop", message, "set both, or neither")
        if service.autostart and service.autostop == "off":
            message = "autostart without autostop: a machine that the proxy starts is never stopped"
            yield warning("autostart-without-autostop", f"{path}.autostart", message, "set both, or neither")
        for inside, port in enumerate(service.ports or ()):
            yield from _warn_of_port(f"{path}.ports[{inside}]", port, service.protocol)
        for inside, check in enumerate(service.checks or ()):
            yield from _warn_of_type(f"{path}.checks[{inside}]", check)
            for name in ("interval", "timeout", "grace_period"):
                seconds = getattr(check, name)
                shortest = 0.0 if name == "grace_period" else _SHORTEST
                if seconds and not shortest <= seconds <= _LONGEST:
                    message = (
                        f"{seconds} is outside {shortest:g} s to {_LONGEST:g} s; the platform uses the nearest limit"
                    )
                    at = f"{path}.checks[{inside}].{name}"
                    yield warning("check-clamped", at, message, "use a value within the limits")
    yield from _warn_of_ports_used_twice(services)


def warn_of_checks(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Check the checks at the top of a config, which need a port of their own."""
    for name, check in checks.items():
        if check.port is None:
            message = "a check outside a service needs a port"
            yield warning("check-port", f"checks.{name}.port", message, "set it")
        yield from _warn_of_type(f"checks.{name}", check)


def _warn_of_type(path: str, check: Check) -> Iterator[Finding]:
    if check.type not in {"tcp", "http"}:
        message = f"{shown(check.type)} is not a known type of check"
        yield warning("check-type", f"{path}.type", message, "use tcp or http")


def _warn_of_port(path: str, port: Port, protocol: str | None) -> Iterator[Finding]:
    if port.port_range is None:
        message = "no port, so the service cannot be reached from outside"
        yield warning("public-port", path, message, "set port, or both start_port and end_port")
    else:
        first, last = port.port_range
        if not 1 <= first <= last <= _LAST_PORT:
            message = f"{first if first == last else f'{first} to {last}'} is not a valid port or range of ports"
            yield warning("public-port", path, message, f"use ports from 1 to {_LAST_PORT}, the lower one first")
    if protocol == "udp" and port.handlers:
        yield warning("udp-handlers", f"{path}.handlers", "handlers are for TCP only", "remove them")


def _warn_of_ports_used_twice(services: Sequence[Service]) -> Iterator[Finding]:
    # In the order of protocol and first port, a range that overlaps any other overlaps an adjacent one.
    taken = sorted(
        (service.protocol or "tcp", *port.port_range, f"services[{number}].ports[{inside}]")
        for number, service in enumerate(services)
        for inside, port in enumerate(service.ports or ())
        if port.port_range is not None
    )
    for (protocol, _, until, path), (other_protocol, first, _, other_path) in pairwise(taken):
        if protocol == other_protocol and first <= until:
            message = f"{path} uses the public port {first} too"
            yield warning("port-twice", other_path, message, "remove one of the two, or change its port")
