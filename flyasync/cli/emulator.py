"""`flyasync emulator`: a local Machines API until Ctrl-C."""

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping
from typing import TextIO

import click

from flyasync.cli.shared.exit_codes import OK, CommandFailed
from flyasync.cli.shared.option_types import bounds, capacities, commands, faults
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
    "control it under {url}/_emulator/: GET log, GET counts, GET or POST or DELETE faults, POST capacity, "
    "GET or POST or DELETE commands, POST host_status, POST images, POST reset"
)


@click.command("emulator", epilog=EPILOG)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDR",
    help="Address to listen on; any but a loopback one opens the emulator to other machines.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME",
    multiple=True,
    help="Name to answer to besides localhost, as Host and as Origin of web pages; repeat it.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4280,
    show_default=True,
    metavar="PORT",
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Another seed, other ids and times.")
@click.option("--no-limits", is_flag=True, help="Leave out the published rate limits.")
@click.option(
    "--capacity",
    metavar="CODE=N",
    multiple=True,
    callback=capacities,
    help="How many machines a region holds; repeat it, or list: iad=0,lhr=0.",
)
@click.option(
    "--latency",
    callback=bounds,
    metavar="LOW:HIGH",
    help="Seconds a request travels before it is looked at.  [default: 0]",
)
@click.option("--boot", callback=bounds, metavar="LOW:HIGH", help="Emulated seconds a machine boots.  [default: 1:3]")
@click.option(
    "--fault",
    "faults",
    metavar="JSON",
    multiple=True,
    callback=faults,
    help='Trouble in the fields of flyasync.Fault, such as {"does": "lose_answer", "times": 1}; repeat it.',
)
@click.option(
    "--command",
    "commands",
    metavar="JSON",
    multiple=True,
    callback=commands,
    help='What commands in a machine do, by pattern, such as {"command": "bin/migrate*", "exit_code": 1}; repeat it.',
)
@click.option(
    "--speed",
    type=float,
    default=1.0,
    show_default=True,
    metavar="N",
    help="Emulated seconds for each real one; above 1, leases end before their holder expects it.",
)
def command(
    *,
    host: str,
    allow_hosts: tuple[str, ...],
    port: int,
    seed: int,
    no_limits: bool,
    capacity: Mapping[str, int],
    latency: tuple[float, float] | None,
    boot: tuple[float, float] | None,
    faults: tuple[Fault, ...],
    commands: Mapping[str, Output],
    speed: float,
) -> None:
    """Serve a local Machines API that needs no account, until Ctrl-C.

    It keeps the published limits, states and error bodies of Fly.io, and its world is gone when it ends. The lines on
    stdout are the variables that point flyasync and flyctl to it, and keep flyctl from reaching anything else. The
    paths under /_emulator/ show what was asked, and change faults, capacity, commands, hosts and images while it runs;
    they need no token. Requests for another host, and from web pages, are refused, unless --host or --allow-host opens
    it to them.
    """
    try:
        emulator = Emulator(
            host=host,
            allow_hosts=allow_hosts,
            port=port,
            seed=seed,
            limits=not no_limits,
            capacity=capacity,
            latency=latency or (0.0, 0.0),
            boot=boot or (1.0, 3.0),
            faults=faults,
            commands=commands,
            speed=speed,
        )
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    # Ctrl-C is how it ends, so there is nothing to say on it.
    run(until_signalled(serve(emulator, port, sys.stdout, sys.stderr), lambda _: None))


async def serve(emulator: Emulator, port: int, out: TextIO, err: TextIO) -> int:
    """Serve until cancelled, after printing how to get there; raises CommandFailed when the port cannot be used."""
    try:
        await emulator.start()
    except OSError as error:
        # The text of asyncio's own error is long, and repeats the address.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CommandFailed(
            f"cannot listen on port {port}: {reason}; take another --port, or 0 for a free one"
        ) from error
    try:
        # On stdout only what a shell can evaluate; all else goes to stderr.
        out.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in emulator.environment().items())
        out.flush()
        err.writelines(f"flyasync: warning: {text}\n" for text in emulator.warnings)
        err.write(f"flyasync: the emulator runs; Ctrl-C ends it\nflyasync: {CONTROL.format(url=emulator.url)}\n")
        err.flush()
        await asyncio.Event().wait()
    finally:
        await emulator.stop()
    return OK
