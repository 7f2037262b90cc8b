"""Commands, processes and memory of a machine over HTTP."""

from attrs import asdict, fields, filters

from flyasync.emulator.core import processes, shell
from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.lifecycle import must_act
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse, error_response
from flyasync.emulator.world import memory
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_EXEC = {
    "command": "[]string", "cmd": "string", "timeout": "int", "stdin": "string", "container": "string",
    "machine": "bool",
}  # fmt: skip
_SHOWN = filters.exclude(fields(Output).seconds)


@HANDLERS.serves("execMachine")
def execute(world: World, request: ApiRequest) -> ApiResponse:
    """Run a command; its exit code is data, not an HTTP status."""
    body = request.body(_EXEC, "execRequest")
    if body.get("container") and body.get("machine"):
        raise bad_request("container and machine are mutually exclusive")
    # `machine` selects the namespace of the machine instead of a container's; here there is only one.
    command = processes.words(body.get("command"), body.get("cmd"))
    machine = _machine(world, request)
    must_act("exec", machine.state)
    # Variables of the platform override those of the config, which override the secrets.
    environment = {
        **{name: secret.value for name, secret in world.app(machine.app).secrets.kept.items()},
        **{name: str(value) for name, value in (machine.config.get("env") or {}).items()},
        "FLY_APP_NAME": machine.app,
        "FLY_MACHINE_ID": machine.id,
        "FLY_MACHINE_VERSION": machine.instance_id,
        "FLY_PRIVATE_IP": machine.private_ip,
        "FLY_REGION": machine.region,
    }
    stdin, timeout = body.get("stdin") or "", body.get("timeout") or 0
    output = shell.run(world.commands, command, files=machine.files, environment=environment, stdin=stdin)
    # The response is sent when the command ends, or at its timeout, in emulated seconds.
    if 0 < timeout < output.seconds:
        return error_response(
            ApiError(408, f"deadline_exceeded: command ran for more than {timeout} s"), seconds=timeout
        )
    return ApiResponse(body=asdict(output, filter=_SHOWN), seconds=output.seconds)


@HANDLERS.serves("listMachineProcesses")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List processes as a bare array."""
    machine = _machine(world, request)
    must_act("exec", machine.state)
    # The processes that a test has set, else those of the config.
    found = world.processes.get(machine.id) or processes.running(machine.config)
    return ApiResponse(body=processes.ordered(found, request.query.get("sort_by", ""), request.query.get("order", "")))


@HANDLERS.serves("getMachineMemory")
def show_memory(world: World, request: ApiRequest) -> ApiResponse:
    """Show the memory of a machine."""
    return _memory(_machine(world, request))


@HANDLERS.serves("setMachineMemoryLimit")
def set_memory(world: World, request: ApiRequest) -> ApiResponse:
    """Change the memory of a machine."""
    limit_mb = request.body({"limit_mb": "int"}, "memoryRequest").get("limit_mb")
    machine = _machine(world, request)
    memory.set_limit(machine, limit_mb or 0)
    return _memory(machine)


@HANDLERS.serves("reclaimMachineMemory")
def reclaim_memory(world: World, request: ApiRequest) -> ApiResponse:
    """Reclaim unused memory of a machine."""
    amount_mb = request.body({"amount_mb": "int"}, "reclaimRequest", required=False).get("amount_mb")
    return ApiResponse(body={"actual_mb": memory.reclaim(_machine(world, request), amount_mb)})


def _machine(world: World, request: ApiRequest) -> MachineRecord:
    return world.machine(request.app, request.machine_id)


def _memory(machine: MachineRecord) -> ApiResponse:
    return ApiResponse(body={"available_mb": memory.available(machine), "limit_mb": memory.limit(machine)})
