"""The options of `flyasync deploy`, as one value, declared in the groups and the order of the help."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from flyasync.cli.deploy.app_options import APP_GROUPS, AppOptions, given, stated
from flyasync.cli.deploy.file_options import FileOptions
from flyasync.cli.deploy.origin import OriginOptions
from flyasync.cli.shared.option_groups import OptionGroup, Options, option, titled
from flyasync.cli.shared.option_types import capacities, faults, writable

if TYPE_CHECKING:
    from flyasync.deploy.builder import DeployBuilder
    from flyasync.emulator.core.faults import Fault
    from flyasync.models.config import MachineConfig
    from flyasync.models.fly_toml.app_config import FlyToml


def json_option() -> Any:
    """Return the option for JSON lines, which all commands that deploy have."""
    return option(
        "--json",
        "as_json",  # `json` would shadow the module
        is_flag=True,
        help="Write JSON lines to stdout, one for each event; the report is last.",
    )


def html_option() -> Any:
    """Return the option for the report as a page, which deploy and apply have."""
    return option(
        "--html",
        metavar="FILE",
        callback=writable,
        help="Write the report to FILE as an HTML page with a timeline, also if the deploy fails or is stopped.",
    )


def record_option() -> Any:
    """Return the option for a recording, which deploy and apply have."""
    return option(
        "--record",
        metavar="FILE",
        callback=writable,
        help="Record every request and response in FILE, with placeholders for secrets; flyasync replay runs the "
        "deploy again on it.",
    )


def web_option() -> Any:
    """Return the option for the live page, which the commands that deploy have."""
    return option(
        "--web",
        alone="0",
        type=click.IntRange(0, 65535),
        metavar="[PORT]",
        help="Serve a live page of the deploy on this machine, and open it: a map, lanes, queues and events; on any "
        "free port, or on PORT: --web=8000.",
    )


def no_open_option() -> Any:
    """Return the option that goes with --web."""
    return option(
        "--no-open",
        is_flag=True,
        help="With --web: open no browser.  [default: one is opened from a terminal with a display]",
    )


def github_option() -> Any:
    """Return the option that deploys of one app and of many have."""
    return option(
        "--github/--no-github",
        default=None,
        help="In GitHub Actions: annotate failures, and write the job summary and the outputs of the step.  "
        "[default: if GITHUB_ACTIONS is true]",
    )


def notify_option() -> Any:
    """Return the option that deploys of one app and of many have."""
    return option(
        "--notify",
        metavar="URL",
        help="Post the report as JSON to URL at the end, whatever the result; signed with FLYASYNC_NOTIFY_KEY if that "
        "is set. A failure is a warning.",
    )


class ReleaseOptions(OptionGroup):
    """The launch, and whether to resume or to undo one."""

    title = "Launch, resume and undo"

    launch: str | None = option(
        "--launch",
        metavar="ID",
        help="Name of this launch; with --undo, of the launch to undo.  [default: random; with --undo, the last one]",
    )
    journal: Path | None = option(
        "--journal",
        metavar="FILE",
        callback=writable,
        help="Record the plan and each step in FILE, without secrets, so that --resume can continue.",
    )
    pause_after: int | None = option(
        "--pause-after",
        type=click.IntRange(min=1),
        metavar="WAVE",
        help="Pause after the wave with this number, with exit status 9; --resume continues, unless the fleet has "
        "changed. Needs --journal, and --waves or --region-by-region.",
    )
    # Options that the journal contains cannot be given again: see option_rules.
    resume: str | None = option(
        "--resume",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="Continue the deploy of this journal; state again what it does not contain, such as secrets in --env.",
    )
    undo: bool = option(
        "--undo",
        is_flag=True,
        help="Undo the last release of APP in all groups that it changed, or in --group; or the deploy of --resume.",
    )

    def pausing(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that pauses after this wave, if there is one."""
        return made if self.pause_after is None else made.pause_after(self.pause_after)


class OutputOptions(OptionGroup):
    """What is written, and where."""

    title = "Output"

    dry_run: bool = option(
        "--dry-run",
        is_flag=True,
        help="Print the plan with each change and the config of new machines; change nothing.",
    )
    out: Path | None = option(
        "--out",
        metavar="FILE",
        callback=writable,
        help="With --dry-run: write the plan to FILE, which flyasync apply executes; it contains no secrets.",
    )
    detailed_exitcode: bool = option(
        "--detailed-exitcode", is_flag=True, help="With --dry-run: exit with 10 if the plan has changes, else with 0."
    )
    as_json: bool = json_option()
    html: Path | None = html_option()
    record: Path | None = record_option()
    web: int | None = web_option()
    no_open: bool = no_open_option()
    github: bool | None = github_option()
    notify: str | None = notify_option()


