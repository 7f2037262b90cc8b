"""Which machines a log line may come from: the members of a process group, found as their lines arrive."""

import asyncio
from collections.abc import Iterable
from difflib import get_close_matches

from attrs import Factory, define

from flyasync.api.client import FlyClient
from flyasync.api.resource import TROUBLE
from flyasync.cli.shared.exit_codes import CommandFailed
from flyasync.cli.shared.output import note
from flyasync.deploy.list_lag import fetch
from flyasync.deploy.plan.fleet import group_of
from flyasync.models.machine import Machine

PAUSE = 5.0
"""Seconds before a machine is read again after a temporary error."""


class UnknownGroup(CommandFailed):
    """The end of a command that names a process group of which the app has no machine."""

    kind = "UnknownGroup"


def check_group(app: str, group: str, machines: Iterable[Machine]) -> None:
    """Raise UnknownGroup if none of the app's machines is in the group."""
    names = sorted({name for machine in machines if (name := group_of(machine))})
    if group not in names:
        close = get_close_matches(group, names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UnknownGroup(
            f"{app} has no machine in the group {group!r}; {hint}it has {', '.join(names) or 'no group'}"
        )


@define
class GroupMembers:
    """The groups of an app's machines by their ids; None for a machine without a group, or that cannot be read."""

    _fly: FlyClient
    _app: str
    group: str
    _groups: dict[str, str | None] = Factory(dict)

    async def read(self, *, may_be_empty: bool) -> None:
        """Read the machines, destroyed ones included; raises UnknownGroup if none is in the group."""
        machines = await self._fly.machines.list(self._app, include_deleted=True)
        self._groups |= {machine.id: group_of(machine) for machine in machines}
        try:
            check_group(self._app, self.group, machines)
        except UnknownGroup as unknown:
            if not may_be_empty:
                raise
            note(f"{unknown.format_message()}; waiting for one")

    async def include(self, machine_id: str | None) -> bool:
        """Whether a machine is in the group; a machine that is not known yet is read, until that succeeds."""
        if machine_id is None:
            return False
        while machine_id not in self._groups:
            # 1. It was created after the list was read, or the list lacked it: it is read by its id.
            # 2. It cannot be found: no line of it can be attributed to a group, which is reported once.
            # 3. A temporary error: its lines wait, so that none is lost.
            try:
                machine = await fetch(self._fly, self._app, machine_id)
            except TROUBLE:
                await asyncio.sleep(PAUSE)
                continue
            if machine is None:
                note(f"machine {machine_id} is not found, so its lines are left out: its group is unknown")
            self._groups[machine_id] = group_of(machine) if machine else None
        return self._groups[machine_id] == self.group
