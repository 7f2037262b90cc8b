"""What can befall processes that share a budget, each about the middle of a row."""

import asyncio

from benchmarks.budget.files import Files
from benchmarks.budget.judge import SECOND
from benchmarks.budget.rows import Outage, Scene
from benchmarks.budget.server import Server
from flyasync.transport.ratelimit.shared import PATIENCE, PROBE

EARLY = 1.5
"""Seconds after the start."""
AWAY = 3.0
"""Seconds for which a server or a lock is out of reach."""
MOMENT = 0.2
"""Seconds for which a lock may be held without anybody giving up."""
HOLDERS = 5


async def worker_killed(scene: Scene) -> Outage:
    """Kill one of the processes."""
    await scene.reach(EARLY)
    scene.crew.workers[0].kill()
    return Outage(_now(), told=0)


async def holder_killed(scene: Scene) -> Outage:
    """Kill processes that hold the lock, one after the other."""
    files = scene.store
    assert isinstance(files, Files)
    await scene.reach(EARLY)
    for _ in range(HOLDERS):
        async with files.held() as holder:
            await asyncio.sleep(MOMENT)
            await holder.kill()
    return Outage(_now(), told=0)


async def holder_stopped(scene: Scene) -> Outage:
    """Have a process stand still while it holds the lock."""
    files = scene.store
    assert isinstance(files, Files)
    await scene.reach(EARLY)
    async with files.held() as holder:
        holder.stop()
        await asyncio.sleep(AWAY)
        await holder.go_on()
    return Outage(_now(), told=1)


async def server_stopped(scene: Scene) -> Outage:
    """Have the server stand still, and go on as if nothing had been."""
    server = scene.store
    assert isinstance(server, Server)
    await scene.reach(EARLY)
    server.stop()
    await asyncio.sleep(AWAY)
    server.go_on()
    return Outage(_now(), told=1)


async def server_killed(scene: Scene) -> Outage:
    """Kill the server, and start it again with all forgotten."""
    server = scene.store
    assert isinstance(server, Server)
    await scene.reach(EARLY)
    await server.kill()
    await asyncio.sleep(AWAY)
    await server.start()
    return Outage(_now(), told=1)


async def server_killed_again(scene: Scene) -> Outage:
    """Kill the server, start it again, and kill it once more as soon as the first process has noticed."""
    server = scene.store
    assert isinstance(server, Server)
    await scene.reach(EARLY)
    await server.kill()
    await asyncio.sleep(AWAY)
    await server.start()
    while not any(worker.back for worker in scene.crew.workers):  # noqa: ASYNC110 - they are other processes
        await asyncio.sleep(0.01)
    await asyncio.sleep(MOMENT)
    await server.kill()
    await asyncio.sleep(AWAY)
    await server.start()
    return Outage(_now(), told=None)


async def one_cut_off(scene: Scene) -> Outage:
    """Keep one of the processes from the server, which the others still reach."""
    assert scene.relay
    await scene.reach(EARLY)
    scene.relay.close()
    await asyncio.sleep(AWAY)
    scene.relay.open()
    notices = AWAY + PROBE + 2 * PATIENCE
    return Outage(_now(), told=None, beyond=notices / len(scene.crew.workers))


def _now() -> int:
    return round(asyncio.get_running_loop().time() * SECOND)
