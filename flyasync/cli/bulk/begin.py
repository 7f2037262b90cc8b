"""What `flyasync bulk` does once its command line is read: a thin shell around `run`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import click
from click.core import ParameterSource

from flyasync.cli.bulk.builders import Builders, Defaults, checked
from flyasync.cli.bulk.lines import BulkDisplay, BulkJSONLines, BulkLines
from flyasync.cli.bulk.options import COLUMNS
from flyasync.cli.bulk.order import BulkOrder
from flyasync.cli.bulk.rows_file import read
from flyasync.cli.bulk.run import STOPPING, run
from flyasync.cli.deploy.order import Rehearsal, rehearsal
from flyasync.cli.deploy.wording import Setting
from flyasync.cli.shared.signals import until_signalled
from flyasync.cli.shared.streams import sturdy
from flyasync.cli.shared.ticker import watching
from flyasync.deploy.plan.spec import check_launch
from flyasync.emulator.core.faults import Fault

Drive = Callable[[Coroutine[Any, Any, int]], int]
"""What drives a coroutine to its end, as `asyncio.run` does."""


def begin(
    ctx: click.Context,
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
    """Deploy to the app of each row of the file, and end the command with the exit code."""
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
    from flyasync.cli.bulk.live import BulkScreen  # it loads rich, which only a terminal needs

    return watching(BulkScreen(out))
