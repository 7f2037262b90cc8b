"""`flyasync bulk`: its help and its options; the rest is imported when it runs, so that --help is fast."""

from typing import Any

import click

from flyasync.cli.bulk.options import GROUPS
from flyasync.cli.shared.option_groups import GroupedCommand

EPILOG = """\b
Examples:
  # customers.csv: a header, and a row for each app
  app,regions,size,env.PLAN
  shop-1,"iad,lhr",shared-cpu-1x,free
  shop-2,nrt,shared-cpu-2x,gold
\b
  # or customers.jsonl: a JSON object on each line
  {"app": "shop-1", "regions": ["iad", "lhr"], "env": {"PLAN": "free"}}
\b
  # show the plan; rehearse it here; then deploy to 50 apps at once
  flyasync bulk customers.csv --image registry.fly.io/shop:v7 \\
      --strategy rolling --port 8080 --check /health --dry-run
  flyasync bulk customers.csv --image registry.fly.io/shop:v7 \\
      --strategy rolling --port 8080 --check /health --local
  flyasync bulk customers.csv --image registry.fly.io/shop:v7 \\
      --strategy rolling --port 8080 --check /health \\
      --apps-in-flight 50 --journal run.jsonl
\b
  # after a crash, Ctrl-C or failures, the same command continues
  flyasync bulk customers.csv --image registry.fly.io/shop:v7 \\
      --strategy rolling --port 8080 --check /health \\
      --apps-in-flight 50 --journal run.jsonl
\b
  # update these apps to a new image, and stop after ten failures
  flyasync bulk customers.csv --image registry.fly.io/shop:v8 \\
      --strategy rolling --port 8080 --check /health \\
      --apps-in-flight 50 --journal run.jsonl --max-failures 10
\b
  # create missing apps, one a second; deploy on a Dask cluster
  flyasync bulk customers.csv --image registry.fly.io/shop:v8 \\
      --strategy rolling --port 8080 --check /health \\
      --create-app acme --journal run.jsonl \\
      --executor dask://10.0.0.5:8786 --apps-in-flight 500

The columns are app, and any of the options above: image, region (or regions), count, size, strategy and so on. Each
column env.NAME or metadata.NAME sets one variable, in addition to those of the command line. An option of the command
line applies to every row whose cell is empty, or null in JSON. The exception is --image: it is refused if a row has
another image. The whole file is read and checked before any request is sent; FILE may be - for stdin.

Use a --strategy from the first run on. Without one, a run only adds machines: a new image runs on additional
machines beside the old ones, and a later run with a strategy does not change the additional ones. To destroy the
machines that a launch has added, run: flyasync destroy APP --launch ID.

With --journal, the start and the end of each app are recorded. The same command then skips the apps that are done,
retries those that failed, and continues with the rest under the same launch, so that no machine is created twice,
whatever ended the run. A row that has changed is deployed again. If
its config has changed, it gets a launch of its own.

Exit status: 0 when every app is ok, 1 when one is not or the API refuses, 2 for a wrong command line or file, 130 after
Ctrl-C, 143 after SIGTERM, 129 when the terminal was closed (SIGHUP). An app is ok if flyasync deploy would exit with 0.
A degraded app is ok only if --require, or its row, states the requirement. After a signal, no further app is started,
and the running deploys stop as flyasync deploy does; a second signal ends the command at once.
"""


@click.command("bulk", cls=GroupedCommand, groups=GROUPS, epilog=EPILOG)
@click.argument("file", type=click.File("rb"))
@click.pass_context
def command(ctx: click.Context, /, **_: Any) -> None:
    """Deploy to many apps, one for each row of FILE, and report what failed and why.

    FILE is CSV with a header, or JSON lines.
    """
    from flyasync.cli.bulk.run import bulk

    bulk(ctx)
