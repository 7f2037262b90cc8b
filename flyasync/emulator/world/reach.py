"""What the Fly Proxy answers to requests for an app, by port and address; and a request, which starts a machine."""

import math
from collections.abc import Iterator
from typing import Any

from attrs import asdict, evolve, frozen

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.processes import is_release
from flyasync.emulator.core.records import AddressRecord, MachineRecord
from flyasync.emulator.world import actions, checks, leases
from flyasync.emulator.world.world import World

_OK, _MOVED, _BAD_GATEWAY, _UNAVAILABLE = 200, 301, 502, 503
# The ports on which the proxy finds the app of a shared address by the host name, and a handler that reads it.
_SHARED = {80: "http", 443: "tls"}
_UP = frozenset({"started"})
_ASLEEP = frozenset({"stopped", "suspended"})
_PENDING = frozenset({"created", "starting", "restarting", "replacing"})

# Seconds of the proxy's lease on a machine that it starts: short, but not documented.
_PROXY_TTL = 10

# Conditions of machines, the best one for a request first, with the HTTP status and the reason.
_CONDITIONS: dict[str, tuple[int, str]] = {
    "served": (_OK, "a machine is started, not cordoned, and passes the checks of the service"),
    "starts_machine": (_OK, "no machine is started; the proxy starts a stopped one, as the service has autostart"),
    "refused": (_BAD_GATEWAY, "a machine is started, but nothing listens on its internal port"),
    "starting": (_UNAVAILABLE, "no machine has started yet"),
    "checks_failing": (_UNAVAILABLE, "no started machine passes the checks of the service"),
    "cordoned": (_UNAVAILABLE, "each machine with the service is cordoned"),
    "host_unreachable": (_UNAVAILABLE, "the hosts of the machines are unreachable"),
    "stopped": (_UNAVAILABLE, "no machine is started, and without autostart the proxy starts none"),
}


@frozen(kw_only=True)
class PortReach:
    """What the proxy would answer on a port of an app, or on a range of ports, at one of the app's addresses.

    `code` is one of: `served`; `starts_machine`, after a machine has started; `redirect`, to HTTPS; `refused`,
    `starting`, `checks_failing`, `cordoned`, `host_unreachable`, `stopped`, for the machines with the service;
    `over_limit`, if the load is above the hard limits of the started machines; `wrong_address`, for an address that
    cannot serve the port; `no_address`, then `address` is None; `no_service`, then `port` is None too. `status` is that
    of an HTTP answer, None where there is none. `machines` are the ids of the machines to which the code applies.
    """

    port: int | None = None
    end_port: int | None = None
    protocol: str = ""
    handlers: tuple[str, ...] = ()
    internal_port: int | None = None
    address: str | None = None
    address_type: str | None = None
    code: str
    status: int | None = None
    reason: str
    machines: tuple[str, ...] = ()

    @property
    def is_reachable(self) -> bool:
        """Whether a client gets an answer of the app, or a redirect to HTTPS."""
        return self.code in {"served", "starts_machine", "redirect"}

    def as_json(self) -> Json:
        """Return the fields, and `reachable`."""
        return {**asdict(self), "reachable": self.is_reachable}


@frozen
class _Service:
    """A service of one machine, one of its ports, and the names of the service's checks."""

    machine: MachineRecord
    config: Json
    port: Json
    checks: frozenset[str]

    @property
    def key(self) -> tuple[Any, ...]:
        return self.config.get("protocol"), self.first, self.last

    @property
    def first(self) -> int:
        return int(self.port.get("start_port") or self.port.get("port") or 0)

    @property
    def last(self) -> int:
        return int(self.port.get("end_port") or self.first)

    @property
    def handlers(self) -> tuple[str, ...]:
        return tuple(self.port.get("handlers") or ())

    def limit(self, kind: str) -> float:
        """Return the soft or the hard limit of the machine's concurrency."""
        return (self.config.get("concurrency") or {}).get(f"{kind}_limit") or math.inf


def reach(world: World, app: str, *, load: int = 1) -> list[PortReach]:
    """Return what the proxy would answer while an app has `load` concurrent requests.

    An unknown app raises 404, and a load below 1 ValueError.
    """
    if load < 1:
        raise ValueError(f"load is {load}, but must be 1 or more")
    addresses = [address for address in world.app(app).addresses.values() if not address.is_egress]
    ports: dict[tuple[Any, ...], list[_Service]] = {}
    for service in _services(world, app):
        ports.setdefault(service.key, []).append(service)
    if not ports:
        reason = "no machine of the app has a service with ports, so the proxy knows nothing about it"
        return [PortReach(code="no_service", reason=reason)]
    return [
        answer
        for _, services in sorted(ports.items(), key=lambda item: str(item[0]))
        for answer in _on_port(world, services, addresses, load)
    ]


