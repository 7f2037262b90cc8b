"""`flyasync destroy`: take away the machines of one launch, and no others."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import click

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.cli.shared.client import confirm, demand_somebody, tell_where
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import note
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.signals import until_signalled
from flyasync.cli.shared.streams import sturdy
from flyasync.deploy.plan.spec import check_launch
from flyasync.errors import FlyError, NotFound
from flyasync.models.lint.linter import check_app_name, refuse
from flyasync.models.machine import GONE, Machine

EPILOG = """\b
Examples:
  flyasync destroy web --launch 509e222345
  flyasync destroy web --launch v2 --yes --json

The machines of a launch are those that carry its name in their metadata, under flyasync_launch. All others stay.

A machine counts as destroyed once the API shows it so, or has twice said that it is not there. The launch has none
once two lists, some seconds apart, show none.

Exit status: 0 when none of them is left, 1 when one is or the answer was no, 2 for a wrong command line, 130 after
Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
"""

POLLS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
"""Seconds before each poll for a machine that is to be gone."""

APART = 2.0
"""Seconds between two polls that find a machine missing, and so prove that it is gone."""

LISTS_APART = 10.0
"""Seconds between two lists that show no machine of the launch: one that was made a moment ago shows up late."""

Say = Callable[[str, dict[str, Any]], None]
"""Where it is told what happens: as text, and as the fields of an event."""


@click.command("destroy", epilog=EPILOG)
@app_argument
@click.option("--launch", required=True, metavar="ID", help="Launch whose machines to destroy, as the report names it.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one event each.")
@click.pass_obj
def command(run: Any, /, *, app: str, launch: str, yes: bool, as_json: bool) -> None:
    """Destroy the machines of one launch of APP, running or not, and no others."""
    refuse(check_app_name(app))
    check_launch(launch)
    if not yes:
        demand_somebody()
    drive = run or asyncio.run
    say = _say_json if as_json else _say_text
    found = drive(look(app, launch, say))
    if not found:
        raise click.exceptions.Exit(OK)
    if not yes:
        confirm("Destroy them?", otherwise="nothing was destroyed")
    raise click.exceptions.Exit(
        drive(until_signalled(take_away(app, launch, found, say), lambda _: note("stopping: what was asked may go on")))
    )


async def look(app: str, launch: str, say: Say) -> tuple[Machine, ...]:
    """Find the machines of the launch, and tell which they are."""
    async with FlyClient() as fly:
        tell_where(fly)
        found = await machines_of(fly, app, launch)
        if not found:
            note(f"no machine of launch {launch} is listed; lists lag, so one more is read in {LISTS_APART:g} s")
            await asyncio.sleep(LISTS_APART)
            found = await machines_of(fly, app, launch)
    lines = (f"  {_words(machine)}" for machine in found)
    say(
        "\n".join([f"{app}: launch {launch} has {_count(found)}", *lines]),
        {"event": "found", "app": app, "launch": launch, "machines": [_fields(machine) for machine in found]},
    )
    return found


async def take_away(app: str, launch: str, found: Sequence[Machine], say: Say) -> int:
    """Destroy these machines at once, tell what became of each, and give the exit code."""
    async with FlyClient() as fly:
        gone = await asyncio.gather(*(_destroy(fly, app, machine, say) for machine in found))
        left = [machine for machine, is_gone in zip(found, gone, strict=True) if not is_gone]
        known = {machine.id for machine in found}
        left += [machine for machine in await machines_of(fly, app, launch) if machine.id not in known]
    verdict = f"not all gone, left: {', '.join(machine.id for machine in left)}" if left else "all gone"
    say(
        f"{app}: {sum(gone)} of {_count(found)} destroyed, {verdict}",
        {"event": "finished", "app": app, "launch": launch, "ok": not left, "left": [machine.id for machine in left]},
    )
    return FAILED if left else OK


async def machines_of(fly: FlyClient, app: str, launch: str) -> tuple[Machine, ...]:
    """Give the machines that carry the launch's tag and are not on their way out; each one's own tag is looked at."""
    listed = await fly.machines.list(app, metadata={LAUNCH: launch})
    return tuple(machine for machine in listed if _launch(machine) == launch and machine.state not in GONE)


async def _destroy(fly: FlyClient, app: str, machine: Machine, say: Say) -> bool:
    """Destroy a machine and check that it is gone; only what was observed is reported."""
    try:
        last = await _last_observed(fly, app, machine)
    except FlyError as error:
        why = f"not destroyed: {' '.join(str(error).split())}"
    else:
        if last is None or _is_over(last):
            say(f"{machine.name}  destroyed  {machine.id}", {"event": "destroyed", **_fields(machine)})
            return True
        why = f"not destroyed: the API accepted it, but the machine was last observed as {last.state}"
    say(f"{_words(machine)}  {why}", {"event": "left", **_fields(machine), "message": why})
    return False


async def _last_observed(fly: FlyClient, app: str, machine: Machine) -> Machine | None:
    """Destroy a machine, and return it as it was observed last; None once two polls apart have not found it.

    A 404 proves little by itself, for one may come for a machine that is there: a destroy that gets one is repeated
    where the machine is observed after all. Raises FlyError for a destroy that is refused.
    """
    loop = asyncio.get_running_loop()
    last, accepted = machine, False
    missing_since: float | None = None
    for pause in POLLS:
        await asyncio.sleep(pause)
        if not accepted:
            with suppress(NotFound):
                await fly.machines.delete(app, machine.id, force=True)
                accepted = True
        try:
            last = await fly.machines.get(app, machine.id)
        except NotFound:
            missing_since = loop.time() if missing_since is None else missing_since
            if loop.time() - missing_since >= APART:
                return None
        except FlyError:
            pass  # what cannot be observed now may be with the next poll
        else:
            missing_since = None
            if _is_over(last):
                break
    return last


def _is_over(machine: Machine) -> bool:
    """Whether a machine is gone, rather than on its way."""
    return machine.state in GONE - {"destroying"}


def _launch(machine: Machine) -> str | None:
    config = machine.config or machine.incomplete_config  # the latter while its host cannot be reached
    return ((config and config.metadata) or {}).get(LAUNCH)


def _count(machines: Sequence[Machine]) -> str:
    return f"{len(machines)} machine{'' if len(machines) == 1 else 's'}"


def _words(machine: Machine) -> str:
    return f"{machine.name}  {machine.state} in {machine.region}  {machine.id}"


def _fields(machine: Machine) -> dict[str, Any]:
    return {"id": machine.id, "name": machine.name, "region": machine.region, "state": machine.state}


def _say_text(text: str, _: dict[str, Any]) -> None:
    _write(text)


def _say_json(_: str, event: dict[str, Any]) -> None:
    _write(json.dumps(event))


def _write(text: str) -> None:
    click.echo(text, file=sturdy(sys.stdout))
