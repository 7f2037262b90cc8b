"""Run jobs as tasks of a Prefect flow, each on a machine of a pool, against an emulator in this process.

A task that exceeds its `timeout_seconds` is cancelled, and its machine goes back to the pool like that of any other.
"""

import asyncio

from prefect import flow, task
from prefect.testing.utilities import prefect_test_harness

from flyasync import Emulator, FlyClient, MachineConfig, MachinePool

JOB = MachineConfig(image="registry.fly.io/jobs:v1")


async def run_jobs(pool: MachinePool) -> list[str]:
    """Run two jobs that end and one that takes too long; return how each ended."""

    @task(timeout_seconds=5)
    async def job(name: str, seconds: float) -> str:
        async with pool.acquire(name) as machine:
            result = await machine.exec(["echo", name])
            await asyncio.sleep(seconds)
            return (result.stdout or "").strip()

    @flow
    async def jobs() -> list[str]:
        durations = {"one": 0.1, "two": 0.1, "endless": 60.0}
        # The pool and its client belong to this event loop, so the tasks are awaited here and not submitted elsewhere.
        ends = await asyncio.gather(*(job(*each, return_state=True) for each in durations.items()))
        return [f"{name}: {end.name}" for name, end in zip(durations, ends, strict=True)]

    ends: list[str] = await jobs()
    return ends


async def main() -> None:
    async with Emulator(seed=1, boot=(0.1, 0.3)) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create("jobs", org_slug="personal")
        async with MachinePool(fly, "jobs", JOB, ready=0, max=5) as pool:
            for line in await run_jobs(pool):
                print(line)
            print(f"{(await pool.status()).claimed} machines are still claimed")


if __name__ == "__main__":
    with prefect_test_harness():  # a Prefect server with a database of its own; leave it out to use yours
        asyncio.run(main())
