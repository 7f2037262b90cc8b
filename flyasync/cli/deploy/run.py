"""What `flyasync deploy` does once its command line is read: a thin shell around `roll_out`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click

from flyasync.cli.deploy.builder import builder, resumed, undoing
from flyasync.cli.deploy.lines import Display, JSONLines, Lines
from flyasync.cli.deploy.option_rules import check_together
from flyasync.cli.deploy.order import Order, Rehearsal, rehearsal
from flyasync.cli.deploy.rollout import STOPPING, roll_out
from flyasync.cli.deploy.wording import Setting
from flyasync.cli.shared.signals import until_signalled
from flyasync.cli.shared.streams import sturdy
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator.core.faults import Fault

Run = Callable[[Coroutine[Any, Any, int]], int]
"""What drives a coroutine to its end, as `asyncio.run` does."""


def begin(
    ctx: click.Context,
    *,
    as_json: bool,
    dry_run: bool,
    html: Path | None,
    create_app: str | None,
    local: bool,
    capacity: Mapping[str, int],
    seed: int | None,
    boot: float | None,
    trouble: tuple[Fault, ...],
    **wanted: Any,
) -> None:
    """Deploy what the options describe, and end the command with the exit code."""
    check_together(ctx)
    pretend = rehearsal(local=local, capacity=capacity, seed=seed, boot=boot, faults=trouble)
    order = Order(
        builder=_builder(**wanted),
        org=create_app,
        is_dry=dry_run,
        undoes=wanted["undo"],
        html=html,
        rehearsal=pretend,
    )
    display = display_for(sys.stdout, sys.stderr, as_json=as_json, setting=_setting(pretend, **wanted))
    drive: Run = ctx.obj or asyncio.run
    raise click.exceptions.Exit(drive(shown(order, display)))


def _builder(*, resume: str | None, undo: bool, **wanted: Any) -> DeployBuilder:
    """Make the builder of what the command line is about: a journal, a way back, or a deploy."""
    if resume:
        return resumed(resume=resume, **wanted)
    return undoing(**wanted) if undo else builder(**wanted)


def _setting(
    pretend: Rehearsal | None, *, resume: str | None, journal: Path | None, group: str | None, **_: Any
) -> Setting:
    written = resume or (str(journal) if journal else None)
    return Setting(is_local=pretend is not None, journal=written, group=group)


async def shown(order: Order, display: AbstractAsyncContextManager[Display]) -> int:
    """Roll out on a display, with signals as cancellation, and give the exit code."""
    async with display as opened:
        asyncio.get_running_loop().set_exception_handler(partial(_report_aside, opened))
        return await until_signalled(
            roll_out(order, opened), lambda times: opened.note(STOPPING[min(times, len(STOPPING)) - 1])
        )


def _report_aside(display: Display, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Show what went wrong beside the deploy, such as a journal on a disk that fills up, in one line."""
    error = context.get("exception")
    if isinstance(error, OSError):
        display.note(f"{context['message']}: {error.strerror or error}")
    else:
        loop.default_exception_handler(context)


def display_for(out: TextIO, err: TextIO, *, as_json: bool, setting: Setting) -> AbstractAsyncContextManager[Display]:
    """Choose how to show a deploy: rows in a terminal, else lines."""
    out, err = sturdy(out), sturdy(err)
    if as_json:
        return nullcontext(JSONLines(out, err, setting))
    if not out.isatty():
        return nullcontext(Lines(out, err, setting))
    from flyasync.cli.deploy.live import Screen  # it loads rich, which only a terminal needs
    from flyasync.cli.shared.ticker import watching

    return watching(Screen(out, setting=setting))
