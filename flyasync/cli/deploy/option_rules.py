"""Which options of `flyasync deploy` go together; those that do not are a usage error that names the way out."""

from collections.abc import Callable, Collection, Iterable
from functools import partial

import click
from click.core import ParameterSource

from flyasync.cli.deploy.app_options import PARAMETERS, AppOptions
from flyasync.cli.deploy.options import DeployOptions
from flyasync.deploy.plan.strategies.registry import NAMES, strategies, takers

# A journal holds no secrets, and names only what to deploy: these may be given with it.
_WITH_RESUME = ("undo", "env", "metadata", "release_command", "release_timeout", "dry_run", "as_json", "html")
# These name a release, and say how fast to go back and where.
_WITH_UNDO = (
    "app", "group", "launch", "strategy", "max_unavailable", "fallback", "timeout", "dry_run", "as_json", "html",
)  # fmt: skip
_UNDO_BY = ("rolling", "immediate")
# These mean something to every strategy, and nothing to a deploy that only adds machines.
_OF_A_GROUP = frozenset(
    {"waves", "region_by_region", "group", "retire_group", "replace", "visible_to_flyctl", "verify_stopped"}
)
# These say more of another option, and mean nothing without it.
_NEEDS = {"if_volume_lost": "volume", "release_timeout": "release_command"}


def check_options(ctx: click.Context, options: DeployOptions) -> None:
    """Refuse options that do not go with the others, and a command line that lacks one."""
    spelled = partial(_spelled, ctx)
    # What the command line gives, also where that is the default: only click knows.
    given = [name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
    change = options.desired.change
    # 1. With --resume goes only what a journal cannot hold.
    if "resume" in given:
        for name in given:
            if name not in {"resume", *_WITH_RESUME}:
                raise click.UsageError(
                    f"{spelled(name)} cannot go with --resume: the journal says what to deploy and where; besides it "
                    f"go {_listed(map(spelled, _WITH_RESUME), 'and')}"
                )
    # 2. With --undo goes only what names a release.
    elif "undo" in given:
        _demand(ctx, "app")
        for name in given:
            if name not in {"undo", *_WITH_UNDO}:
                raise click.UsageError(
                    f"{spelled(name)} cannot go with --undo: what was there before is what is wanted; besides it go "
                    f"{_listed(map(spelled, _WITH_UNDO), 'and')}"
                )
        if change.strategy not in {None, *_UNDO_BY}:
            raise click.UsageError(f"--undo goes back with --strategy {_listed(_UNDO_BY, 'or')}, not {change.strategy}")
        if "max_unavailable" in given and change.strategy == "immediate":
            raise click.UsageError(_misfit("--max-unavailable", ("rolling",), "immediate"))
    # 3. All else is a deploy, and names its app, its image and its regions.
    else:
        for name in ("app", "image", *(() if "waves" in given else ("region",))):
            _demand(ctx, name)
        check_strategy(options.desired, given, spelled)
    check_partners(given, spelled)


def check_strategy(options: AppOptions, given: Collection[str], spelled: Callable[[str], str]) -> None:
    """Refuse what does not go with the strategy; raises UsageError, naming the way out.

    `spelled` writes the names `given` as their reader knows them.
    """
    strategy = options.change.strategy
    for name in given:
        fitting = NAMES if name in _OF_A_GROUP else takers(PARAMETERS.get(name, name))
        if fitting and strategy not in fitting:
            raise click.UsageError(_misfit(spelled(name), fitting, strategy))
    # A count of 0 retires a region, and without a strategy nothing is ever destroyed.
    if strategy is None and 0 in options.regions.count.by_region.values():
        raise click.UsageError(_misfit(f"a {spelled('count')} of 0", NAMES, None))
    if {"waves", "region_by_region"} <= set(given):
        raise click.UsageError(
            f"{spelled('region_by_region')} makes each region a wave of its own, so {spelled('waves')} cannot go with "
            "it"
        )
    if "volume" in given and strategy and strategies()[strategy].replaces_machines:
        raise click.UsageError(
            f"--strategy {strategy} makes new machines and would leave their volumes behind, so {spelled('volume')} "
            "cannot go with it: use --strategy rolling or canary"
        )


def check_partners(given: Collection[str], spelled: Callable[[str], str]) -> None:
    """Refuse what is given without that which it needs; raises UsageError."""
    for name in given:
        if (partner := _NEEDS.get(name)) and partner not in given:
            raise click.UsageError(f"{spelled(name)} needs {spelled(partner)}")


def _misfit(option: str, fitting: Collection[str], strategy: str | None) -> str:
    if strategy is None:
        return f"{option} needs --strategy {_listed(fitting, 'or')}: without a strategy a deploy only adds machines"
    return f"{option} is for --strategy {_listed(fitting, 'or')}, and cannot go with {strategy}"


def _demand(ctx: click.Context, name: str) -> None:
    """Refuse a command line without a parameter; an empty text is given, and refused for what it is."""
    if not ctx.params[name] and ctx.params[name] != "":
        raise click.MissingParameter(ctx=ctx, param=_param(ctx, name))


def _param(ctx: click.Context, name: str) -> click.Parameter:
    return next(each for each in ctx.command.params if each.name == name)


def _spelled(ctx: click.Context, name: str) -> str:
    """Return a parameter as it stands on the command line: `--max-unavailable`, or `APP`."""
    param = _param(ctx, name)
    return param.opts[0] if isinstance(param, click.Option) else name.upper()


def _listed(words: Iterable[str], last: str) -> str:
    """Return words as a list: `a, b or c`."""
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end
