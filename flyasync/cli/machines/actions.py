"""Actions on machines, several at once: start, stop, restart, suspend, cordon, destroy, and the wait for a state."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from flyasync.cli.machines.names import resolve_names
from flyasync.cli.shared.client import api_command, confirmed
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import CommandOutput, Message, Table
from flyasync.cli.shared.parameters import app_argument, machine_argument, machines_argument
from flyasync.errors import AlreadyStarting, FlyError

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

Action = Callable[[str, str], Awaitable[object]]
"""A method of `fly.machines`, with its options, that takes an app and the id of a machine."""

COLUMNS = {
    "ID": lambda row: row["machine"],
    "ACTION": lambda row: row["action"],
    "RESULT": lambda row: "ok" if row["ok"] else f"failed: {row['message']}",
}

signal_option = click.option("--signal", metavar="NAME", help="Signal that stops the machine.  [default: SIGINT]")
timeout_option = click.option(
    "--timeout", type=float, metavar="SECONDS", help="Time to stop before the machine is killed.  [default: 5]"
)


async def on_each(action: str, act: Action, app: str, machine_ids: Sequence[str]) -> CommandOutput:
    """Run an action on several machines concurrently; a failure does not affect the others."""
    import asyncio

    # A machine that is given twice gets one request.
    ids = tuple(dict.fromkeys(machine_ids))
    done = await asyncio.gather(*(act(app, each) for each in ids), return_exceptions=True)
    rows = []
    for machine_id, result in zip(ids, done, strict=True):
        row = {"machine": machine_id, "action": action}
        # 1. AlreadyStarting: the machine is in the desired state.
        # 2. Any other FlyError: a failed row, and exit code 1.
        # 3. Any other exception is a bug.
        if isinstance(result, FlyError) and not isinstance(result, AlreadyStarting):
            message = " ".join(result.for_command.split())
            rows.append({**row, "ok": False, "kind": type(result).__name__, "message": message})
        elif isinstance(result, BaseException) and not isinstance(result, FlyError):
            raise result
        else:
            rows.append({**row, "ok": True})
    return Table(rows, COLUMNS, OK if all(row["ok"] for row in rows) else FAILED)


@click.command("start")
@app_argument
@machines_argument
@api_command
@resolve_names
async def start(fly: "FlyClient", *, app: str, machine_ids: tuple[str, ...]) -> CommandOutput:
    """Start stopped or suspended machines.

    The command does not wait until they are started; flyasync machines wait does.
    """
    return await on_each("start", fly.machines.start, app, machine_ids)


@click.command("stop")
@app_argument
@machines_argument
@signal_option
@timeout_option
@api_command
@resolve_names
async def stop(
    fly: "FlyClient", *, app: str, machine_ids: tuple[str, ...], signal: str | None, timeout: float | None
) -> CommandOutput:
    """Stop machines."""
    return await on_each("stop", partial(fly.machines.stop, signal=signal, timeout=timeout), app, machine_ids)


@click.command("restart")
@app_argument
@machines_argument
@signal_option
@timeout_option
@click.option("--force-stop", is_flag=True, help="Kill the machines instead of stopping them.")
@api_command
@resolve_names
async def restart(
    fly: "FlyClient",
    *,
    app: str,
    machine_ids: tuple[str, ...],
    signal: str | None,
    timeout: float | None,
    force_stop: bool,
) -> CommandOutput:
    """Stop and start machines."""
    act = partial(fly.machines.restart, signal=signal, timeout=timeout, force_stop=force_stop or None)
    return await on_each("restart", act, app, machine_ids)


@click.command("suspend")
@app_argument
@machines_argument
@api_command
@resolve_names
async def suspend(fly: "FlyClient", *, app: str, machine_ids: tuple[str, ...]) -> CommandOutput:
    """Suspend machines: stop them and keep their memory.

    A start usually resumes them from there.
    """
    return await on_each("suspend", fly.machines.suspend, app, machine_ids)


@click.command("cordon")
@app_argument
@machines_argument
@api_command
@resolve_names
async def cordon(fly: "FlyClient", *, app: str, machine_ids: tuple[str, ...]) -> CommandOutput:
    """Cordon machines: the proxy stops routing requests to them."""
    return await on_each("cordon", fly.machines.cordon, app, machine_ids)


@click.command("uncordon")
@app_argument
@machines_argument
@api_command
@resolve_names
async def uncordon(fly: "FlyClient", *, app: str, machine_ids: tuple[str, ...]) -> CommandOutput:
    """Uncordon machines: the proxy routes requests to them again."""
    return await on_each("uncordon", fly.machines.uncordon, app, machine_ids)


@click.command("destroy")
@app_argument
@machines_argument
@click.option("--force", is_flag=True, help="Kill running machines.")
@confirmed("Destroy {machine_ids} of {app}?")
@api_command
@resolve_names
async def destroy(fly: "FlyClient", *, app: str, machine_ids: tuple[str, ...], force: bool) -> CommandOutput:
    """Destroy machines.

    To destroy all machines of a launch, use flyasync destroy.
    """
    return await on_each("destroy", partial(fly.machines.delete, force=force or None), app, machine_ids)


@click.command("wait")
@app_argument
@machine_argument
@click.option(
    "--state",
    default="started",
    show_default=True,
    metavar="NAME",
    help="State to wait for; settled is any stable state, healthy is started with all checks passing.",
)
@click.option("--timeout", type=float, default=300.0, show_default=True, metavar="SECONDS", help="How long to wait.")
@api_command
@resolve_names
async def wait(fly: "FlyClient", *, app: str, machine_id: str, state: str, timeout: float) -> CommandOutput:
    """Wait until a machine is in a state.

    Exit status 1 when the timeout expires, or as soon as the machine can no longer reach the state.
    """
    # The API has no state `healthy`: it means `started`, with all checks passing.
    if state == "healthy":
        await fly.machines.wait_healthy(app, machine_id, timeout=timeout)
        reached = state
    else:
        reached = await fly.machines.wait(app, machine_id, state=state, timeout=timeout)
    return Message(f"{machine_id} is {reached}", {"machine": machine_id, "state": reached})


ACTIONS = (start, stop, restart, suspend, cordon, uncordon, destroy, wait)
