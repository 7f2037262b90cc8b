"""`flyasync bulk`: its help and its options; what it does is imported when it runs, so that the help is fast."""

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
  # or customers.jsonl: an object on each line
  {"app": "shop-1", "regions": ["iad", "lhr"], "env": {"PLAN": "free"}}
\b
  # look first; then rehearse it here; then do it, 50 apps at once
  flyasync bulk customers.csv --image registry.fly.io/shop:v7 \\
      --strategy rolling --port 8080 --check /health --dry-run
  flyasync bulk customers.csv --image registry.fly.io/shop:v7 \\
      --strategy rolling --port 8080 --check /health --local
  flyasync bulk customers.csv --image registry.fly.io/shop:v7 \\
      --strategy rolling --port 8080 --check /health \\
      --apps-in-flight 50 --journal run.jsonl
\b
  # after a crash, a Ctrl-C or failures: the same command goes on
  flyasync bulk customers.csv --image registry.fly.io/shop:v7 \\
      --strategy rolling --port 8080 --check /health \\
      --apps-in-flight 50 --journal run.jsonl
\b
  # bring what was made so to a new image, and stop after ten failures
  flyasync bulk customers.csv --image registry.fly.io/shop:v8 \\
      --strategy rolling --port 8080 --check /health \\
      --apps-in-flight 50 --journal run.jsonl --max-failures 10
\b
  # apps that are not there are created, one a second; on a dask cluster
  flyasync bulk customers.csv --image registry.fly.io/shop:v8 \\
      --strategy rolling --port 8080 --check /health \\
      --create-app acme --journal run.jsonl \\
      --executor dask://10.0.0.5:8786 --apps-in-flight 500

The columns are app, and the options above under their own names: image, region (or regions), count, size, strategy…;
env.NAME and metadata.NAME set one variable each, besides those given for all rows. An option says what holds where a
row says nothing: where its cell is empty, or in JSON null. Only --image cannot be given where rows have another image:
one of both would not run. The whole file is read and checked before anything is asked or changed; FILE may be - for
stdin.

Use a --strategy from the first run on. Without one a run only adds machines: those of another image are made beside
what runs, and no strategy touches them later. flyasync destroy APP --launch ID takes away what a launch has added.

With --journal each app is written down as it begins and as it ends. The same command again leaves out what is done,
tries again what failed, and goes on with the rest under the same launch, so that nothing is made twice, whatever ended
the run. A row that has changed is deployed again, with a launch of its own if the config is another.

Exit status: 0 when all apps are as the file says, 1 when one is not or the API says no, 2 for a wrong command line or
file, 8 when all are as it says and some, whose machines are all stopped, were not verified (--verify-stopped), 130
after Ctrl-C, 143 after SIGTERM, 129 when the terminal was closed (SIGHUP). Each of these signals begins no further app,
and ends those under way as flyasync deploy ends; a second one cuts that short.
"""


@click.command("bulk", cls=GroupedCommand, groups=GROUPS, epilog=EPILOG)
@click.argument("file", type=click.File("rb"))
@click.pass_context
def command(ctx: click.Context, /, **_: Any) -> None:
    """Deploy to the app of each row of FILE, many at once, and report what failed and why.

    FILE is CSV with a header, or JSON lines.
    """
    from flyasync.cli.bulk.run import bulk

    bulk(ctx)
