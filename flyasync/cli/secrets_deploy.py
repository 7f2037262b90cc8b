"""`flyasync secrets deploy`: update the machines of an app that may have started with older secrets."""

import sys
from collections.abc import Sequence

import click

from flyasync.api.client import FlyClient
from flyasync.cli.deploy.job import DeployJob
from flyasync.cli.deploy.next_steps import Invocation
from flyasync.cli.deploy.run import display_for, run_until_signalled
from flyasync.cli.shared.exit_codes import NOT_VERIFIED, OK
from flyasync.cli.shared.option_types import amount
from flyasync.cli.shared.output import note
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.signals import run
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.models.machine import GONE

EPILOG = """\b
Examples:
  flyasync secrets deploy web --dry-run
  flyasync secrets deploy web --group app --max-unavailable 1

This is a rolling deploy of each process group in turn, and of the machines without a group at the end. Each machine
keeps its config and its image. A machine is updated unless it is known to have started with the current secrets; a
stopped machine stays stopped. The command ends with the first group that fails.

Exit status: that of the group that ended it, as of flyasync deploy.
"""


@click.command("deploy", epilog=EPILOG)
@app_argument
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Only this process group; may be repeated.")
@click.option(
    "--max-unavailable",
    callback=amount,
    metavar="N|SHARE",
    help="How many machines of a region may be unavailable at once: a number, or a share such as 33%.  [default: 33%]",
)
@click.option("--dry-run", is_flag=True, help="Print the plan; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one event each.")
def command(
    *, app: str, groups: tuple[str, ...], max_unavailable: float | str | None, dry_run: bool, as_json: bool
) -> None:
    """Update the machines of APP that may have older secrets."""
    width = {} if max_unavailable is None else {"max_unavailable": max_unavailable}
    base = DeployBuilder(app).rolling(**width).only_secrets()
    raise click.exceptions.Exit(run(deploy_groups(base, groups, is_dry=dry_run, as_json=as_json)))


async def deploy_groups(base: DeployBuilder, named: Sequence[str], *, is_dry: bool, as_json: bool) -> int:
    """Deploy to one group after the other; return the exit code of the first one that failed."""
    groups: list[str | None] = [*named]
    # Without --group these are all groups of the app; None stands for machines without a group.
    if not groups:
        async with FlyClient() as fly:
            machines = [machine for machine in await fly.machines.list(base.app) if machine.state not in GONE]
        found = {group_of(machine) for machine in machines} - {RELEASE_GROUP}
        groups = sorted(found, key=lambda group: (group is None, group or ""))
    if not groups:
        note(f"{base.app} has no machines to update")
    # A failed group ends the command, as the next group would get the same secrets. An unverified group does not.
    worst = OK
    for group in groups:
        display = display_for(sys.stdout, sys.stderr, as_json=as_json, called=Invocation())
        code = await run_until_signalled(DeployJob(builder=base.process_group(group), is_dry=is_dry), display)
        if code not in {OK, NOT_VERIFIED}:
            return code
        worst = worst or code
    return worst
