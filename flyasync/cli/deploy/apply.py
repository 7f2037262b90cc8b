"""`flyasync apply`: execute exactly the plan that a file contains."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyasync.cli.deploy.app_options import env_option, metadata_option
from flyasync.cli.deploy.options import (
    github_option,
    html_option,
    json_option,
    no_open_option,
    notify_option,
    record_option,
    web_option,
)
from flyasync.cli.shared.option_groups import GroupedCommand, OptionGroup, option, titled
from flyasync.cli.shared.option_types import writable

if TYPE_CHECKING:
    from flyasync.deploy.builder import DeployBuilder

EPILOG = """\b
Examples:
  # write the plan to a file, review it, and then do exactly that
  flyasync deploy web --image nginx:1.29 --region iad,lhr \\
      --env LOG_LEVEL=info --dry-run --out plan.json
  flyasync apply plan.json --env LOG_LEVEL=info --dry-run
  flyasync apply plan.json --env LOG_LEVEL=info --journal deploy.jsonl
\b
  # a plan that is applied already leaves nothing to do
  flyasync apply plan.json --env LOG_LEVEL=info

The plan is made again before the first change, under the lock of its process groups, for the same launch and the same
digest of the image. It is refused, with exit status 2, unless every step is as in the file and no machine of the groups
was added, destroyed, updated or cordoned. A machine that has stopped or started since matters if its steps would be
others. The error lists the differences.

The file contains no value that may be secret: state these again with the same options. A
fly.toml is not read. An interrupted apply continues with flyasync deploy --resume and its journal.

Exit status: that of flyasync deploy.
"""


class RestatedOptions(OptionGroup):
    """The values that a plan file does not contain, because they may be secret; they have to be the same again."""

    title = "What the file does not contain"

    env: Mapping[str, str] = env_option("Variable with the same value as planned; may be repeated.")
    metadata: Mapping[str, str] = metadata_option("Metadata with the same value as planned; may be repeated.")
    release_command: str | None = option(
        "--release-command", metavar="CMD", help="The planned release command, if it may hold a secret."
    )
    release_timeout: float | None = option(
        "--release-timeout", type=float, metavar="SECONDS", help="Time limit of the release command.  [default: 300]"
    )
    seed_command: str | None = option(
        "--seed-command", metavar="CMD", help="The planned seed command, if it may hold a secret."
    )
    verify: str | None = option(
        "--verify", metavar="CMD", help="The planned verification of each machine, if it may hold a secret."
    )
    verify_timeout: float | None = option(
        "--verify-timeout", type=float, metavar="SECONDS", help="Time limit of each run of --verify.  [default: 60]"
    )

    def builder(self, plan: str) -> "DeployBuilder":
        """Return the builder of a plan file; raises UsageError for an option without the one that it needs."""
        from flyasync.cli.deploy.app_options import with_release, with_seed, with_verification
        from flyasync.deploy.builder import DeployBuilder

        for limit, what in (("release_timeout", "release_command"), ("verify_timeout", "verify")):
            if getattr(self, limit) is not None and getattr(self, what) is None:
                raise click.UsageError(f"--{limit.replace('_', '-')} needs --{what.replace('_', '-')}")
        made = DeployBuilder.from_plan(plan, env=self.env or None)
        made = made.with_metadata(self.metadata) if self.metadata else made
        made = with_seed(with_release(made, self.release_command, self.release_timeout), self.seed_command)
        return with_verification(made, self.verify, self.verify_timeout)


class ApplyOptions(OptionGroup):
    """What is written, and where."""

    title = "Output"

    journal: Path | None = option(
        "--journal",
        metavar="FILE",
        callback=writable,
        help="Record each step in FILE, without secrets, so that flyasync deploy --resume can continue.",
    )
    dry_run: bool = option("--dry-run", is_flag=True, help="Print the plan, or why it is refused; change nothing.")
    as_json: bool = json_option()
    html: Path | None = html_option()
    record: Path | None = record_option()
    web: int | None = web_option()
    no_open: bool = no_open_option()
    github: bool | None = github_option()
    notify: str | None = notify_option()


@click.command("apply", cls=GroupedCommand, groups=titled(RestatedOptions, ApplyOptions), epilog=EPILOG)
@click.argument("plan", type=click.Path(exists=True, dir_okay=False))
@click.pass_context
def command(ctx: click.Context, /, plan: str, **_: Any) -> None:
    """Execute the plan in the file PLAN, which flyasync deploy --dry-run --out has written."""
    from flyasync.cli.deploy.job import DeployJob
    from flyasync.cli.deploy.next_steps import Invocation
    from flyasync.cli.deploy.run import run_job
    from flyasync.cli.shared.live_page import LivePage
    from flyasync.cli.shared.webhooks import webhooks_of

    options = ApplyOptions.of(ctx.params)
    made = RestatedOptions.of(ctx.params).builder(plan)
    made = made.with_journal(options.journal) if options.journal else made
    webhooks = webhooks_of(options.notify)
    job = DeployJob(
        builder=made,
        is_dry=options.dry_run,
        html=options.html,
        record=options.record,
        webhooks=webhooks,
        applies=True,
        web=LivePage.of(options.web, no_open=options.no_open),
    )
    journal = str(options.journal) if options.journal else None
    called = Invocation(
        journal=journal,
        groups=made.spec.group_names,
        command="the command that made the plan",
        spec=made.spec,
    )
    run_job(job, called, as_json=options.as_json, github=options.github)
