"""The storm of `benchmarks.pool` in one process and in virtual time, where a kill cuts all connections of a client."""

import asyncio
import random
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from attrs import Factory, define, frozen

from benchmarks.pool.seen import APP, Held, Seen, twice, watch
from benchmarks.pool.worker import pool
from flyasync import Emulator, Fault, FlyClient, MachinePool

MOST = 6


@frozen(kw_only=True)
class Result:
    """The result of a storm."""

    served: int
    killed: int
    twice: int
    leaked: int
    most: int


@define(eq=False)
class Wire:
    """The connections of one client to the emulator, until they are cut."""

    _port: int
    _writers: set[asyncio.StreamWriter] = Factory(set)
    _server: asyncio.Server | None = None

    async def listen(self) -> str:
        """Pass connections on to the emulator; return the URL for the client."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Let nothing of the client reach the emulator any more."""
        assert self._server
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, outward = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, outward}
        await asyncio.gather(_copy(reader, outward), _copy(onward, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await reader.read(65536):
            writer.write(block)
        writer.close()


@define(eq=False)
class Process:
    """What stands for a process: a client with its pool, which can be killed."""

    wire: Wire
    users: set[str] = Factory(set)
    holds: dict[str, tuple[str, float]] = Factory(dict)
    work: "asyncio.Task[None] | None" = None

    def kill(self) -> None:
        """Cut its connections, so that nothing of what it still does reaches the emulator."""
        assert self.work
        self.wire.cut()
        self.work.cancel()


@frozen
class Storm:
    """Users to serve, and the claims that were made for them."""

    users: list[str]
    options: dict[str, Any]
    claims: list[Held] = Factory(list)
    served: list[str] = Factory(list)
    dice: random.Random = Factory(partial(random.Random, 1))

    async def work(self, process: Process, token: str, url: str) -> None:
        """Serve users, three at a time."""
        async with (
            FlyClient(token, base_url=url) as fly,
            pool(fly, self.options) as machines,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(3):
                tasks.create_task(self._serve(process, machines))

    async def _serve(self, process: Process, machines: MachinePool) -> None:
        clock = asyncio.get_running_loop().time
        while self.users:
            user = self.users.pop()
            process.users.add(user)
            async with machines.acquire(user, timeout=300) as machine:
                process.holds[user] = machine.id, clock()
                await asyncio.sleep(self.dice.uniform(1, 3))
                self._end(process, user)
            process.users.discard(user)
            self.served.append(user)

    def _end(self, process: Process, user: str) -> None:
        machine, start = process.holds.pop(user)
        now = asyncio.get_running_loop().time()
        self.claims.append(Held(machine, user, start, now))

    def kill(self, process: Process) -> None:
        """Kill a process; its claims end at that moment, and its users come again."""
        process.kill()
        for user in list(process.holds):
            self._end(process, user)
        self.users.extend(process.users)

    async def keep(self, emulator: Emulator, alive: list[Process]) -> None:
        """Have a process work until no users are left, and start another one when it is killed."""
        while self.users:
            process = Process(Wire(urlsplit(emulator.url).port or 0))
            process.work = asyncio.create_task(self.work(process, emulator.token, await process.wire.listen()))
            alive.append(process)
            # A process that was killed is not waited for.
            while process in alive and not process.work.done():
                await asyncio.wait([process.work], timeout=1)
            if process in alive:
                alive.remove(process)
                await process.work
                process.wire.cut()


async def storm(users: int, *, clients: int, kills: int, on_release: str) -> Result:
    """Serve the users by several clients that are killed and replaced; judge what is left."""
    options = {
        "ready": 2, "max": MOST, "regions": ["iad", "lhr"], "on_release": on_release, "keep_for": 20.0, "claim_ttl": 6,
    }  # fmt: skip
    storm, alive, dead = Storm([f"user-{number}" for number in range(users)], options), list[Process](), list[Process]()
    async with (
        Emulator(capacity={"iad": 2}, limits=False, seed=1) as emulator,
        FlyClient(emulator.token, base_url=emulator.url) as fly,
    ):
        watch(emulator)
        await fly.apps.create(APP, org_slug="personal")
        emulator.faults.add(Fault(does="cut_after", probability=0.1))
        keepers = asyncio.gather(*(storm.keep(emulator, alive) for _ in range(clients)))
        while not keepers.done():
            await asyncio.wait([keepers], timeout=5)
            if alive and len(dead) < kills:
                dead.append(alive.pop(storm.dice.randrange(len(alive))))
                storm.kill(dead[-1])
        await keepers
        emulator.faults.clear()
        for _ in range(4):
            await asyncio.sleep(15)
            await pool(fly, options).reconcile()
        await asyncio.sleep(15)
        seen = Seen.of(emulator)
        await asyncio.gather(*(each.work for each in dead if each.work), return_exceptions=True)
    return Result(
        served=len(storm.served),
        killed=len(dead),
        twice=len(twice(storm.claims)),
        leaked=len(seen.leaked),
        most=seen.most,
    )
