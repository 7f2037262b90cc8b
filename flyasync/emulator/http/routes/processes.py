"""What runs inside a machine, and its memory, over HTTP."""

from collections.abc import Mapping

from attrs import asdict, fields, filters

from flyasync.emulator.core import processes, shell
from flyasync.emulator.core.errors import Refused, bad_request
from flyasync.emulator.core.lifecycle import must_act
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.records import Machine
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import Answer, Ask, refusal
from flyasync.emulator.world import memory
from flyasync.emulator.world.world import World

_EXEC = {
    "command": "[]string", "cmd": "string", "timeout": "int", "stdin": "string", "container": "string",
    "machine": "bool",
}  # fmt: skip
_TOLD = filters.exclude(fields(Output).seconds)


def execute(world: World, ask: Ask) -> Answer:
    """Run a command; how it ends is no matter of the HTTP status."""
    body = ask.body(_EXEC, "execRequest")
    if body.get("container") and body.get("machine"):
        raise bad_request("container and machine are mutually exclusive")
    command = processes.words(body.get("command"), body.get("cmd"))
    machine = _machine(world, ask)
    must_act("exec", machine.state)
    environment = _environment(world, machine)
    stdin, timeout = body.get("stdin") or "", body.get("timeout") or 0
    output = shell.run(world.commands, command, files=machine.files, environment=environment, stdin=stdin)
    if 0 < timeout < output.seconds:
        return refusal(Refused(408, f"deadline_exceeded: command ran for more than {timeout} s"), seconds=timeout)
    return Answer(body=asdict(output, filter=_TOLD), seconds=output.seconds)


def listing(world: World, ask: Ask) -> Answer:
    """List processes as a bare array."""
    machine = _machine(world, ask)
    must_act("exec", machine.state)
    found = world.processes.get(machine.id) or processes.running(machine.config)
    return Answer(body=processes.ordered(found, ask.query.get("sort_by", ""), ask.query.get("order", "")))


def show_memory(world: World, ask: Ask) -> Answer:
    """Show the memory of a machine."""
    return _memory(_machine(world, ask))


def set_memory(world: World, ask: Ask) -> Answer:
    """Change the memory of a machine."""
    limit_mb = ask.body({"limit_mb": "int"}, "memoryRequest").get("limit_mb")
    machine = _machine(world, ask)
    memory.set_limit(machine, limit_mb or 0)
    return _memory(machine)


def reclaim_memory(world: World, ask: Ask) -> Answer:
    """Take memory back that a machine does not use."""
    amount_mb = ask.body({"amount_mb": "int"}, "reclaimRequest", required=False).get("amount_mb")
    return Answer(body={"actual_mb": memory.reclaim(_machine(world, ask), amount_mb)})


def _machine(world: World, ask: Ask) -> Machine:
    return world.machine(ask.app, ask.machine_id)


def _environment(world: World, machine: Machine) -> dict[str, str]:
    secrets = {name: secret.value for name, secret in world.app(machine.app).secrets.kept.items()}
    return {
        **secrets,
        **{name: str(value) for name, value in (machine.config.get("env") or {}).items()},
        "FLY_APP_NAME": machine.app,
        "FLY_MACHINE_ID": machine.id,
        "FLY_MACHINE_VERSION": machine.instance_id,
        "FLY_PRIVATE_IP": machine.private_ip,
        "FLY_REGION": machine.region,
    }


def _memory(machine: Machine) -> Answer:
    return Answer(body={"available_mb": memory.available(machine), "limit_mb": memory.limit(machine)})


HANDLERS: Mapping[str, Handler] = {
    "execMachine": execute,
    "listMachineProcesses": listing,
    "getMachineMemory": show_memory,
    "setMachineMemoryLimit": set_memory,
    "reclaimMachineMemory": reclaim_memory,
}
