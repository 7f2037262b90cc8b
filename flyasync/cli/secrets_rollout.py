"""The groups of an app that `flyasync secrets deploy` updates, one after the other."""

import sys
from collections.abc import Sequence

from flyasync.api.client import FlyClient
from flyasync.cli.deploy.job import DeployJob
from flyasync.cli.deploy.next_steps import Invocation
from flyasync.cli.deploy.run import display_for, run_until_signalled
from flyasync.cli.shared.exit_codes import NOT_VERIFIED, OK
from flyasync.cli.shared.output import note
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.models.machine import GONE


async def deploy_groups(base: DeployBuilder, named: Sequence[str], *, is_dry: bool, as_json: bool) -> int:
    """Deploy to one group after the other; return the exit code of the first one that failed."""
    groups: list[str | None] = [*named]
    # Without --group these are all groups of the app; None stands for machines without a group.
    if not groups:
        async with FlyClient() as fly:
            machines = [machine for machine in await fly.machines.list(base.app) if machine.state not in GONE]
        found = {group_of(machine) for machine in machines} - {RELEASE_GROUP}
        groups = sorted(found, key=lambda group: (group is None, group or ""))
    if not groups:
        note(f"{base.app} has no machines to update")
    # A failed group ends the command, as the next group would get the same secrets. An unverified group does not.
    worst = OK
    for group in groups:
        display = display_for(sys.stdout, sys.stderr, as_json=as_json, called=Invocation())
        code = await run_until_signalled(DeployJob(builder=base.process_group(group), is_dry=is_dry), display)
        if code not in {OK, NOT_VERIFIED}:
            return code
        worst = worst or code
    return worst
