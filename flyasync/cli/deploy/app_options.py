"""The options that say what an app shall run, and the builder that they make; rows of `flyasync bulk` have them too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import click

from flyasync.cli.shared.completion import region_codes
from flyasync.cli.shared.option_groups import OptionGroup, option
from flyasync.cli.shared.option_types import Counts, amount, counts, fallback, pairs, regions, volume, waves
from flyasync.deploy.plan.strategies.registry import NAMES, strategies
from flyasync.errors import InvalidInput

if TYPE_CHECKING:
    from flyasync.deploy.builder import DeployBuilder

# The options that are parameters of a strategy, where they have another name.
PARAMETERS = {"canaries": "machines"}


class ConfigOptions(OptionGroup):
    """What each machine is."""

    title = "What to run"

    image: str | None = option(
        "--image", metavar="REF", help="Image to run. Its tag is resolved once, and all machines run that digest."
    )
    size: str | None = option(
        "--size", metavar="NAME", help="Named size such as shared-cpu-2x; --memory may go with it."
    )
    cpus: int | None = option("--cpus", type=click.IntRange(min=1), metavar="N", help="Shared CPUs of each machine.")
    memory: int | None = option(
        "--memory", type=click.IntRange(min=1), metavar="MB", help="Memory of each machine in MB."
    )
    env: Mapping[str, str] = option(
        "--env",
        metavar="NAME=VALUE",
        multiple=True,
        callback=pairs,
        help="Environment variable; for secrets use the app's secrets.",
    )
    metadata: Mapping[str, str] = option(
        "--metadata", metavar="NAME=VALUE", multiple=True, callback=pairs, help="Metadata of each machine."
    )
    port: int | None = option(
        "--port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="Port of the web server inside; it is reached on 80 and 443.",
    )
    check: str | None = option(
        "--check", metavar="PATH", help="Path on --port that must answer before a machine gets traffic."
    )
    # Colons between the three, as docker has them for its volumes.
    volume: tuple[str, str, int] | None = option(
        "--volume",
        metavar="NAME:PATH[:SIZE_GB]",
        callback=volume,
        help="Volume of its own for each machine: a free one of that name, else a new one of 1 GB or SIZE_GB.",
    )
    if_volume_lost: Literal["fork", "new"] | None = option(
        "--if-volume-lost",
        type=click.Choice(["fork", "new"]),
        help="When a machine has to leave its host: fork its volume, or give it up for a new one; else it stays.",
    )

    def applied(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder with this image, guest, environment, metadata, volume and service."""
        made = made if self.image is None else made.with_image(self.image)
        # A named size states the CPUs, and the least memory for them; --memory may raise that.
        if self.size is not None and self.cpus is not None:
            raise click.UsageError("--size names the CPUs already, so --cpus cannot go with it")
        if self.size is not None:
            made = made.with_size(self.size, memory_mb=self.memory)
        elif (self.cpus, self.memory) != (None, None):
            made = made.with_guest(cpus=self.cpus, memory_mb=self.memory)
        # An empty map would state an environment, and so remove what an earlier deploy has set.
        made = made.with_env(self.env) if self.env else made
        made = made.with_metadata(self.metadata) if self.metadata else made
        if self.volume:
            name, path, size_gb = self.volume
            made = stated("--volume", made.with_volume, name, path, size_gb=size_gb, if_lost=self.if_volume_lost)
        if self.port is None and self.check is not None:
            raise click.UsageError("--check asks the service on --port, so it needs --port")
        made = made if self.port is None else made.with_service(internal_port=self.port)
        if self.check is None:
            return made
        from attrs import evolve

        from flyasync.models.service import Check

        # The proxy sends requests only to machines that pass the checks of the service, so the check belongs there.
        if not self.check.startswith("/"):
            raise click.UsageError(f"--check takes a path that begins with a slash, not {self.check!r}")
        check = Check(type="http", method="get", path=self.check, interval=10, timeout=5)
        services = tuple(evolve(service, checks=(check,)) for service in made.config.services or ())
        return made.with_config(evolve(made.config, services=services))


