"""What `python -m benchmarks compare` counts, of one commit: `python -m benchmarks.parts.compare_programs NAME URL`.

Only what users of the package import is used here, and the reader of models and the rate limits, so that commits with
other internals can be compared.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import cycle

from benchmarks.parts.decoding_documents import listed, machine
from benchmarks.shared.instructions import section
from benchmarks.shared.timing import repeated
from flyasync import FlyClient, Limits, MachineConfig, Rate
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.machine import Machine
from flyasync.testing import run_virtual
from flyasync.transport.ratelimit.buckets import Bucket

ENDLESS = Rate(per_second=1e9, burst=10**9)


async def session(url: str) -> None:
    """Make calls, with models: 64 of each, and two lists."""
    ids = cycle([machine(number)["id"] for number in range(100)])
    config = structure(machine(1)["config"], MachineConfig)
    async with FlyClient("fo1_x", base_url=url, limits=Limits(default=ENDLESS, operations={}, totals={})) as fly:
        await _count("get a machine, 64 times", lambda: fly.machines.get("web", next(ids)), 64)
        await _count("the same, 32 at once", lambda: fly.machines.get("web", next(ids)), 64, at_once=32)
        await _count("create a machine, 64 times", lambda: fly.machines.create("web", config), 64)
        await _count("list 100, twice", lambda: fly.machines.list("web"), 2)


async def decoding() -> None:
    """Read a list of 100 machines from JSON that is parsed, and write it back."""
    data = json.loads(listed(100))
    models = structure(data, tuple[Machine, ...])

    async def read() -> None:
        structure(data, tuple[Machine, ...])

    async def write() -> None:
        for model in models:
            unstructure(model)

    await section("read 100 machines", read)
    await section("write 100 machines", write)


async def limiter() -> None:
    """Take permits of one bucket: those that are free one after the other, and then many at once."""
    await _count("1,000 permits that are free", Bucket(ENDLESS).acquire, 1000)
    await _count("100 permits, 100 wait", Bucket(Rate(per_second=10, burst=1)).acquire, 100, at_once=100)


async def _count(name: str, call: Callable[[], Awaitable[object]], calls: int, at_once: int = 1) -> None:
    await section(name, partial(repeated, call, calls, at_once))


if __name__ == "__main__":
    program, url = sys.argv[1:]
    # Those that wait do so in virtual time.
    {
        "session": lambda: asyncio.run(session(url)),
        "decoding": lambda: asyncio.run(decoding()),
        "limiter": lambda: run_virtual(limiter()),
    }[program]()
