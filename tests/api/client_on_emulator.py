"""What the tests of this room share: clients of an emulator, and a server that notes what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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


Reply = tuple[int, Any]


@define
class Recorder:
    """Gives the replies of its script in order, the last one for ever."""

    script: list[Reply]
    url: str = ""
    heard: list[Sent] = Factory(list)

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.heard.append(Sent(f"{request.method} {request.raw_path}", body, request.headers.get(NONCE)))
        status, answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return web.Response(status=status) if answer is None else web.json_response(answer, status=status)


def asked(answer: Any, *, status: int = 200) -> AbstractAsyncContextManager[tuple[Recorder, FlyClient]]:
    """A server that always answers `answer`, and a client of it."""
    return scripted((status, answer))


@asynccontextmanager
async def scripted(*script: Reply) -> AsyncIterator[tuple[Recorder, FlyClient]]:
    """A server that gives the replies of a script in order, and a client of it."""
    recorder = Recorder(list(script))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", recorder.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        recorder.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with FlyClient("token", base_url=recorder.url) as fly:
            yield recorder, fly
    finally:
        await runner.cleanup()


async def sent_by(ask: Ask, answer: Any) -> Sent:
    """Give the one request that `ask` sends."""
    async with asked(answer) as (recorder, fly):
        await ask(fly)
    (sent,) = recorder.heard
    return sent
