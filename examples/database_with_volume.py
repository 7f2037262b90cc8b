"""Run a database with a disk of its own: first the volume, then the machine that mounts it, on the volume's host.

It asks for the password, or reads it from standard input: `echo s3cret | python examples/database_with_volume.py`.
"""

import asyncio
import getpass
import sys
from contextlib import suppress

from flyasync import FlyClient, Guest, Machine, MachineConfig, Mount, NameTaken, Volume

APP = "my-database"
GUEST = Guest(cpus=2, memory_mb=2048)


async def launch_database(fly: FlyClient, app: str, password: str, *, region: str = "iad") -> tuple[Machine, Volume]:
    """Set the password as a secret, create a volume on a host with room for the machine, and create the machine.

    A second call reuses the volume and returns the same machine.
    """
    secret = await fly.secrets.set(app, "POSTGRES_PASSWORD", password)
    volumes = [volume for volume in await fly.volumes.list(app) if volume.name == "data" and volume.region == region]
    volume = (
        volumes[0] if volumes else await fly.volumes.create(app, name="data", region=region, size_gb=10, compute=GUEST)
    )
    config = MachineConfig(
        image="postgres:15",
        guest=GUEST,
        env={"PGDATA": "/data/postgres"},
        mounts=[Mount(volume=volume.id, path="/data")],
    )
    machine = await fly.machines.create_once(
        app, config, name="database", launch="database", region=region, min_secrets_version=secret.version
    )
    await fly.machines.wait(app, machine.id, just_created=True)
    return machine, volume


async def main() -> None:
    async with FlyClient() as fly:
        password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
        with suppress(NameTaken):  # an earlier run created the app
            await fly.apps.create(APP, org_slug="personal")
        machine, volume = await launch_database(fly, APP, password)
        print(f"{machine.name} {machine.id} in {machine.region}, on {volume.id} of {volume.size_gb} GB")


if __name__ == "__main__":
    asyncio.run(main())
