"""Health checks: which rows a machine has, and how they turn out over time."""

from collections.abc import Iterator

from flyasync.emulator.faults import Subject
from flyasync.emulator.gojson import Json
from flyasync.emulator.records import CheckPhase, Machine
from flyasync.emulator.world import World

_FIRST_SEEN = 0.5
_PASSING = (1.0, 2.0)
_OUTPUT = {"passing": "ok", "warning": "waiting for status update", "critical": "connect: connection refused"}


def names(config: Json) -> list[str]:
    """List the names of the checks a config asks for."""
    return [*_service_checks(config), *(config.get("checks") or {})]


def plan(world: World, machine: Machine, subject: Subject) -> tuple[CheckPhase, ...]:
    """Decide how the checks of a machine that starts now will turn out."""
    if not names(machine.config):
        return ()
    first = CheckPhase(world.clock + _FIRST_SEEN, world.random.choice(["warning", "critical"]))
    passing = CheckPhase(world.clock + world.random.uniform(*_PASSING), "passing")
    if world.faults.first("checks_never_pass", subject):
        return (CheckPhase(first.at, "critical"),)
    turn = world.faults.first("checks_turn_critical", subject)
    return (first, passing, CheckPhase(world.clock + turn.seconds, "critical")) if turn else (first, passing)


def are_passing(world: World, machine: Machine) -> bool:
    """Tell whether every check a machine asks for passes at the world's present moment."""
    found = rows(world, machine, world.clock)
    return len(found) == len(names(machine.config)) and all(row["status"] == "passing" for row in found)


def rows(world: World, machine: Machine, now: float) -> list[Json]:
    """Give the check rows of a machine as the API shows them, none early in its life or when its host is gone."""
    phases = [phase for phase in machine.check_phases if phase.at <= now]
    if not phases or not machine.has_host:
        return []
    last = phases[-1]
    row = {"status": last.status, "output": _OUTPUT[last.status], "updated_at": world.stamp(last.at)}
    return [{"name": name, **row} for name in names(machine.config)]


def _service_checks(config: Json) -> Iterator[str]:
    number = 0
    for service in config.get("services") or ():
        for check in service.get("checks") or ():
            port = check.get("port") or service.get("internal_port")
            yield f"servicecheck-{number:02}-{check.get('type', 'tcp')}-{port}"
            number += 1
