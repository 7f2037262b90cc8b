"""What takes its time over HTTP: the long poll, and the create that waits until every node knows the app."""

import asyncio

from flyasync.emulator.core.errors import ApiError, not_found
from flyasync.emulator.core.records import MachineRecord, ReachedState
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.routes import apps as routes_apps
from flyasync.emulator.http.scheduler import Scheduler
from flyasync.emulator.world import waiting


async def wait(scheduler: Scheduler, ask: ApiRequest) -> ApiResponse:
    """Answer at the very moment a machine reaches the state, or refuse with 408 when time is up."""
    machine = scheduler.world.machine(ask.app, ask.machine_id)
    seconds = waiting.seconds(ask.number("timeout"))
    wanted = waiting.condition(
        machine,
        states=ask.states,
        version=ask.query.get("version") or ask.query.get("instance_id"),
        from_event=ask.query.get("from_event_id"),
    )
    try:
        async with asyncio.timeout(seconds):
            return _said(await _reached(scheduler, machine, wanted))
    except TimeoutError:
        error: ApiError = waiting.timed_out(machine, wanted)
    raise error


async def create_app(scheduler: Scheduler, ask: ApiRequest) -> ApiResponse:
    """Make an app; with `wait` the answer is held until the app is seen by all."""
    answer = scheduler.during(lambda: routes_apps.create(scheduler.world, ask))
    if ask.flag("wait"):
        await scheduler.until(scheduler.world.apps[answer.body["name"]].visible_at)
    return answer


async def _reached(scheduler: Scheduler, machine: MachineRecord, wanted: waiting.WaitCondition) -> ReachedState:
    while (reach := waiting.answer(machine, wanted)) is None:
        await scheduler.changed(machine.id)
        if scheduler.world.machines.get(machine.id) is not machine:
            raise not_found("machine")
    return reach


def _said(reach: ReachedState) -> ApiResponse:
    return ApiResponse(body={"ok": True, "event_id": reach.event_id, "state": reach.state, "version": reach.version})
