"""Reads machines despite replication lag: a list row is only a hint until the machine is fetched by its id."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.errors import NotFound, RateLimited
from flyasync.models.machine import GONE, Machine

APART = 3.0
"""Seconds between the two polls that show that a machine no longer exists."""

CATCH_UP = 15.0
"""Seconds for which a list that is behind is read again."""

PAUSES = 2
"""How often a call is repeated after a 429 whose pause was longer than the call could wait."""

SETTLED = 10
"""Seconds after which a machine that is shown as stopped is certainly stopped, and not in an update."""

T = TypeVar("T")

List = Callable[[], Awaitable[Sequence[Machine]]]


def is_behind(row: Machine, known: Machine) -> bool:
    """Whether `row` shows an earlier state of a machine than `known`."""
    if known.state in GONE and row.state not in GONE:
        return True
    if row.current_version and known.current_version and row.current_version != known.current_version:
        return row.current_version < known.current_version  # version ids begin with the time
    row_at, known_at = _updated_at(row), _updated_at(known)
    return row_at is not None and known_at is not None and row_at < known_at


def _updated_at(machine: Machine) -> datetime | None:
    return machine.updated_at.datetime if machine.updated_at else None


async def past_pauses(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call, and repeat it after a 429 whose pause is longer than one call may wait: a deploy has the time.

    Raises RateLimited after `PAUSES` repeats, and at once if the call may have happened.
    """
    for last in (*[False] * PAUSES, True):
        try:
            return await call()
        except RateLimited as limited:
            if last or limited.may_have_happened:
                raise
    raise AssertionError  # the last attempt returns or raises


async def fetch(fly: FlyClient, app: str, machine_id: str) -> Machine | None:
    """Fetch a machine; return None if two polls some seconds apart do not find it."""
    for last in (False, True):
        try:
            return await past_pauses(partial(fly.machines.get, app, machine_id))
        except NotFound:
            if not last:
                await asyncio.sleep(APART)
    return None


async def _fetched(fly: FlyClient, app: str, ids: Iterable[str]) -> dict[str, Machine | None]:
    """Fetch machines, and wait until none is in a state that is transient during an update."""
    ids = tuple(ids)
    return dict(zip(ids, await asyncio.gather(*(_settled(fly, app, each) for each in ids)), strict=True))


async def _settled(fly: FlyClient, app: str, machine_id: str) -> Machine | None:
    machine = await fetch(fly, app, machine_id)
    return machine and await settled(fly, app, machine)


async def settled(fly: FlyClient, app: str, machine: Machine, *, known: Machine | None = None) -> Machine:
    """Return the machine once it is certain whether it is stopped; at once if it has not changed since `known`.

    During an update, a running machine is shown as stopped for some seconds.
    """
    is_known = known is not None and (known.state, known.events) == (machine.state, machine.events)
    for _ in range(0 if is_known else SETTLED):
        if not _may_be_passing(machine):
            break
        await asyncio.sleep(1)
        machine = await fetch(fly, app, machine.id) or machine
    return machine


def _may_be_passing(machine: Machine) -> bool:
    """Whether the machine may be shown as stopped only because of an update or a restart."""
    # A standby is at rest unless a host has failed, and its update checks again whether it runs.
    if machine.state not in RESTING or (machine.config and machine.config.standbys):
        return False
    events = sorted(machine.events or (), key=lambda event: event.timestamp or 0, reverse=True)
    kinds = [event.type for event in events if event.type in _LIFECYCLE]
    if kinds[:1] == ["exit"]:
        kinds = [kind for kind in kinds if kind != "exit"]  # an update ends the old process, so the event before counts
        return kinds[:1] in (["update"], ["restart"])
    return kinds[:1] not in (["stop"], ["suspend"])


_LIFECYCLE = frozenset({"launch", "start", "restart", "update", "stop", "suspend", "exit"})


async def caught_up(
    fly: FlyClient, app: str, list_: List, concerns: Callable[[Machine], bool], unlisted: Collection[str] = ()
) -> tuple[Machine, ...]:
    """List machines, and fetch those that `concerns` selects by their ids, destroyed ones included.

    Machines with the ids `unlisted`, which an earlier list lacked, are fetched too. A list that is behind the fetched
    machines may lack others, so it is read again until it has caught up, for at most `CATCH_UP` seconds. If a list has
    lacked machines, it is read until two lists some seconds apart show the same ones.
    """
    found = await _fetched(fly, app, unlisted)
    known = {id_: machine for id_, machine in found.items() if machine is not None}
    expected = {id_ for id_, machine in known.items() if machine.state not in GONE}
    until = asyncio.get_running_loop().time() + CATCH_UP
    before: set[str] | None = None
    while True:
        rows = await list_()
        mine = {row.id: row for row in rows if concerns(row)}
        known |= {id_: row for id_, row in mine.items() if row.state in GONE}
        new = {id_: row for id_, row in mine.items() if id_ not in known}
        for id_, machine in (await _fetched(fly, app, new)).items():
            known[id_] = machine or evolve(new[id_], state="destroyed")
        is_complete = not unlisted or (expected <= mine.keys() == before)
        is_current = is_complete and not any(is_behind(row, known[id_]) for id_, row in mine.items())
        if is_current or asyncio.get_running_loop().time() >= until:
            return (*(row for row in rows if row.id not in known), *known.values())
        before = set(mine)
        await asyncio.sleep(APART if unlisted else 1)