class RehearsalOptions(OptionGroup):
    """The emulator that replaces Fly.io."""

    title = "Rehearsal"

    local: bool = option("--local", is_flag=True, help="Rehearse on an emulator in this process: no token, no cost.")
    capacity: Mapping[str, int] = option(
        "--capacity",
        metavar="CODE=N",
        multiple=True,
        callback=capacities,
        help="With --local: number of machines that fit in a region; may be repeated or a list: iad=0,lhr=0.",
    )
    seed: int | None = option("--seed", type=int, metavar="N", help="With --local: seed for ids and boot times.")
    boot: float | None = option(
        "--boot",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="With --local: how long a boot takes.  [default: 1 to 3]",
    )
    faults: "tuple[Fault, ...]" = option(
        "--fault",
        "faults",
        metavar="JSON",
        multiple=True,
        callback=faults,
        help='With --local: fault to inject, as flyasync.Fault in JSON, such as {"does": "crash", "region": "lhr"}.',
    )


class DeployOptions(Options):
    """A command line of `flyasync deploy`."""

    app: str | None
    file: FileOptions
    read: "FlyToml | MachineConfig | None"
    desired: AppOptions
    release: ReleaseOptions
    origin: OriginOptions
    output: OutputOptions
    rehearsal: RehearsalOptions

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the values that click has parsed, and the content of the fly.toml; raises InvalidInput."""
        file = FileOptions.of(params)
        # An undo and a journal know what to run, and with --add the options say it.
        has_none = params["undo"] or params["resume"] or (params["add"] and params["config"])
        return cls(
            app=params["app"],
            file=file,
            # Without a value, --create-app may have been followed by a word for it, which was taken as the app.
            read=None if has_none else file.find(params["app"], may_be_org=params["create_app"] == ""),
            desired=AppOptions.of(params),
            release=ReleaseOptions.of(params),
            origin=OriginOptions.of(params),
            output=OutputOptions.of(params),
            rehearsal=RehearsalOptions.of(params),
        )

    @property
    def strategy(self) -> str | None:
        """The strategy that is given, or that of the fly.toml, or the default; None for a deploy that only adds."""
        if self.file.add:
            return None
        deploy = getattr(self.read, "deploy", None)
        return self.desired.change.strategy or (deploy and deploy.strategy) or "rolling"

    def warnings(self) -> tuple[str, ...]:
        """Return what in the fly.toml has no effect, unless it is refused."""
        ignored = () if self.file.strict else getattr(self.read, "ignored", ())
        source = getattr(self.read, "source", "")
        return tuple(f"{source}: {found}" for found in ignored)

    def builder(self) -> "DeployBuilder":
        """Return the builder of the deploy, or of the release to undo.

        Raises UsageError and InvalidInput for invalid options; `check_options` has checked their combination.
        """
        from flyasync.deploy.builder import DeployBuilder

        launch, journal = self.release.launch, self.release.journal
        change, config = self.desired.change, self.desired.config
        # 1. A journal contains the deploy, except its secrets.
        if self.release.resume:
            made = DeployBuilder.resumed(self.release.resume, env=config.env or None)
            made = change.releasing(made.with_metadata(config.metadata) if config.metadata else made)
            made = self.release.pausing(made)
            return self.desired.success.verifying(made)
        # 2. The metadata of the machines contains the release to restore; a strategy sets only the speed.
        if self.release.undo:
            assert self.app is not None  # noqa: S101 - `check_options` demands it
            groups = [stated("--group", DeployBuilder(self.app).process_group, each) for each in change.group]
            first, *others = groups or [DeployBuilder(self.app)]
            made = stated("--fallback", first.together_with(*others).fallback, *self.desired.regions.fallback)
            made = stated("--timeout", made.wait_for, timeout=self.desired.success.timeout)
            speed = given(max_unavailable=change.max_unavailable)
            made = change.changing(stated("--max-unavailable", made.rolling, **speed))
        # 3. Any other command line is a deploy.
        else:
            origin = self.origin.find()
            made = self.desired.applied(self.file.base(self.read, self.app, change.group, config.image))
            made = made.with_message(origin.message, commit=origin.commit, by=origin.by)
            made = self.release.pausing(made.with_journal(journal) if journal else made)
        return made if launch is None else stated("--launch", made.with_launch, launch)


GROUPS = titled(FileOptions, *APP_GROUPS, ReleaseOptions, OriginOptions, OutputOptions, RehearsalOptions)
