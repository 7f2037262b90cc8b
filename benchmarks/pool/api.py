"""An emulator in a process of its own: `python -m benchmarks.pool.api OPTIONS`, where the options are JSON."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from attrs import asdict, define, frozen

from flyasync import Emulator, Fault
from flyasync.pool.spec import KEPT_UNTIL, KEY, POOL

ROOT = Path(__file__).parents[2]
APP = "sandboxes"
GONE = {"destroying", "destroyed"}


@frozen(kw_only=True)
class Made:
    """A machine of the emulated world."""

    id: str
    name: str
    state: str
    region: str
    key: str | None
    is_kept: bool
    is_leased: bool


@frozen(kw_only=True)
class Seen:
    """What the emulator has seen: `most` is how many machines of a pool existed at once."""

    machines: tuple[Made, ...]
    most: int
    requests: dict[str, int]
    refused_creates: int
    limited: int

    @classmethod
    def of(cls, emulator: Emulator, most: int) -> Self:
        """Sum up what an emulator has seen."""
        requests: dict[str, int] = {}
        for (action, _), number in emulator.counts().items():
            requests[action] = requests.get(action, 0) + number
        emulator.serving(APP)  # the world as of now
        now = emulator.world.clock
        machines = tuple(
            Made(
                id=each.id,
                name=each.name,
                state=each.state,
                region=each.region,
                key=_metadata(each).get(KEY),
                is_kept=KEPT_UNTIL in _metadata(each),
                is_leased=bool(each.lease and each.lease.expires_at > now),
            )
            for each in emulator.world.machines.values()
        )
        creates = requests.get("createMachine", 0)
        return cls(
            machines=machines,
            most=most,
            requests=requests,
            refused_creates=creates - len(machines),
            limited=sum(emulator.refused_by_limit().values()),
        )

    @property
    def alive(self) -> list[Made]:
        """The machines that exist and are not being destroyed."""
        return [each for each in self.machines if each.state not in GONE]


@define(eq=False)
class Api:
    """The process from outside."""

    url: str
    token: str
    _process: asyncio.subprocess.Process

    async def seen(self) -> Seen:
        """Return what the emulator has seen so far."""
        return _seen(await self._ask("seen"))

    async def heal(self) -> None:
        """End all faults."""
        await self._ask("heal")

    async def _ask(self, word: str) -> Any:
        assert self._process.stdin
        self._process.stdin.write(f"{word}\n".encode())
        return await _line(self._process)


def _seen(fields: dict[str, Any]) -> Seen:
    return Seen(**{**fields, "machines": tuple(Made(**each) for each in fields["machines"])})


@asynccontextmanager
async def api(**options: Any) -> AsyncIterator[Api]:
    """Start an emulator, with the responses that are lost as a probability in `lost`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "benchmarks.pool.api", json.dumps(options)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    try:
        url, token = await _line(process)
        yield Api(url, token, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout
    return json.loads(await process.stdout.readline())


async def serve(*, lost: float = 0.0, **options: Any) -> None:
    """Serve until stdin ends, and respond to each line of it."""
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with Emulator(**options) as emulator:
        most = counted(emulator)
        _say([emulator.url, emulator.token])
        if lost:
            emulator.faults.add(Fault(does="cut_after", probability=lost))
        while word := (await asked.readline()).decode().strip():
            if word == "heal":
                emulator.faults.clear()
                _say("healed")
            else:
                _say(asdict(Seen.of(emulator, most[0])))
    pipe.close()


def counted(emulator: Emulator) -> list[int]:
    """Return how many machines of a pool existed at once at most, from now on."""
    alive: set[str] = set()
    most = [0]

    def observe(machine: Any) -> None:
        if POOL in _metadata(machine):
            (alive.discard if machine.state == "destroyed" else alive.add)(machine.id)
            most[0] = max(most[0], len(alive))

    emulator.on_change(observe)
    return most


def _metadata(machine: Any) -> dict[str, str]:
    return machine.config.get("metadata") or {}


def _say(content: Any) -> None:
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(**json.loads(sys.argv[1])))
