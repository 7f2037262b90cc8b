"""`flyasync pool`: the pools of machines on demand of an app."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyasync.cli.shared.client import api_command, confirmed
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.completion import region_codes
from flyasync.cli.shared.output import CommandOutput
from flyasync.cli.shared.parameters import app_argument

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
    from flyasync.models.machine import Machine

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

command = Group("pool", help="Show, refill and drain the pools of machines on demand of an app.", epilog=EPILOG)
name_option = click.option("--name", default="pool", show_default=True, metavar="POOL", help="Name of the pool.")


@command.command("status")
@app_argument
@click.option("--name", metavar="POOL", help="Only this pool; by default all pools of APP.")
@api_command
async def status(fly: "FlyClient", *, app: str, name: str | None) -> CommandOutput:
    """Show the pools of APP and their machines.

    A machine is ready, claimed, or kept for a key. A kept machine may also have been left by a holder that died:
    reconcile recycles it when its time is over.
    """
    from flyasync.cli.pool_view import Pool, Pools
    from flyasync.pool.spec import POOL

    by_pool = defaultdict[str, list["Machine"]](list)
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
async def drain(fly: "FlyClient", *, app: str, name: str) -> CommandOutput:
    """Destroy the machines of a pool that are not claimed.

    Those that are kept for a key are destroyed too. A program whose pool is open creates new ones: end it first.
    """
    from flyasync.cli.pool_view import done_text, unknown_pool

    return done_text(await unknown_pool(fly, app, name).drain())


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
    fly: "FlyClient",
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
    from attrs import evolve

    from flyasync.cli.pool_view import done_text, read_config, unknown_pool
    from flyasync.models.config import MachineConfig
    from flyasync.pool.pool import MachinePool

    if image is None and file is None:
        if (ready, most, replace_outdated) != (None, None, False):
            raise click.UsageError("--ready, --max and --replace-outdated need the config: use --image or --config")
        return done_text(await unknown_pool(fly, app, name).reconcile())
    if ready is None or most is None:
        raise click.UsageError("--image and --config also need --ready and --max")
    config = read_config(file) if file else MachineConfig()
    config = evolve(config, image=image) if image else config
    pool = MachinePool(fly, app, config, ready=ready, max=most, name=name, regions=regions, standby=standby)
    return done_text(await pool.reconcile(replace_outdated=replace_outdated))
