"""Keep a pool of warm machines: stopped machines that start quickly, each replaced when a job takes it."""

import asyncio
from contextlib import suppress
from secrets import token_hex

from attrs import define, field

from flyasync import FlyClient, Machine, MachineConfig, NameTaken

APP = "jobs"
JOB = MachineConfig(image="registry.fly.io/jobs:v1", metadata={"pool": "warm"}, auto_destroy=True)


@define
class WarmPool:
    """Keeps `size` machines created and stopped, with the image on their hosts, so that a job starts quickly."""

    fly: FlyClient
    size: int
    _warm: "asyncio.Queue[Machine]" = field(factory=asyncio.Queue)

    async def fill(self) -> None:
        """Add the warm machines of an earlier run, and create the missing ones."""
        for machine in await self.fly.machines.list(APP, metadata={"pool": "warm"}, state="stopped"):
            await self._warm.put(machine)
        async with asyncio.TaskGroup() as makers:
            for _ in range(self.size - self._warm.qsize()):
                makers.create_task(self._make())

    async def _make(self) -> None:
        # A new name for each machine: a machine with an earlier name may be running a job.
        name = f"job-{token_hex(4)}"
        machine = await self.fly.machines.create_once(APP, JOB, name=name, launch="warm-pool", skip_launch=True)
        await self.fly.machines.wait(APP, machine.id, state="stopped", just_created=True)
        await self._warm.put(machine)

    async def run(self) -> Machine:
        """Start a warm machine and return it; create its replacement at the same time."""
        machine = await self._warm.get()
        async with asyncio.TaskGroup() as work:
            work.create_task(self._make())
            await self.fly.machines.start(APP, machine.id)
            await self.fly.machines.wait(APP, machine.id)
        return machine


async def main() -> None:
    async with FlyClient() as fly:
        with suppress(NameTaken):  # an earlier run created the app
            await fly.apps.create(APP, org_slug="personal")
        pool = WarmPool(fly, size=3)
        await pool.fill()
        jobs = await asyncio.gather(pool.run(), pool.run())
        print(f"{len(jobs)} jobs run, {len(await fly.machines.list(APP, state='stopped'))} machines are warm")


if __name__ == "__main__":
    asyncio.run(main())
