"""`flyasync machines`: the group, and the commands that list, show and create machines."""

from collections.abc import Mapping

import click

from flyasync.api.client import FlyClient
from flyasync.cli.machines.actions import ACTIONS
from flyasync.cli.machines.config import ConfigChange, config_options, port_option, with_port
from flyasync.cli.machines.edit import CHANGES
from flyasync.cli.machines.inspect import SHOW, VIEWS
from flyasync.cli.machines.lease import lease
from flyasync.cli.machines.metadata import metadata
from flyasync.cli.machines.names import resolve_names
from flyasync.cli.shared.client import asks
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.output import CommandOutput, Details, Table, note
from flyasync.cli.shared.parameters import app_argument, machine_argument, metadata_option, needed_region, region_option
from flyasync.deploy.observe import lacking_address
from flyasync.models.config import MachineConfig

LIST = {
    "ID": "id",
    "NAME": "name",
    "STATE": "state",
    "REGION": "region",
    "IMAGE": "config.image",
    "CREATED": "created_at",
}


@click.command("list")
@app_argument
@click.option("--state", metavar="NAME", help="Only those in this state, or in several: started,stopped.")
@region_option
@metadata_option
@asks
async def list_(
    fly: FlyClient, *, app: str, state: str | None, region: str | None, metadata: Mapping[str, str]
) -> CommandOutput:
    """List the machines of APP."""
    return Table(await fly.machines.list(app, state=state, region=region, metadata=metadata), LIST)


@click.command("show")
@app_argument
@machine_argument
@asks
@resolve_names
async def show(fly: FlyClient, *, app: str, machine_id: str) -> CommandOutput:
    """Show one machine.

    Of its environment only the names, unless --json is given.
    """
    return Details(await fly.machines.get(app, machine_id), SHOW)


@click.command("run")
@app_argument
@click.argument("image")
@needed_region
@click.option("--name", metavar="NAME", help="Name of the machine; by default the API makes one up.")
@port_option
@config_options
@asks
async def run(
    fly: FlyClient,
    *,
    app: str,
    image: str,
    region: str,
    name: str | None,
    port: int | None,
    size: str | None,
    cpus: int | None,
    memory: int | None,
    env: Mapping[str, str],
    metadata: Mapping[str, str],
) -> CommandOutput:
    """Create one machine of IMAGE in APP.

    For many regions, or to be sure of what runs, there is flyasync deploy.
    """
    change = ConfigChange(image=image, size=size, cpus=cpus, memory=memory, env=env, metadata=metadata)
    config = with_port(change.applied(MachineConfig()), port)
    # It returns once the machine is created, not once it runs: `machines wait` waits.
    machine = await fly.machines.create(app, config, name=name, region=region)
    # A service without an address is reached from nowhere, which no error tells.
    for remark in await lacking_address(fly, app, config):
        note(remark)
    return Details(machine, SHOW)


EPILOG = """\b
Examples:
  flyasync machines run web nginx --region iad --port 80 --name one
  flyasync machines wait web one
  flyasync machines modify web one --env MODE=fast --memory 512 --dry-run
  flyasync machines exec web one -- echo hello
\b
  # stop a machine, and start all that are stopped
  flyasync machines stop web one
  flyasync machines wait web one --state stopped
  flyasync machines list web --state stopped | cut -f1 | xargs flyasync machines start web

MACHINE is the id or the name of a machine. A command for several machines handles all of them at once, and exits with 1
if one of them fails.
"""

command = Group(
    "machines",
    help="Run, watch, change and destroy machines.",
    epilog=EPILOG,
    commands=[list_, show, run, *ACTIONS, *CHANGES, *VIEWS, metadata, lease],
)
