"""Run jobs on warm machines: each job claims one, which is destroyed and replaced when the job has ended."""

import asyncio
from contextlib import suppress

from flyasync import FlyClient, MachineConfig, MachinePool, NameTaken

APP = "jobs"
JOB = MachineConfig(image="registry.fly.io/jobs:v1")


async def run_job(pool: MachinePool, job: str) -> str:
    async with pool.acquire(job) as machine:
        result = await machine.exec(["echo", job])
        return f"{(result.stdout or '').strip()} ran on {machine.id}"


async def main() -> None:
    async with FlyClient() as fly:
        with suppress(NameTaken):  # an earlier run created the app
            await fly.apps.create(APP, org_slug="personal")
        # Three machines wait, stopped, with the image on their hosts; other processes may share the pool.
        async with MachinePool(fly, APP, JOB, ready=3, max=10, name="job") as pool:
            for line in await asyncio.gather(*(run_job(pool, f"job {number}") for number in (1, 2))):
                print(line)


if __name__ == "__main__":
    asyncio.run(main())
