"""Actions on machines, several at once: start, stop, restart, suspend, cordon, destroy, and the wait for a state."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import click

from flyasync.api.client import FlyClient
from flyasync.cli.machines.names import resolve_names
from flyasync.cli.shared.client import asks, confirmed
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import CommandOutput, Message, Table
from flyasync.cli.shared.parameters import app_argument, machine_argument, machines_argument
from flyasync.errors import AlreadyStarting, FlyError

Action = Callable[[str, str], Awaitable[object]]
"""A method of `fly.machines`, with its options, that takes an app and a machine's id."""

COLUMNS = {
    "ID": lambda row: row["machine"],
    "ACTION": lambda row: row["action"],
    "RESULT": lambda row: "ok" if row["ok"] else f"failed: {row['message']}",
}

signal_option = click.option("--signal", metavar="NAME", help="Signal to stop with.  [default: SIGINT]")
timeout_option = click.option(
    "--timeout", type=float, metavar="SECONDS", help="How long it may take to stop before it is killed.  [default: 5]"
)


async def on_each(action: str, act: Action, app: str, machine_ids: Sequence[str]) -> CommandOutput:
    """Do the same to several machines at once; where one fails, the others go on."""
    # A machine that is named twice, as by a pattern of the shell, is asked once.
    ids = tuple(dict.fromkeys(machine_ids))
    done = await asyncio.gather(*(act(app, each) for each in ids), return_exceptions=True)
    rows = []
    for machine_id, result in zip(ids, done, strict=True):
        row = {"machine": machine_id, "action": action}
        # 1. AlreadyStarting: the machine is as asked for.
        # 2. Another FlyError: a result for this machine, and an exit code for the command.
        # 3. Any other exception is a fault of ours.
        if isinstance(result, FlyError) and not isinstance(result, AlreadyStarting):
            message = " ".join(str(result).split())
            rows.append({**row, "ok": False, "kind": type(result).__name__, "message": message})
        elif isinstance(result, BaseException) and not isinstance(result, FlyError):
            raise result
        else:
            rows.append({**row, "ok": True})
    return Table(rows, COLUMNS, OK if all(row["ok"] for row in rows) else FAILED)


@click.command("start")
@app_argument
@machines_argument
@asks
@resolve_names
async def start(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...]) -> CommandOutput:
    """Start stopped or suspended machines.

    It does not wait until they run: flyasync machines wait does.
    """
    return await on_each("start", fly.machines.start, app, machine_ids)


@click.command("stop")
@app_argument
@machines_argument
@signal_option
@timeout_option
@asks
@resolve_names
async def stop(
    fly: FlyClient, *, app: str, machine_ids: tuple[str, ...], signal: str | None, timeout: float | None
) -> CommandOutput:
    """Stop machines."""
    return await on_each("stop", partial(fly.machines.stop, signal=signal, timeout=timeout), app, machine_ids)


@click.command("restart")
@app_argument
@machines_argument
@signal_option
@timeout_option
@click.option("--force-stop", is_flag=True, help="Kill them rather than stop them.")
@asks
@resolve_names
async def restart(
    fly: FlyClient,
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
@asks
@resolve_names
async def suspend(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...]) -> CommandOutput:
    """Stop machines with their memory kept.

    A start resumes them where they were, as a rule.
    """
    return await on_each("suspend", fly.machines.suspend, app, machine_ids)


@click.command("cordon")
@app_argument
@machines_argument
@asks
@resolve_names
async def cordon(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...]) -> CommandOutput:
    """Take machines out of the proxy's routing."""
    return await on_each("cordon", fly.machines.cordon, app, machine_ids)


@click.command("uncordon")
@app_argument
@machines_argument
@asks
@resolve_names
async def uncordon(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...]) -> CommandOutput:
    """Put machines back into the proxy's routing."""
    return await on_each("uncordon", fly.machines.uncordon, app, machine_ids)


@click.command("destroy")
@app_argument
@machines_argument
@click.option("--force", is_flag=True, help="Kill those that run.")
@confirmed("Destroy {machine_ids} of {app}?")
@asks
@resolve_names
async def destroy(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...], force: bool) -> CommandOutput:
    """Destroy machines.

    For all those of a launch there is flyasync destroy.
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
    help="State to wait for; settled is any that lasts, healthy is started with all checks passing.",
)
@click.option("--timeout", type=float, default=300.0, show_default=True, metavar="SECONDS", help="How long to wait.")
@asks
@resolve_names
async def wait(fly: FlyClient, *, app: str, machine_id: str, state: str, timeout: float) -> CommandOutput:
    """Wait until a machine is in a state.

    Exit status 1 when the time is up, and as soon as it cannot get there any more.
    """
    # The API knows no state `healthy`: it is `started`, with all checks passing.
    if state == "healthy":
        await fly.machines.wait_healthy(app, machine_id, timeout=timeout)
        reached = state
    else:
        reached = await fly.machines.wait(app, machine_id, state=state, timeout=timeout)
    return Message(f"{machine_id} is {reached}", {"machine": machine_id, "state": reached})


ACTIONS = (start, stop, restart, suspend, cordon, uncordon, destroy, wait)
