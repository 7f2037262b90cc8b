"""`flyasync logs`: what the machines of an app write, once or as it comes."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import TextIO

import click

from flyasync.api.client import FlyClient
from flyasync.cli.machines.names import machine_ids
from flyasync.cli.oncall.following import run_until_stopped
from flyasync.cli.oncall.log_members import GroupMembers
from flyasync.cli.shared.client import show_api
from flyasync.cli.shared.completion import groups, machines
from flyasync.cli.shared.exit_codes import OK
from flyasync.cli.shared.output import note
from flyasync.cli.shared.parameters import app_argument, region_option
from flyasync.cli.shared.streams import is_lost, sturdy
from flyasync.deploy.plan.spec import check_region
from flyasync.errors import Unreadable
from flyasync.models.json.codec import unstructure
from flyasync.models.lint.linter import check_app_name, refuse
from flyasync.models.log_line import LogLine

EPILOG = """\b
Examples:
  flyasync logs web
  flyasync logs web --region iad
  flyasync logs web -f --json
\b
  # new lines of one machine, by its name or id
  flyasync logs web -f --machine app-iad-1

Without -f the newest lines are written, as many as the API returns at once. With -f, new lines follow until Ctrl-C;
after trouble with the API the log continues where it was, and no line is lost or repeated.

A line has the time, the region, the machine's id, the level and the text, separated by spaces; with --json it is one
JSON object with everything that the API returned. Some tokens of a single app may not read logs.

Exit status: 0 on success, 1 if the log cannot be read, 2 for a wrong command line, 130 after Ctrl-C.
"""


@click.command("logs", epilog=EPILOG)
@app_argument
@click.option("-f", "--follow", is_flag=True, help="Write new lines as they come, until Ctrl-C.")
@click.option("--machine", metavar="MACHINE", shell_complete=machines, help="Only lines of this machine: a name or id.")
@region_option
@click.option("--group", metavar="NAME", shell_complete=groups, help="Only lines of machines of this process group.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one object each.")
def command(
    *, app: str, follow: bool, machine: str | None, region: str | None, group: str | None, as_json: bool
) -> None:
    """Write the log of APP."""
    refuse(check_app_name(app))
    if region is not None:
        check_region(region)
    write = (lambda line: json.dumps(unstructure(line))) if as_json else _as_text

    async def main(fly: FlyClient) -> int:
        show_api(fly)
        members = GroupMembers(fly, app, group) if group is not None else None
        if members:
            await members.read(may_be_empty=follow)
        machine_id = (await machine_ids(fly, app, [machine]))[0] if machine is not None else None
        if follow:
            lines = _readable(fly.logs.stream(app, machine=machine_id, region=region))
        else:
            lines = _each(await fly.logs.recent(app, machine=machine_id, region=region))
        await _write_all(lines, members, write, sturdy(sys.stdout))
        return OK

    run_until_stopped(main)


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
