"""What is done to machines, several at once: start, stop and their kin, destroy, and waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from flyasync.api.client import FlyClient
from flyasync.cli.shared.client import asks, confirmed
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import Answer, Said, Table
from flyasync.cli.shared.parameters import app_argument, machine_argument, machines_argument
from flyasync.errors import AlreadyStarting, FlyError

Act = Callable[..., Awaitable[object]]
"""A method of `fly.machines` that takes an app and a machine's id."""

COLUMNS = {
    "ID": lambda told: told["machine"],
    "ACTION": lambda told: told["action"],
    "RESULT": lambda told: "ok" if told["ok"] else f"failed: {told['message']}",
}

signal_option = click.option("--signal", metavar="NAME", help="Signal to stop with.  [default: SIGINT]")
timeout_option = click.option(
    "--timeout", type=float, metavar="SECONDS", help="How long it may take to stop before it is killed.  [default: 5]"
)


async def each(action: str, act: Act, app: str, machine_ids: Sequence[str], **options: Any) -> Answer:
    """Do the same to several machines at once; one that refuses keeps no other from it."""
    told = await asyncio.gather(
        *(_one(action, act, app, machine_id, options) for machine_id in dict.fromkeys(machine_ids))
    )
    return Table(told, COLUMNS, OK if all(one["ok"] for one in told) else FAILED)


async def _one(action: str, act: Act, app: str, machine_id: str, options: dict[str, Any]) -> dict[str, Any]:
    told = {"machine": machine_id, "action": action}
    try:
        await act(app, machine_id, **options)
    except AlreadyStarting:
        pass  # what was asked for is so
    except FlyError as error:
        return {**told, "ok": False, "kind": type(error).__name__, "message": " ".join(str(error).split())}
    return {**told, "ok": True}


@click.command("start")
@app_argument
@machines_argument
@asks
async def start(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...]) -> Answer:
    """Start stopped or suspended machines.

    It does not wait until they run: flyasync machines wait does.
    """
    return await each("start", fly.machines.start, app, machine_ids)


@click.command("stop")
@app_argument
@machines_argument
@signal_option
@timeout_option
@asks
async def stop(
    fly: FlyClient, *, app: str, machine_ids: tuple[str, ...], signal: str | None, timeout: float | None
) -> Answer:
    """Stop machines."""
    return await each("stop", fly.machines.stop, app, machine_ids, signal=signal, timeout=timeout)


@click.command("restart")
@app_argument
@machines_argument
@signal_option
@timeout_option
@click.option("--force-stop", is_flag=True, help="Kill them rather than stop them.")
@asks
async def restart(
    fly: FlyClient,
    *,
    app: str,
    machine_ids: tuple[str, ...],
    signal: str | None,
    timeout: float | None,
    force_stop: bool,
) -> Answer:
    """Stop and start machines."""
    act = fly.machines.restart
    return await each("restart", act, app, machine_ids, signal=signal, timeout=timeout, force_stop=force_stop or None)


@click.command("suspend")
@app_argument
@machines_argument
@asks
async def suspend(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...]) -> Answer:
    """Stop machines with their memory kept.

    A start resumes them where they were, as a rule.
    """
    return await each("suspend", fly.machines.suspend, app, machine_ids)


@click.command("cordon")
@app_argument
@machines_argument
@asks
async def cordon(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...]) -> Answer:
    """Take machines out of the proxy's routing."""
    return await each("cordon", fly.machines.cordon, app, machine_ids)


@click.command("uncordon")
@app_argument
@machines_argument
@asks
async def uncordon(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...]) -> Answer:
    """Put machines back into the proxy's routing."""
    return await each("uncordon", fly.machines.uncordon, app, machine_ids)


@click.command("destroy")
@app_argument
@machines_argument
@click.option("--force", is_flag=True, help="Kill those that run.")
@confirmed("Destroy {machine_ids} of {app}?")
@asks
async def destroy(fly: FlyClient, *, app: str, machine_ids: tuple[str, ...], force: bool) -> Answer:
    """Destroy machines.

    For all those of a launch there is flyasync destroy.
    """
    return await each("destroy", fly.machines.delete, app, machine_ids, force=force or None)


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
async def wait(fly: FlyClient, *, app: str, machine_id: str, state: str, timeout: float) -> Answer:
    """Wait until a machine is in a state.

    Exit status 1 when the time is up, and as soon as it cannot get there any more.
    """
    if state == "healthy":
        await fly.machines.wait_healthy(app, machine_id, timeout=timeout)
        reached = state
    else:
        reached = await fly.machines.wait(app, machine_id, state=state, timeout=timeout)
    return Said(f"{machine_id} is {reached}", {"machine": machine_id, "state": reached})


ACTIONS = (start, stop, restart, suspend, cordon, uncordon, destroy, wait)