class RegionOptions(OptionGroup):
    """Where machines run, and how many."""

    title = "Where"

    # Not required by click: --waves may name the regions, and --resume and --undo need none.
    region: tuple[str, ...] = option(
        "--region",
        multiple=True,
        callback=regions,
        shell_complete=region_codes,
        metavar="CODE",
        help="Region to deploy to; repeat it, or list: iad,lhr.",
    )
    count: Counts = option(
        "--count",
        multiple=True,
        callback=counts,
        metavar="N|CODE=N",
        help="Machines in each region, or in one; repeat it, or list: 2,iad=5,lhr=0. With a strategy, 0 retires a "
        "region's machines.  [default: 1]",
    )
    # The default is in the help text by hand: click would show the tuple.
    fallback: tuple[str, ...] = option(
        "--fallback",
        default=("skip",),
        multiple=True,
        callback=fallback,
        metavar="skip|nearest|CODE",
        help="Where a machine goes when its region has no room: nowhere, the nearest with room, or these in order; "
        "repeat it, or list: ewr,ord.  [default: skip]",
    )
    create_app: str | None = option(
        "--create-app", metavar="ORG", help="Create the app in this organization if it is not there."
    )

    def applied(self, made: "DeployBuilder", waves: tuple[tuple[str, ...], ...]) -> "DeployBuilder":
        """Return a builder with these regions, in these waves if there are any, which name the regions too."""
        # Waves order the regions of --region, or name the regions themselves.
        in_waves = tuple(code for wave in waves for code in wave)
        named = self.region or in_waves
        if waves and sorted(named) != sorted(in_waves):
            raise click.UsageError("--waves and --region name different regions: leave out --region, or name the same")
        # A count for another region is a typo in one of both: which one, only the user knows.
        if unknown := sorted(set(self.count.by_region) - set(named)):
            raise click.UsageError(
                f"--count names {', '.join(unknown)}, which is not among the regions: name it there too"
            )
        made = made.fallback(*self.fallback).to_regions(*named).count(self.count.each, **self.count.by_region)
        return made.waves(*waves) if waves else made


