"""`flyasync deploy`: a thin shell around `roll_out`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import click

from flyasync.cli.deploy_options import SECTIONS
from flyasync.cli.display import Display, JSONLines, Lines, sturdy
from flyasync.cli.order import Order, Rehearsal, rehearsal
from flyasync.cli.rollout import STOPPING, roll_out
from flyasync.cli.sections import Sectioned
from flyasync.cli.signals import until_signalled
from flyasync.cli.suggest import app_names
from flyasync.cli.together import check_together
from flyasync.cli.wanted import builder, resumed, undoing
from flyasync.cli.wording import Setting
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator.faults import Fault

Run = Callable[[Coroutine[Any, Any, int]], int]
"""What drives a coroutine to its end, as `asyncio.run` does."""

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
under way, 2 for a wrong command line, 130 after Ctrl-C, 143 after SIGTERM, 129 when the terminal was closed (SIGHUP).
Each of these creates no further machine and tells what runs; a second one cuts that short. What is up then stays up,
with --roll-back too: the report says how to go on from there, and how to go back.
"""


@click.command("deploy", cls=Sectioned, sections=SECTIONS, epilog=EPILOG)
@click.argument("app", required=False, metavar="APP", shell_complete=app_names)
@click.pass_context
def command(
    ctx: click.Context,
    /,
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
    """Deploy one image to many regions of APP at once, and report what runs where."""
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
        return await until_signalled(
            roll_out(order, opened), lambda times: opened.note(STOPPING[min(times, len(STOPPING)) - 1])
        )


def display_for(out: TextIO, err: TextIO, *, as_json: bool, setting: Setting) -> AbstractAsyncContextManager[Display]:
    """Choose how to show a deploy: rows in a terminal, else lines."""
    out, err = sturdy(out), sturdy(err)
    if as_json:
        return nullcontext(JSONLines(out, err, setting))
    if not out.isatty():
        return nullcontext(Lines(out, err, setting))
    live = import_module("flyasync.cli.live")  # rich is loaded for those who see it
    opened: AbstractAsyncContextManager[Display] = live.watching(live.Screen(out, setting=setting))
    return opened
