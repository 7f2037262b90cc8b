"""What becomes of machines as time goes by: each state a machine enters decides the move that follows it."""

from collections.abc import Callable

from attrs import evolve

from flyasync.emulator.core import files, processes
from flyasync.emulator.core.faults import Fault, Subject
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import tagged
from flyasync.emulator.core.lifecycle import may_transition
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.records import MachineRecord, ReachedState, Transition
from flyasync.emulator.world import checks
from flyasync.emulator.world.world import World

# How the time of a boot is split between preparing the image and starting the machine.
_PREPARING, _STARTING = 0.4, 0.6
_LEAVING = (0.2, 0.8)
# For this long after a stop the platform still refuses to start a machine that reads `stopped`.
_STILL_ACTIVE = (0.25, 1.0)
_RESTART_PAUSE = 1.0
_DEFAULT_MAX_RETRIES = 10
_HOST_STATUSES = ("ok", "unknown", "unreachable")

Follow = Callable[[World, MachineRecord], Transition | None]


def advance(world: World, now: float) -> None:
    """Let everything happen that is due by `now`, in order; a `now` in the past changes nothing."""
    while due := world.take_due(now):
        _happen(world, *due)
    world.clock = max(world.clock, now)


def enter(world: World, machine: MachineRecord, state: str) -> None:
    """Bring a machine into a state at the world's present moment, and plan what follows."""
    if machine.state and not may_transition(machine.state, state):
        raise RuntimeError(f"machine {machine.id} cannot go from {machine.state} to {state}")
    if state == "starting" and machine.state != "suspended":
        machine.files = files.at_boot(machine.config, world.app(machine.app).secrets.kept, machine.files)
    machine.state = state
    machine.updated_at = world.clock
    if state != "started":
        machine.check_phases = ()
    _keep_reach(machine)
    world.schedule(machine, _FOLLOW[state](world, machine))
    world.note_change(machine)


def set_host_status(world: World, machine: MachineRecord, status: str) -> None:
    """Lose the host of a machine, and of its volume, or find it again; what was due meanwhile shows only then."""
    if status not in _HOST_STATUSES:
        raise ValueError(f"host_status: must be one of {', '.join(_HOST_STATUSES)}, not {status!r}")
    if status == machine.host_status:
        return
    machine.host_status = status
    volume = world.volumes.get(machine.volume_id or "")
    if volume is not None:
        volume.host_status = status
    move = machine.next_transition
    if move is not None and machine.has_host:
        world.schedule(machine, evolve(move, at=max(move.at, world.clock)))
    world.note_change(machine)


def exit_request(
    world: World, machine: MachineRecord, *, code: int, requested: bool, restarting: bool, at: float
) -> Json:
    """Word the exit of a machine's process; like the API it leaves out zero values."""
    exit_event = {
        "exit_code": code,
        "requested_stop": requested,
        "restarting": restarting,
        "guest_signal": -1,
        "signal": -1,
        "exited_at": world.stamp(at),
    }
    said = {key: value for key, value in exit_event.items() if value}
    return {"exit_event": said} | ({"restart_count": machine.restart_count} if machine.restart_count else {})


def record_exit(world: World, machine: MachineRecord, *, restarting: bool = False) -> None:
    """Write down that the process ended because it was told to."""
    request = exit_request(world, machine, code=0, requested=True, restarting=restarting, at=world.clock)
    world.record(machine, "exit", "stopped", source="flyd", request=request)


def process_exit(world: World, machine: MachineRecord, code: int) -> None:
    """Let the process end by itself; what it leads to is up to the restart policy."""
    restarting = _restarts(machine, code)
    machine.is_restarting = restarting
    machine.restart_count += restarting
    request = exit_request(world, machine, code=code, requested=False, restarting=restarting, at=world.clock)
    world.record(machine, "exit", "stopped", source="flyd", request=request)
    enter(world, machine, "starting" if restarting else _end(machine))


def _happen(world: World, at: float, machine: MachineRecord, move: Transition | None) -> None:
    world.clock = max(world.clock, at)
    if move is None:
        checks.flap(world, machine)
        world.note_change(machine)
    elif move.output is not None:
        _finish(world, machine, move.output)
    else:
        _make(world, machine, move)


def _finish(world: World, machine: MachineRecord, output: Output) -> None:
    for line in [*output.stdout.splitlines(), *output.stderr.splitlines()]:
        world.log(machine.app, line, machine=machine)
    process_exit(world, machine, output.exit_code)


def _make(world: World, machine: MachineRecord, move: Transition) -> None:
    if move.event is not None:
        world.record(machine, move.event, move.status or move.to, source=move.source, request=move.request)
    enter(world, machine, move.to)


