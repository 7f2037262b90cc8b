"""Commands that change or copy the config of a machine: modify, clone, adopt, release."""

from collections.abc import Mapping, Sequence

import click
from attrs import define

from flyasync.api.client import FlyClient
from flyasync.cli.machines.config import ConfigChange, config_options
from flyasync.cli.machines.inspect import SHOW
from flyasync.cli.machines.names import resolve_names
from flyasync.cli.shared.client import asks
from flyasync.cli.shared.output import CommandOutput, Details, Message
from flyasync.cli.shared.parameters import app_argument, machine_argument, region_option
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change, diff_text, differences
from flyasync.models.lint.linter import check_config, refuse
from flyasync.models.machine import Machine


@define
class ConfigEdit:
    """A change of a config, for `fly.machines.modify`, which remembers what it has last changed."""

    change: ConfigChange
    differences: tuple[Change, ...] = ()

    def __call__(self, config: MachineConfig) -> MachineConfig:
        """Return the changed config."""
        desired = self.change.applied(config)
        self.differences = differences(config, desired)
        return desired


@click.command("modify")
@app_argument
@machine_argument
@click.option("--image", metavar="REF", help="Image to run.")
@config_options
@click.option("--unset-env", metavar="NAME", multiple=True, help="Environment variable to take away; repeat it.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@asks
@resolve_names
async def modify(
    fly: FlyClient,
    *,
    app: str,
    machine_id: str,
    image: str | None,
    size: str | None,
    cpus: int | None,
    memory: int | None,
    env: Mapping[str, str],
    metadata: Mapping[str, str],
    unset_env: tuple[str, ...],
    dry_run: bool,
) -> CommandOutput:
    """Change the config of a machine.

    What changes is printed, without the values of its environment. All else stays, and a started machine restarts.
    """
    # `modify` applies the edit before it takes the lease, and again under it: what it changed last is what was sent.
    edit = ConfigEdit(
        ConfigChange(image=image, size=size, cpus=cpus, memory=memory, env=env, metadata=metadata, unset_env=unset_env)
    )
    if dry_run:
        config = edit(whole_config(await fly.machines.get(app, machine_id)))
        refuse(check_config(config) if edit.differences else ())
    else:
        await fly.machines.modify(app, machine_id, edit)
    return _shown(machine_id, edit.differences, dry_run=dry_run)


def whole_config(machine: Machine) -> MachineConfig:
    """Return the config of a machine; raises InvalidInput where only a part is known, as while its host is down."""
    if machine.config is None or not machine.host_is_ok:
        raise InvalidInput(f"the host of machine {machine.id} does not answer, so its config is not known whole")
    return machine.config


def _shown(machine_id: str, changes: Sequence[Change], *, dry_run: bool) -> Message:
    """Return what changes as text and as JSON; of what may be secret only where it is."""
    lines = [f"{machine_id}: {'would change' if dry_run else 'changed'}"]
    lines += (f"  {line}" for line in diff_text(changes).splitlines())
    lines += ["dry run: nothing was changed"] if dry_run else []
    text = "\n".join(lines) if changes else f"{machine_id}: nothing to change"
    # A program gets the values too, but not those of the environment.
    as_json = [
        {"path": change.path, "secret": True}
        if change.is_secret
        else {"path": change.path, "old": change.old, "new": change.new}
        for change in changes
    ]
    return Message(text, {"machine": machine_id, "dry_run": dry_run, "changes": as_json})


@click.command("clone")
@app_argument
@machine_argument
@region_option
@click.option("--name", metavar="NAME", help="Name of the clone; by default the API makes one up.")
@asks
@resolve_names
async def clone(fly: FlyClient, *, app: str, machine_id: str, region: str | None, name: str | None) -> CommandOutput:
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
@resolve_names
async def adopt(fly: FlyClient, *, app: str, machine_id: str, process_group: str) -> CommandOutput:
    """Put a machine under flyctl.

    By metadata alone, at once; the next fly deploy updates it.
    """
    await fly.machines.adopt(app, machine_id, process_group=process_group)
    data = {"machine": machine_id, "process_group": process_group}
    return Message(f"{machine_id} is under flyctl, in process group {process_group}", data)


@click.command("release")
@app_argument
@machine_argument
@asks
@resolve_names
async def release(fly: FlyClient, *, app: str, machine_id: str) -> CommandOutput:
    """Take a machine out of flyctl's hands.

    By metadata alone, at once; fly deploy then leaves it alone.
    """
    await fly.machines.release(app, machine_id)
    return Message(f"{machine_id} is out of flyctl's hands", {"machine": machine_id, "process_group": None})


CHANGES = (modify, clone, adopt, release)
