"""The builder that the options of `flyasync deploy` describe."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import click
from attrs import evolve

from flyasync.cli.shared.option_types import Counts
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.plan.spec import Goal
from flyasync.models.machine import expected_checks
from flyasync.models.service import Check


def resumed(
    *,
    resume: str,
    env: Mapping[str, str],
    metadata: Mapping[str, str],
    release_command: str | None,
    release_timeout: float | None,
    **_: Any,
) -> DeployBuilder:
    """Make the builder that a journal describes, with what it may not hold; raises InvalidInput for no journal."""
    made = DeployBuilder.resumed(resume, env=env or None)
    made = made.with_metadata(metadata) if metadata else made
    return _releasing(made, release_command, release_timeout)


def undoing(
    *,
    app: str,
    group: str | None,
    launch: str | None,
    strategy: str | None,
    max_unavailable: float | str | None,
    fallback: tuple[str, ...],
    timeout: float | None,
    **_: Any,
) -> DeployBuilder:
    """Make a builder that knows no more than what to undo, and how fast."""
    made = DeployBuilder(app).fallback(*fallback).wait_for(timeout=timeout)
    made = _named(made, launch, group)
    return made.immediate() if strategy == "immediate" else made.rolling(**_width(max_unavailable))


def builder(
    *,
    app: str,
    image: str,
    region: tuple[str, ...],
    count: Counts,
    waves: tuple[tuple[str, ...], ...],
    region_by_region: bool,
    env: Mapping[str, str],
    metadata: Mapping[str, str],
    fallback: tuple[str, ...],
    require: float | str | None,
    roll_back: bool,
    port: int | None,
    check: str | None,
    **more: Any,
) -> DeployBuilder:
    """Make the builder that the options describe; raises InvalidInput for what the API would refuse."""
    made = DeployBuilder(app).with_image(image).fallback(*fallback).roll_back_on_failure(roll_back)
    made = _placed(made, region, waves, count, region_by_region=region_by_region)
    made = made.with_env(env) if env else made
    made = made.with_metadata(metadata) if metadata else made
    made = made.require(require) if require is not None else made
    return _equipped(_serving(made, port, check), **more)


def _equipped(
    made: DeployBuilder,
    *,
    size: str | None,
    cpus: int | None,
    memory: int | None,
    volume: tuple[str, str, int] | None,
    if_volume_lost: Any,
    release_command: str | None,
    release_timeout: float | None,
    journal: PathLike[str] | None,
    wait: str | None,
    timeout: float | None,
    smoke_check: float | None,
    verify_stopped: Any,
    hedge: float | None,
    **more: Any,
) -> DeployBuilder:
    """Add what a machine has beside its config, and how it is waited for."""
    made = _converging(_sized(made, size, cpus, memory), **more)
    if volume:
        name, path, size_gb = volume
        made = made.with_volume(name, path, size_gb=size_gb, if_lost=if_volume_lost)
    made = _releasing(made, release_command, release_timeout)
    made = made.with_journal(journal) if journal else made
    made = made.hedge(hedge) if hedge is not None else made
    made = made.smoke_check(smoke_check) if smoke_check is not None else made
    made = made.verify_stopped(verify_stopped) if verify_stopped else made
    return _waiting(made, wait, timeout, only_adds=more["strategy"] is None)


def _converging(
    made: DeployBuilder,
    *,
    strategy: str | None,
    max_unavailable: float | str | None,
    canaries: float | str | None,
    soak: float | None,
    drain: float | None,
    group: str | None,
    retire_group: tuple[str, ...],
    replace: tuple[str, ...],
    visible_to_flyctl: bool,
    launch: str | None,
) -> DeployBuilder:
    """Say how what is there comes to what is wanted."""
    made = _named(made, launch, group).retire_groups(*retire_group).visible_to_flyctl(visible_to_flyctl)
    made = made.replace(*replace)
    match strategy:
        case "rolling":
            return made.rolling(**_width(max_unavailable))
        case "canary":
            return made.canary(**_said(machines=canaries, soak=soak), **_width(max_unavailable))
        case "bluegreen":
            return made.bluegreen(**_said(drain=drain))
        case "immediate":
            return made.immediate()
        case _:
            return made


def _named(made: DeployBuilder, launch: str | None, group: str | None) -> DeployBuilder:
    made = made if launch is None else made.with_launch(launch)
    return made if group is None else made.process_group(group)


def _width(max_unavailable: float | str | None) -> dict[str, Any]:
    return _said(max_unavailable=max_unavailable)


def _said(**options: Any) -> dict[str, Any]:
    """Leave out what was not said, so that the builder's own default holds."""
    return {name: value for name, value in options.items() if value is not None}


def _placed(
    made: DeployBuilder,
    region: tuple[str, ...],
    waves: tuple[tuple[str, ...], ...],
    count: Counts,
    *,
    region_by_region: bool,
) -> DeployBuilder:
    """Say where, how many, and in which order."""
    named = region or tuple(code for wave in waves for code in wave)
    _check_places(named, waves, count)
    made = made.to_regions(*named)
    made = made.waves(*waves) if waves else made
    made = made.region_by_region() if region_by_region else made
    return made.count(count.each, **count.by_region)


def _check_places(named: tuple[str, ...], waves: tuple[tuple[str, ...], ...], count: Counts) -> None:
    if waves and sorted(named) != sorted(code for wave in waves for code in wave):
        raise click.UsageError("--waves and --region name different regions: leave out --region, or name the same")
    if strangers := sorted(set(count.by_region) - set(named)):
        raise click.UsageError(
            f"--count names {', '.join(strangers)}, which is not among the regions: name it there too"
        )


def _releasing(made: DeployBuilder, command: str | None, timeout: float | None) -> DeployBuilder:
    return made if command is None else made.with_release_command(command, **_said(timeout=timeout))


def _sized(made: DeployBuilder, size: str | None, cpus: int | None, memory: int | None) -> DeployBuilder:
    if size is not None and cpus is not None:
        raise click.UsageError("--size names the CPUs already, so --cpus cannot go with it")
    if size is not None:
        return made.with_size(size, memory_mb=memory)
    return made.with_guest(cpus=cpus, memory_mb=memory) if (cpus, memory) != (None, None) else made


def _serving(made: DeployBuilder, port: int | None, check: str | None) -> DeployBuilder:
    if port is None:
        if check is not None:
            raise click.UsageError("--check asks the service on --port, so it needs --port")
        return made
    made = made.with_service(internal_port=port)
    if check is None:
        return made
    if not check.startswith("/"):
        raise click.UsageError(f"--check takes a path that begins with a slash, not {check!r}")
    question = Check(type="http", method="get", path=check, interval=10, timeout=5)
    services = tuple(evolve(service, checks=(question,)) for service in made.config.services or ())
    return made.with_config(evolve(made.config, services=services))


def _waiting(made: DeployBuilder, wait: str | None, timeout: float | None, *, only_adds: bool) -> DeployBuilder:
    if wait == "none" and timeout is not None:
        raise click.UsageError("--timeout bounds the wait, so it cannot go with --wait none")
    if wait == "healthy" and only_adds and not expected_checks(made.config):
        raise click.UsageError("--wait healthy needs a check to wait for: add --port and --check PATH")
    if wait is None:
        return made.wait_for(timeout=timeout)
    goals: Mapping[str, Goal] = {"started": "started", "healthy": "healthy", "none": None}
    return made.wait_for(goals[wait], timeout=timeout)
