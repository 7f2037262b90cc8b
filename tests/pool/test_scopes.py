"""Claims inside the cancel scopes of anyio, such as those of Starlette: each machine goes back to the pool."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from flyasync.emulator import Emulator, Fault
from flyasync.pool.spec import KEY
from tests.pool.conftest import MakePool, settle

GONE = {"destroying", "destroyed"}


def claimed(emulator: Emulator) -> list[str]:
    """Return the names of the machines that a claim holds, or whose key is still set."""
    alive = (each for each in emulator.world.machines.values() if each.state not in GONE)
    return [each.name for each in alive if each.lease or KEY in (each.config.get("metadata") or {})]


@pytest.mark.parametrize("after", [0.001, 0.3, 1.5, 3, 20])
@pytest.mark.parametrize("on_release", ["recycle", "stop"])
@pytest.mark.parametrize("ready", [0, 1])
async def test_whenever_its_scope_ends_the_machine_goes_back(
    emulator: Emulator, make_pool: MakePool, after: float, on_release: str, ready: int
) -> None:
    pool = make_pool(ready=ready, on_release=on_release)
    await settle(pool)
    emulator.faults.add(Fault(does="delay", seconds=1))
    with anyio.move_on_after(after) as scope:
        async with pool.acquire("alice"):
            await asyncio.sleep(100)
    assert scope.cancelled_caught
    # A machine that was created for the key, but not yet leased by its refresher, is recycled by the next round.
    await asyncio.sleep(60)
    emulator.faults.clear()
    await pool.reconcile()
    assert claimed(emulator) == []


async def test_a_task_group_of_claims_that_is_cancelled(emulator: Emulator, make_pool: MakePool) -> None:
    pool = make_pool(ready=3, max=6)
    await settle(pool)

    async def use(key: str) -> None:
        async with pool.acquire(key):
            await asyncio.sleep(100)

    async with pool, anyio.create_task_group() as group:
        for number in range(9):
            group.start_soon(use, f"user-{number}")
        await asyncio.sleep(20)
        assert len(claimed(emulator)) == 6
        group.cancel_scope.cancel()
    assert claimed(emulator) == []


async def test_a_pool_that_its_scope_closes_waits_for_the_claims_of_other_tasks(
    emulator: Emulator, make_pool: MakePool
) -> None:
    pool = make_pool()

    async def use() -> None:
        async with pool.acquire("alice"):
            await asyncio.sleep(30)

    with anyio.move_on_after(10):
        async with pool:
            claim = asyncio.create_task(use())
            await asyncio.sleep(100)
    assert claimed(emulator) == []
    await claim


async def test_a_task_that_is_cancelled_while_it_closes_a_pool_awaits_the_create_in_flight_and_is_cancelled(
    emulator: Emulator, make_pool: MakePool
) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=5))

    async def use() -> None:
        async with make_pool(ready=1):
            await asyncio.sleep(1)

    closing = asyncio.create_task(use())
    await asyncio.sleep(2)
    assert not closing.done()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert len(emulator.world.machines) == 1


async def test_a_round_that_its_scope_cancels_awaits_the_create_it_has_sent(
    emulator: Emulator, make_pool: MakePool
) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=5))
    began = asyncio.get_running_loop().time()
    with anyio.move_on_after(2):
        await make_pool(ready=2).reconcile()
    assert len(emulator.world.machines) == 1
    assert asyncio.get_running_loop().time() - began < 7


async def test_a_client_that_disconnects_from_starlette_gives_its_machine_back(
    emulator: Emulator, make_pool: MakePool
) -> None:
    pool, api, sent = make_pool(), FastAPI(), []

    @api.get("/work")
    async def work() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            async with pool.acquire("alice") as machine:
                while True:
                    yield f"{machine.id}\n"
                    await asyncio.sleep(1)

        return StreamingResponse(lines())

    requests = iter([0.0, 20.0])

    async def receive() -> dict[str, Any]:
        seconds = next(requests)
        await asyncio.sleep(seconds)
        return {"type": "http.disconnect"} if seconds else {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    # The version of ASGI that uvicorn implements: Starlette listens for the disconnect in a task group of anyio.
    asgi = {"version": "3.0", "spec_version": "2.3"}
    scope = {"type": "http", "asgi": asgi, "method": "GET", "path": "/work", "query_string": b"", "headers": []}
    await api(scope, receive, send)
    assert len(sent) > 5
    assert claimed(emulator) == []