def _keep_reach(machine: MachineRecord) -> None:
    machine.serial += 1
    event_id = machine.events[0].id if machine.events else ""
    machine.reached.append(
        ReachedState(serial=machine.serial, state=machine.state, version=machine.instance_id, event_id=event_id)
    )


def _subject(machine: MachineRecord) -> Subject:
    return Subject(
        identifier=machine.id,
        app=machine.app,
        regions=(machine.region,),
        name=machine.name,
        image=tagged(machine.config.get("image") or ""),
        digest=machine.digest,
    )


def _struck(world: World, machine: MachineRecord, kind: str) -> Fault | None:
    return world.faults.first(kind, _subject(machine))


def _restarts(machine: MachineRecord, code: int) -> bool:
    restart = machine.config.get("restart") or {}
    policy = restart.get("policy") or "on-failure"
    if policy == "always":
        return True
    most = restart.get("max_retries") or _DEFAULT_MAX_RETRIES
    return policy != "no" and code != 0 and machine.restart_count < most


def _end(machine: MachineRecord) -> str:
    return "destroying" if machine.config.get("auto_destroy") else "stopped"


def _after_created(world: World, machine: MachineRecord) -> Transition | None:
    if _struck(world, machine, "stay_created"):
        return None
    at = world.clock + machine.boot_seconds * _PREPARING
    return Transition(at=at, to="starting") if machine.shall_run else Transition(at=at, to="stopped", event="stop")


def _after_starting(world: World, machine: MachineRecord) -> Transition | None:
    pause = _RESTART_PAUSE if machine.is_restarting else 0.0
    machine.is_restarting = False
    at = world.clock + pause + machine.boot_seconds * _STARTING
    if _struck(world, machine, "stay_starting"):
        return None
    if _struck(world, machine, "launch_fail"):
        return Transition(at=at, to="launch_failed", event="launch")
    to = "failed" if _struck(world, machine, "fail") else "started"
    return Transition(at=at, to=to, event="start")


def _after_started(world: World, machine: MachineRecord) -> Transition | None:
    checks.begin(world, machine, _subject(machine))
    output = _crash(world, machine) or processes.ending(world.commands, machine.config)
    return Transition(at=world.clock + output.seconds, to="stopped", output=output) if output else None


def _crash(world: World, machine: MachineRecord) -> Output | None:
    fault = _struck(world, machine, "crash")
    return Output(exit_code=fault.exit_code, seconds=fault.seconds) if fault else None


def _after_stopping(world: World, machine: MachineRecord) -> Transition:
    at = _soon(world)
    request = exit_request(world, machine, code=0, requested=True, restarting=False, at=at)
    machine.active_until = at + world.random.uniform(*_STILL_ACTIVE)
    return Transition(at=at, to=_end(machine), event="exit", status="stopped", request=request)


def _after_restarting(world: World, machine: MachineRecord) -> Transition:
    at = _soon(world)
    request = exit_request(world, machine, code=0, requested=True, restarting=True, at=at)
    return Transition(at=at, to="starting", event="exit", status="stopped", request=request)


def _after_replacing(world: World, machine: MachineRecord) -> Transition:
    at = world.clock + machine.boot_seconds * _PREPARING
    to = "starting" if machine.shall_run else "stopped"
    return Transition(at=at, to=to, event="launch", status="created", source="user")


def _after_suspending(world: World, _: MachineRecord) -> Transition:
    return Transition(at=_soon(world), to="suspended", event="suspend")


def _after_launch_failed(world: World, _: MachineRecord) -> Transition:
    return Transition(at=_soon(world), to="destroyed", event="destroy")


def _after_destroying(world: World, _: MachineRecord) -> Transition:
    return Transition(at=_soon(world), to="destroyed", event="destroy")


def _after_destroyed(world: World, machine: MachineRecord) -> None:
    machine.lease = None
    world.occupied[machine.region] -= 1
    volume = world.volumes.get(machine.volume_id or "")
    if volume is not None and volume.machine_id == machine.id:
        volume.machine_id = None
        volume.updated_at = world.clock
        volume.claimed_until = world.clock + world.draw(world.linger)


def _nothing(_world: World, _machine: MachineRecord) -> None:
    return None


def _soon(world: World) -> float:
    return world.clock + world.random.uniform(*_LEAVING)


_FOLLOW: dict[str, Follow] = {
    "created": _after_created,
    "starting": _after_starting,
    "started": _after_started,
    "stopping": _after_stopping,
    "restarting": _after_restarting,
    "replacing": _after_replacing,
    "suspending": _after_suspending,
    "launch_failed": _after_launch_failed,
    "destroying": _after_destroying,
    "destroyed": _after_destroyed,
    "stopped": _nothing,
    "suspended": _nothing,
    "failed": _nothing,
}
