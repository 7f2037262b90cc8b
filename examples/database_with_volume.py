"""A database with a disk of its own: the volume first, then the machine that mounts it, on the volume's host."""

import asyncio
import os

from flyasync import FlyClient, Guest, Machine, MachineConfig, Mount, Volume

GUEST = Guest(cpus=2, memory_mb=2048)


async def launch_database(fly: FlyClient, app: str, *, region: str = "iad") -> tuple[Machine, Volume]:
    """Create a volume where a machine of this size has room, then the machine on it."""
    volume = await fly.volumes.create(app, name="data", region=region, size_gb=10, compute=GUEST)
    config = MachineConfig(
        image="postgres:15",
        guest=GUEST,
        env={"POSTGRES_PASSWORD": os.environ.get("POSTGRES_PASSWORD", "change-me"), "PGDATA": "/data/postgres"},
        mounts=[Mount(volume=volume.id, path="/data")],
    )
    machine = await fly.machines.create(app, config, name="database", region=region)
    await fly.machines.wait(app, machine.id, just_created=True)
    return machine, volume


async def main() -> None:
    async with FlyClient() as fly:
        machine, volume = await launch_database(fly, "my-web-app")
        print(f"{machine.name} {machine.id} in {machine.region}, on {volume.id} of {volume.size_gb} GB")


if __name__ == "__main__":
    asyncio.run(main())
