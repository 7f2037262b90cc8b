"""`flyasync pool`: the pools of machines on demand of an app."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click
from attrs import evolve, frozen

from flyasync.api.client import FlyClient
from flyasync.cli.shared.client import api_command, confirmed
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.completion import region_codes
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import CommandOutput, Message, note
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.tables import Columns, cells, write_table
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import Mismatch, structure
from flyasync.models.machine import Machine
from flyasync.pool.keeper import Reconciled
from flyasync.pool.pool import MachinePool
from flyasync.pool.spec import DIGEST, KEPT_UNTIL, KEY, POOL

EPILOG = """\b
Examples:
  # keep two machines ready: create what is missing, recycle what was left
  flyasync pool reconcile web --image nginx --region iad --ready 2 --max 10
  flyasync pool status web
\b
  # from cron, without a config: only recycle what dead holders left
  flyasync pool reconcile web
\b
  # destroy the machines that are not claimed
  flyasync pool drain web --yes --json

A pool is what MachinePool keeps in Python. Its machines are named POOL-0, POOL-1 and so on, and have its name in their
metadata, as flyasync_pool. The lease of a machine is its claim: no command touches a machine that is claimed.

Exit status: 0, 1 when a part failed or you answered no, 2 for a wrong command line.
"""

MANY = 10_000
"""The most machines of a pool whose `max` is not given."""

COLUMNS: Columns = {
    "POOL": "name",
    "READY": "ready",
    "CLAIMED": "claimed",
    "KEPT": "kept",
    "FAILED": "failed",
    "MACHINES": lambda pool: len(pool.machines),
    "CONFIGS": "configs",
    "REGIONS": lambda pool: ", ".join(f"{region} {count}" for region, count in sorted(pool.regions.items())),
}

command = Group("pool", help="Show, refill and drain the pools of machines on demand of an app.", epilog=EPILOG)
name_option = click.option("--name", default="pool", show_default=True, metavar="POOL", help="Name of the pool.")


@frozen
class Pool:
    """The machines of one pool, as a list shows them."""

    name: str
    machines: Sequence[Machine]

    @property
    def claimed(self) -> int:
        """The number of machines whose lease is held."""
        return sum(each.lease is not None for each in self.machines)

    @property
    def kept(self) -> int:
        """The number of machines that have a key and are not claimed: kept for it, or left by a dead holder."""
        return sum(each.lease is None and KEY in each.metadata for each in self.machines)

    @property
    def ready(self) -> int:
        """The number of machines that are free."""
        return sum(each.lease is None and KEY not in each.metadata and each.is_alive for each in self.machines)

    @property
    def failed(self) -> int:
        """The number of machines that have failed or are being destroyed."""
        return sum(not each.is_alive for each in self.machines)

    @property
    def configs(self) -> int:
        """The number of different configs that the machines were created with."""
        return len({each.metadata.get(DIGEST) for each in self.machines})

    @property
    def regions(self) -> Counter[str]:
        """The number of machines by region."""
        return Counter(each.region for each in self.machines)


@frozen
class Pools:
    """The pools of an app."""

    app: str
    pools: Sequence[Pool]
    code: int = OK

    @property
    def data(self) -> dict[str, Any]:
        """The pools with their machines as JSON."""
        return {"app": self.app, "pools": [_as_json(each) for each in self.pools]}

    def write(self, out: TextIO) -> None:
        """Write a row for each pool."""
        write_table(out, list(COLUMNS), [cells(each, COLUMNS) for each in self.pools])
        if not self.pools:
            note(f"no machine of {self.app} belongs to a pool")


def _as_json(pool: Pool) -> dict[str, Any]:
    machines = [
        {
            "id": each.id,
            "name": each.name,
            "region": each.region,
            "state": each.state,
            "is_claimed": each.lease is not None,
            "claimed_until": each.lease and each.lease.expires_at,
            "key": each.metadata.get(KEY),
            "kept_until": each.metadata.get(KEPT_UNTIL),
            "config": each.metadata.get(DIGEST),
        }
        for each in sorted(pool.machines, key=lambda each: each.name)
    ]
    counts = {"ready": pool.ready, "claimed": pool.claimed, "kept": pool.kept, "failed": pool.failed}
    return {"name": pool.name, **counts, "regions": dict(pool.regions), "machines": machines}


@command.command("status")
@app_argument
@click.option("--name", metavar="POOL", help="Only this pool; by default all pools of APP.")
@api_command
async def status(fly: FlyClient, *, app: str, name: str | None) -> CommandOutput:
    """Show the pools of APP and their machines.

    A machine is ready, claimed, or kept for a key. A kept machine may also have been left by a holder that died:
    reconcile recycles it when its time is over.
    """
    by_pool = defaultdict[str, list[Machine]](list)
    for machine in await fly.machines.list(app, include_leases=True, metadata={POOL: name} if name else None):
        pool = machine.metadata.get(POOL)
        if pool and pool == (name or pool) and machine.state != "destroyed":
            by_pool[pool].append(machine)
    return Pools(app, [Pool(pool, machines) for pool, machines in sorted(by_pool.items())])


@command.command("drain")
@app_argument
@name_option
@confirmed("Destroy all machines of the pool {name} of {app} that are not claimed?")
@api_command
async def drain(fly: FlyClient, *, app: str, name: str) -> CommandOutput:
    """Destroy the machines of a pool that are not claimed.

    Those that are kept for a key are destroyed too. A program whose pool is open creates new ones: end it first.
    """
    return _done(await _pool(fly, app, name).drain())


@command.command("reconcile")
@app_argument
@name_option
@click.option("--image", metavar="REF", help="Image of new machines, instead of that of --config.")
@click.option(
    "--config", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Machine config as JSON."
)
@click.option("--ready", type=click.IntRange(min=0), metavar="N", help="How many machines to keep free.")
@click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="How many machines the pool may have.")
@click.option(
    "--region", "regions", metavar="CODE", multiple=True, shell_complete=region_codes, help="Region; may be repeated."
)
@click.option(
    "--standby",
    type=click.Choice(["stopped", "suspended", "started"]),
    default="stopped",
    show_default=True,
    help="State of free machines.",
)
@click.option("--replace-outdated", is_flag=True, help="Also replace free machines of another config.")
@api_command
async def reconcile(
    fly: FlyClient,
    *,
    app: str,
    name: str,
    image: str | None,
    file: Path | None,
    ready: int | None,
    most: int | None,
    regions: tuple[str, ...],
    standby: Any,
    replace_outdated: bool,
) -> CommandOutput:
    """Recycle the machines of dead holders in a pool.

    With a config, also create what is missing. The config, --max and the regions must be those of the program that
    uses the pool: a machine of another config is not claimed.
    """
    if image is None and file is None:
        if (ready, most, replace_outdated) != (None, None, False):
            raise click.UsageError("--ready, --max and --replace-outdated need the config: use --image or --config")
        return _done(await _pool(fly, app, name).reconcile())
    if ready is None or most is None:
        raise click.UsageError("--image and --config also need --ready and --max")
    config = _read(file) if file else MachineConfig()
    config = evolve(config, image=image) if image else config
    pool = MachinePool(fly, app, config, ready=ready, max=most, name=name, regions=regions, standby=standby)
    return _done(await pool.reconcile(replace_outdated=replace_outdated))


def _pool(fly: FlyClient, app: str, name: str) -> MachinePool:
    """Return a pool whose config is not known: to it, each free machine is of another config, and is left alone."""
    return MachinePool(fly, app, MachineConfig(image="unknown"), ready=0, max=MANY, name=name)


def _read(file: Path) -> MachineConfig:
    try:
        return structure(json.loads(file.read_bytes()), MachineConfig)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, Mismatch) as error:
        raise InvalidInput(f"{file} is not the JSON of a machine config: {error}") from error


def _done(done: Reconciled) -> Message:
    """Return what was done as text and JSON; the exit code shows whether a part of it failed."""
    destroyed = [f"destroyed {count} that were {reason}" for reason, count in sorted(done.destroyed.items())]
    for failure in done.failures:
        note(failure.for_command)
    data = {
        "created": done.created,
        "destroyed": dict(done.destroyed),
        "failures": [failure.for_command for failure in done.failures],
    }
    text = "; ".join([f"created {len(done.created)}", *destroyed])
    return Message(text, data, FAILED if done.failures else OK)
