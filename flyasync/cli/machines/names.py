"""Machines on the command line: an id is used as it is, a name is looked up in the list of the app's machines."""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from flyasync.cli.shared.exit_codes import CommandFailed
from flyasync.cli.shared.output import CommandOutput

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
    from flyasync.models.machine import Machine

_ID = re.compile(r"[0-9a-f]{14}")


class UnknownMachine(CommandFailed):
    """The end of a command that names a machine that the app does not have."""

    kind = "UnknownMachine"


class AmbiguousMachine(CommandFailed):
    """The end of a command that names a machine by a name that several machines have."""

    kind = "AmbiguousMachine"


def resolve_names(work: Callable[..., Awaitable[CommandOutput]]) -> Callable[..., Awaitable[CommandOutput]]:
    """Let a command take names of machines: its `machine_id` or `machine_ids` hold ids when `work` runs.

    The list is read once, and only if there is a name in the arguments.
    """

    @wraps(work)
    async def with_ids(fly: "FlyClient", *, app: str, **params: Any) -> CommandOutput:
        if "machine_ids" in params:
            params["machine_ids"] = await machine_ids(fly, app, params["machine_ids"])
        else:
            (params["machine_id"],) = await machine_ids(fly, app, [params["machine_id"]])
        return await work(fly, app=app, **params)

    return with_ids


async def machine_ids(fly: "FlyClient", app: str, words: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of machines by their ids or names; raises UnknownMachine and AmbiguousMachine."""
    if all(map(_ID.fullmatch, words)):
        return tuple(words)
    listed = await fly.machines.list(app, summary=True)
    return tuple(word if _ID.fullmatch(word) else _id_of(word, app, listed) for word in words)


def _id_of(word: str, app: str, listed: "Sequence[Machine]") -> str:
    """Return the id of the listed machine with this name or id."""
    from difflib import get_close_matches

    from flyasync.models.machine import GONE

    # A destroyed machine can be listed for some time beside a new one of the same name.
    found = [machine for machine in listed if word in {machine.name, machine.id}]
    found = [machine for machine in found if machine.state not in GONE] or found
    if len(found) == 1:
        return found[0].id
    if found:
        ids = ", ".join(machine.id for machine in found)
        raise AmbiguousMachine(f"{app} has {len(found)} machines with the name {word!r}: use an id, one of {ids}")
    close = get_close_matches(word, [machine.name for machine in listed], n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"To list its machines, run: flyasync machines list {app}"
    raise UnknownMachine(
        f"{app} has no machine with the name or id {word!r}; a new machine may be missing from the list for a few "
        f"seconds. {hint}"
    )
