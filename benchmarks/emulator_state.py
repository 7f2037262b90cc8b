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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import ClientError, ClientSession
from attrs import Factory, define

from benchmarks.shared.children import Child, spawned
from flyasync import Emulator

Key = tuple[str, str]
OPTIONS = ("--port", "0", "--no-limits", "--boot", "0.02:0.1", "--format", "json")
APP = "/v1/apps/web"
WORKERS = 8
LOAD = (0.1, 0.5)  # seconds of load before a kill
CREATES, BATCHES = 100, 15


@define
class Ledger:
    """What clients know: the value of each resource that was acknowledged, None if it was removed, and what is open."""

    kept: dict[Key, str | None] = Factory(dict)
    open: dict[Key, str | None] = Factory(dict)
    acknowledged: int = 0

    async def change(self, key: Key, value: str | None, request: Awaitable[tuple[int, Any]]) -> Any:
        """Send a request that sets a resource to a value; give the body of a response that acknowledges it."""
        self.open[key] = value
        status, body = await request
        del self.open[key]
        if status >= 300:
            return None
        self.kept[key] = value
        self.acknowledged += 1
        return body

    def lost(self, found: dict[Key, str]) -> list[str]:
        """Compare with what a restarted emulator has, which is then what is known; give what is otherwise."""
        wrong = []
        for key, value in self.kept.items():
            if found.get(key) not in {value, self.open.get(key, value)}:
                wrong.append(f"{' '.join(key)} is {found.get(key)}, but {value} was acknowledged")
        self.kept |= {key: found.get(key) for key in self.open}
        self.open.clear()
        return wrong


async def work(session: ClientSession, ledger: Ledger, worker: int, numbers: Callable[[], int]) -> None:
    """Change one thing after another, until the emulator is gone."""

    async def send(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with session.request(method, f"{APP}/{path}", json=body) as response:
            return response.status, await response.json() if response.content_type == "application/json" else None

    with suppress(ClientError):
        while True:
            value = str(numbers())
            name, volume, secret = f"machine-{value}", f"volume_{value}", f"SECRET_{worker}"
            config = {"image": "nginx", "env": {"N": value}}
            await ledger.change(("secret", secret), value, send("POST", f"secrets/{secret}", {"value": value}))
            machine = ("machine", name)
            made = await ledger.change(machine, value, send("POST", "machines", {"name": name, "config": config}))
            at = f"machines/{made['id']}"
            await ledger.change(machine, f"{value} {value}", send("POST", f"{at}/metadata/n", {"value": value}))
            await send("GET", f"{at}/wait?state=started")
            changed = {"image": "nginx", "env": {"N": f"{value}b"}, "metadata": {"n": value}}
            await ledger.change(machine, f"{value}b {value}", send("POST", at, {"config": changed}))
            disk = await ledger.change(
                ("volume", volume), "1", send("POST", "volumes", {"name": volume, "size_gb": 1, "region": "iad"})
            )
            await ledger.change(("volume", volume), "2", send("PUT", f"volumes/{disk['id']}/extend", {"size_gb": 2}))
            if int(value) % 2:
                await ledger.change(machine, None, send("DELETE", f"{at}?force=true"))
                await ledger.change(("volume", volume), None, send("DELETE", f"volumes/{disk['id']}"))


async def found(session: ClientSession) -> dict[Key, str]:
    """Read what an emulator has."""

    async def rows(path: str) -> Any:
        async with session.get(f"{APP}/{path}") as response:
            return await response.json()

    machines = [each for each in await rows("machines") if each["state"] not in {"destroying", "destroyed"}]
    secrets = (await rows("secrets?show_secrets=true"))["secrets"] or ()
    return {
        **{("machine", each["name"]): _values(each["config"]) for each in machines},
        **{("volume", each["name"]): str(each["size_gb"]) for each in await rows("volumes")},
        **{("secret", each["name"]): each["value"] for each in secrets},
    }


def _values(config: Any) -> str:
    # The variable, and the metadata once it is set.
    return " ".join([config["env"]["N"], *(config.get("metadata") or {}).values()])


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


async def kill(file: Path, kills: int, seed: int = 0) -> list[tuple[int, list[str]]]:
    """Kill the emulator so many times; give the changes acknowledged before each kill, and those lost by it."""
    draw = random.Random(f"kills {seed}")
    ledger, results = Ledger(), []
    numbers = iter(range(10**9)).__next__
    for turn in range(kills + 1):
        async with served(file) as (emulator, session):
            if turn:
                results.append((ledger.acknowledged, ledger.lost(await found(session))))
            else:
                async with session.post("/v1/apps", json={"name": "web", "org_slug": "personal"}) as response:
                    assert response.status == 201
            if turn == kills:
                break
            ledger.acknowledged = 0
            works = [asyncio.ensure_future(work(session, ledger, each, numbers)) for each in range(WORKERS)]
            await asyncio.sleep(draw.uniform(*LOAD))
            await emulator.kill()
            await asyncio.gather(*works)
    return results


async def creating(file: Path | None, creates: int) -> float:
    """Give the CPU seconds of one create, that of its client included."""
    async with (
        Emulator(limits=False, boot=(600, 600), state=file) as emulator,
        ClientSession(emulator.url, headers={"Authorization": "any"}) as session,
    ):
        await session.post("/v1/apps", json={"name": "web", "org_slug": "personal"})
        began = time.process_time()
        for _ in range(creates):
            async with session.post(f"{APP}/machines", json={"config": {"image": "nginx"}}) as response:
                await response.read()
        return (time.process_time() - began) / creates


async def cost(folder: Path, creates: int, batches: int) -> tuple[float, float]:
    """Give the median CPU seconds of a create without and with a file, measured alternately."""
    plain, stored = [], []
    for batch in range(batches):
        plain.append(await creating(None, creates))
        stored.append(await creating(folder / f"cost-{batch}", creates))
    return median(plain), median(stored)


async def main(kills: int, creates: int = CREATES, batches: int = BATCHES) -> int:
    """Print the result of each kill and the cost; give the number of kills that lost something."""
    with TemporaryDirectory() as folder:
        results = await kill(Path(folder, "state"), kills)
        for number, (acknowledged, lost) in enumerate(results, start=1):
            said = f"LOST: {'; '.join(lost[:3])}" if lost else "every one is there"
            print(f"kill {number:3}: {acknowledged:4} changes acknowledged, {said}")
        good = sum(not lost for _, lost in results)
        total = sum(acknowledged for acknowledged, _ in results)
        print(f"{good} of {kills} kills lost no acknowledged change, of {total}")
        plain, stored = await cost(Path(folder), creates, batches)
        print(
            f"a create, with its client: {plain * 1e6:.0f} µs of CPU without a file, {stored * 1e6:.0f} µs with one: "
            f"{(stored - plain) * 1e6:.0f} µs more, {stored / plain:.2f} times"
        )
    return kills - good


if __name__ == "__main__":
    count = int(sys.argv[sys.argv.index("--kills") + 1]) if "--kills" in sys.argv else 50
    sys.exit(bool(asyncio.run(main(count))))
