"""Replication lag between nodes, and hosts that cannot be reached."""

from collections.abc import Iterable

from flyasync.emulator.core.errors import ApiError, not_found
from flyasync.emulator.core.records import AppRecord, MachineRecord
from flyasync.emulator.http.request import ApiRequest
from flyasync.emulator.world.world import World

# Reads that need the host of the machine; other reads use replicated data.
_INSIDE = frozenset({"listMachineProcesses", "getMachineMemory"})


def demand_reachable(world: World, request: ApiRequest) -> None:
    """Raise 404 for a resource that the serving node does not know yet, 408 for a request that needs a lost host."""
    app = world.apps.get(request.app)
    machine = world.machines.get(request.params.get("machine_id", ""))
    # 1. The node that created the app knows the app and its machines immediately. Other nodes return 404 for every
    #    request for the app, and for reads of a machine: changes of a machine are sent to its host, which knows it.
    if app is not None and not is_near(app, request):
        if world.clock < app.visible_at:
            raise not_found("app")
        if machine is not None and request.method == "GET" and world.clock < machine.visible_at:
            raise not_found("machine")
    # 2. Without its host, a machine can be read from replicated data, and destroyed by force.
    if machine is None or machine.app != request.app or machine.is_destroyed or machine.has_host:
        return
    is_read = request.method == "GET" and request.action not in _INSIDE
    is_end = request.action == "deleteMachine" and request.is_forced
    if not (is_read or is_end):
        raise ApiError(408, "deadline_exceeded: host unreachable")


def seen(world: World, request: ApiRequest, machines: Iterable[MachineRecord]) -> list[MachineRecord]:
    """Return the machines that the serving node knows, in the states it knows: a list may lag."""
    then = world.clock - request.behind
    found = []
    for machine in machines:
        is_known = machine.visible_at <= world.clock
        if is_known or (machine.app == request.app and is_near(world.app(machine.app), request)):
            found.append(world.as_of(machine, then))
    return [record for record in found if record is not None]


def is_near(app: AppRecord | None, request: ApiRequest) -> bool:
    """Whether the serving node created the app, so that it knows the latest state of the app's machines."""
    # The API sets this cookie when it creates an app, so that later requests go to the node that created it.
    return app is not None and request.affinity == app.affinity
