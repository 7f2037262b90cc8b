"""Which node knows what: it learns of other nodes' creates a little later, and no node reaches a host that is gone."""

from collections.abc import Iterable

from flyasync.emulator.core.errors import ApiError, not_found
from flyasync.emulator.core.records import AppRecord, MachineRecord
from flyasync.emulator.http.request import ApiRequest
from flyasync.emulator.world.world import World

# What looks inside a machine; all else that reads one is answered from what is known of it elsewhere.
_INSIDE = frozenset({"listMachineProcesses", "getMachineMemory"})


def demand_reachable(world: World, request: ApiRequest) -> None:
    """Raise 404 for what the node that is asked has not learned of yet, 408 for what needs a host that is gone."""
    app = world.apps.get(request.app)
    machine = world.machines.get(request.params.get("machine_id", ""))
    # 1. The node that made the app knows it, and everything in it, at once. Every other node hides the app from every
    #    request, and a machine from those that read it: what changes a machine goes to its host, which knows it.
    if app is not None and not _is_near(app, request):
        if world.clock < app.visible_at:
            raise not_found("app")
        if machine is not None and request.method == "GET" and world.clock < machine.visible_at:
            raise not_found("machine")
    # 2. Without its host a machine can be read, from what is known of it, and destroyed by force.
    if machine is None or machine.app != request.app or machine.is_destroyed or machine.has_host:
        return
    is_read = request.method == "GET" and request.action not in _INSIDE
    is_end = request.action == "deleteMachine" and request.is_forced
    if not (is_read or is_end):
        raise ApiError(408, "deadline_exceeded: host unreachable")


def seen(world: World, request: ApiRequest, machines: Iterable[MachineRecord]) -> list[MachineRecord]:
    """Return the machines that the node that is asked knows, as it knows them: a list may lag behind."""
    then = world.clock - request.behind
    found = []
    for machine in machines:
        is_own = machine.app == request.app and _is_near(world.app(machine.app), request)
        if machine.visible_at <= world.clock or is_own:
            found.append(world.as_of(machine, then))
    return [record for record in found if record is not None]


def _is_near(app: AppRecord, request: ApiRequest) -> bool:
    # The API sets this cookie when it creates an app, so that its later requests go to the node that did.
    return request.affinity == app.affinity
