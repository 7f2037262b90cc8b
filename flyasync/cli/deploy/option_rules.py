"""Which options of `flyasync deploy` go together; those that do not are a usage error that names the way out."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from flyasync.cli.deploy.options import STRATEGIES

_WITH_RESUME = ("undo", "env", "metadata", "release_command", "release_timeout", "dry_run", "as_json", "html")
_WITH_UNDO = (
    "app", "group", "launch", "strategy", "max_unavailable", "fallback", "timeout", "dry_run", "as_json", "html",
)  # fmt: skip
_FOR: Mapping[str, tuple[str, ...]] = {
    "max_unavailable": ("rolling", "canary"),
    "canaries": ("canary",),
    "soak": ("canary",),
    "drain": ("bluegreen",),
    "waves": STRATEGIES,
    "region_by_region": STRATEGIES,
    "group": STRATEGIES,
    "retire_group": STRATEGIES,
    "replace": STRATEGIES,
    "visible_to_flyctl": STRATEGIES,
}
_NEEDS = {"if_volume_lost": "volume", "release_timeout": "release_command"}


def check_together(ctx: click.Context) -> None:
    """Refuse options that do not go with the others, and a command line that lacks one."""
    given = [name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if "resume" in given:
        _check_resume(ctx, given)
    elif "undo" in given:
        _check_undo(ctx, given)
    else:
        _check_deploy(ctx, given)
    check_partners(given, partial(_spelled, ctx))


def _check_resume(ctx: click.Context, given: list[str]) -> None:
    """Let only what a journal cannot hold go with `--resume`."""
    for name in given:
        if name not in {"resume", *_WITH_RESUME}:
            raise click.UsageError(
                f"{_spelled(ctx, name)} cannot go with --resume: the journal says what to deploy and where; besides it "
                f"go {_listed(ctx, _WITH_RESUME)}"
            )


def _check_undo(ctx: click.Context, given: list[str]) -> None:
    """Let only what names a release go with `--undo`."""
    _demand(ctx, "app")
    for name in given:
        if name not in {"undo", *_WITH_UNDO}:
            raise click.UsageError(
                f"{_spelled(ctx, name)} cannot go with --undo: what was there before is what is wanted; besides it go "
                f"{_listed(ctx, _WITH_UNDO)}"
            )
    if ctx.params["strategy"] not in {None, "rolling", "immediate"}:
        raise click.UsageError(f"--undo goes back with --strategy rolling or immediate, not {ctx.params['strategy']}")
    if "max_unavailable" in given and ctx.params["strategy"] == "immediate":
        raise click.UsageError(_unfit("--max-unavailable", ("rolling",), "immediate"))


def _check_deploy(ctx: click.Context, given: list[str]) -> None:
    for name in ("app", "image", *(() if "waves" in given else ("region",))):
        _demand(ctx, name)
    check_fit(ctx.params, given, partial(_spelled, ctx))


def check_fit(wanted: Mapping[str, Any], given: Collection[str], spelled: Callable[[str], str]) -> None:
    """Refuse what does not go with the strategy `wanted`; raises UsageError, naming the way out.

    `spelled` writes the names `given` as their reader knows them.
    """
    for name in given:
        if (ways := _FOR.get(name)) and wanted["strategy"] not in ways:
            raise click.UsageError(_unfit(spelled(name), ways, wanted["strategy"]))
    if wanted["strategy"] is None and 0 in wanted["count"].by_region.values():
        raise click.UsageError(_unfit(f"a {spelled('count')} of 0", STRATEGIES, None))
    if {"waves", "region_by_region"} <= set(given):
        raise click.UsageError(
            f"{spelled('region_by_region')} makes each region a wave of its own, so {spelled('waves')} cannot go with "
            "it"
        )
    if "volume" in given and wanted["strategy"] == "bluegreen":
        raise click.UsageError(
            f"--strategy bluegreen makes new machines and would leave their volumes behind, so {spelled('volume')} "
            "cannot go with it: use --strategy rolling or canary"
        )


def check_partners(given: Collection[str], spelled: Callable[[str], str]) -> None:
    """Refuse what is given without that which it needs; raises UsageError."""
    for name in given:
        if (partner := _NEEDS.get(name)) and partner not in given:
            raise click.UsageError(f"{spelled(name)} needs {spelled(partner)}")


def _unfit(option: str, ways: tuple[str, ...], strategy: str | None) -> str:
    if strategy is None:
        return f"{option} needs --strategy {_or(ways)}: without a strategy a deploy only adds machines"
    return f"{option} is for --strategy {_or(ways)}, and cannot go with {strategy}"


def _demand(ctx: click.Context, name: str) -> None:
    if not ctx.params[name] and ctx.params[name] != "":
        raise click.MissingParameter(ctx=ctx, param=_param(ctx, name))


def _param(ctx: click.Context, name: str) -> click.Parameter:
    return next(each for each in ctx.command.params if each.name == name)


def _spelled(ctx: click.Context, name: str) -> str:
    param = _param(ctx, name)
    return param.opts[0] if isinstance(param, click.Option) else name.upper()


def _listed(ctx: click.Context, names: tuple[str, ...]) -> str:
    *most, last = (_spelled(ctx, name) for name in names)
    return f"{', '.join(most)} and {last}"


def _or(words: tuple[str, ...]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
