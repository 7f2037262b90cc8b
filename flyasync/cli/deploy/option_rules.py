"""Which options of `flyasync deploy` can be combined; a wrong combination is a usage error with advice."""

from collections.abc import Callable, Collection, Iterable
from functools import partial

import click
from click.core import ParameterSource

from flyasync.cli.deploy.app_options import PARAMETERS, AppOptions
from flyasync.cli.deploy.options import DeployOptions
from flyasync.deploy.plan.strategies.registry import NAMES, strategies, takers

# A journal describes a deploy without its secrets: these options can be combined with --resume.
_WITH_RESUME = (
    "undo", "pause_after", "env", "metadata", "release_command", "release_timeout", "seed_command", "verify",
    "verify_timeout", "dry_run", "detailed_exitcode", "as_json", "html", "record", "web", "no_open", "github", "notify",
)  # fmt: skip
# These select the release to undo, and how to undo it.
_WITH_UNDO = (
    "app", "group", "launch", "strategy", "max_unavailable", "fallback", "timeout", "dry_run",
    "detailed_exitcode", "as_json", "html", "record", "web", "no_open", "github", "notify",
)  # fmt: skip
_UNDO_BY = ("rolling", "immediate")
# These apply to every strategy, and not to a deploy that only adds machines.
_OF_A_GROUP = frozenset(
    {"waves", "region_by_region", "group", "retire_group", "adopt", "replace", "visible_to_flyctl", "verify_stopped"}
)
# These refine another option, and need it.
_NEEDS = {
    "if_volume_lost": "volume",
    "release_timeout": "release_command",
    "verify_timeout": "verify",
    "detailed_exitcode": "dry_run",
    "out": "dry_run",
    "no_open": "web",
}


def check_options(ctx: click.Context, options: DeployOptions) -> None:
    """Raise UsageError for options that cannot be combined, and for a missing option."""
    spelled = partial(_spelled, ctx)
    # The options on the command line, even with their default value: only click knows them.
    given = [name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
    change = options.desired.change
    # 1. With --resume, only options that a journal does not contain.
    if "resume" in given:
        for name in given:
            if name not in {"resume", *_WITH_RESUME}:
                raise click.UsageError(
                    f"{spelled(name)} cannot be combined with --resume: the journal contains the deploy; allowed "
                    f"are {_listed(map(spelled, _WITH_RESUME), 'and')}"
                )
    # 2. With --undo, only options that select a release or how to undo it.
    elif "undo" in given:
        _demand(ctx, "app")
        for name in given:
            if name not in {"undo", *_WITH_UNDO}:
                raise click.UsageError(
                    f"{spelled(name)} cannot be combined with --undo, which restores the previous release; allowed are "
                    f"{_listed(map(spelled, _WITH_UNDO), 'and')}"
                )
        if change.strategy not in {None, *_UNDO_BY}:
            raise click.UsageError(f"--undo works with --strategy {_listed(_UNDO_BY, 'or')}, not {change.strategy}")
        if "max_unavailable" in given and change.strategy == "immediate":
            raise click.UsageError(_misfit("--max-unavailable", ("rolling",), "immediate"))
    # 3. With --add, a launch adds machines: it needs an image and regions, and no file.
    elif options.file.add:
        for name in ("strategy", "config"):
            if name in given:
                raise click.UsageError(f"{spelled(name)} cannot be combined with --add, which only adds machines")
        if options.read is not None:
            raise click.UsageError("--add needs options instead of the fly.toml that was found: add --no-config")
        for name in ("app", "image", *(() if "waves" in given else ("region",))):
            _demand(ctx, name)
        check_strategy(options.desired, None, given, spelled, why="--add only adds machines")
    # 4. Any other command line is a deploy that converges. What a file states need not be given.
    else:
        for name in ("app", "image") if options.read is None else ():
            _demand(ctx, name)
        check_strategy(options.desired, options.strategy, given, spelled)
    # A plan file is for the fleet that it was made from, which these do not have yet.
    for name, why in (("local", "a rehearsal ends with its emulator"), ("create_app", "the app has to exist")):
        if {"out", name} <= set(given):
            raise click.UsageError(f"--out cannot be combined with {spelled(name)}: {why}")
    if "pause_after" in given and not {"journal", "resume"} & set(given):
        raise click.UsageError("--pause-after needs --journal, from which --resume continues the deploy")
    if {"web", "dry_run"} <= set(given):
        raise click.UsageError("--web shows a deploy while it runs, so it cannot be combined with --dry-run")
    check_partners(given, spelled)


def check_strategy(
    options: AppOptions,
    strategy: str | None,
    given: Collection[str],
    spelled: Callable[[str], str],
    why: str = "without a strategy, a deploy only adds machines",
) -> None:
    """Raise UsageError, with advice, for an option that the strategy does not have.

    `spelled` returns the name of a parameter as its reader knows it; `why` explains that there is no strategy.
    """
    for name in given:
        fitting = NAMES if name in _OF_A_GROUP else takers(PARAMETERS.get(name, name))
        if fitting and strategy not in fitting:
            raise click.UsageError(_misfit(spelled(name), fitting, strategy, why))
    # A count of 0 destroys machines, which no deploy without a strategy does.
    if strategy is None and options.regions.count.has_zero:
        raise click.UsageError(_misfit(f"a {spelled('count')} of 0", NAMES, None, why))
    if {"waves", "region_by_region"} <= set(given):
        raise click.UsageError(
            f"{spelled('region_by_region')} makes each region a separate wave, so it cannot be combined with "
            f"{spelled('waves')}"
        )
    if "volume" in given and strategy and strategies()[strategy].replaces_machines:
        raise click.UsageError(
            f"--strategy {strategy} creates new machines, which would not get the volumes of the old ones, so it "
            f"cannot be combined with {spelled('volume')}: use --strategy rolling or canary"
        )


def check_partners(given: Collection[str], spelled: Callable[[str], str]) -> None:
    """Raise UsageError for an option without the option that it needs."""
    for name in given:
        if (partner := _NEEDS.get(name)) and partner not in given:
            raise click.UsageError(f"{spelled(name)} needs {spelled(partner)}")


def _misfit(option: str, fitting: Collection[str], strategy: str | None, why: str = "") -> str:
    if strategy is None:
        return f"{option} needs --strategy {_listed(fitting, 'or')}: {why}"
    return f"{option} is for --strategy {_listed(fitting, 'or')}, and cannot be combined with {strategy}"


def _demand(ctx: click.Context, name: str) -> None:
    """Raise MissingParameter for a parameter that is not given; an empty text counts as given."""
    if not ctx.params[name] and ctx.params[name] != "":
        param = _param(ctx, name)
        # In the usage, an argument that may be left out is in brackets; in the error it is not.
        hint = f"'{name.upper()}'" if param.param_type_name == "argument" else None
        raise click.MissingParameter(ctx=ctx, param=param, param_hint=hint)


def _param(ctx: click.Context, name: str) -> click.Parameter:
    return next(each for each in ctx.command.params if each.name == name)


def _spelled(ctx: click.Context, name: str) -> str:
    """Return a parameter as written on the command line: `--max-unavailable`, or `APP`."""
    param = _param(ctx, name)
    return param.opts[0] if isinstance(param, click.Option) else name.upper()


def _listed(words: Iterable[str], last: str) -> str:
    """Return words as a list: `a, b or c`."""
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end
