"""A background worker: no services, so the Fly Proxy leaves it alone; it runs until it is stopped."""

import asyncio

from flyasync import FlyClient, Guest, Init, Machine, MachineConfig, Restart

WORKER = MachineConfig(
    image="my-worker:latest",
    guest=Guest(cpus=2, memory_mb=1024),
    init=Init(cmd=["python", "worker.py"]),
    env={"QUEUE_URL": "redis://queue.internal:6379"},
    restart=Restart(policy="always"),
)


async def launch_worker(fly: FlyClient, app: str) -> Machine:
    """Run one worker, however often this is called."""
    machine = await fly.machines.create_once(app, WORKER, name="background-worker", launch="worker", region="iad")
    await fly.machines.wait(app, machine.id, just_created=True)
    return machine


async def main() -> None:
    async with FlyClient() as fly:
        machine = await launch_worker(fly, "my-web-app")
        print(f"{machine.name} runs as {machine.id} in {machine.region}")


if __name__ == "__main__":
    asyncio.run(main())
