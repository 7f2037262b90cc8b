"""`flyasync machines metadata`: list, set and delete; the machine is not restarted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import click

from flyasync.cli.machines.names import resolve_names
from flyasync.cli.shared.client import api_command
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.exit_codes import OK
from flyasync.cli.shared.option_types import pairs
from flyasync.cli.shared.output import CommandOutput, Message
from flyasync.cli.shared.parameters import app_argument, machine_argument
from flyasync.cli.shared.tables import cells, write_table

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

COLUMNS = {"NAME": lambda pair: pair[0], "VALUE": lambda pair: pair[1]}

metadata = Group("metadata", help="List, set and delete metadata, without a restart.")


@dataclass(frozen=True)
class MetadataOutput:
    """The metadata of a machine, a line for each name."""

    data: Mapping[str, str]
    code: int = OK

    def write(self, out: TextIO) -> None:
        """Write the names in order."""
        write_table(out, list(COLUMNS), [cells(pair, COLUMNS) for pair in sorted(self.data.items())])


@metadata.command("list")
@app_argument
@machine_argument
@api_command
@resolve_names
async def list_(fly: "FlyClient", *, app: str, machine_id: str) -> CommandOutput:
    """List the metadata of a machine."""
    return MetadataOutput(await fly.machines.metadata(app, machine_id))


@metadata.command("set")
@app_argument
@machine_argument
@click.argument("values", metavar="NAME=VALUE...", nargs=-1, required=True, callback=pairs)
@api_command
@resolve_names
async def set_(fly: "FlyClient", *, app: str, machine_id: str, values: Mapping[str, str]) -> CommandOutput:
    """Set metadata of a machine; other keys stay."""
    await fly.machines.patch_metadata(app, machine_id, values)
    return Message(f"{machine_id}: set {', '.join(values)}", {"machine": machine_id, "set": dict(values)})


@metadata.command("delete")
@app_argument
@machine_argument
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@api_command
@resolve_names
async def delete(fly: "FlyClient", *, app: str, machine_id: str, names: tuple[str, ...]) -> CommandOutput:
    """Delete metadata of a machine."""
    # In a patch null removes a key.
    await fly.machines.patch_metadata(app, machine_id, dict.fromkeys(names))
    return Message(f"{machine_id}: deleted {', '.join(names)}", {"machine": machine_id, "deleted": list(names)})
