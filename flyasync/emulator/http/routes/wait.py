"""What takes its time over HTTP: the long poll, and the create that waits until every node knows the app."""

import asyncio

from flyasync.emulator.core.errors import Refused, not_found
from flyasync.emulator.core.records import Machine, Reach
from flyasync.emulator.http.request import Answer, Ask
from flyasync.emulator.http.routes import apps as routes_apps
from flyasync.emulator.http.scheduler import Pulse
from flyasync.emulator.world import waiting


async def wait(pulse: Pulse, ask: Ask) -> Answer:
    """Answer at the very moment a machine reaches the state, or refuse with 408 when time is up."""
    machine = pulse.world.machine(ask.app, ask.machine_id)
    seconds = waiting.seconds(ask.number("timeout"))
    wanted = waiting.wish(
        machine,
        states=ask.states,
        version=ask.query.get("version") or ask.query.get("instance_id"),
        from_event=ask.query.get("from_event_id"),
    )
    try:
        async with asyncio.timeout(seconds):
            return _said(await _reached(pulse, machine, wanted))
    except TimeoutError:
        refused: Refused = waiting.timed_out(machine, wanted)
    raise refused


async def create_app(pulse: Pulse, ask: Ask) -> Answer:
    """Make an app; with `wait` the answer is held until the app is seen by all."""
    answer = pulse.during(lambda: routes_apps.create(pulse.world, ask))
    if ask.flag("wait"):
        await pulse.until(pulse.world.apps[answer.body["name"]].visible_at)
    return answer


async def _reached(pulse: Pulse, machine: Machine, wanted: waiting.Wish) -> Reach:
    while (reach := waiting.answer(machine, wanted)) is None:
        await pulse.changed(machine.id)
        if pulse.world.machines.get(machine.id) is not machine:
            raise not_found("machine")
    return reach


def _said(reach: Reach) -> Answer:
    return Answer(body={"ok": True, "event_id": reach.event_id, "state": reach.state, "version": reach.version})
