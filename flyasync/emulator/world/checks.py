"""Health checks: the checks of a machine, and their status over time."""

import math
from collections.abc import Iterable

from attrs import evolve, frozen

from flyasync.emulator.core.faults import CHECKS, Subject
from flyasync.emulator.core.go_json import Json, seconds
from flyasync.emulator.core.records import CheckPhase, MachineRecord
from flyasync.emulator.world.world import World

_FIRST_SEEN = 0.5
# The defaults of a check without an interval: the range of seconds until it is first made, and its timeout.
_USUAL_INTERVAL = (1.0, 2.0)
_USUAL_TIMEOUT = 1.0
_LONGEST_RESPONSE = 0.1
# The platform clamps the times of service checks; a grace period of 0 is valid.
_SHORTEST, _LONGEST = 1.0, 60.0
# What a check reports; these texts are not documented.
_WAITING = "waiting for status update"
_REFUSED = "connect: connection refused"
_TIMED_OUT = "context deadline exceeded"
_TURNED = {"passing": ("critical", _REFUSED), "critical": ("passing", "Success")}
# The share of the time before its first result for which a check is in `warning`.
_SHARES = (0.25, 0.75)


@frozen(kw_only=True)
class RequestedCheck:
    """A check of a config, with times in seconds; None for an interval that is not set."""

    name: str
    grace_period: float
    interval: float | None
    timeout: float
    passes: str

    @classmethod
    def of(cls, name: str, item: Json) -> "RequestedCheck":
        """Return a check of either kind."""
        interval, timeout = item.get("interval"), item.get("timeout")
        is_http = item.get("type") == "http"
        return cls(
            name=name,
            grace_period=seconds(item.get("grace_period") or 0),
            interval=None if interval is None else seconds(interval),
            timeout=_USUAL_TIMEOUT if timeout is None else seconds(timeout),
            passes=f"{item.get('method') or 'GET'} {item.get('path') or '/'}: 200 OK" if is_http else "Success",
        )

    def clamped(self) -> "RequestedCheck":
        """Return the check with the platform's bounds for service checks."""
        return evolve(
            self,
            grace_period=min(self.grace_period, _LONGEST),
            interval=None if self.interval is None else min(max(self.interval, _SHORTEST), _LONGEST),
            timeout=min(max(self.timeout, _SHORTEST), _LONGEST),
        )


def requested(config: Json) -> list[RequestedCheck]:
    """Return the checks of a config: the numbered ones of its services, then its named ones."""
    found: list[RequestedCheck] = []
    for service in config.get("services") or ():
        for item in service.get("checks") or ():
            port = item.get("port") or service.get("internal_port")
            name = f"servicecheck-{len(found):02}-{item.get('type', 'tcp')}-{port}"
            found.append(RequestedCheck.of(name, item).clamped())
    found += [RequestedCheck.of(name, item or {}) for name, item in (config.get("checks") or {}).items()]
    return found


def begin(world: World, machine: MachineRecord, subject: Subject) -> None:
    """Schedule the status changes of the checks of a machine that has just started."""
    asked = requested(machine.config)
    fault = next(world.faults.strike(CHECKS, subject), None) if asked else None
    does = fault.does if fault else ""
    # The process does not respond before it is up, whatever the checks say.
    startup = fault.seconds if fault and does == "checks_pass_late" else world.draw(world.startup) if asked else 0.0
    phases: list[CheckPhase] = []
    for check in asked:
        interval = world.random.uniform(*_USUAL_INTERVAL) if check.interval is None else check.interval
        made = world.clock + check.grace_period + interval
        delay = world.random.uniform(0, min(check.timeout, _LONGEST_RESPONSE))
        # Before the first result, a check that will pass looks like one that will not: it is in `warning`, then
        # critical, sooner or later.
        seen = min(world.clock + _FIRST_SEEN, made)
        phases.append(CheckPhase(check.name, seen, "warning", _WAITING))
        if does == "checks_stay_warning":
            continue
        phases.append(CheckPhase(check.name, seen + (made - seen) * world.random.choice(_SHARES), "critical", _REFUSED))

        # 1. There is no response, at once or after the timeout.
        if not machine.is_listening:
            phases.append(CheckPhase(check.name, made + delay, "critical", _REFUSED))
            continue
        if does == "checks_never_pass":
            phases.append(CheckPhase(check.name, made + check.timeout, "critical", _TIMED_OUT))
            continue
        # 2. It passes with the first attempt after the startup.
        if late := max(0, math.ceil((world.clock + startup - made) / interval)):
            phases.append(CheckPhase(check.name, made + delay, "critical", _REFUSED))
        responded = made + late * interval + delay
        phases.append(CheckPhase(check.name, responded, "passing", check.passes))
        # 3. A passing check may become critical: once, or repeatedly, which `flap` continues.
        if fault and does == "checks_turn_critical":
            phases.append(CheckPhase(check.name, responded + fault.seconds, "critical", _REFUSED))
        elif fault and does == "checks_flap":
            flaps = fault.seconds or interval
            phases.append(CheckPhase(check.name, responded + _around(world, flaps), "critical", _REFUSED, flaps))
    machine.check_phases = tuple(phases)
    world.schedule_checks(machine, phases)


def flap(world: World, machine: MachineRecord) -> None:
    """Schedule the next change of each flapping check that has just changed."""
    latest = {phase.check: phase for phase in machine.check_phases}
    following = tuple(
        _turned(phase, at=world.clock + _around(world, phase.flap))
        for phase in latest.values()
        if phase.flap and phase.at <= world.clock
    )
    # Earlier phases of a flapping check are no longer needed, and would accumulate.
    flapping = {phase.check for phase in following}
    kept = [phase for phase in machine.check_phases if phase.check not in flapping or phase is latest[phase.check]]
    machine.check_phases = (*kept, *following)
    world.schedule_checks(machine, following)


def are_passing(world: World, machine: MachineRecord) -> bool:
    """Whether all checks of a machine pass at the world's present time."""
    found = rows(world, machine, world.clock)
    return len(found) == len(requested(machine.config)) and all(row["status"] == "passing" for row in found)


def latest(machine: MachineRecord, now: float) -> Iterable[CheckPhase]:
    """Return the present phase of each check; none before the first start or on a lost host."""
    if not machine.has_host:
        return ()
    return {phase.check: phase for phase in machine.check_phases if phase.at <= now}.values()


def next_change(machine: MachineRecord, now: float) -> float:
    """Return the time of the next phase of a check, infinity if there is none."""
    return min([phase.at for phase in machine.check_phases if phase.at > now], default=math.inf)


def rows(world: World, machine: MachineRecord, now: float) -> list[Json]:
    """Return the checks of a machine as the API shows them."""
    return [
        {
            "name": phase.check,
            "status": phase.status,
            "output": phase.output,
            "updated_at": world.stamp(phase.at),
        }
        for phase in latest(machine, now)
    ]


def _turned(phase: CheckPhase, at: float) -> CheckPhase:
    status, output = _TURNED[phase.status]
    return evolve(phase, at=at, status=status, output=output)


def _around(world: World, usual: float) -> float:
    return usual * world.random.uniform(0.5, 1.5)
