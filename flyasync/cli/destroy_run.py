"""The work of `flyasync destroy`: find the machines of a launch, destroy them, and prove that they are gone."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.cli.shared.client import show_api
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import note
from flyasync.errors import FlyError, NotFound
from flyasync.models.machine import GONE, Machine

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