def route_request(world: World, app: str) -> MachineRecord | None:
    """Route a request to a machine that serves, or start one for it under a lease, and return it; None if none can.

    An unknown app raises 404.
    """
    found = reach(world, app)
    serving, startable = (
        [world.machines[id_] for each in found if each.code == code for id_ in each.machines]
        for code in ("served", "starts_machine")
    )
    if serving:
        return serving[0]
    for machine in startable:
        # 1. Another client holds the machine, so that a start of the proxy is refused as that of anyone.
        # 2. For a short time after a stop, the host refuses every start.
        try:
            actions.start(world, machine)
        except ApiError:
            continue
        leases.grant(world, machine, ttl=_PROXY_TTL, owner=f"{ids.uuid(world.random)}@tokens.fly.io")
        return machine
    return None


def _services(world: World, app: str) -> Iterator[_Service]:
    for machine in world.machines_of(app):
        if machine.is_destroyed or is_release(machine.config):
            continue
        names = iter(check.name for check in checks.requested(machine.config))
        for config in machine.config.get("services") or ():
            own = frozenset(next(names) for _ in config.get("checks") or ())
            for port in config.get("ports") or ():
                yield _Service(machine, config, port, own)


def _on_port(world: World, services: list[_Service], addresses: list[AddressRecord], load: int) -> Iterator[PortReach]:
    one = services[0]
    answer = evolve(
        _of_machines(world, services, load),
        port=one.first,
        end_port=one.last if one.last != one.first else None,
        protocol=one.config.get("protocol") or "tcp",
        handlers=one.handlers,
        internal_port=one.config.get("internal_port"),
    )
    if not addresses:
        reason = "the app has no IP address, so its name does not resolve"
        yield evolve(answer, code="no_address", status=None, reason=reason, machines=())
    for address in addresses:
        at = evolve(answer, address=address.ip, address_type=address.type)
        if reason := _unsuitable(address, at):
            yield evolve(at, code="wrong_address", status=None, reason=reason, machines=())
        elif one.port.get("force_https"):
            # The proxy redirects by itself, without a machine.
            private = "; at a Flycast address there is no certificate for it" if address.type == "private_v6" else ""
            yield evolve(
                at, code="redirect", status=_MOVED, reason=f"force_https redirects to HTTPS{private}", machines=()
            )
        else:
            yield at


def _unsuitable(address: AddressRecord, answer: PortReach) -> str:
    """Return why an address cannot serve a port, empty if it can."""
    if answer.protocol == "udp" and address.type != "v4":
        return f"UDP needs a dedicated IPv4, and this address is {address.type}"
    if address.is_shared and (answer.end_port or _SHARED.get(answer.port or 0) not in answer.handlers):
        return "a shared IPv4 serves only port 80 with the handler http, and port 443 with the handler tls"
    return ""


def _of_machines(world: World, services: list[_Service], load: int) -> PortReach:
    """Return the answer of the machines with a service, wherever the request comes from."""
    found: dict[str, list[_Service]] = {}
    for service in services:
        found.setdefault(_condition(world, service), []).append(service)
    code = next(each for each in _CONDITIONS if each in found)
    status, reason = _CONDITIONS[code]
    startable = bool(found.get("starts_machine"))
    if code == "served":
        hard, soft = (sum(service.limit(kind) for service in found[code]) for kind in ("hard", "soft"))
        # 1. More than the started machines take: another one is started, or the request waits until it is refused.
        # 2. More than the soft limits: another one is started meanwhile.
        if load > hard and not startable:
            code, status = "over_limit", _UNAVAILABLE
            reason = f"{load} concurrent requests are more than the hard limits of all started machines, {hard:g}"
        elif load > min(hard, soft) and startable:
            reason = (
                f"{reason}; the proxy starts another one, as the load is above the limits of those that are started"
            )
        elif any(_stays_stopped(service) for service in found[code]):
            reason = f"{reason}; without traffic the proxy stops it, and without autostart it stays stopped"
    machines = found.get(code) or found.get("served", [])
    is_http = "http" in services[0].handlers
    return PortReach(
        code=code,
        status=status if is_http else None,
        reason=reason,
        machines=tuple(service.machine.id for service in machines),
    )


def _stays_stopped(service: _Service) -> bool:
    return bool(service.config.get("autostop")) and not service.config.get("autostart")


def _condition(world: World, service: _Service) -> str:
    machine = service.machine
    if not machine.has_host:
        return "host_unreachable"
    if machine.is_cordoned:
        return "cordoned"
    if machine.state in _UP:
        status = {row["name"]: row["status"] for row in checks.rows(world, machine, world.clock)}
        if not all(status.get(name) == "passing" for name in service.checks):
            return "checks_failing" if machine.is_listening else "refused"
        return "served" if machine.is_listening else "refused"
    if machine.state in _ASLEEP and service.config.get("autostart"):
        return "starts_machine"
    return "starting" if machine.state in _PENDING else "stopped"
