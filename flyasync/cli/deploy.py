"""`flyasync deploy`: the options, and a thin shell around `roll_out`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib import import_module
from typing import Any, TextIO

import click

from flyasync.cli.display import Display, JSONLines, Lines, sturdy
from flyasync.cli.options import fallback, faults, pairs, regions, rooms
from flyasync.cli.order import Order, builder, rehearsal
from flyasync.cli.params import app_argument
from flyasync.cli.rollout import STOPPING, roll_out
from flyasync.cli.signals import until_signalled
from flyasync.cli.suggest import region_codes
from flyasync.emulator.faults import Fault

Run = Callable[[Coroutine[Any, Any, int]], int]
"""What drives a coroutine to its end, as `asyncio.run` does."""

EPILOG = """\b
Examples:
  flyasync deploy web --image nginx --region iad,lhr,nrt --local
  flyasync deploy web --image registry.fly.io/web:v2 --region iad --region lhr \\
      --size shared-cpu-1x --port 8080 --check /health --require all --roll-back
  flyasync deploy web --image nginx --region iad,lhr --fallback nearest --json

A deploy adds the machines of its launch and touches no others. The same --launch again finds the machines that are
there and makes only what is missing.

Exit status: 0 when enough regions run (--require), 1 when not or when the API says no, 2 for a wrong command line,
130 after Ctrl-C, 143 after SIGTERM, 129 when the terminal was closed (SIGHUP). Each of these creates no further machine
and tells what runs; a second one cuts that short. What is up then stays up, with --roll-back too: the same --launch
again goes on from there, and flyasync destroy APP --launch ID takes it away.
"""


@click.command("deploy", epilog=EPILOG)
@app_argument
@click.option("--image", required=True, metavar="REF", help="Image to run; a digest is safest.")
@click.option(
    "--region",
    required=True,
    multiple=True,
    callback=regions,
    shell_complete=region_codes,
    metavar="CODE",
    help="Region to deploy to; repeat it, or list: iad,lhr.",
)
@click.option("--create-app", metavar="ORG", help="Create the app in this organization if it is not there.")
@click.option("--count", type=int, default=1, show_default=True, metavar="N", help="Machines in each region.")
@click.option("--size", metavar="NAME", help="Named size such as shared-cpu-2x; --memory may go with it.")
@click.option("--cpus", type=click.IntRange(min=1), metavar="N", help="Shared CPUs of each machine.")
@click.option("--memory", type=click.IntRange(min=1), metavar="MB", help="Memory of each machine in MB.")
@click.option(
    "--env",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="Environment variable; for secrets use the app's secrets.",
)
@click.option("--metadata", metavar="NAME=VALUE", multiple=True, callback=pairs, help="Metadata of each machine.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Port of the web server inside; it is reached on 80 and 443.",
)
@click.option("--check", metavar="PATH", help="Path on --port that must answer before a machine gets traffic.")
@click.option(
    "--fallback",
    default=("skip",),
    show_default="skip",
    multiple=True,
    callback=fallback,
    metavar="skip|nearest|CODE",
    help="Where a machine goes when its region has no room: nowhere, the nearest with room, or these in order; repeat "
    "it, or list: ewr,ord.",
)
@click.option(
    "--wait",
    type=click.Choice(["started", "healthy", "none"]),
    help="What to wait for; by default healthy with --check, else started.",
)
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="Time for each machine to come that far.  [default: 300]"
)
@click.option(
    "--require",
    default="1",
    show_default=True,
    metavar="all|N|SHARE",
    help="How many regions must run for exit status 0: all, a number, or a share such as 60% or 0.6.",
)
@click.option("--launch", metavar="ID", help="Name of this launch; machine names begin with it.  [default: random]")
@click.option(
    "--roll-back",
    is_flag=True,
    help="Destroy what this deploy made if it misses --require; a deploy cut off by Ctrl-C leaves it up.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and each machine's config, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one event each; the report is last.")
@click.option("--local", is_flag=True, help="Rehearse on an emulator in this process: no token, no cost.")
@click.option(
    "--capacity",
    metavar="CODE=N",
    multiple=True,
    callback=rooms,
    help="With --local: how many machines a region holds; repeat it, or list: iad=0,lhr=0.",
)
@click.option("--seed", type=int, metavar="N", help="With --local: another seed, other ids and boot times.")
@click.option(
    "--boot",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --local: how long a machine boots.  [default: 1 to 3]",
)
@click.option(
    "--fault",
    "trouble",
    metavar="JSON",
    multiple=True,
    callback=faults,
    help='With --local: trouble in the fields of flyasync.Fault, such as {"does": "crash", "region": "lhr"}.',
)
@click.pass_obj
def command(
    run: Run | None,
    /,
    *,
    as_json: bool,
    dry_run: bool,
    create_app: str | None,
    local: bool,
    capacity: Mapping[str, int],
    seed: int | None,
    boot: float | None,
    trouble: tuple[Fault, ...],
    **wanted: Any,
) -> None:
    """Deploy one image to many regions of APP at once, and report what runs where."""
    order = Order(
        builder=builder(**wanted),
        org=create_app,
        is_dry=dry_run,
        rehearsal=rehearsal(local=local, capacity=capacity, seed=seed, boot=boot, faults=trouble),
    )
    drive: Run = run or asyncio.run
    display = display_for(sys.stdout, sys.stderr, as_json=as_json, is_local=local)
    raise click.exceptions.Exit(drive(shown(order, display)))


async def shown(order: Order, display: AbstractAsyncContextManager[Display]) -> int:
    """Roll out on a display, with signals as cancellation, and give the exit code."""
    async with display as opened:
        return await until_signalled(
            roll_out(order, opened), lambda times: opened.note(STOPPING[min(times, len(STOPPING)) - 1])
        )


def display_for(out: TextIO, err: TextIO, *, as_json: bool, is_local: bool) -> AbstractAsyncContextManager[Display]:
    """Choose how to show a deploy: rows in a terminal, else lines."""
    out, err = sturdy(out), sturdy(err)
    if as_json:
        return nullcontext(JSONLines(out, err, is_local))
    if not out.isatty():
        return nullcontext(Lines(out, err, is_local))
    live = import_module("flyasync.cli.live")  # rich is loaded for those who see it
    opened: AbstractAsyncContextManager[Display] = live.watching(live.Screen(out, is_local=is_local))
    return opened
