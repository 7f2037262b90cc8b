"""`flyasync emulator`: a local Machines API until Ctrl-C, or for as long as one command runs."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from flyasync.cli.shared.completion import app_names
from flyasync.cli.shared.option_groups import GroupedCommand, OptionGroup, option, titled
from flyasync.cli.shared.option_types import bounds, capacities, commands, faults, retired, tag_moves, tokens
from flyasync.errors import InvalidInput

if TYPE_CHECKING:
    from flyasync.emulator import AcceptedToken, Fault, Output

_PORT = 4280
# As the emulator has them, which is not imported for the help.
ADDRESSES = ("v4", "v6", "shared_v4", "private_v6", "egress_v4", "egress_v6", "egress-pair", "egress_pair")

EPILOG = """\b
Examples:
  # one command, in an empty world that ends with it
  flyasync emulator -- flyctl apps create web --org personal
  flyasync emulator --speed 20 --tls -- npm test
\b
  # until Ctrl-C
  flyasync emulator --capacity lhr=0
  flyasync emulator --state world.fly
  flyasync emulator --import web
  flyasync emulator --latency 0.02:0.25 --fault '{"does": "lose_answer", "action": "createMachine", "times": 1}'
\b
Then, in another shell, after its export lines:
  flyasync deploy web --create-app personal --image nginx --region iad,lhr --fallback nearest

COMMAND runs with the environment variables that point flyasync, flyctl and other clients to the emulator; stdin, stdout
and stderr are its own, and the emulator writes to stderr only. SIGINT, SIGTERM and SIGHUP are passed on to it. What it
leaves running in its process group is killed, unless it shares a terminal with the shell. If it has asked for something
that the emulator does not have, a line at the end names it.

