"""Run a background worker: it has no services, so the Fly Proxy never stops it; it runs until you stop it."""

import asyncio
from contextlib import suppress

from flyasync import FlyClient, Guest, Init, Machine, MachineConfig, NameTaken, Restart

APP = "my-workers"

WORKER = MachineConfig(
    image="my-worker:latest",
    guest=Guest(cpus=2, memory_mb=1024),
    init=Init(cmd=["python", "worker.py"]),
    env={"QUEUE_URL": "redis://queue.internal:6379"},
    restart=Restart(policy="always"),
)


async def launch_worker(fly: FlyClient, app: str) -> Machine:
    """Run one worker; a second call returns the same machine."""
    machine = await fly.machines.create_once(app, WORKER, name="background-worker", launch="worker", region="iad")
    await fly.machines.wait(app, machine.id, just_created=True)
    return machine


async def main() -> None:
    async with FlyClient() as fly:
        with suppress(NameTaken):  # an earlier run created the app
            await fly.apps.create(APP, org_slug="personal")
        machine = await launch_worker(fly, APP)
        print(f"{machine.name} runs as {machine.id} in {machine.region}")


if __name__ == "__main__":
    asyncio.run(main())
