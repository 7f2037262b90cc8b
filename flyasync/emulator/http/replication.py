"""Who reaches what: a node learns of other nodes' creates a little later, and nobody reaches a host that is gone."""

from collections.abc import Iterable

from flyasync.emulator.core.errors import ApiError, not_found
from flyasync.emulator.core.records import AppRecord, MachineRecord
from flyasync.emulator.http.request import ApiRequest
from flyasync.emulator.world.world import World

# What looks inside a machine; all else that reads one is answered from what is known of it elsewhere.
_INSIDE = frozenset({"listMachineProcesses", "getMachineMemory"})


def demand(world: World, ask: ApiRequest) -> None:
    """Refuse with 404 what the node that is asked has not learned of yet, with 408 what needs a host that is gone.

    An app is hidden from everything that is asked about it, a machine from what reads it: what changes a machine goes
    to its host, which knows it. Who sends the cookie that came with the app is served by the node that made it, and
    sees all of it at once. Without its host a machine can be read, and destroyed by force.
    """
    _demand_known(world, ask)
    machine = world.machines.get(ask.params.get("machine_id", ""))
    if machine is not None and machine.app == ask.app and not machine.is_destroyed:
        _demand_host(machine, ask)


def _demand_known(world: World, ask: ApiRequest) -> None:
    app = world.apps.get(ask.app)
    if app is None or _is_near(app, ask):
        return
    if world.clock < app.visible_at:
        raise not_found("app")
    machine = world.machines.get(ask.params.get("machine_id", ""))
    if machine is not None and ask.method == "GET" and world.clock < machine.visible_at:
        raise not_found("machine")


def _demand_host(machine: MachineRecord, ask: ApiRequest) -> None:
    is_read = ask.method == "GET" and ask.action not in _INSIDE
    is_end = ask.action == "deleteMachine" and ask.is_forced
    if not (machine.has_host or is_read or is_end):
        raise ApiError(408, "deadline_exceeded: host unreachable")


def seen(world: World, ask: ApiRequest, machines: Iterable[MachineRecord]) -> list[MachineRecord]:
    """Return the machines that the node that is asked knows, as it knows them: a list may lag behind."""
    known = [machine for machine in machines if machine.visible_at <= world.clock or _is_near_to(world, machine, ask)]
    records = [world.as_of(machine, world.clock - ask.behind) for machine in known]
    return [record for record in records if record is not None]


def _is_near_to(world: World, machine: MachineRecord, ask: ApiRequest) -> bool:
    return machine.app == ask.app and _is_near(world.app(machine.app), ask)


def _is_near(app: AppRecord, ask: ApiRequest) -> bool:
    return ask.affinity == app.affinity