Exit status: that of COMMAND; 127 if it was not found, 126 if it could not be started. Without COMMAND 0 after Ctrl-C.
1 if the emulator cannot listen on the port.
"""


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _lines(line: Callable[[str, str], str], variables: Mapping[str, str]) -> str:
    return "".join(f"{line(name, value)}\n" for name, value in variables.items())


FORMATS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "sh": partial(_lines, lambda name, value: f"export {name}={shlex.quote(value)}"),
    "fish": partial(_lines, lambda name, value: f"set -gx {name} {_fish(value)}"),
    "powershell": partial(_lines, lambda name, value: f"$env:{name} = {_powershell(value)}"),
    "env": partial(_lines, lambda name, value: f"{name}={value}"),
    "json": lambda variables: f"{json.dumps(dict(variables))}\n",
}
"""The forms in which variables are printed, each as a text that ends with a newline."""


class EmulatorOptions(OptionGroup):
    """Options that have the names of the arguments of `Emulator`; None stands for its default."""

    def arguments(self) -> dict[str, Any]:
        """Return what to pass to `Emulator`."""
        return {name: value for name in self.field_names if (value := getattr(self, name)) is not None}


class ServerOptions(EmulatorOptions):
    """Where the emulator listens, and for whom."""

    title = "Server"

    host: str = option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDR",
        help="Address to listen on; a non-loopback address exposes the emulator to other hosts.",
    )
    allow_hosts: tuple[str, ...] = option(
        "--allow-host",
        "allow_hosts",
        metavar="NAME",
        multiple=True,
        help="Host name to accept besides localhost, in Host and in the Origin of web pages; may be repeated.",
    )
    port: int | None = option(
        "--port",
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help=f"Port to listen on; 0 takes a free one.  [default: {_PORT}; with COMMAND, a free one]",
    )
    tls: bool = option(
        "--tls",
        is_flag=True,
        help="Serve HTTPS. The variables then include the file of the certificate authority, the only one that clients "
        "which read it trust. Needs the extra tls.",
    )
    tokens: "tuple[AcceptedToken, ...]" = option(
        "--token",
        "tokens",
        metavar="TOKEN",
        multiple=True,
        callback=tokens,
        help="Token to accept, as VALUE[:ORG][:APP][:read-only][:expired or :expires=SECONDS]; may be repeated.  "
        "[default: any but invalid]",
    )


class WorldOptions(EmulatorOptions):
    """What the emulated world is like."""

    title = "World"

    seed: int = option(
        "--seed", type=int, default=0, show_default=True, metavar="N", help="Seed for ids, delays and faults."
    )
    capacity: Mapping[str, int] = option(
        "--capacity",
        metavar="CODE=N",
        multiple=True,
        callback=capacities,
        help="Number of machines that fit in a region; may be repeated or a list: iad=0,lhr=0.",
    )
    retired: tuple[str, ...] = option(
        "--retire",
        "retired",
        metavar="CODE",
        multiple=True,
        callback=retired,
        help="Region that refuses new machines and volumes, as those do that Fly.io has retired; may be repeated or a "
        "list: lhr,nrt.",
    )
    addresses: tuple[str, ...] = option(
        "--address",
        "addresses",
        type=click.Choice(ADDRESSES),
        metavar="TYPE",
        multiple=True,
        help="Type of an IP address that each new app gets, such as shared_v4; repeatable. By default it has none.",
    )
    commands: "Mapping[str, Output]" = option(
        "--command",
        "commands",
        metavar="JSON",
        multiple=True,
        callback=commands,
        help='Results of machine commands, by pattern, such as {"command": "bin/migrate*", "exit_code": 1}; '
        "repeatable.",
    )
    speed: float = option(
        "--speed",
        type=click.FloatRange(0, min_open=True),
        default=1.0,
        show_default=True,
        metavar="N",
        help="Emulated seconds per real second; above 1, leases expire earlier than their holder expects.",
    )


class DelayOptions(EmulatorOptions):
    """What takes time, and what is not known at once."""

    title = "Delays"

    latency: tuple[float, float] | None = option(
        "--latency",
        callback=bounds,
        metavar="LOW:HIGH",
        help="Seconds before a request is handled.  [default: 0]",
    )
    boot: tuple[float, float] | None = option(
        "--boot", callback=bounds, metavar="LOW:HIGH", help="Emulated seconds that a boot takes.  [default: 1:3]"
    )
    startup: tuple[float, float] | None = option(
        "--startup",
        callback=bounds,
        metavar="LOW:HIGH",
        help="Emulated seconds from the start of a machine until it responds to its checks.  [default: 0]",
    )
    lag: tuple[float, float] | None = option(
        "--lag",
        callback=bounds,
        metavar="LOW:HIGH",
        help="Emulated seconds that lists, and reads of new apps and machines, are behind.  [default: 0]",
    )
    secrets_lag: tuple[float, float] | None = option(
        "--secrets-lag",
        callback=bounds,
        metavar="LOW:HIGH",
        help="Emulated seconds until machines can be created with new secrets.  [default: 0]",
    )
    image_lag: tuple[float, float] | None = option(
        "--image-lag",
        callback=bounds,
        metavar="LOW:HIGH",
        help="Emulated seconds for which a pushed image is refused with MANIFEST_UNKNOWN.  [default: 0]",
    )
    tag_moves: Mapping[str, float] = option(
        "--move-tag",
        "tag_moves",
        metavar="IMAGE=SECONDS",
        multiple=True,
        callback=tag_moves,
        help="Tag that moves to a new digest SECONDS after the start, in emulated time; repeatable.",
    )
    linger: tuple[float, float] | None = option(
        "--linger",
        callback=bounds,
        metavar="LOW:HIGH",
        help="Emulated seconds for which a destroyed machine still claims its volume.  [default: 0]",
    )


class StateOptions(EmulatorOptions):
    """What the world begins with, and where it is kept."""

    title = "State"

    state: Path | None = option(
        "--state",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Preserve the world in FILE, also when the emulator is killed; it contains the values of secrets.",
    )
    imported: tuple[str, ...] = option(
        "--import",
        "imported",
        metavar="APP",
        multiple=True,
        shell_complete=app_names,
        help="App to copy from Fly.io: machines, volumes, addresses, certificates, and secrets without their values; "
        "repeatable.",
    )

    def arguments(self) -> dict[str, Any]:
        """Return what to pass to `Emulator`."""
        return {} if self.state is None else {"state": self.state}

    def demand_new_file(self) -> None:
        """Raise InvalidInput for an app to import into a state file that has a world."""
        if self.imported and self.state and self.state.is_file() and self.state.stat().st_size:
            raise InvalidInput(
                f"--import: {self.state} already has a world: leave out --import to continue with it, or name a new "
                "file"
            )


class TroubleOptions(EmulatorOptions):
    """What makes requests fail."""

    title = "Limits and faults"

    limits: bool = option(
        "--no-limits",
        "limits",
        is_flag=True,
        callback=lambda *given: not given[2],
        help="Do not enforce the published rate limits.",
    )
    faults: "tuple[Fault, ...]" = option(
        "--fault",
        "faults",
        metavar="JSON",
        multiple=True,
        callback=faults,
        help='Fault to inject, with the fields of flyasync.Fault, such as {"does": "lose_answer", "times": 1}; '
        "repeatable.",
    )


class OutputOptions(OptionGroup):
    """What is written."""

    title = "Output"

    form: str = option(
        "--format",
        "form",
        type=click.Choice(list(FORMATS)),
        default="sh",
        show_default=True,
        help="How the variables are printed: for a POSIX shell, fish or PowerShell, as NAME=VALUE, or as one line of "
        "JSON.",
    )


@click.command(
    "emulator",
    cls=GroupedCommand,
    groups=titled(ServerOptions, WorldOptions, StateOptions, DelayOptions, TroubleOptions, OutputOptions),
    epilog=EPILOG,
    # The options after COMMAND are its own, with or without a double dash.
    context_settings={"allow_interspersed_args": False},
)
@click.argument("words", metavar="[-- COMMAND [ARG]...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, /, words: tuple[str, ...], **_: object) -> None:
    """Serve a local Machines API that needs no account, until Ctrl-C or while COMMAND runs.

    The emulator enforces the published limits, states and error bodies of Fly.io. Without --state, its world is lost
    when it stops. It prints the environment variables that point flyasync and flyctl to it, and that keep flyctl from
    reaching any other server. The paths under /_emulator/ show the requests so far, and change faults, capacity,
    commands, hosts, images and the whole world while it runs; they need no token. Requests for other hosts and from
    web pages are refused, unless --host or --allow-host allows them.
    """
    server, output = ServerOptions.of(ctx.params), OutputOptions.of(ctx.params)
    state = StateOptions.of(ctx.params)
    port = server.port if server.port is not None else 0 if words else _PORT
    if words and ctx.get_parameter_source("form") is not ParameterSource.DEFAULT:
        raise click.UsageError("--format has no effect with COMMAND, which has the variables in its environment")
    state.demand_new_file()
    arguments = (
        server.arguments()
        | {"port": port}
        | WorldOptions.of(ctx.params).arguments()
        | state.arguments()
        | DelayOptions.of(ctx.params).arguments()
        | TroubleOptions.of(ctx.params).arguments()
    )
    # Imported here: the help needs neither the emulator nor asyncio.
    from flyasync.cli.emulator_serving import create, serve, serve_while
    from flyasync.cli.shared.program import has_terminal, run_program
    from flyasync.cli.shared.signals import run, until_signalled

    emulator = create(arguments, state.imported)
    if words:
        inside = partial(run_program, words, shares_terminal=has_terminal())
        raise click.exceptions.Exit(run(serve_while(emulator, port, inside, sys.stderr)))
    # Ctrl-C is the way to stop it, so no message is needed.
    run(until_signalled(serve(emulator, port, sys.stdout, sys.stderr, FORMATS[output.form]), lambda _: None))
