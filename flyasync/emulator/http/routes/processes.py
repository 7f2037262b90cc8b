"""What runs inside a machine, and its memory, over HTTP."""

from collections.abc import Mapping

from attrs import asdict, fields, filters

from flyasync.emulator.core import processes, shell
from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.lifecycle import must_act
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse, error_response
from flyasync.emulator.world import memory
from flyasync.emulator.world.world import World

_EXEC = {
    "command": "[]string", "cmd": "string", "timeout": "int", "stdin": "string", "container": "string",
    "machine": "bool",
}  # fmt: skip
_TOLD = filters.exclude(fields(Output).seconds)


def execute(world: World, ask: ApiRequest) -> ApiResponse:
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
        return error_response(
            ApiError(408, f"deadline_exceeded: command ran for more than {timeout} s"), seconds=timeout
        )
    return ApiResponse(body=asdict(output, filter=_TOLD), seconds=output.seconds)


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List processes as a bare array."""
    machine = _machine(world, ask)
    must_act("exec", machine.state)
    found = world.processes.get(machine.id) or processes.running(machine.config)
    return ApiResponse(body=processes.ordered(found, ask.query.get("sort_by", ""), ask.query.get("order", "")))


def show_memory(world: World, ask: ApiRequest) -> ApiResponse:
    """Show the memory of a machine."""
    return _memory(_machine(world, ask))


def set_memory(world: World, ask: ApiRequest) -> ApiResponse:
    """Change the memory of a machine."""
    limit_mb = ask.body({"limit_mb": "int"}, "memoryRequest").get("limit_mb")
    machine = _machine(world, ask)
    memory.set_limit(machine, limit_mb or 0)
    return _memory(machine)


def reclaim_memory(world: World, ask: ApiRequest) -> ApiResponse:
    """Take memory back that a machine does not use."""
    amount_mb = ask.body({"amount_mb": "int"}, "reclaimRequest", required=False).get("amount_mb")
    return ApiResponse(body={"actual_mb": memory.reclaim(_machine(world, ask), amount_mb)})


def _machine(world: World, ask: ApiRequest) -> MachineRecord:
    return world.machine(ask.app, ask.machine_id)


def _environment(world: World, machine: MachineRecord) -> dict[str, str]:
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


def _memory(machine: MachineRecord) -> ApiResponse:
    return ApiResponse(body={"available_mb": memory.available(machine), "limit_mb": memory.limit(machine)})


HANDLERS: Mapping[str, Handler] = {
    "execMachine": execute,
    "listMachineProcesses": listing,
    "getMachineMemory": show_memory,
    "setMachineMemoryLimit": set_memory,
    "reclaimMachineMemory": reclaim_memory,
}
