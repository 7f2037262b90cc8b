"""The actions on a machine: start, stop, restart, suspend, signal, cordon."""

from flyasync.emulator.core.config import demand_suspendable
from flyasync.emulator.core.errors import bad_request, failed_precondition
from flyasync.emulator.core.lifecycle import must_act
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.world import leases
from flyasync.emulator.world.transitions import enter, process_exit
from flyasync.emulator.world.world import World

_SIGNALS = {
    "SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGILL": 4, "SIGTRAP": 5, "SIGABRT": 6, "SIGFPE": 8, "SIGKILL": 9,
    "SIGUSR1": 10, "SIGSEGV": 11, "SIGUSR2": 12, "SIGPIPE": 13, "SIGALRM": 14, "SIGTERM": 15,
}  # fmt: skip
# The signals that end a process without a handler, such as every process here; other signals have no effect.
_DEADLY = frozenset({2, 3, 6, 9, 15})


def start(world: World, machine: MachineRecord, *, nonce: str | None = None) -> str:
    """Start a machine that does not run; return the state it was in."""
    previous = machine.state
    leases.guard(world, machine, nonce)
    must_act("start", previous)
    # For a short time after a stop, GET returns `stopped` but the host refuses a start.
    if previous == "stopped" and world.clock < machine.active_until:
        raise failed_precondition("machine still active, refusing to start")
    machine.restart_count = 0
    world.record(machine, "start", "starting")
    enter(world, machine, "starting")
    return previous


def stop(world: World, machine: MachineRecord, *, nonce: str | None = None) -> None:
    """Stop a machine; a stopped or stopping one is unchanged."""
    leases.guard(world, machine, nonce)
    if not must_act("stop", machine.state):
        return
    # A suspended machine has no process to wait for: its snapshot is discarded.
    to = "stopping" if machine.state in {"started", "starting"} else "stopped"
    world.record(machine, "stop", to)
    enter(world, machine, to)


def restart(world: World, machine: MachineRecord, *, nonce: str | None = None) -> None:
    """Stop and start a machine in one action, under the same version."""
    leases.guard(world, machine, nonce)
    must_act("restart", machine.state)
    to = "restarting" if machine.state == "started" else "starting"
    machine.restart_count = 0
    world.record(machine, "restart", to)
    enter(world, machine, to)


def suspend(world: World, machine: MachineRecord, *, nonce: str | None = None) -> None:
    """Suspend a running machine: its memory is kept."""
    leases.guard(world, machine, nonce)
    must_act("suspend", machine.state)
    demand_suspendable(machine.config)
    world.record(machine, "suspend", "suspending")
    enter(world, machine, "suspending")


def signal(world: World, machine: MachineRecord, name: object) -> None:
    """Send a signal, by name or number, to a running machine; a fatal one ends its process."""
    # By name as documented; flyctl's kill sends a number.
    number = _SIGNALS.get(name) if isinstance(name, str) else name
    if not isinstance(number, int) or number not in _SIGNALS.values():
        raise bad_request(f"invalid signal: {name!r}")
    # Signals are not covered by leases: no client sends a nonce with them.
    must_act("signal", machine.state)
    if number in _DEADLY:
        # The exit code that a shell reports for a process that a signal has ended.
        process_exit(world, machine, 128 + number)


def crash(world: World, machine: MachineRecord, exit_code: int) -> None:
    """End the process of a running machine as a crash does; raise ValueError if it does not run."""
    if machine.state != "started":
        raise ValueError(f"machine_id: {machine.id} is {machine.state}; only a started machine can crash")
    process_exit(world, machine, exit_code)


def cordon(world: World, machine: MachineRecord, *, cordoned: bool, nonce: str | None = None) -> None:
    """Cordon a machine, so that the proxy sends it no requests, or uncordon it; doing it twice changes nothing."""
    leases.guard(world, machine, nonce)
    must_act("cordon" if cordoned else "uncordon", machine.state)
    if machine.is_cordoned != cordoned:
        machine.is_cordoned = cordoned
        world.note_change(machine)
