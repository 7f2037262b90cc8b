"""The work of `flyasync scale`: the deploys of the groups that are scaled, and the question before machines go."""

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from flyasync.api.client import FlyClient
from flyasync.cli.deploy.app_options import stated
from flyasync.cli.deploy.job import DeployJob
from flyasync.cli.deploy.next_steps import Invocation
from flyasync.cli.deploy.run import display_for, run_until_signalled
from flyasync.cli.scale import OutputOptions, Size
from flyasync.cli.shared.client import confirm, require_terminal
from flyasync.cli.shared.signals import run
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.deploy.reporting.wording import in_command_terms
from flyasync.errors import FleetChanged, InvalidInput
from flyasync.models.machine import GONE


def scale(base: DeployBuilder, named: Sequence[str], numbers: Sequence[Size], output: OutputOptions) -> int:
    """Scale the groups of an app, after a confirmation if machines are to be destroyed; return the exit code."""

    def work(builder: DeployBuilder) -> int:
        job = DeployJob(builder=builder, is_dry=output.dry_run)
        called = Invocation(groups=builder.spec.group_names)
        display = display_for(sys.stdout, sys.stderr, as_json=output.as_json, called=called)
        return run(run_until_signalled(job, display))

    with TemporaryDirectory(prefix="flyasync-") as folder:
        # What is destroyed without a question is what the plan has shown, so exactly that plan is executed.
        path = None if output.dry_run or output.yes else Path(folder) / "plan.json"
        builder, plan = run(planned(base, named, numbers, path))
        if path is None or plan is None:
            return work(builder)
        if plan.destroys:
            click.echo(str(in_command_terms(plan)), err=True)
            require_terminal()
            # The question is asked outside the event loop: it waits for the user, and Ctrl-C aborts it.
            confirm(f"Destroy {plan.destroys} machine{'' if plan.destroys == 1 else 's'}?")
        try:
            return work(DeployBuilder.from_plan(path))
        except FleetChanged as error:
            problem = f"{base.app} was not scaled, because it has changed since the plan was made"
            raise FleetChanged(problem, error.changes, command="run the command again") from error


async def planned(
    base: DeployBuilder, named: Sequence[str], numbers: Sequence[Size], path: Path | None
) -> tuple[DeployBuilder, Plan | None]:
    """Return the deploy of the groups that are scaled; with `path`, write its plan there and return it too."""
    async with FlyClient() as fly:
        machines = await fly.machines.list(base.app)
        there = {group_of(each) or "" for each in machines if each.state not in GONE} - {"", RELEASE_GROUP}
        if not there:
            raise InvalidInput(f"{base.app} has no machines in a process group, so there is nothing to scale")
        first, *others = by_group(base, sorted(there), named, numbers)
        builder = first.together_with(*others) if others else first
        return builder, None if path is None else await builder.save_plan(fly, path)


def by_group(
    base: DeployBuilder, there: Sequence[str], named: Sequence[str], numbers: Sequence[Size]
) -> list[DeployBuilder]:
    """Return a builder for each group to scale; raises UsageError if it is not clear which groups are meant."""
    for group in (*named, *(each.group for each in numbers if each.group)):
        if group not in there:
            hint = f"; for one region, give the number as N@{group}" if re.fullmatch("[a-z]{3}", group) else ""
            raise click.UsageError(f"{base.app} has no process group {group}, only {' and '.join(there)}{hint}")
    if len(there) > 1 and not named and any(each.group is None for each in numbers):
        raise click.UsageError(
            f"{base.app} has the process groups {' and '.join(there)}: say which one, such as {there[0]}=3"
        )
    made = {group: base.process_group(group) for group in named or there}
    counted: dict[str, DeployBuilder] = {} if numbers else made
    for machines, own, region in numbers:
        for group in (own,) if own else made:
            count = counted.get(group, made[group]).count
            counted[group] = stated("N", partial(count, **{region: machines}) if region else partial(count, machines))
    return list(counted.values())
