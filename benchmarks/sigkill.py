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
from benchmarks.parts.flight_fleets import NEW, OLD, tag
from benchmarks.shared.children import spawned
from benchmarks.shared.options import options
from flyasync import Emulator

HASTE = {"canary": ("--soak", "2"), "bluegreen": ("--drain", "1")}
MACHINES = 9
DEPLOY = ("-m", "flyasync", "deploy", "web", "--region", "iad,lhr,nrt", "--port", "8080", "--check", "/health")


@frozen
class Result:
    """What came of one kill: after how many requests, the exit status of the second run, and what is wrong then."""

    requests: int
    status: int
    wrong: str


async def kill(strategy: str, seed: int, *, machines: int = MACHINES, speed: float = 1.0) -> Result:
    """Deploy v1, kill the deploy of v2, run it again; leases, boots and checks pass `speed` times as fast."""
    update = ("--image", NEW, "--strategy", strategy, *HASTE.get(strategy, ()))
    after = random.Random(f"{strategy} {seed}").randint(5, 60 * machines // MACHINES)
    async with Emulator(seed=seed, boot=(0.2, 0.6), latency=(0.005, 0.03), speed=speed) as emulator:

        async def run(*words: str, until: int | None = None) -> int:
            deploy = (*DEPLOY, "--smoke-check", "1", "--count", str(machines // 3), *words)
            async with spawned("deploy", *deploy, env=emulator.environment(), is_quiet=True) as child:
                if until is not None:
                    while len(emulator.log) < until and child.is_running:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)  # real time, and another process
                    await child.kill()
                return await child.process.wait()

        assert await run("--create-app", "personal", "--image", OLD, "--strategy", "immediate") == 0
        begun = len(emulator.log)
        await run(*update, until=begun + after)
        requests = len(emulator.log) - begun
        status = await run(*update)
        await asyncio.sleep(1)  # what is being destroyed is gone then
        images = Counter(tag(each) for each in emulator.world.machines.values() if not each.is_destroyed)
        serving = emulator.serving("web").total()
        is_as_wanted = status == 0 and images == {NEW: machines} and serving == machines
        return Result(requests, status, "" if is_as_wanted else f"{serving} of {dict(images)} serve")


async def main(kills: int) -> int:
    """Print a line for each kill; return the number of those that came out wrong."""
    flights = [(strategy, seed) for strategy in STRATEGIES for seed in range(kills)]
    results = await asyncio.gather(*(kill(strategy, seed) for strategy, seed in flights))
    for (strategy, _), result in zip(flights, results, strict=True):
        end = f"WRONG: {result.wrong}" if result.wrong else "as wanted"
        print(f"{strategy:10} killed after {result.requests:3} requests, run again: exit {result.status}, {end}")
    return sum(bool(result.wrong) for result in results)


if __name__ == "__main__":
    sys.exit(bool(asyncio.run(main(options(__doc__, kills=1).kills))))
