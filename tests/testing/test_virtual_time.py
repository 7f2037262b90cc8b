"""The virtual clock itself."""

import asyncio

from aiohttp import ClientSession, web
from aiolimiter import AsyncLimiter

from flyasync.testing import run_virtual


async def test_an_hour_passes_at_once() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await asyncio.sleep(3600)
    assert 3600 <= loop.time() - before < 3600.01


async def test_a_limiter_keeps_its_schedule() -> None:
    loop = asyncio.get_running_loop()
    limiter, start, grants = AsyncLimiter(10, 2), loop.time(), []
    for _ in range(13):
        await limiter.acquire()
        grants.append(round(loop.time() - start, 1))
    assert grants == [0] * 10 + [0.2, 0.4, 0.6]


def test_real_sockets_follow_the_clock() -> None:
    async def poll(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query["seconds"]))
        return web.Response(text="ok")

    async def main() -> float:
        app = web.Application()
        app.router.add_get("/", poll)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with ClientSession() as session:

            async def ask(seconds: int) -> str:
                async with session.get(f"http://{host}:{port}/", params={"seconds": seconds}) as reply:
                    return await reply.text()

            replies = await asyncio.gather(*(ask(n % 60) for n in range(90)))
        assert set(replies) == {"ok"}
        took = loop.time() - start
        await runner.cleanup()
        return took

    assert 59 <= run_virtual(main()) < 60.5
