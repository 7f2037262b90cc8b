"""`flyasync emulator`: a local Machines API until Ctrl-C."""

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping
from typing import TextIO

import click

from flyasync.cli.shared.exit_codes import OK, CommandFailed
from flyasync.cli.shared.option_types import bounds, capacities, commands, faults, regions, tag_moves
from flyasync.cli.shared.signals import run, until_signalled
from flyasync.emulator.core.faults import Fault
from flyasync.emulator.core.processes import Output
from flyasync.emulator.server import Emulator
from flyasync.errors import InvalidInput

EPILOG = """\b
Examples:
  flyasync emulator --capacity lhr=0
  flyasync emulator --latency 0.02:0.25 --fault '{"does": "lose_answer", "action": "createMachine", "times": 1}'
\b
Then, in another shell, after its export lines:
  flyasync deploy web --create-app personal --image nginx --region iad,lhr --fallback nearest
"""

CONTROL = (
    "to control it, use {url}/_emulator/: GET log, GET counts, GET or POST or DELETE faults, POST capacity, "
    "GET or POST or DELETE commands, POST host_status, POST images, POST reset"
)


@click.command("emulator", epilog=EPILOG)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDR",
    help="Address to listen on; a non-loopback address exposes the emulator to other hosts.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME",
    multiple=True,
    help="Host name to accept besides localhost, in Host and in the Origin of web pages; may be repeated.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4280,
    show_default=True,
    metavar="PORT",
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed for ids and boot times.")
@click.option("--no-limits", is_flag=True, help="Do not enforce the published rate limits.")
@click.option(
    "--capacity",
    metavar="CODE=N",
    multiple=True,
    callback=capacities,
    help="Number of machines that fit in a region; may be repeated or a list: iad=0,lhr=0.",
)
@click.option(
    "--retire",
    "retired",
    metavar="CODE",
    multiple=True,
    callback=regions,
    help="Region that refuses new machines and volumes; may be repeated or a list: lhr,nrt.",
)
@click.option(
    "--latency",
    callback=bounds,
    metavar="LOW:HIGH",
    help="Seconds before a request is handled.  [default: 0]",
)
@click.option("--boot", callback=bounds, metavar="LOW:HIGH", help="Emulated seconds that a boot takes.  [default: 1:3]")
@click.option(
    "--image-lag",
    callback=bounds,
    metavar="LOW:HIGH",
    help="Emulated seconds for which a pushed image is refused with MANIFEST_UNKNOWN.  [default: 0]",
)
@click.option(
    "--move-tag",
    "tag_moves",
    metavar="IMAGE=SECONDS",
    multiple=True,
    callback=tag_moves,
    help="Tag that moves to a new digest, so many emulated seconds after the start; repeatable.",
)
@click.option(
    "--fault",
    "faults",
    metavar="JSON",
    multiple=True,
    callback=faults,
    help='Fault to inject, with the fields of flyasync.Fault, such as {"does": "lose_answer", "times": 1}; repeatable.',
)
@click.option(
    "--command",
    "commands",
    metavar="JSON",
    multiple=True,
    callback=commands,
    help='Results of machine commands, by pattern, such as {"command": "bin/migrate*", "exit_code": 1}; repeatable.',
)
@click.option(
    "--speed",
    type=float,
    default=1.0,
    show_default=True,
    metavar="N",
    help="Emulated seconds per real second; above 1, leases expire earlier than their holder expects.",
)
def command(
    *,
    host: str,
    allow_hosts: tuple[str, ...],
    port: int,
    seed: int,
    no_limits: bool,
    capacity: Mapping[str, int],
    retired: tuple[str, ...],
    latency: tuple[float, float] | None,
    boot: tuple[float, float] | None,
    image_lag: tuple[float, float] | None,
    tag_moves: Mapping[str, float],
    faults: tuple[Fault, ...],
    commands: Mapping[str, Output],
    speed: float,
) -> None:
    """Serve a local Machines API that needs no account, until Ctrl-C.

    The emulator enforces the published limits, states and error bodies of Fly.io. Its state is lost when it stops. It
    prints the environment variables that point flyasync and flyctl to it, and that keep flyctl from reaching any other
    server. The paths under /_emulator/ show the requests so far, and change faults, capacity, commands, hosts and
    images while it runs; they need no token. Requests for other hosts and from web pages are refused, unless --host or
    --allow-host allows them.
    """
    try:
        emulator = Emulator(
            host=host,
            allow_hosts=allow_hosts,
            port=port,
            seed=seed,
            limits=not no_limits,
            capacity=capacity,
            retired=retired,
            latency=latency or (0.0, 0.0),
            boot=boot or (1.0, 3.0),
            image_lag=image_lag or (0.0, 0.0),
            tag_moves=tag_moves,
            faults=faults,
            commands=commands,
            speed=speed,
        )
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    # Ctrl-C is the way to stop it, so no message is needed.
    run(until_signalled(serve(emulator, port, sys.stdout, sys.stderr), lambda _: None))


async def serve(emulator: Emulator, port: int, out: TextIO, err: TextIO) -> int:
    """Print the environment variables, and serve until cancelled; raises CommandFailed for a port in use."""
    try:
        await emulator.start()
    except OSError as error:
        # The text of asyncio's error is long, and contains the address.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CommandFailed(
            f"cannot listen on port {port}: {reason}; use another --port, or 0 for a free one"
        ) from error
    try:
        # A shell can evaluate stdout; all other lines go to stderr.
        out.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in emulator.environment().items())
        out.flush()
        err.writelines(f"flyasync: warning: {text}\n" for text in emulator.warnings)
        err.write(f"flyasync: the emulator is running; Ctrl-C stops it\nflyasync: {CONTROL.format(url=emulator.url)}\n")
        err.flush()
        await asyncio.Event().wait()
    finally:
        await emulator.stop()
    return OK
