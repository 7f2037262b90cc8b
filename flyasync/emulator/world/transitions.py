"""State transitions over time: each state that a machine enters determines its next transition."""

from flyasync.emulator.core import files, processes
from flyasync.emulator.core.faults import Subject
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import tagged
from flyasync.emulator.core.lifecycle import may_transition
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.records import MachineRecord, ReachedState, Transition
from flyasync.emulator.world import checks, images
from flyasync.emulator.world.world import World

# The shares of the boot time for preparing the image and for starting the machine.
_PREPARING, _STARTING = 0.4, 0.6
# The states that a machine leaves by itself after a short time.
_LEAVES = frozenset({"stopping", "restarting", "suspending", "launch_failed", "destroying"})
_LEAVING = (0.2, 0.8)
# The range of seconds after a stop in which the platform refuses to start a `stopped` machine.
_STILL_ACTIVE = (0.25, 1.0)
_RESTART_PAUSE = 1.0
# As documented for `on-failure`, which is also the default policy.
_DEFAULT_MAX_RETRIES = 10
_HOST_STATUSES = ("ok", "unknown", "unreachable")


def advance(world: World, now: float) -> None:
    """Apply everything that is due by `now`, in order; a `now` in the past changes nothing."""
    while due := world.take_due(now):
        at, machine, transition = due
        world.clock = max(world.clock, at)
        # 1. Only the status of checks changes: the phases are scheduled already, so only observers are notified.
        if transition is None:
            checks.flap(world, machine)
            world.note_change(machine)
        # 2. The process ends by itself: it writes its output, and the restart policy applies.
        elif (output := transition.output) is not None:
            for line in [*output.stdout.splitlines(), *output.stderr.splitlines()]:
                world.log(machine.app, line, machine=machine)
            process_exit(world, machine, output.exit_code)
        # 3. The machine reaches its next state.
        else:
            if transition.event is not None:
                status = transition.status or transition.to
                world.record(machine, transition.event, status, source=transition.source, request=transition.request)
            enter(world, machine, transition.to)
    world.clock = max(world.clock, now)
    if world.tag_moves:
        images.move_due(world)


def enter(world: World, machine: MachineRecord, state: str) -> None:
    """Change the state of a machine at the world's present time, and schedule its next transition."""
    if machine.state and not may_transition(machine.state, state):
        raise RuntimeError(f"machine {machine.id} cannot go from {machine.state} to {state}")
    # A cold boot resets the files; a resumed machine has kept them with its memory.
    if state == "starting" and machine.state != "suspended":
        machine.files = files.at_boot(machine.config, world.app(machine.app).secrets.kept, machine.files)
    machine.state = state
    machine.updated_at = world.clock
    machine.check_phases = ()
    # A wait can ask for past states since an event, so each state is recorded with the newest event.
    machine.serial += 1
    event_id = machine.events[0].id if machine.events else ""
    machine.reached.append(
        ReachedState(serial=machine.serial, state=state, version=machine.instance_id, event_id=event_id)
    )
    if state == "started":
        machine.is_listening = world.faults.first("not_listening", _subject(machine)) is None
        checks.begin(world, machine, _subject(machine))
    elif state == "destroyed":
        # Its resources are released now, its volume possibly later: a destroyed machine can keep its claim.
        machine.lease = None
        world.occupied[machine.region] -= 1
        volume = world.volumes.get(machine.volume_id or "")
        if volume is not None and volume.machine_id == machine.id:
            volume.machine_id = None
            volume.updated_at = world.clock
            lingers = world.faults.first("volume_lingers", _subject(machine))
            volume.claimed_until = world.clock + (lingers.seconds if lingers else world.draw(world.linger))
    world.schedule(machine, _follows(world, machine))
    world.note_change(machine)


def set_host_status(world: World, machine: MachineRecord, status: str) -> None:
    """Set the host status of a machine and its volume; due transitions are visible once the host is `ok`."""
    if status not in _HOST_STATUSES:
        raise ValueError(f"host_status: must be one of {', '.join(_HOST_STATUSES)}, not {status!r}")
    if status == machine.host_status:
        return
    machine.host_status = status
    volume = world.volumes.get(machine.volume_id or "")
    if volume is not None:
        volume.host_status = status
    # A transition that became due meanwhile was skipped: scheduled again, it happens now. Others keep their time.
    if machine.has_host:
        world.schedule(machine, machine.next_transition)
    world.note_change(machine)


