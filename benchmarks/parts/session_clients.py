"""The server of the session's benchmark, and the clients that can get a machine, list an app's machines and create one.

The server answers as Fly.io does, with a machine of about 3 kB, or a list. Each client is used as its users would at
its best: one session for all calls, the pool that costs it least, and the token among its headers. What flyasync's rate
limits allow is set so high that no call ever waits.

aiohttp is there as a user has it, with its own timeouts, cookies and redirects, and bare, without them. The floor is
what no client that keeps to the limits can do without: aiohttp, a permit of aiolimiter, a slot, and a time limit; with
objects, it also parses the JSON and makes a plain object of each of its objects, unchecked. The client for httpx is
generated from the API's own document when it is needed.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.parts.decoding_documents import listed, machine
from benchmarks.shared import servers
from flyasync import FlyClient, MachineConfig
from flyasync.api.resource import request
from flyasync.models.json.codec import structure
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.request import Repeat, Request
from flyasync.transport.session import Timeouts

Operation = Literal["get", "list", "create"]
Call = Callable[[], Awaitable[Any]]

RAW, BARE, RAW_JSON = "aiohttp", "aiohttp, bare", "aiohttp + json.loads"
FLOOR, FLOOR_OBJECTS = "floor", "floor, objects"
UNDECODED, AS_JSON, MODELS = "flyasync, undecoded", "flyasync, JSON", "flyasync, models"
HTTPX = "generated for httpx"

DOCUMENT = Path(__file__).parents[2] / "tests" / "machines.openapi.json"
PACKAGE = "generated_fly"
TOKEN = "fo1_benchmark"  # noqa: S105 - opens nothing
APP = "web"
IDS = [machine(number)["id"] for number in range(100)]
"""The machines that are got in turn: a real program does not ask for the same one each time."""
CONFIG = machine(1)["config"]
UNLIMITED = Limits(default=Rate(per_second=1e9, burst=10**9), operations={}, totals={})
HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Fly-Request-Id": "01K4AS19K057WY04RHM2N58YBV-yyz",
    "Fly-Span-Id": "6a1d0f1a7c3e9b52",
    "Server": "Fly/cc4ee5f1",
    "Via": "2 fly.io",
}


def one() -> bytes:
    """Return a machine of about 3 kB, with a dozen of its events."""
    shown = machine(1)
    return json.dumps({**shown, "events": shown["events"] * 6}, separators=(",", ":")).encode()


@contextmanager
def answering(machines: int) -> Iterator[str]:
    """Run the server until the block ends, with lists of so many machines; yield its URL."""
    path = "/v1/apps/{app}/machines"
    bodies = {f"GET {path}": listed(machines), f"POST {path}": one(), f"GET {path}/{{id}}": one()}
    with servers.answering(bodies, HEADERS) as server:
        yield server.url


@contextmanager
def generated() -> Iterator[str]:
    """Generate the client for httpx, a package that can be imported until the block ends; yield where it is."""
    with TemporaryDirectory() as directory:
        config = Path(directory, "config.json")
        config.write_text(json.dumps({"post_hooks": []}))  # they would only format the code
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--path", str(DOCUMENT)]
        command += ["--config", str(config), "--output-path", str(Path(directory, PACKAGE))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own words
        sys.path.insert(0, directory)
        try:
            yield directory
        finally:
            sys.path.remove(directory)
            for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
                del sys.modules[name]


@asynccontextmanager
async def clients(url: str, operation: Operation, at_once: int) -> AsyncIterator[dict[str, Call]]:
    """Yield what makes one call by each client, as long as the block lasts."""
    ids = cycle(IDS)
    bare: dict[str, Any] = {"timeout": aiohttp.ClientTimeout(total=None), "cookie_jar": aiohttp.DummyCookieJar()}
    async with (
        _aiohttp(raise_for_status=True) as user_session,
        _aiohttp(**bare) as bare_session,
        FlyClient(TOKEN, base_url=url, limits=UNLIMITED, timeout=Timeouts(calls=at_once)) as fly,
        # Its hundred connections cost less CPU than one for each call: httpx looks through all of them at each call.
        import_module(PACKAGE).AuthenticatedClient(base_url=url, token=TOKEN) as httpx,
    ):
        read, read_bare = (_reader(session, url, operation, ids) for session in (user_session, bare_session))
        floor, caller = _floor(read_bare, at_once), fly._caller  # noqa: SLF001 - models are all that its users get
        yield {
            RAW: read,
            BARE: read_bare,
            RAW_JSON: _loaded(read),
            FLOOR: floor,
            FLOOR_OBJECTS: _loaded(floor, lambda members: SimpleNamespace(**members)),
            UNDECODED: lambda: caller.ask(_request(operation, ids, "bytes")),
            AS_JSON: lambda: caller.ask(_request(operation, ids, "json")),
            MODELS: _models(fly, operation, ids),
            HTTPX: _httpx(httpx, operation, ids),
        }


def _aiohttp(**options: Any) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers, **options)


def _reader(session: aiohttp.ClientSession, url: str, operation: Operation, ids: Iterator[str]) -> Call:
    machines = f"{url}/v1/apps/{APP}/machines"

    async def read() -> bytes:
        if operation == "create":
            asked = session.post(machines, json={"config": CONFIG})
        else:
            asked = session.get(machines if operation == "list" else f"{machines}/{quote(next(ids), safe='')}")
        async with asked as response:
            return await response.read()

    return read


def _loaded(read: Call, object_hook: Callable[[Any], Any] | None = None) -> Call:
    async def load() -> Any:
        return json.loads(await read(), object_hook=object_hook)

    return load


def _floor(read: Call, at_once: int) -> Call:
    limiters, slots = {APP: AsyncLimiter(10**9, 1)}, asyncio.Semaphore(at_once)

    async def floor() -> Any:
        await limiters[APP].acquire()
        async with slots, asyncio.timeout(40):
            return await read()

    return floor


def _request(operation: Operation, ids: Iterator[str], reads: Literal["json", "bytes"]) -> Request:
    """Describe the same request as the method of `fly.machines` does, out of JSON and not of models."""
    if operation == "list":
        return request("machines.list", APP, to="GET apps/{}/machines", repeat=Repeat.ANYTIME, reads=reads)
    if operation == "create":
        body, to = {"config": CONFIG}, "POST apps/{}/machines"
        return request("machines.create", APP, to=to, repeat=Repeat.UNSENT, body=body, reads=reads)
    query, to = {"include_leases": None}, "GET apps/{}/machines/{}"
    return request("machines.get", APP, next(ids), to=to, repeat=Repeat.ANYTIME, query=query, reads=reads)


def _models(fly: FlyClient, operation: Operation, ids: Iterator[str]) -> Call:
    config = structure(CONFIG, MachineConfig)
    calls: dict[Operation, Call] = {
        "get": lambda: fly.machines.get(APP, next(ids)),
        "list": lambda: fly.machines.list(APP),
        "create": lambda: fly.machines.create(APP, config),
    }
    return calls[operation]


def _httpx(client: Any, operation: Operation, ids: Iterator[str]) -> Call:
    def module(path: str) -> Any:
        return import_module(f"{PACKAGE}.{path}")

    get, list_, create = (module(f"api.default.{name}") for name in ("get_machine", "list_machines", "create_machine"))
    body = module("models.create_machine_body").CreateMachineBody.from_dict({"config": CONFIG})
    calls: dict[Operation, Call] = {
        "get": lambda: get.asyncio(APP, next(ids), client=client),
        "list": lambda: list_.asyncio(APP, client=client),
        "create": lambda: create.asyncio(APP, client=client, body=body),
    }
    return calls[operation]