class StrategyOptions(OptionGroup):
    """How what runs becomes what is desired."""

    title = "How to change what runs"

    # Defaults that the builder has are None here, so that they are stated in one place; the help repeats them.
    strategy: str | None = option(
        "--strategy",
        type=click.Choice(NAMES),
        help="Bring the app's machines to this image and count; without a strategy a deploy only adds machines.",
    )
    max_unavailable: float | str | None = option(
        "--max-unavailable",
        callback=amount,  # a number or a text: the builder reads it, as it does for users of the SDK
        metavar="N|SHARE",
        help="rolling, canary: how many of a region's machines may be away at once: a number, or a share such as 33%.  "
        "[default: 33%]",
    )
    canaries: float | str | None = option(
        "--canaries", callback=amount, metavar="N|SHARE", help="canary: how many machines go first.  [default: 1]"
    )
    soak: float | None = option(
        "--soak", type=float, metavar="SECONDS", help="canary: how long to watch those.  [default: 60]"
    )
    drain: float | None = option(
        "--drain",
        type=float,
        metavar="SECONDS",
        help="bluegreen: time between an old machine's last new request and its stop.  [default: 10]",
    )
    waves: tuple[tuple[str, ...], ...] = option(
        "--waves",
        metavar="CODES/CODES",
        callback=waves,
        help="Regions wave after wave, such as iad/lhr,nrt: each once the one before is done. Names the regions too.",
    )
    region_by_region: bool = option(
        "--region-by-region", is_flag=True, help="Each --region as a wave of its own, in the order given."
    )
    group: str | None = option(
        "--group", metavar="NAME", help="Process group to change; no other machine is touched.  [default: app]"
    )
    retire_group: tuple[str, ...] = option(
        "--retire-group",
        multiple=True,
        metavar="NAME",
        help="Destroy the machines of this process group in the end; repeat it.",
    )
    replace: tuple[str, ...] = option(
        "--replace",
        multiple=True,
        metavar="FIELD",
        help="Replace this part of the config as a whole, such as services or env; else what is given here is merged "
        "by key into what each machine has. Repeat it.",
    )
    visible_to_flyctl: bool = option(
        "--visible-to-flyctl", is_flag=True, help="Have flyctl count these machines as its own."
    )
    release_command: str | None = option(
        "--release-command",
        metavar="CMD",
        help="Run this on a machine of its own before anything changes; go on only after exit code 0.",
    )
    release_timeout: float | None = option(
        "--release-timeout", type=float, metavar="SECONDS", help="Time for the release command.  [default: 300]"
    )

    def applied(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder with this strategy, group and release command; it has its regions already."""
        made = self.changing(made).retire_groups(*self.retire_group).visible_to_flyctl(self.visible_to_flyctl)
        # The waves are made of the regions that the builder has by now.
        made = made.region_by_region() if self.region_by_region else made
        return self.releasing(stated("--replace", made.replace, *self.replace))

    def changing(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that changes this group by this strategy."""
        made = made if self.group is None else made.process_group(self.group)
        if self.strategy is None:
            return made
        # The builder has a method of the same name for each strategy, which takes the strategy's parameters.
        by_parameter = {parameter: name for name, parameter in PARAMETERS.items()}
        taken = strategies()[self.strategy].parameters()
        values = {name: getattr(self, by_parameter.get(name, name), None) for name in taken}
        return stated(f"--strategy {self.strategy}", getattr(made, self.strategy), **given(**values))

    def releasing(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that runs the release command, if there is one."""
        if self.release_command is None:
            return made
        timeout = given(timeout=self.release_timeout)
        return stated("--release-command", made.with_release_command, self.release_command, **timeout)


class SuccessOptions(OptionGroup):
    """When a machine counts as up, and when the deploy counts as ok."""

    title = "When it counts as done"

    wait: str | None = option(
        "--wait",
        type=click.Choice(["started", "healthy", "none"]),
        help="What to wait for; by default healthy for a machine that has checks, else started.",
    )
    timeout: float | None = option(
        "--timeout", type=float, metavar="SECONDS", help="Time for each machine to come that far.  [default: 300]"
    )
    smoke_check: float | None = option(
        "--smoke-check",
        type=float,
        metavar="SECONDS",
        help="How long a machine that has come up has to stay so.  [default: 10 with a strategy, else 0]",
    )
    verify_stopped: Literal["auto", "always", "never"] | None = option(
        "--verify-stopped",
        type=click.Choice(["auto", "always", "never"]),
        help="Whether to start a machine of each region, and stop it again, where all are stopped; by default where a "
        "service has autostart. Where none was verified, the exit status is 8.",
    )
    hedge: float | None = option(
        "--hedge",
        is_flag=False,  # --hedge alone stands for --hedge=3
        flag_value="3",
        type=float,
        metavar="[TIMES]",
        help="Make a rival for a new machine that boots 3 times as long as the others, or TIMES as long: --hedge=4.",
    )
    require: float | str | None = option(
        "--require",
        callback=amount,
        metavar="all|N|SHARE",
        help="How many regions must run for exit status 0: all, a number, or a share such as 60% or 0.6.  "
        "[default: 1; all with a strategy]",
    )
    roll_back: bool = option(
        "--roll-back",
        is_flag=True,
        help="Go back to what was there before if the deploy misses --require: old configs again, and what it made is "
        "destroyed. A deploy cut off by Ctrl-C stays as it is.",
    )

    def applied(self, made: "DeployBuilder", *, has_strategy: bool) -> "DeployBuilder":
        """Return a builder that waits, verifies and rolls back so; it has its config already."""
        made = made.roll_back_on_failure(self.roll_back)
        made = stated("--require", made.require, self.require) if self.require is not None else made
        made = stated("--hedge", made.hedge, self.hedge) if self.hedge is not None else made
        made = stated("--smoke-check", made.smoke_check, self.smoke_check) if self.smoke_check is not None else made
        made = made.verify_stopped(self.verify_stopped) if self.verify_stopped else made
        # 1. By default each machine is awaited as its own config allows: healthy with checks, else started.
        # 2. Not at all: a timeout would bound nothing.
        # 3. As asked, where that can be reached.
        if self.wait is None:
            return stated("--timeout", made.wait_for, timeout=self.timeout)
        if self.wait == "none":
            if self.timeout is not None:
                raise click.UsageError("--timeout bounds the wait, so it cannot go with --wait none")
            return made.wait_for(None)
        if self.wait == "started":
            return stated("--timeout", made.wait_for, "started", timeout=self.timeout)
        from flyasync.models.machine import expected_checks

        # With a strategy the machines that are there may have checks that are not stated here.
        if not (has_strategy or expected_checks(made.config)):
            raise click.UsageError("--wait healthy needs a check to wait for: add --port and --check PATH")
        return stated("--timeout", made.wait_for, "healthy", timeout=self.timeout)


@dataclass(frozen=True, repr=False)
class AppOptions:
    """What one app shall run, and how it comes to that."""

    config: ConfigOptions
    regions: RegionOptions
    change: StrategyOptions
    success: SuccessOptions

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the values that click has read."""
        return cls(
            ConfigOptions.of(params), RegionOptions.of(params), StrategyOptions.of(params), SuccessOptions.of(params)
        )

    def builder(self, app: str) -> "DeployBuilder":
        """Return the builder that the options describe; raises UsageError and InvalidInput for what can never work."""
        from flyasync.deploy.builder import DeployBuilder

        # In this order: waves need regions, and what can be awaited depends on the config.
        made = self.config.applied(DeployBuilder(app))
        made = self.regions.applied(made, self.change.waves)
        made = self.change.applied(made)
        return self.success.applied(made, has_strategy=self.change.strategy is not None)


APP_GROUPS = (ConfigOptions, RegionOptions, StrategyOptions, SuccessOptions)


def stated(option: str, method: "Callable[..., DeployBuilder]", *values: Any, **more: Any) -> "DeployBuilder":
    """Call a method of the builder with the values of an option, which the error for a wrong value names."""
    try:
        return method(*values, **more)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.for_command}") from error


def given(**options: Any) -> dict[str, Any]:
    """Leave out what is None, so that the builder's own default holds."""
    return {name: value for name, value in options.items() if value is not None}
