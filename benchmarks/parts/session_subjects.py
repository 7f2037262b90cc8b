"""The clients whose sessions are compared: each can get a machine, list an app's machines, and create one.

Each is used as its users would at its best: one session for all calls, the pool that costs it least, and the token
among its headers. What flyasync's rate limits allow is set so high that no call ever waits.

aiohttp is there as a user has it, with its own timeouts, cookies and redirects, and bare, without them. The floor is
what nobody who keeps to the limits can do without: aiohttp, a turn of aiolimiter, a place, and a time limit; with
objects, it also parses the JSON and makes a plain object of each of its objects, unchecked.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import cycle
from types import ModuleType, SimpleNamespace
from typing import Any, Final, Literal
from urllib.parse import quote

import aiohttp
from aiolimiter import AsyncLimiter
from attrs import frozen

from benchmarks.parts.decoding_documents import machine
from benchmarks.parts.session_httpx import TOKEN, connected, module
from flyasync import FlyClient, MachineConfig
from flyasync.api.resource import Caller, request
from flyasync.models.json.codec import structure
from flyasync.transport.credentials import Token
from flyasync.transport.events import log_event
from flyasync.transport.ratelimit.buckets import Buckets
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.request import Repeat, Request
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.sender import Sender
from flyasync.transport.session import Session, Timeouts

Operation = Literal["get", "list", "create"]
Call = Callable[[], Awaitable[Any]]

RAW: Final = "aiohttp"
BARE: Final = "aiohttp, bare"
RAW_JSON: Final = "aiohttp + json.loads"
FLOOR: Final = "floor"
FLOOR_OBJECTS: Final = "floor, objects"
UNDECODED: Final = "flyasync, undecoded"
AS_JSON: Final = "flyasync, JSON"
MODELS: Final = "flyasync, models"
HTTPX: Final = "generated for httpx"

APP: Final = "web"
IDS: Final = [machine(number)["id"] for number in range(100)]
"""The machines that are got in turn: a real program does not ask for the same one for ever."""
CONFIG: Final[Mapping[str, Any]] = machine(1)["config"]
UNLIMITED: Final = Limits(default=Rate(per_second=1e9, burst=10**9), operations={}, totals={})


@asynccontextmanager
async def subjects(url: str, operation: Operation, package: ModuleType, at_once: int) -> AsyncIterator[dict[str, Call]]:
    """Give what makes one call by each of them, as long as the block lasts."""
    async with AsyncExitStack() as stack:
        raw, bare = [await stack.enter_async_context(_aiohttp(is_bare=is_bare)) for is_bare in (False, True)]
        caller = await stack.enter_async_context(_caller(url, at_once))
        fly = await stack.enter_async_context(_flyasync(url, at_once))
        client = await stack.enter_async_context(connected(package, url))
        ids = cycle(IDS)
        read = partial(_read, raw, url, operation, ids)
        floor = _floor(partial(_read, bare, url, operation, ids), at_once)
        yield {
            RAW: read,
            BARE: partial(_read, bare, url, operation, ids),
            RAW_JSON: partial(_loaded, read),
            FLOOR: floor,
            FLOOR_OBJECTS: partial(_loaded, floor, object_hook=_plain),
            UNDECODED: lambda: caller.ask(_request(operation, ids, reads="bytes")),
            AS_JSON: lambda: caller.ask(_request(operation, ids)),
            MODELS: _models(fly, operation, ids),
            HTTPX: _generated(client, operation, ids),
        }


def _aiohttp(*, is_bare: bool) -> aiohttp.ClientSession:
    less: dict[str, Any] = {"timeout": aiohttp.ClientTimeout(total=None), "cookie_jar": aiohttp.DummyCookieJar()}
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        headers={"Authorization": f"Bearer {TOKEN}"},
        **(less if is_bare else {"raise_for_status": True}),
    )


async def _read(session: aiohttp.ClientSession, url: str, operation: Operation, ids: Iterable[str]) -> bytes:
    machines = f"{url}/v1/apps/{APP}/machines"
    if operation == "create":
        asked = session.post(machines, json={"config": CONFIG})
    else:
        asked = session.get(machines if operation == "list" else f"{machines}/{quote(next(iter(ids)), safe='')}")
    async with asked as response:
        return await response.read()


async def _loaded(read: Callable[[], Awaitable[bytes]], object_hook: Callable[[Any], Any] | None = None) -> Any:
    return json.loads(await read(), object_hook=object_hook)


def _floor(read: Callable[[], Awaitable[bytes]], at_once: int) -> Callable[[], Awaitable[bytes]]:
    limiters, places = {APP: AsyncLimiter(10**9, 1)}, asyncio.Semaphore(at_once)

    async def floor() -> bytes:
        await limiters[APP].acquire()
        async with places, asyncio.timeout(40):
            return await read()

    return floor


def _plain(members: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**members)


@asynccontextmanager
async def _caller(url: str, at_once: int) -> AsyncIterator[Caller]:
    session = Session(url, Token(TOKEN), Timeouts(calls=at_once))
    sender = Sender(session, Buckets(UNLIMITED), RetryPolicy(), log_event)
    try:
        yield Caller(sender)
    finally:
        await sender.close(grace=0)


def _request(operation: Operation, ids: Iterable[str], *, reads: Literal["json", "bytes"] = "json") -> Request:
    """Describe the same request as the method of `fly.machines` does, out of JSON and not of models."""
    if operation == "get":
        return request(
            "machines.get",
            APP,
            next(iter(ids)),
            to="GET apps/{}/machines/{}",
            repeat=Repeat.ANYTIME,
            query={"include_leases": None},
            reads=reads,
        )
    if operation == "list":
        return request("machines.list", APP, to="GET apps/{}/machines", repeat=Repeat.ANYTIME, reads=reads)
    body = {"config": CONFIG}
    return request("machines.create", APP, to="POST apps/{}/machines", repeat=Repeat.UNSENT, body=body, reads=reads)


_CONFIG: Final = structure(CONFIG, MachineConfig)


def _flyasync(url: str, at_once: int) -> FlyClient:
    return FlyClient(TOKEN, base_url=url, limits=UNLIMITED, timeout=Timeouts(calls=at_once))


def _models(fly: FlyClient, operation: Operation, ids: Iterable[str]) -> Call:
    calls: dict[Operation, Call] = {
        "get": lambda: fly.machines.get(APP, next(iter(ids))),
        "list": lambda: fly.machines.list(APP),
        "create": lambda: fly.machines.create(APP, _CONFIG),
    }
    return calls[operation]


def _generated(client: Any, operation: Operation, ids: Iterable[str]) -> Call:
    get, list_, create = (module(f"api.default.{name}") for name in ("get_machine", "list_machines", "create_machine"))
    body = module("models.create_machine_body").CreateMachineBody.from_dict({"config": CONFIG})
    calls: dict[Operation, Call] = {
        "get": lambda: get.asyncio(APP, next(iter(ids)), client=client),
        "list": lambda: list_.asyncio(APP, client=client),
        "create": lambda: create.asyncio(APP, client=client, body=body),
    }
    return calls[operation]


@frozen
class Shift:
    """So many calls, so many of them at once."""

    call: Call
    calls: int
    at_once: int

    async def work(self) -> None:
        """Make them all."""
        left = iter(range(self.calls))
        await asyncio.gather(*(self._go_on(left) for _ in range(self.at_once)))

    async def _go_on(self, left: Iterable[int]) -> None:
        for _ in left:
            await self.call()
