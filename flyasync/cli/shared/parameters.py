"""Arguments and options that many commands share."""

import click

from flyasync.cli.shared.completion import app_names, machines, region_codes, volume_ids
from flyasync.cli.shared.option_types import pairs

# Arguments that a shell can complete from the API.
app_argument = click.argument("app", shell_complete=app_names)
# Names or ids of machines; `flyasync.cli.machines.names` resolves the names.
machine_argument = click.argument("machine_id", metavar="MACHINE", shell_complete=machines)
machines_argument = click.argument(
    "machine_ids", metavar="MACHINE...", nargs=-1, required=True, shell_complete=machines
)
volume_argument = click.argument("volume_id", metavar="ID", shell_complete=volume_ids)

# Options of the same name, with and without a default.
region_option = click.option("--region", metavar="CODE", shell_complete=region_codes, help="Region, such as iad.")
needed_region = click.option(
    "--region", required=True, metavar="CODE", shell_complete=region_codes, help="Region, such as iad."
)
org_option = click.option("--org", metavar="SLUG", help="Organization; by default all that the token can see.")
owner_option = click.option(
    "--org", metavar="SLUG", help="Organization of the app; by default the token's only one, otherwise personal."
)

metadata_option = click.option(
    "--metadata", metavar="NAME=VALUE", multiple=True, callback=pairs, help="Metadata; may be repeated."
)
