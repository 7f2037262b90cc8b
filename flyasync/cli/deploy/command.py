"""`flyasync deploy`: its help and its options; what it does is imported when it runs, so that the help is fast."""

from typing import Any

import click

from flyasync.cli.deploy.options import GROUPS
from flyasync.cli.shared.completion import app_names
from flyasync.cli.shared.option_groups import GroupedCommand

EPILOG = """\b
Examples:
  # add machines, here or for real
  flyasync deploy web --image nginx --region iad,lhr,nrt --local
  flyasync deploy web --image nginx --region iad,lhr --fallback nearest --json
\b
  # bring what runs to a new image, a third of each region at a time
  flyasync deploy web --image registry.fly.io/web:v2 --region iad,lhr \\
      --strategy rolling --port 8080 --check /health --roll-back
\b
  # two canaries for five minutes, then region after region, after a migration
  flyasync deploy web --image registry.fly.io/web:v2 --waves iad/lhr,nrt \\
      --strategy canary --canaries 2 --soak 300 --release-command bin/migrate
\b
  # new machines first, old ones out once all new ones are healthy
  flyasync deploy web --image registry.fly.io/web:v2 --region iad,lhr \\
      --strategy bluegreen --port 8080 --check /health --journal deploy.jsonl
\b
  # five machines in iad, none in lhr any more: look first
  flyasync deploy web --image registry.fly.io/web:v2 --region iad,lhr \\
      --strategy rolling --count iad=5,lhr=0 --dry-run
\b
  # go on after a crash; or go back
  flyasync deploy --resume deploy.jsonl
  flyasync deploy --resume deploy.jsonl --undo
  flyasync deploy web --undo --dry-run

Without --strategy a deploy adds the machines of its launch and touches no others. The same --launch again finds the
machines that are there and makes only what is missing. With --strategy it brings the machines of --group to the image,
the config and the counts given: it updates, makes and retires, and touches no other machine. The same command again
goes on from what is there. --undo takes the last release back; asked for again, the one before that.

Exit status: 0 when enough regions run (--require), 1 when not or when the API says no, also when another deploy is
under way, 2 for a wrong command line, 8 when all machines are stopped and none was verified (--verify-stopped), 130
after Ctrl-C, 143 after SIGTERM, 129 when the terminal was closed (SIGHUP). Each signal creates no further machine and
tells what runs; a second one cuts that short. What is up then stays up, with --roll-back too: the report says how to go
on from there, and how to go back.
"""


@click.command("deploy", cls=GroupedCommand, groups=GROUPS, epilog=EPILOG)
@click.argument("app", required=False, metavar="APP", shell_complete=app_names)
@click.pass_context
def command(ctx: click.Context, /, **_: Any) -> None:
    """Deploy one image to many regions of APP at once, and report what runs where."""
    from flyasync.cli.deploy.run import deploy

    deploy(ctx)
