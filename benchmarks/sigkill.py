"""The command itself killed by SIGKILL, in real time: `python -m benchmarks.sigkill [--kills N]`.

For each strategy `flyasync deploy` updates nine machines in a process of its own, against an emulator with the limits
on. The process is killed at random moments; the same command, run again, waits until the dead one's lease has ended
and brings the fleet to its end. `benchmarks.killed` does the same after every single request, in virtual time.
"""

import asyncio
import random
import sys
from collections import Counter

from attrs import frozen

from benchmarks.flight import STRATEGIES
from benchmarks.shared.children import Child, spawned
from flyasync import Emulator
from flyasync.models.image import without_digest

HASTE = {"canary": ("--soak", "2"), "bluegreen": ("--drain", "1")}
MACHINES = 9
OPTIONS = ("--region", "iad,lhr,nrt", "--port", "8080", "--check", "/health", "--smoke-check", "1")


@frozen(kw_only=True)
class Result:
    """What came of one kill: after how many requests, the exit status of the second run, and the fleet then."""

    requests: int
    status: int
    images: Counter[str]
    serving: int
    machines: int

    @property
    def is_as_wanted(self) -> bool:
        """Whether the fleet is what was asked for, and the command says so."""
        return self.status == 0 and self.images == Counter({"shop:2": self.machines}) and self.serving == self.machines


async def kill(strategy: str, seed: int, *, machines: int = MACHINES, speed: float = 1.0) -> Result:
    """Deploy v1, kill the deploy of v2, run it again; leases, boots and checks pass `speed` times as fast."""
    update = ("--image", "shop:2", "--strategy", strategy, *HASTE.get(strategy, ()))
    after = random.Random(f"{strategy} {seed}").randint(5, 60 * machines // MACHINES)
    async with Emulator(seed=seed, boot=(0.2, 0.6), latency=(0.005, 0.03), speed=speed) as emulator:

        async def run(*options: str, until: int | None = None) -> int:
            command = ("-m", "flyasync", "deploy", "web", *OPTIONS, "--count", str(machines // 3), *options)
            async with spawned("deploy", *command, env=emulator.environment(), is_quiet=True) as child:
                if until is not None:
                    await _killed(child, emulator, until)
                return await child.process.wait()

        assert await run("--create-app", "personal", "--image", "shop:1", "--strategy", "immediate") == 0
        begun = len(emulator.log)
        await run(*update, until=begun + after)
        requests = len(emulator.log) - begun
        status = await run(*update)
        await asyncio.sleep(1)  # what is being destroyed is gone then
        alive = [each for each in emulator.world.machines.values() if not each.is_destroyed]
        return Result(
            requests=requests,
            status=status,
            images=Counter(without_digest(str(each.config["image"])) for each in alive),
            serving=sum(emulator.serving("web").values()),
            machines=machines,
        )


async def _killed(child: Child, emulator: Emulator, requests: int) -> None:
    while len(emulator.log) < requests and child.is_running:  # noqa: ASYNC110
        await asyncio.sleep(0.005)  # real time, and another process
    await child.kill()


async def main(kills: int) -> int:
    """Print a line for each kill; give the number of those that came out wrong."""
    flights = [(strategy, seed) for strategy in STRATEGIES for seed in range(kills)]
    results = await asyncio.gather(*(kill(strategy, seed) for strategy, seed in flights))
    for (strategy, _), result in zip(flights, results, strict=True):
        verdict = "as wanted" if result.is_as_wanted else f"WRONG: {result}"
        print(f"{strategy:10} killed after {result.requests:3} requests, run again: exit {result.status}, {verdict}")
    return sum(not result.is_as_wanted for result in results)


if __name__ == "__main__":
    count = int(sys.argv[sys.argv.index("--kills") + 1]) if "--kills" in sys.argv else 1
    sys.exit(bool(asyncio.run(main(count))))
