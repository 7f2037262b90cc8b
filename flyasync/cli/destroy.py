"""`flyasync destroy`: destroy the machines of one launch, and no others."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import click

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.cli.shared.client import confirm, note_stopping, require_terminal, show_api
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import note
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.signals import run, until_signalled
from flyasync.cli.shared.streams import sturdy
from flyasync.deploy.plan.spec import check_launch
from flyasync.errors import FlyError, NotFound
from flyasync.models.lint.linter import check_app_name, refuse
from flyasync.models.machine import GONE, Machine

EPILOG = """\b
Examples:
  flyasync deploy web --image nginx --region iad,lhr --add --launch test
  flyasync destroy web --launch test
\b
  # without a question, in a script
  flyasync destroy web --launch v2 --yes --json

The machines of a launch have its name in their metadata, as flyasync_launch. No other machine is destroyed.

A machine counts as destroyed once the API shows it as destroyed, or has twice returned that it does not exist. A launch
counts as empty once two lists, some seconds apart, contain none of its machines.

Exit status: 0 when no machine is left, 1 when one is left or you answered no, 2 for a wrong command line, 130 after
Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
"""

POLLS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
"""Seconds before each poll for a machine that is being destroyed."""

OVER = GONE - {"destroying"}
"""The final states of a destroyed machine."""

APART = 2.0
"""Seconds between two polls without the machine that prove that it is gone."""

LISTS_APART = 10.0
"""Seconds between two lists without a machine of the launch: lists can lag behind a create."""

Report = Callable[[str, dict[str, Any]], None]
"""Writes what happens, given as text and as the fields of an event."""


@click.command("destroy", epilog=EPILOG)
@app_argument
@click.option("--launch", required=True, metavar="ID", help="Name of the launch, as in the report of its deploy.")
@click.option("--yes", is_flag=True, help="Skip the confirmation; required without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one event each.")
def command(*, app: str, launch: str, yes: bool, as_json: bool) -> None:
    """Destroy the machines of one launch of APP, running or not, and no others."""
    # Invalid names are refused before a token is needed.
    refuse(check_app_name(app))
    check_launch(launch)
    if not yes:
        require_terminal()

    def report(text: str, event: dict[str, Any]) -> None:
        click.echo(json.dumps(event) if as_json else text, file=sturdy(sys.stdout))

    found = run(find(app, launch, report))
    if not found:
        raise click.exceptions.Exit(OK)
    # The prompt runs outside the event loop: it waits for the user, and Ctrl-C aborts it.
    if not yes:
        confirm("Destroy them?", otherwise="nothing was destroyed")
    raise click.exceptions.Exit(run(until_signalled(destroy_all(app, launch, found, report), note_stopping)))


async def find(app: str, launch: str, report: Report) -> tuple[Machine, ...]:
    """Report the machines of the launch, and return them."""
    async with FlyClient() as fly:
        show_api(fly)
        found = await machines_of(fly, app, launch)
        if not found:
            note(
                f"no machine of launch {launch} is listed; lists can lag, so the next one is read in {LISTS_APART:g} s"
            )
            await asyncio.sleep(LISTS_APART)
            found = await machines_of(fly, app, launch)
    lines = (f"  {_words(machine)}" for machine in found)
    report(
        "\n".join([f"{app}: launch {launch} has {_count(found)}", *lines]),
        {"event": "found", "app": app, "launch": launch, "machines": [_fields(machine) for machine in found]},
    )
    return found


async def destroy_all(app: str, launch: str, found: Sequence[Machine], report: Report) -> int:
    """Destroy these machines at once, report each, and return the exit code."""
    async with FlyClient() as fly:
        gone = await asyncio.gather(*(destroy_one(fly, app, machine, report) for machine in found))
        left = [machine for machine, is_gone in zip(found, gone, strict=True) if not is_gone]
        # A machine that was being created when the list was read shows up now.
        known = {machine.id for machine in found}
        left += [machine for machine in await machines_of(fly, app, launch) if machine.id not in known]
    result = f"not all gone, remaining: {', '.join(machine.id for machine in left)}" if left else "all gone"
    report(
        f"{app}: {sum(gone)} of {_count(found)} destroyed, {result}",
        {"event": "finished", "app": app, "launch": launch, "ok": not left, "left": [machine.id for machine in left]},
    )
    return FAILED if left else OK


async def machines_of(fly: FlyClient, app: str, launch: str) -> tuple[Machine, ...]:
    """Return the machines with the tag of the launch, except those that are being destroyed already."""
    found = []
    for machine in await fly.machines.list(app, metadata={LAUNCH: launch}):
        # The tag is checked here too, so that a wrong filter destroys no other machine. If the host of a machine is
        # unreachable, the tag is in the incomplete config.
        config = machine.config or machine.incomplete_config
        if ((config and config.metadata) or {}).get(LAUNCH) == launch and machine.state not in GONE:
            found.append(machine)
    return tuple(found)


async def destroy_one(fly: FlyClient, app: str, machine: Machine, report: Report) -> bool:
    """Destroy a machine, and report the state that was observed afterwards; return whether it is gone."""
    try:
        last = await _last_observed(fly, app, machine)
    except FlyError as error:
        why = f"not destroyed: {' '.join(error.for_command.split())}"
    else:
        if last is None or last.state in OVER:
            report(f"{machine.name}  destroyed  {machine.id}", {"event": "destroyed", **_fields(machine)})
            return True
        why = f"not destroyed: the API accepted the request, but the machine was last seen as {last.state}"
    report(f"{_words(machine)}  {why}", {"event": "left", **_fields(machine), "message": why})
    return False


async def _last_observed(fly: FlyClient, app: str, machine: Machine) -> Machine | None:
    """Destroy a machine, and return its last observed state; None once two polls have not found it.

    Raises FlyError for a destroy that is refused.
    """
    loop = asyncio.get_running_loop()
    last, accepted = machine, False
    missing_since: float | None = None
    for pause in POLLS:
        await asyncio.sleep(pause)
        # A single 404 proves little, as the API may return one for a machine that exists: the destroy is then
        # repeated at the next poll.
        if not accepted:
            with suppress(NotFound):
                await fly.machines.delete(app, machine.id, force=True)
                accepted = True
        # 1. Not found: it is gone if an earlier poll did not find it either.
        # 2. The poll fails: try the next one.
        # 3. Found, destroyed or not yet.
        try:
            last = await fly.machines.get(app, machine.id)
        except NotFound:
            missing_since = loop.time() if missing_since is None else missing_since
            if loop.time() - missing_since >= APART:
                return None
        except FlyError:
            pass
        else:
            missing_since = None
            if last.state in OVER:
                break
    return last


def _count(machines: Sequence[Machine]) -> str:
    return f"{len(machines)} machine{'' if len(machines) == 1 else 's'}"


def _words(machine: Machine) -> str:
    return f"{machine.name}  {machine.state} in {machine.region}  {machine.id}"


def _fields(machine: Machine) -> dict[str, Any]:
    return {"id": machine.id, "name": machine.name, "region": machine.region, "state": machine.state}
