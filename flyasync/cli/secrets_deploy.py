"""`flyasync secrets deploy`: have the machines of an app start with its secrets as they are now."""

import asyncio
import sys
from collections.abc import Callable, Sequence

import click

from flyasync.api.client import FlyClient
from flyasync.cli.deploy.order import Order
from flyasync.cli.deploy.run import display_for, shown
from flyasync.cli.deploy.wording import Setting
from flyasync.cli.shared.exit_codes import NOT_VERIFIED, OK
from flyasync.cli.shared.option_types import amount
from flyasync.cli.shared.output import note
from flyasync.cli.shared.parameters import app_argument
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.models.machine import GONE

EPILOG = """\b
Examples:
  flyasync secrets deploy web --dry-run
  flyasync secrets deploy web --group app --max-unavailable 1

A rolling deploy of each process group, one after the other, and last of the machines of no group. A machine keeps its
config and its image, and is updated unless it is known to have started with the secrets as they are. One that does not
run stays so. The first group that fails ends it.
"""


@click.command("deploy", epilog=EPILOG)
@app_argument
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Only this process group; repeat it.")
@click.option(
    "--max-unavailable",
    callback=amount,
    metavar="N|SHARE",
    help="How many of a region's machines may be away at once: a number, or a share such as 33%.  [default: 33%]",
)
@click.option("--dry-run", is_flag=True, help="Print the plan; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one event each.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    app: str,
    groups: tuple[str, ...],
    max_unavailable: float | str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Update the machines of APP that may have older secrets."""
    width = {} if max_unavailable is None else {"max_unavailable": max_unavailable}
    base = DeployBuilder(app).rolling(**width).only_secrets()
    chosen = [base.process_group(group) for group in groups]
    drive: Callable[..., int] = ctx.obj or asyncio.run
    raise click.exceptions.Exit(drive(_in_turn(base, chosen, is_dry=dry_run, as_json=as_json)))


async def _in_turn(base: DeployBuilder, chosen: Sequence[DeployBuilder], *, is_dry: bool, as_json: bool) -> int:
    """Deploy to one group after the other, and return the exit code of the first that failed."""
    builders = chosen or [base.process_group(group) for group in await _groups(base.app)]
    if not builders:
        note(f"{base.app} has no machines, so there is none to start with its secrets")
    worst = OK
    for builder in builders:
        display = display_for(sys.stdout, sys.stderr, as_json=as_json, setting=Setting())
        code = await shown(Order(builder=builder, is_dry=is_dry), display)
        if code not in {OK, NOT_VERIFIED}:
            return code
        worst = worst or code
    return worst


async def _groups(app: str) -> list[str | None]:
    """Return the process groups of an app, and None where there are machines of none."""
    async with FlyClient() as fly:
        there = [machine for machine in await fly.machines.list(app) if machine.state not in GONE]
    found = {group_of(machine) for machine in there} - {RELEASE_GROUP}
    return sorted(found, key=lambda group: (group is None, group or ""))
