"""The options of `flyasync deploy`, as one value; each group is declared as it is shown in the help."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from flyasync.cli.deploy.app_options import APP_GROUPS, AppOptions, given
from flyasync.cli.shared.option_groups import OptionGroup, option, titled
from flyasync.cli.shared.option_types import capacities, faults, writable

if TYPE_CHECKING:
    from flyasync.deploy.builder import DeployBuilder
    from flyasync.emulator.core.faults import Fault


class ReleaseOptions(OptionGroup):
    """Which launch it is, and whether the command resumes one or undoes one."""

    title = "Going on, and going back"

    launch: str | None = option(
        "--launch", metavar="ID", help="Name of this launch, or the one to --undo.  [default: random; the last]"
    )
    journal: Path | None = option(
        "--journal",
        metavar="FILE",
        callback=writable,
        help="Write down in FILE what is decided and done, without secrets, to go on from it with --resume.",
    )
    # What stands in the journal is not given again, so no other option may contradict it: see option_rules.
    resume: str | None = option(
        "--resume",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="Go on with the deploy in this journal; what it may not hold is given again, as --env NAME=VALUE.",
    )
    undo: bool = option(
        "--undo", is_flag=True, help="Undo the last release of APP and its --group, or the deploy of --resume."
    )


class OutputOptions(OptionGroup):
    """What is shown, and where."""

    title = "What it tells"

    dry_run: bool = option(
        "--dry-run", is_flag=True, help="Print the plan, each change and each new machine's config; change nothing."
    )
    as_json: bool = option(
        "--json",
        "as_json",  # `json` would hide the module in every function that takes it
        is_flag=True,
        help="Write JSON lines to stdout, one event each; the report is last.",
    )
    html: Path | None = option(
        "--html",
        metavar="FILE",
        callback=writable,
        help="Write the report to FILE as a page with a timeline, also of a deploy that failed or was cut off.",
    )


class RehearsalOptions(OptionGroup):
    """The emulator that stands in for Fly.io."""

    title = "Rehearsing"

    local: bool = option("--local", is_flag=True, help="Rehearse on an emulator in this process: no token, no cost.")
    capacity: Mapping[str, int] = option(
        "--capacity",
        metavar="CODE=N",
        multiple=True,
        callback=capacities,
        help="With --local: how many machines a region holds; repeat it, or list: iad=0,lhr=0.",
    )
    seed: int | None = option(
        "--seed", type=int, metavar="N", help="With --local: another seed, other ids and boot times."
    )
    boot: float | None = option(
        "--boot",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="With --local: how long a machine boots.  [default: 1 to 3]",
    )
    faults: "tuple[Fault, ...]" = option(
        "--fault",
        "faults",
        metavar="JSON",
        multiple=True,
        callback=faults,
        help='With --local: trouble in the fields of flyasync.Fault, such as {"does": "crash", "region": "lhr"}.',
    )


@dataclass(frozen=True, repr=False)
class DeployOptions:
    """A command line of `flyasync deploy`."""

    app: str | None
    desired: AppOptions
    release: ReleaseOptions
    output: OutputOptions
    rehearsal: RehearsalOptions

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the values that click has read."""
        return cls(
            app=params["app"],
            desired=AppOptions.of(params),
            release=ReleaseOptions.of(params),
            output=OutputOptions.of(params),
            rehearsal=RehearsalOptions.of(params),
        )

    def builder(self) -> "DeployBuilder":
        """Return the builder of what the command line is about.

        Raises UsageError and InvalidInput for what can never work; `check_options` has refused what does not go
        together.
        """
        from flyasync.deploy.builder import DeployBuilder

        launch, journal = self.release.launch, self.release.journal
        change, config = self.desired.change, self.desired.config
        # 1. A journal says what to deploy, but for what it may not hold.
        if self.release.resume:
            made = DeployBuilder.resumed(self.release.resume, env=config.env or None)
            return change.releasing(made.with_metadata(config.metadata) if config.metadata else made)
        assert self.app is not None  # noqa: S101 - `check_options` demands it
        # 2. The app itself remembers what its last release has changed; a strategy says only how fast to go back.
        if self.release.undo:
            made = DeployBuilder(self.app).fallback(*self.desired.regions.fallback)
            made = made.wait_for(timeout=self.desired.success.timeout)
            made = change.changing(made.rolling(**given(max_unavailable=change.max_unavailable)))
        # 3. All else is a deploy.
        else:
            made = self.desired.builder(self.app)
            made = made.with_journal(journal) if journal else made
        return made if launch is None else made.with_launch(launch)


GROUPS = titled(*APP_GROUPS, ReleaseOptions, OutputOptions, RehearsalOptions)
