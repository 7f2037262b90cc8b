"""What the tests of this room share: clients of an emulator, and a server that notes what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from attrs import Factory, define, frozen

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator
from flyasync.models.config import MachineConfig
from flyasync.models.machine import Machine

NGINX = MachineConfig(image="nginx")
NONCE = "fly-machine-lease-nonce"

Ask = Callable[[FlyClient], Awaitable[Any]]


def now() -> float:
    return asyncio.get_running_loop().time()


def client(emulator: Emulator, **options: Any) -> FlyClient:
    return FlyClient(emulator.token, base_url=emulator.url, **options)


async def running(fly: FlyClient, config: MachineConfig = NGINX, **options: Any) -> Machine:
    machine = await fly.machines.create("web", config, **options)
    await fly.machines.wait("web", machine.id)
    return machine


async def stopped(fly: FlyClient, config: MachineConfig = NGINX, **options: Any) -> Machine:
    machine = await fly.machines.create("web", config, skip_launch=True, **options)
    await fly.machines.wait("web", machine.id, state="stopped")
    return machine


def count(emulator: Emulator, action: str) -> int:
    return sum(number for (name, _), number in emulator.counts().items() if name == action)


@frozen
class Sent:
    """A request as it arrived; `line` is the method and the target, as they were on the wire."""

    line: str
    body: Any
    nonce: str | None


@define
class Recorder:
    """Gives every request the same answer."""

    answer: Any
    status: int = 200
    heard: list[Sent] = Factory(list)

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.heard.append(Sent(f"{request.method} {request.raw_path}", body, request.headers.get(NONCE)))
        if self.answer is None:
            return web.Response(status=self.status)
        return web.json_response(self.answer, status=self.status)


@asynccontextmanager
async def asked(answer: Any, *, status: int = 200) -> AsyncIterator[tuple[Recorder, FlyClient]]:
    """A server that always answers `answer`, and a client of it."""
    recorder = Recorder(answer, status)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", recorder.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with FlyClient("token", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}") as fly:
            yield recorder, fly
    finally:
        await runner.cleanup()


async def sent_by(ask: Ask, answer: Any) -> Sent:
    """Give the one request that `ask` sends."""
    async with asked(answer) as (recorder, fly):
        await ask(fly)
    (sent,) = recorder.heard
    return sent
