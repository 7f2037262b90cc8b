"""What can befall processes that share a budget, each about the middle of a row."""

import asyncio
import os
import signal

from attrs import frozen

from benchmarks.budget.crew import Crew, Files, Relay, go_on
from benchmarks.budget.judge import SECOND
from benchmarks.shared.valkey import Server
from flyasync.transport.ratelimit.shared import PATIENCE, PROBE

EARLY = 1.5
"""Seconds after the start."""
AWAY = 3.0
"""Seconds for which a server or a lock is out of reach."""
MOMENT = 0.2
"""Seconds for which a lock may be held without anybody giving up."""
HOLDERS = 5


@frozen
class Scene:
    """A row under way: its processes, and where their limits are."""

    crew: Crew
    store: Files | Server | None
    relay: Relay | None

    @property
    def files(self) -> Files:
        assert isinstance(self.store, Files)
        return self.store

    @property
    def server(self) -> Server:
        assert isinstance(self.store, Server)
        return self.store


@frozen
class Outage:
    """What befell a row: when it was over, and how often each process had to notice.

    `beyond` are seconds of the whole rate that come on top, by those who cannot know that others still have the limits.
    """

    over: int
    told: int | None
    beyond: float = 0.0


async def worker_killed(scene: Scene) -> Outage:
    """Kill one of the processes."""
    await scene.crew.workers[0].child.kill()
    return _over(told=0)


async def holder_killed(scene: Scene) -> Outage:
    """Kill processes that hold the lock, one after the other."""
    for _ in range(HOLDERS):
        async with scene.files.held() as holder:
            await asyncio.sleep(MOMENT)
            await holder.kill()
    return _over(told=0)


async def holder_stopped(scene: Scene) -> Outage:
    """Have a process stand still while it holds the lock."""
    async with scene.files.held() as holder:
        holder.signal(signal.SIGSTOP)
        await asyncio.sleep(AWAY)
        await go_on(holder)
    return _over(told=1)


async def server_stopped(scene: Scene) -> Outage:
    """Have the server stand still, and go on as if nothing had been."""
    os.kill(scene.server.gauge.pid, signal.SIGSTOP)
    await asyncio.sleep(AWAY)
    os.kill(scene.server.gauge.pid, signal.SIGCONT)
    return _over(told=1)


async def server_killed(scene: Scene) -> Outage:
    """Kill the server, and start it again with all forgotten."""
    await scene.server.kill()
    await asyncio.sleep(AWAY)
    await scene.server.start()
    return _over(told=1)


async def server_killed_again(scene: Scene) -> Outage:
    """Kill the server, start it again, and kill it once more as soon as the first process has noticed."""
    await server_killed(scene)
    while not any(worker.back for worker in scene.crew.workers):  # noqa: ASYNC110 - they are other processes
        await asyncio.sleep(0.01)
    await asyncio.sleep(MOMENT)
    await server_killed(scene)
    return _over(told=None)


async def one_cut_off(scene: Scene) -> Outage:
    """Keep one of the processes from the server, which the others still reach."""
    assert scene.relay
    scene.relay.is_open.clear()
    await asyncio.sleep(AWAY)
    scene.relay.is_open.set()
    return _over(told=None, beyond=(AWAY + PROBE + 2 * PATIENCE) / len(scene.crew.workers))


def _over(*, told: int | None, beyond: float = 0.0) -> Outage:
    return Outage(round(asyncio.get_running_loop().time() * SECOND), told, beyond)
