"""Long requests over HTTP: the wait for a machine, and the create that waits until every node knows the app."""

import asyncio

from flyasync.emulator.core.errors import not_found
from flyasync.emulator.http.handler import Handlers, LongHandler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.routes import apps
from flyasync.emulator.http.scheduler import Scheduler
from flyasync.emulator.world import waiting

HANDLERS = Handlers[LongHandler]()


@HANDLERS.serves("waitMachine")
async def wait(scheduler: Scheduler, request: ApiRequest) -> ApiResponse:
    """Respond when a machine reaches the state, or with 408 at the timeout."""
    machine = scheduler.world.machine(request.app, request.machine_id)
    seconds = waiting.seconds(request.number("timeout"))
    # The older parameter for the version is still documented, and some clients send it.
    version = request.query.get("version") or request.query.get("instance_id")
    from_event = request.query.get("from_event_id")
    condition = waiting.condition(machine, states=request.states, version=version, from_event=from_event)
    try:
        async with asyncio.timeout(seconds):
            while (reached := waiting.reached_state(machine, condition)) is None:
                await scheduler.changed(machine.id)
                # Deleted with its app, or by a reset. In a world that was loaded, it is another record.
                found = scheduler.world.machines.get(machine.id)
                if found is None or found.app != request.app:
                    raise not_found("machine")
                machine = found
    except TimeoutError:
        timed_out = waiting.timed_out(machine, condition)
    else:
        body = {"ok": True, "event_id": reached.event_id, "state": reached.state, "version": reached.version}
        return ApiResponse(body=body)
    # Outside the except block, so that the error has no context.
    raise timed_out


@HANDLERS.serves("createApp")
async def create_app(scheduler: Scheduler, request: ApiRequest) -> ApiResponse:
    """Create an app; with `wait`, respond when every node knows it."""
    with scheduler.present() as world:
        response = apps.create(world, request)
    if request.flag("wait"):
        await scheduler.until(scheduler.world.apps[response.body["name"]].visible_at)
    return response
