"""`flyasync secrets deploy`: update the machines of an app that may have started with older secrets."""

import click

from flyasync.cli.shared.option_types import amount
from flyasync.cli.shared.parameters import app_argument

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
    from flyasync.cli.secrets_rollout import deploy_groups
    from flyasync.cli.shared.signals import run
    from flyasync.deploy.builder import DeployBuilder

    width = {} if max_unavailable is None else {"max_unavailable": max_unavailable}
    base = DeployBuilder(app).rolling(**width).only_secrets()
    raise click.exceptions.Exit(run(deploy_groups(base, groups, is_dry=dry_run, as_json=as_json)))
