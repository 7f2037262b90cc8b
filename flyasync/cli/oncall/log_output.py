"""The lines of a log, once or as they come, and how they are written."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import TextIO

from flyasync.api.client import FlyClient
from flyasync.cli.machines.names import machine_ids
from flyasync.cli.oncall.log_members import GroupMembers
from flyasync.cli.shared.exit_codes import OK
from flyasync.cli.shared.output import note
from flyasync.cli.shared.streams import is_lost, sturdy
from flyasync.errors import Unreadable
from flyasync.models.json.codec import unstructure
from flyasync.models.log_line import LogLine


async def write_log(
    fly: FlyClient,
    app: str,
    *,
    machine: str | None,
    region: str | None,
    group: str | None,
    is_followed: bool,
    as_json: bool,
) -> int:
    """Write the lines of a machine, region or group to stdout; return the exit code."""
    members = GroupMembers(fly, app, group) if group is not None else None
    if members:
        await members.read(may_be_empty=is_followed)
    machine_id = (await machine_ids(fly, app, [machine]))[0] if machine is not None else None
    if is_followed:
        lines = _readable(fly.logs.stream(app, machine=machine_id, region=region))
    else:
        lines = _each(await fly.logs.recent(app, machine=machine_id, region=region))
    write = (lambda line: json.dumps(unstructure(line))) if as_json else _as_text
    await _write_all(lines, members, write, sturdy(sys.stdout))
    return OK


async def _write_all(
    lines: AsyncIterator[LogLine], members: GroupMembers | None, write: Callable[[LogLine], str], out: TextIO
) -> None:
    """Write the lines of the members until the log ends, or no one reads the output any more."""
    async for line in lines:
        if members and not await members.include(line.instance):
            continue
        out.write(f"{write(line)}\n")
        out.flush()
        if is_lost(out):
            return


async def _each(lines: tuple[LogLine, ...]) -> AsyncIterator[LogLine]:
    for line in lines:
        yield line


async def _readable(lines: AsyncIterator[LogLine]) -> AsyncIterator[LogLine]:
    """Yield the lines of an endless log; note those that cannot be read, and continue after them."""
    while True:
        try:
            yield await anext(lines)
        except Unreadable as error:
            note(f"{' '.join(error.for_command.split())}")


def _as_text(line: LogLine) -> str:
    level = f"[{line.level}]" if line.level else ""
    words = (str(line.timestamp or ""), line.region or "", line.instance or "", level, (line.message or "").rstrip())
    return " ".join(word for word in words if word)
