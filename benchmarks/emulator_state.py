"""The emulator killed under load, and what its state file costs: `python -m benchmarks.emulator_state [--kills N]`.

`flyasync emulator --state FILE` runs in a process of its own, and clients create, update, and destroy machines, write
metadata, volumes and secrets, all at once. The process is killed with SIGKILL at a random moment and started again
with the same file, again and again. After each restart, every change that was acknowledged must be there; a request
that was not answered may have been done or not. Then the CPU time of a create is measured, with and without a file.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import ClientError, ClientSession
from attrs import Factory, define

from benchmarks.shared.children import Child, spawned
from benchmarks.shared.options import options
from flyasync import Emulator

Key = tuple[str, str]
OPTIONS = ("--port", "0", "--no-limits", "--boot", "0.02:0.1", "--format", "json")
WEB = {"name": "web", "org_slug": "personal"}
APP = "/v1/apps/web"
WORKERS = 8
LOAD = (0.1, 0.5)  # seconds of load before a kill


@define
class Ledger:
    """What clients know: the value of each resource that was acknowledged, None if it was removed, and what is open."""

    kept: dict[Key, str | None] = Factory(dict)
    open: dict[Key, str | None] = Factory(dict)
    acknowledged: int = 0

    async def change(self, key: Key, value: str | None, request: Awaitable[tuple[int, Any]]) -> Any:
        """Send a request that sets a resource to a value; return the body of a response that acknowledges it."""
        self.open[key] = value
        status, body = await request
        del self.open[key]
        if status >= 300:
            return None
        self.kept[key] = value
        self.acknowledged += 1
        return body

    def lost(self, found: dict[Key, str]) -> list[str]:
        """Compare with what a restarted emulator has, which is then what is known; return what is otherwise."""
        wrong = []
        for key, value in self.kept.items():
            if found.get(key) not in {value, self.open.get(key, value)}:
                wrong.append(f"{' '.join(key)} is {found.get(key)}, but {value} was acknowledged")
        self.kept |= {key: found.get(key) for key in self.open}
        self.open.clear()
        return wrong


async def work(session: ClientSession, ledger: Ledger, worker: int, numbers: Iterator[int]) -> None:
    """Change one thing after another, until the emulator is gone."""

    async def send(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with session.request(method, f"{APP}/{path}", json=body) as response:
            return response.status, await response.json() if response.content_type == "application/json" else None

    with suppress(ClientError):
        for number in numbers:
            value, secret = str(number), f"SECRET_{worker}"
            machine, volume = ("machine", f"machine-{value}"), ("volume", f"volume_{value}")
            config = {"image": "nginx", "env": {"N": value}}
            await ledger.change(("secret", secret), value, send("POST", f"secrets/{secret}", {"value": value}))
            made = await ledger.change(machine, value, send("POST", "machines", {"name": machine[1], "config": config}))
            at = f"machines/{made['id']}"
            await ledger.change(machine, f"{value} {value}", send("POST", f"{at}/metadata/n", {"value": value}))
            await send("GET", f"{at}/wait?state=started")
            changed = {"image": "nginx", "env": {"N": f"{value}b"}, "metadata": {"n": value}}
            await ledger.change(machine, f"{value}b {value}", send("POST", at, {"config": changed}))
            new = {"name": volume[1], "size_gb": 1, "region": "iad"}
            disk = await ledger.change(volume, "1", send("POST", "volumes", new))
            await ledger.change(volume, "2", send("PUT", f"volumes/{disk['id']}/extend", {"size_gb": 2}))
            if number % 2:
                await ledger.change(machine, None, send("DELETE", f"{at}?force=true"))
                await ledger.change(volume, None, send("DELETE", f"volumes/{disk['id']}"))


async def found(session: ClientSession) -> dict[Key, str]:
    """Read what an emulator has; the value of a machine is its variable, and its metadata once they are set."""

    async def read(path: str) -> Any:
        async with session.get(f"{APP}/{path}") as response:
            return await response.json()

    machines = [each for each in await read("machines") if each["state"] not in {"destroying", "destroyed"}]
    secrets = (await read("secrets?show_secrets=true"))["secrets"] or ()
    values = {
        each["name"]: [each["config"]["env"]["N"], *each["config"].get("metadata", {}).values()] for each in machines
    }
    return {
        **{("machine", name): " ".join(value) for name, value in values.items()},
        **{("volume", each["name"]): str(each["size_gb"]) for each in await read("volumes")},
        **{("secret", each["name"]): each["value"] for each in secrets},
    }


@asynccontextmanager
async def served(file: Path) -> AsyncIterator[tuple[Child, ClientSession]]:
    """Serve the file by the command, in a process that is killed at the end."""
    command = ("-m", "flyasync", "emulator", "--state", str(file), *OPTIONS)
    async with spawned("emulator", *command, is_quiet=True) as child:
        environment = await child.hear()
        headers = {"Authorization": f"Bearer {environment['FLY_API_TOKEN']}"}
        async with ClientSession(environment["FLY_FLAPS_BASE_URL"], headers=headers) as session:
            yield child, session
            await child.kill()


async def kill(file: Path, kills: int) -> list[tuple[int, list[str]]]:
    """Kill the emulator so many times; return the changes acknowledged before each kill, and those lost by it."""
    draw = random.Random("kills 0")
    ledger, results, numbers = Ledger(), [], count()
    for turn in range(kills + 1):
        async with served(file) as (emulator, session):
            if turn:
                results.append((ledger.acknowledged, ledger.lost(await found(session))))
            else:
                (await session.post("/v1/apps", json=WEB)).raise_for_status()
            if turn == kills:
                break
            ledger.acknowledged = 0
            works = [asyncio.ensure_future(work(session, ledger, each, numbers)) for each in range(WORKERS)]
            await asyncio.sleep(draw.uniform(*LOAD))
            await emulator.kill()
            await asyncio.gather(*works)
    return results


async def creating(file: Path | None, creates: int = 100) -> float:
    """Return the CPU seconds of one create, that of its client included."""
    async with (
        Emulator(limits=False, boot=(600, 600), state=file) as emulator,
        ClientSession(emulator.url, headers={"Authorization": "any"}) as session,
    ):
        await session.post("/v1/apps", json=WEB)
        began = time.process_time()
        for _ in range(creates):
            async with session.post(f"{APP}/machines", json={"config": {"image": "nginx"}}) as response:
                await response.read()
        return (time.process_time() - began) / creates


async def main(kills: int, batches: int = 15) -> int:
    """Print the result of each kill and the cost of a create; return the number of kills that lost something."""
    with TemporaryDirectory() as folder:
        results = await kill(Path(folder, "state"), kills)
        for number, (acknowledged, lost) in enumerate(results, start=1):
            result = f"LOST: {'; '.join(lost[:3])}" if lost else "every one is there"
            print(f"kill {number:3}: {acknowledged:4} changes acknowledged, {result}")
        good, total = sum(not lost for _, lost in results), sum(acknowledged for acknowledged, _ in results)
        print(f"{good} of {kills} kills lost no acknowledged change, of {total}")
        # In turns, so that both meet the same other load.
        taken = [(await creating(None), await creating(Path(folder, f"cost-{each}"))) for each in range(batches)]
    plain, stored = (median(each) for each in zip(*taken, strict=True))
    print(
        f"a create, with its client: {plain * 1e6:.0f} µs of CPU without a file, {stored * 1e6:.0f} µs with one: "
        f"{(stored - plain) * 1e6:.0f} µs more, {stored / plain:.2f} times"
    )
    return kills - good


if __name__ == "__main__":
    sys.exit(bool(asyncio.run(main(options(__doc__, kills=50).kills))))
