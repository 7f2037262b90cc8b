"""`flyasync bulk`: a thin shell around `run`, for each row of a file its own app."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import click
from click.core import ParameterSource

from flyasync.cli.bulk_builders import Builders, Defaults, checked
from flyasync.cli.bulk_display import BulkDisplay, BulkJSONLines, BulkLines
from flyasync.cli.bulk_options import COLUMNS, SECTIONS
from flyasync.cli.bulk_order import BulkOrder
from flyasync.cli.bulk_rows import read
from flyasync.cli.bulk_run import STOPPING, run
from flyasync.cli.display import sturdy
from flyasync.cli.order import Rehearsal, rehearsal
from flyasync.cli.sections import Sectioned
from flyasync.cli.signals import until_signalled
from flyasync.cli.watching import watching
from flyasync.cli.wording import Setting
from flyasync.deploy.deployment import check_launch
from flyasync.emulator.faults import Fault

Drive = Callable[[Coroutine[Any, Any, int]], int]
"""What drives a coroutine to its end, as `asyncio.run` does."""

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
file, 130 after Ctrl-C, 143 after SIGTERM, 129 when the terminal was closed (SIGHUP). Each of these begins no further
app, and ends those under way as flyasync deploy ends; a second one cuts that short.
"""


@click.command("bulk", cls=Sectioned, sections=SECTIONS, epilog=EPILOG)
@click.argument("file", type=click.File("rb"))
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    file: BinaryIO,
    apps_in_flight: int,
    executor: str | None,
    journal: Path | None,
    max_failures: int | None,
    launch: str | None,
    create_app: str | None,
    as_json: bool,
    dry_run: bool,
    local: bool,
    capacity: Mapping[str, int],
    seed: int | None,
    boot: float | None,
    trouble: tuple[Fault, ...],
    **wanted: Any,
) -> None:
    """Deploy to the app of each row of FILE, many at once, and report what failed and why.

    FILE is CSV with a header, or JSON lines.
    """
    pretend = rehearsal(local=local, capacity=capacity, seed=seed, boot=boot, faults=trouble)
    _check_rehearsal(pretend, executor, journal)
    if launch is not None:
        check_launch(launch)
    source = getattr(file, "name", "<stdin>")
    builders = Builders(Defaults(wanted, _given(ctx)), ctx)
    order = BulkOrder(
        source=source,
        rows=checked(source, read(file, tuple(COLUMNS)), builders),
        builders=builders,
        at_once=apps_in_flight,
        max_failures=max_failures,
        launch=launch,
        journal=journal,
        executor=executor,
        org=create_app,
        is_dry=dry_run,
        rehearsal=pretend,
    )
    display = display_for(sys.stdout, sys.stderr, as_json=as_json, setting=Setting(is_local=pretend is not None))
    drive: Drive = ctx.obj or asyncio.run
    raise click.exceptions.Exit(drive(shown(order, display)))


def _check_rehearsal(pretend: Rehearsal | None, executor: str | None, journal: Path | None) -> None:
    if pretend and executor:
        raise click.UsageError("--local rehearses in this process, so --executor dask:// cannot go with it")
    if pretend and journal:
        raise click.UsageError("--local leaves nothing behind to go on from, so --journal cannot go with it")


def _given(ctx: click.Context) -> frozenset[str]:
    """Name the options of rows that the command line gives."""
    return frozenset(name for name in COLUMNS if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT)


async def shown(order: BulkOrder, display: AbstractAsyncContextManager[BulkDisplay]) -> int:
    """Carry an order out on a display, with signals as cancellation, and give the exit code."""
    async with display as opened:
        return await until_signalled(
            run(order, opened), lambda times: opened.note(STOPPING[min(times, len(STOPPING)) - 1])
        )


def display_for(
    out: TextIO, err: TextIO, *, as_json: bool, setting: Setting
) -> AbstractAsyncContextManager[BulkDisplay]:
    """Choose how to show a run: counts drawn anew in a terminal, else lines."""
    out, err = sturdy(out), sturdy(err)
    if as_json:
        return nullcontext(BulkJSONLines(out, err, setting))
    if not out.isatty():
        return watching(BulkLines(out, err))
    live = import_module("flyasync.cli.bulk_live")  # rich is loaded for those who see it
    opened: AbstractAsyncContextManager[BulkDisplay] = watching(live.BulkScreen(out))
    return opened