def exit_request(
    world: World, machine: MachineRecord, *, code: int, requested: bool, restarting: bool, at: float
) -> Json:
    """Return the details of an exit event."""
    exit_event = {
        "exit_code": code,
        "requested_stop": requested,
        "restarting": restarting,
        "guest_signal": -1,
        "signal": -1,
        "exited_at": world.stamp(at),
    }
    # Go omits zero values: a clean exit has no `exit_code`.
    shown = {key: value for key, value in exit_event.items() if value}
    return {"exit_event": shown} | ({"restart_count": machine.restart_count} if machine.restart_count else {})


def record_exit(world: World, machine: MachineRecord) -> None:
    """Record that the process ended on request."""
    request = exit_request(world, machine, code=0, requested=True, restarting=False, at=world.clock)
    world.record(machine, "exit", "stopped", source="flyd", request=request)


def process_exit(world: World, machine: MachineRecord, code: int) -> None:
    """End the process by itself; the restart policy determines the next state."""
    restart = machine.config.get("restart") or {}
    policy = restart.get("policy") or "on-failure"
    most = restart.get("max_retries") or _DEFAULT_MAX_RETRIES
    # 1. `always`, without a limit. 2. `no`, never. 3. Any other: after a failure, a number of times.
    restarting = policy == "always" or (policy != "no" and code != 0 and machine.restart_count < most)
    machine.is_restarting = restarting
    machine.restart_count += restarting
    request = exit_request(world, machine, code=code, requested=False, restarting=restarting, at=world.clock)
    world.record(machine, "exit", "stopped", source="flyd", request=request)
    enter(world, machine, "starting" if restarting else _end(machine))


def _follows(world: World, machine: MachineRecord) -> Transition | None:
    """Return the transition after the state that a machine has just entered; None if it stays there."""
    now = world.clock
    leaves_at = now + world.random.uniform(*_LEAVING) if machine.state in _LEAVES else now
    match machine.state:
        case "created":
            # The image is being prepared. A machine that is not to be started becomes `stopped`.
            if world.faults.first("stay_created", _subject(machine)):
                return None
            at = now + machine.boot_seconds * _PREPARING
            if machine.shall_run:
                return Transition(at=at, to="starting")
            return Transition(at=at, to="stopped", event="stop")
        case "starting":
            pause = _RESTART_PAUSE if machine.is_restarting else 0.0
            machine.is_restarting = False
            at = now + pause + machine.boot_seconds * _STARTING
            subject = _subject(machine)
            if world.faults.first("stay_starting", subject):
                return None
            if world.faults.first("launch_fail", subject):
                return Transition(at=at, to="launch_failed", event="launch")
            return Transition(at=at, to="failed" if world.faults.first("fail", subject) else "started", event="start")
        case "started":
            # It runs until it is stopped, unless its process ends by itself.
            crash = world.faults.first("crash", _subject(machine))
            output = Output(exit_code=crash.exit_code, seconds=crash.seconds) if crash else None
            output = output or processes.ending(world.commands, machine.config)
            return Transition(at=now + output.seconds, to="stopped", output=output) if output else None
        case "stopping":
            request = exit_request(world, machine, code=0, requested=True, restarting=False, at=leaves_at)
            machine.active_until = leaves_at + world.random.uniform(*_STILL_ACTIVE)
            return Transition(at=leaves_at, to=_end(machine), event="exit", status="stopped", request=request)
        case "restarting":
            request = exit_request(world, machine, code=0, requested=True, restarting=True, at=leaves_at)
            return Transition(at=leaves_at, to="starting", event="exit", status="stopped", request=request)
        case "replacing":
            # The new version is started; a stopped machine stays stopped.
            at, to = now + machine.boot_seconds * _PREPARING, "starting" if machine.shall_run else "stopped"
            return Transition(at=at, to=to, event="launch", status="created", source="user")
        case "suspending":
            return Transition(at=leaves_at, to="suspended", event="suspend")
        case "launch_failed" | "destroying":
            return Transition(at=leaves_at, to="destroyed", event="destroy")
    return None


def _end(machine: MachineRecord) -> str:
    return "destroying" if machine.config.get("auto_destroy") else "stopped"


def _subject(machine: MachineRecord) -> Subject:
    return Subject(
        identifier=machine.id,
        app=machine.app,
        regions=(machine.region,),
        name=machine.name,
        image=tagged(machine.config.get("image") or ""),
        digest=machine.digest,
    )
