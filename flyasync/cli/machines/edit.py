"""What changes a machine's config from what is there: modify, clone, adopt, release."""

from collections.abc import Sequence
from typing import Any

import click
from attrs import define

from flyasync.api.client import FlyClient
from flyasync.cli.machines.config import Wishes, config_options
from flyasync.cli.machines.inspect import SHOW
from flyasync.cli.shared.client import asks
from flyasync.cli.shared.output import Answer, Details, Said
from flyasync.cli.shared.parameters import app_argument, machine_argument, region_option
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change, diff_text, differences
from flyasync.models.lint.linter import check_config, refuse
from flyasync.models.machine import Machine


@define
class Edit:
    """A change of a config that remembers what it last changed."""

    wishes: Wishes
    changes: tuple[Change, ...] = ()

    def __call__(self, config: MachineConfig) -> MachineConfig:
        """Give the config with the wishes fulfilled."""
        wanted = self.wishes.applied(config)
        self.changes = differences(config, wanted)
        return wanted


@click.command("modify")
@app_argument
@machine_argument
@click.option("--image", metavar="REF", help="Image to run.")
@config_options
@click.option("--unset-env", metavar="NAME", multiple=True, help="Environment variable to take away; repeat it.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@asks
async def modify(fly: FlyClient, *, app: str, machine_id: str, dry_run: bool, **wanted: Any) -> Answer:
    """Change the config of a machine.

    What changes is printed, without the values of its environment. All else stays, and a started machine restarts.
    """
    edit = Edit(Wishes(**wanted))
    if dry_run:
        config = edit(whole_config(await fly.machines.get(app, machine_id)))
        refuse(check_config(config) if edit.changes else ())
    else:
        await fly.machines.modify(app, machine_id, edit)
    return Said(_words(machine_id, edit.changes, dry_run=dry_run), _told(machine_id, edit.changes, dry_run=dry_run))


def whole_config(machine: Machine) -> MachineConfig:
    """Give the config of a machine; raises InvalidInput where it is not all there."""
    if machine.config is None or not machine.host_is_ok:
        raise InvalidInput(f"the host of machine {machine.id} does not answer, so its config is not known whole")
    return machine.config


def _words(machine_id: str, changes: Sequence[Change], *, dry_run: bool) -> str:
    if not changes:
        return f"{machine_id}: nothing to change"
    head, foot = ("would change", ["dry run: nothing was changed"]) if dry_run else ("changed", [])
    return "\n".join([f"{machine_id}: {head}", *(f"  {line}" for line in diff_text(changes).splitlines()), *foot])


def _told(machine_id: str, changes: Sequence[Change], *, dry_run: bool) -> dict[str, Any]:
    return {"machine": machine_id, "dry_run": dry_run, "changes": [_change(change) for change in changes]}


def _change(change: Change) -> dict[str, Any]:
    """Give a change as JSON; of what may be secret only where it is."""
    if change.is_secret:
        return {"path": change.path, "secret": True}
    return {"path": change.path, "old": change.old, "new": change.new}


@click.command("clone")
@app_argument
@machine_argument
@region_option
@click.option("--name", metavar="NAME", help="Name of the clone; by default the API makes one up.")
@asks
async def clone(fly: FlyClient, *, app: str, machine_id: str, region: str | None, name: str | None) -> Answer:
    """Create a machine with the config of another.

    It is in the same region unless --region says otherwise. A machine with a volume cannot be cloned.
    """
    return Details(await fly.machines.clone(app, machine_id, region=region, name=name), SHOW)


@click.command("adopt")
@app_argument
@machine_argument
@click.option(
    "--process-group", default="app", show_default=True, metavar="NAME", help="Group of fly.toml to count it to."
)
@asks
async def adopt(fly: FlyClient, *, app: str, machine_id: str, process_group: str) -> Answer:
    """Put a machine under flyctl.

    By metadata alone, at once; the next fly deploy updates it.
    """
    await fly.machines.adopt(app, machine_id, process_group=process_group)
    told = {"machine": machine_id, "process_group": process_group}
    return Said(f"{machine_id} is under flyctl, in process group {process_group}", told)


@click.command("release")
@app_argument
@machine_argument
@asks
async def release(fly: FlyClient, *, app: str, machine_id: str) -> Answer:
    """Take a machine out of flyctl's hands.

    By metadata alone, at once; fly deploy then leaves it alone.
    """
    await fly.machines.release(app, machine_id)
    return Said(f"{machine_id} is out of flyctl's hands", {"machine": machine_id, "process_group": None})


CHANGES = (modify, clone, adopt, release)
