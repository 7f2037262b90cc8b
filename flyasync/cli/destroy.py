"""`flyasync destroy`: destroy the machines of one launch, and no others."""

import json
import sys
from typing import Any

import click

from flyasync.cli.shared.client import confirm, note_stopping, require_terminal
from flyasync.cli.shared.exit_codes import OK
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.streams import sturdy

EPILOG = """\b
Examples:
  flyasync deploy web --image nginx --region iad,lhr --add --launch test
  flyasync destroy web --launch test
\b
  # without a question, in a script
  flyasync destroy web --launch v2 --yes --json

The machines of a launch have its name in their metadata, as flyasync_launch. No other machine is destroyed.

A machine counts as destroyed once the API shows it as destroyed, or has twice returned that it does not exist. A launch
counts as empty once two lists, some seconds apart, contain none of its machines.

Exit status: 0 when no machine is left, 1 when one is left or you answered no, 2 for a wrong command line, 130 after
Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
"""


@click.command("destroy", epilog=EPILOG)
@app_argument
@click.option("--launch", required=True, metavar="ID", help="Name of the launch, as in the report of its deploy.")
@click.option("--yes", is_flag=True, help="Skip the confirmation; required without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one event each.")
def command(*, app: str, launch: str, yes: bool, as_json: bool) -> None:
    """Destroy the machines of one launch of APP, running or not, and no others."""
    from flyasync.cli.destroy_run import destroy_all, find
    from flyasync.cli.shared.signals import run, until_signalled
    from flyasync.deploy.plan.spec import check_launch
    from flyasync.models.lint.linter import check_app_name, refuse

    # Invalid names are refused before a token is needed.
    refuse(check_app_name(app))
    check_launch(launch)
    if not yes:
        require_terminal()

    def report(text: str, event: dict[str, Any]) -> None:
        click.echo(json.dumps(event) if as_json else text, file=sturdy(sys.stdout))

    found = run(find(app, launch, report))
    if not found:
        raise click.exceptions.Exit(OK)
    # The prompt runs outside the event loop: it waits for the user, and Ctrl-C aborts it.
    if not yes:
        confirm("Destroy them?", otherwise="nothing was destroyed")
    raise click.exceptions.Exit(run(until_signalled(destroy_all(app, launch, found, report), note_stopping)))
