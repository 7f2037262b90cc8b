"""An orchestrator that keeps some machines warm: stopped ones ready to start, and a new one for each that is taken."""

import asyncio
from secrets import token_hex

from attrs import define, field

from flyasync import FlyClient, Machine, MachineConfig

APP = "jobs"
JOB = MachineConfig(image="registry.fly.io/jobs:v1", metadata={"pool": "warm"}, auto_destroy=True)


@define
class WarmPool:
    """`size` machines that are made, pulled and stopped, so that a job starts in a moment."""

    fly: FlyClient
    size: int
    _warm: "asyncio.Queue[Machine]" = field(factory=asyncio.Queue)

    async def fill(self) -> None:
        """Find the warm machines of an earlier run, and make what is missing."""
        for machine in await self.fly.machines.list(APP, metadata={"pool": "warm"}, state="stopped"):
            await self._warm.put(machine)
        async with asyncio.TaskGroup() as makers:
            for _ in range(self.size - self._warm.qsize()):
                makers.create_task(self._make())

    async def _make(self) -> None:
        # A name of its own for each: one that was used before may belong to a machine that runs a job.
        name = f"job-{token_hex(4)}"
        machine = await self.fly.machines.create_once(APP, JOB, name=name, launch="warm-pool", skip_launch=True)
        await self.fly.machines.wait(APP, machine.id, state="stopped", just_created=True)
        await self._warm.put(machine)

    async def run(self) -> Machine:
        """Take a warm machine, start it, and have another one made in its place."""
        machine = await self._warm.get()
        async with asyncio.TaskGroup() as work:
            work.create_task(self._make())
            await self.fly.machines.start(APP, machine.id)
            await self.fly.machines.wait(APP, machine.id)
        return machine


async def main() -> None:
    async with FlyClient() as fly:
        pool = WarmPool(fly, size=3)
        await pool.fill()
        jobs = await asyncio.gather(pool.run(), pool.run())
        print(f"{len(jobs)} jobs run, {len(await fly.machines.list(APP, state='stopped'))} machines are warm")


if __name__ == "__main__":
    asyncio.run(main())
