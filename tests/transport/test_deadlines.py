"""Deadlines: when a block expires, and which cancellation it may hide."""

import asyncio
import math
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from flyasync.transport.deadlines import Deadline, Exchange, Watch
from flyasync.transport.session import WatchedTCP
from tests.transport.scripted import never, now, raw_server, rounded


async def test_it_expires_when_it_was_moved_to() -> None:
    with pytest.raises(TimeoutError), Deadline() as deadline:  # noqa: PT012 - it is moved while it runs
        assert deadline.when == math.inf
        deadline.move(5)
        deadline.move(3)
        await asyncio.sleep(10)
    assert rounded([now()]) == [3]


async def test_one_that_is_left_in_time_does_not_expire() -> None:
    with Deadline() as deadline:
        deadline.move(3)
        await asyncio.sleep(1)
    await asyncio.sleep(10)
    assert not deadline.is_expired


async def test_another_error_of_the_block_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="its own"), Deadline() as deadline:  # noqa: PT012
        deadline.move(1)
        try:
            await asyncio.sleep(5)
        finally:
            raise ValueError("its own")
    assert deadline.is_expired
    await asyncio.sleep(1)  # no cancellation is left over


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_cancellation_from_outside_is_never_hidden(is_first: bool) -> None:  # noqa: FBT001
    async def waiting() -> None:
        with deadline:
            await asyncio.sleep(10)

    deadline = Deadline()
    task = asyncio.create_task(waiting())
    await asyncio.sleep(1)
    for end in (task.cancel, deadline.expire) if is_first else (deadline.expire, task.cancel):
        end()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_expiry_of_an_outer_block_passes_through_an_inner_one() -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012
        async with asyncio.timeout(2):
            with Deadline() as inner:
                inner.move(5)
                await asyncio.sleep(10)
    assert not inner.is_expired


async def test_outside_a_task_it_says_so() -> None:
    def enter() -> None:
        with pytest.raises(RuntimeError, match="must be called from a task"), Deadline():
            pass
        done.set_result(None)

    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_soon(enter)
    await done


async def exchange(watch: Watch, *, hears_at: tuple[float, ...], lasts: float) -> float | None:
    """Return when an exchange expired, or None if it ended by itself."""
    try:
        with Exchange(watch, silence=3, total=10, is_poll=False) as running:
            for when in hears_at:
                await asyncio.sleep(when - now())
                running.hear()
            await asyncio.sleep(lasts - now())
    except TimeoutError:
        return rounded([now()])[0]
    return None


async def test_each_exchange_expires_after_its_silence_or_in_the_end() -> None:
    watch = Watch()
    expired = await asyncio.gather(
        exchange(watch, hears_at=(0,), lasts=2),
        exchange(watch, hears_at=(0,), lasts=20),
        exchange(watch, hears_at=(1, 2.5), lasts=20),
        exchange(watch, hears_at=(0, 2, 4, 6, 8, 9.5), lasts=20),
        exchange(watch, hears_at=(), lasts=20),
    )
    assert list(expired) == [None, 3, 5.5, 10, None]
    assert not watch.running


async def test_all_exchanges_share_one_timer() -> None:
    watch = Watch()
    for _ in range(100):
        with Exchange(watch, silence=3, total=10, is_poll=False) as running:
            running.hear()
            await asyncio.sleep(0.01)
    assert rounded([watch.looks_at]) == [3]  # as the first one has set it
    await asyncio.sleep(3)
    assert watch.looks_at == math.inf


class SlowNames(AbstractResolver):
    """Finds each name after five seconds, on this machine."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        await asyncio.sleep(5)
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def test_silence_begins_when_the_connection_is_made() -> None:
    watch = Watch()
    async with (
        raw_server(never) as server,
        aiohttp.ClientSession(connector=WatchedTCP(watch, resolver=SlowNames())) as session,
    ):
        with pytest.raises(TimeoutError), Exchange(watch, silence=3, total=20, is_poll=False):
            await session.get(server.url.replace("127.0.0.1", "slow.internal"))
    assert rounded([now()]) == [8]
