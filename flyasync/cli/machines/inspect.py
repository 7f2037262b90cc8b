"""Commands that inspect a machine: exec, ps, events, versions, and signals to its process."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import click

from flyasync.cli.machines.names import resolve_names
from flyasync.cli.shared.client import api_command
from flyasync.cli.shared.output import CommandOutput, Message, Table
from flyasync.cli.shared.parameters import app_argument, machine_argument
from flyasync.cli.shared.streams import pass_on
from flyasync.cli.shared.tables import Columns

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
    from flyasync.models.machine import Machine, MachineEvent
    from flyasync.models.machine_results import ExecResult

_SIGNALLED = 128  # added to the number of a signal, as a shell does


def _guest(machine: "Machine") -> str:
    guest = machine.config and machine.config.guest
    return f"{guest.cpu_kind or 'shared'} {guest.cpus or '?'} CPU, {guest.memory_mb or '?'} MB" if guest else ""


def _exit_code(event: "MachineEvent") -> str:
    end = event.exit_event
    return "" if end is None else f"{end.exit_code}{', out of memory' if end.oom_killed else ''}"


SHOW: Columns = {
    "ID": "id",
    "NAME": "name",
    "STATE": "state",
    "REGION": "region",
    "IMAGE": "config.image",
    "VERSION": "current_version",
    "GUEST": _guest,
    "ENV": lambda machine: list((machine.config and machine.config.env) or ()),  # the names, for values may be secret
    "METADATA": "metadata",
    "MOUNTS": lambda machine: [
        f"{mount.volume or mount.name} at {mount.path}" for mount in (machine.config and machine.config.mounts) or ()
    ],
    "CHECKS": lambda machine: [f"{check.name} {check.status}" for check in machine.reported_checks],
    "PRIVATE IP": "private_ip",
    "CORDONED": "cordoned",
    "HOST": "host_status",
    "CREATED": "created_at",
    "UPDATED": "updated_at",
}
PROCESSES: Columns = {
    "PID": "pid",
    "COMMAND": "command",
    "CPU": "cpu",
    "RSS": "rss",
    "LISTENS": lambda process: [f"{socket.proto} {socket.address}" for socket in process.listen_sockets or ()],
}
EVENTS: Columns = {
    "AT": lambda event: event.at and event.at.isoformat(timespec="milliseconds"),
    "TYPE": "type",
    "STATUS": "status",
    "SOURCE": "source",
    "EXIT CODE": _exit_code,
}
VERSIONS: Columns = {"VERSION": "version", "IMAGE": "user_config.image"}


@dataclass(frozen=True)
class ExecOutput:
    """The output of a command in a machine, and its exit status."""

    data: "ExecResult"

    @property
    def code(self) -> int:
        """The exit status of the command, or 128 plus the number of the signal that ended it."""
        signal = self.data.exit_signal or 0  # 0 where no signal ended it
        return _SIGNALLED + signal if signal > 0 else self.data.exit_code or 0

    def write(self, _: TextIO) -> None:
        """Write its stdout to stdout, and its stderr to stderr."""
        pass_on(sys.stdout, self.data.stdout or "")
        pass_on(sys.stderr, self.data.stderr or "")


@click.command("exec")
@app_argument
@machine_argument
@click.argument("words", metavar="-- CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit of the command.  [default: 60]")
@click.option("--container", metavar="NAME", help="Container to run it in, if there are several.")
@api_command
@resolve_names
async def exec_(
    fly: "FlyClient",
    *,
    app: str,
    machine_id: str,
    words: tuple[str, ...],
    timeout: float | None,
    container: str | None,
) -> CommandOutput:
    """Run a command in a machine.

    The command does not run in a shell. The exit status is that of the command, or 128 plus the number of the signal
    that ended it. A pipe or a file gets the output unchanged, a terminal gets it without control sequences.
    """
    return ExecOutput(await fly.machines.exec(app, machine_id, words, timeout=timeout, container=container))


@click.command("ps")
@app_argument
@machine_argument
@click.option("--sort-by", metavar="FIELD", help="Field to sort by, such as cpu or rss.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="Sort order.")
@api_command
@resolve_names
async def ps(fly: "FlyClient", *, app: str, machine_id: str, sort_by: str | None, order: str | None) -> CommandOutput:
    """List the processes of a running machine."""
    return Table(await fly.machines.ps(app, machine_id, sort_by=sort_by, order=order), PROCESSES)


@click.command("events")
@app_argument
@machine_argument
@click.option("--limit", type=click.IntRange(1, 50), metavar="N", help="Number of events.  [default: 20]")
@api_command
@resolve_names
async def events(fly: "FlyClient", *, app: str, machine_id: str, limit: int | None) -> CommandOutput:
    """List the events of a machine, newest first."""
    return Table(await fly.machines.events(app, machine_id, limit=limit), EVENTS)


@click.command("versions")
@app_argument
@machine_argument
@api_command
@resolve_names
async def versions(fly: "FlyClient", *, app: str, machine_id: str) -> CommandOutput:
    """List the config versions of a machine.

    --json shows the configs.
    """
    return Table(await fly.machines.versions(app, machine_id), VERSIONS)


@click.command("signal")
@app_argument
@machine_argument
@click.argument("signal", metavar="SIGNAL")
@api_command
@resolve_names
async def signal(fly: "FlyClient", *, app: str, machine_id: str, signal: str) -> CommandOutput:
    """Send a signal to a machine's main process."""
    await fly.machines.signal(app, machine_id, signal)
    return Message(f"sent {signal} to {machine_id}", {"machine": machine_id, "signal": signal})


VIEWS = (exec_, ps, events, versions, signal)
