"""The options that describe the desired state of an app, and their builder; rows of `flyasync bulk` have them too."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

import click

from flyasync.cli.shared.completion import groups, machines, region_codes
from flyasync.cli.shared.option_groups import OptionGroup, Options, option
from flyasync.cli.shared.option_types import Counts, amount, counts, fallback, pairs, regions, variables, volume, waves
from flyasync.deploy.plan.strategies.registry import NAMES, strategies
from flyasync.errors import InvalidInput

if TYPE_CHECKING:
    from flyasync.deploy.builder import DeployBuilder

REGION = re.compile(r"[a-z]{3}")

# Options that are parameters of a strategy under another name.
PARAMETERS = {"canaries": "machines"}


def env_option(what: str) -> Any:
    """Return the option for variables, whose help begins with `what`."""
    text = f"{what} A NAME alone takes its value from the environment of the command."
    return option("--env", metavar="NAME[=VALUE]", multiple=True, callback=variables, help=text)


def metadata_option(what: str) -> Any:
    """Return the option for metadata, with this help."""
    return option("--metadata", metavar="NAME=VALUE", multiple=True, callback=pairs, help=what)


class ConfigOptions(OptionGroup):
    """The config of each machine."""

    title = "What to run"

    image: str | None = option(
        "--image",
        metavar="REF",
        help="Image to run. The tag is resolved once, so that all machines run the same digest.",
    )
    size: str | None = option(
        "--size", metavar="NAME", help="Named size, such as shared-cpu-2x; --memory can raise its memory."
    )
    cpus: int | None = option("--cpus", type=click.IntRange(min=1), metavar="N", help="Shared CPUs of each machine.")
    memory: int | None = option(
        "--memory", type=click.IntRange(min=1), metavar="MB", help="Memory of each machine in MB."
    )
    env: Mapping[str, str] = env_option("Environment variable; may be repeated. For secrets use flyasync secrets.")
    metadata: Mapping[str, str] = metadata_option("Metadata of each machine; may be repeated.")
    port: int | None = option(
        "--port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="Port of the web server in the machine; the proxy serves it on ports 80 and 443.",
    )
    check: str | None = option(
        "--check",
        metavar="PATH",
        help="Path on --port for an HTTP check; a machine gets traffic once the check passes.",
    )
    # Separated by colons, as in docker.
    volume: tuple[str, str, int] | None = option(
        "--volume",
        metavar="NAME:PATH[:SIZE_GB]",
        callback=volume,
        help="Volume for each machine: an unattached one of that name, else a new one of 1 GB or SIZE_GB.",
    )
    if_volume_lost: Literal["fork", "new"] | None = option(
        "--if-volume-lost",
        type=click.Choice(["fork", "new"]),
        help="What to do with the volume of a machine whose host is lost: fork it, or create an empty one. By default "
        "the machine is not replaced.",
    )

    def applied(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder with this image, guest, environment, metadata, volume and service."""
        made = made if self.image is None else stated("--image", made.with_image, self.image)
        # A named size includes the CPUs and the minimum memory for them; --memory may raise it.
        if self.size is not None and self.cpus is not None:
            raise click.UsageError("--size includes the CPUs, so it cannot be combined with --cpus")
        if self.size is not None:
            made = stated(f"--size {self.size}", made.with_size, self.size, memory_mb=self.memory)
        elif (self.cpus, self.memory) != (None, None):
            option = "--cpus" if self.memory is None else "--cpus and --memory" if self.cpus else "--memory"
            made = stated(option, made.with_guest, cpus=self.cpus, memory_mb=self.memory)
        # An empty map would count as stated, and so remove the variables that an earlier deploy has set.
        made = made.with_env(self.env) if self.env else made
        made = made.with_metadata(self.metadata) if self.metadata else made
        if self.volume:
            name, path, size_gb = self.volume
            attach = partial(made.with_volume, name, path, size_gb=size_gb, if_lost=self.if_volume_lost)
            made = stated("--volume", attach, options={"size_gb": "--volume: SIZE_GB"})
        if self.port is None and self.check is not None:
            raise click.UsageError("--check is a path on --port, so it needs --port")
        made = made if self.port is None else made.with_service(internal_port=self.port)
        if self.check is None:
            return made
        from attrs import evolve

        from flyasync.models.service import Check

        # The proxy sends requests only to machines that pass the checks of the service, so the check belongs there.
        if not self.check.startswith("/"):
            raise click.UsageError(f"--check is {self.check!r}, but must be a path that starts with a slash")
        check = Check(type="http", method="get", path=self.check, interval=10, timeout=5)
        services = tuple(evolve(service, checks=(check,)) for service in made.config.services or ())
        return made.with_config(evolve(made.config, services=services))


class RegionOptions(OptionGroup):
    """The regions, and the number of machines in each."""

    title = "Regions"

    # Not required by click: --waves can name the regions, and --resume and --undo need none.
    region: tuple[str, ...] = option(
        "--region",
        multiple=True,
        callback=regions,
        shell_complete=region_codes,
        metavar="CODE",
        help="Region to deploy to; may be repeated or a list: iad,lhr.",
    )
    count: Counts = option(
        "--count",
        multiple=True,
        callback=counts,
        metavar="N|CODE=N|GROUP=N[@CODE]",
        help="Machines in each region, in one, or of one group; may be repeated or a list: 2,iad=5,lhr=0,worker=3@iad. "
        "0 destroys the machines of a region.  [default: as many as there are; 1 in a region without machines]",
    )
    # The default is written in the help text, because click would show a tuple.
    fallback: tuple[str, ...] = option(
        "--fallback",
        default=("skip",),
        multiple=True,
        callback=fallback,
        metavar="skip|nearest|CODE",
        help="What to do if a region has no capacity: skip the machine, create it in the nearest region with "
        "capacity, or try these regions in order; may be repeated or a list: ewr,ord.  [default: skip]",
    )
    max_machines: int | None = option(
        "--max-machines",
        type=click.IntRange(min=1),
        metavar="N",
        help="Refuse a plan after which there would be more than N machines in the groups that it changes, or, without "
        "a strategy, in the app.",
    )
    create_app: str | None = option(
        "--create-app",
        alone="",
        metavar="[ORG]",
        help="Create the app if it does not exist, in ORG or by default in the token's only organization, otherwise in "
        "personal.",
    )

    def applied(self, made: "DeployBuilder", waves: tuple[tuple[str, ...], ...]) -> "DeployBuilder":
        """Return a builder with these regions, in these waves if there are any; the waves can name the regions."""
        # Waves order the regions of --region, or replace that option.
        in_waves = tuple(code for wave in waves for code in wave)
        named = self.region or in_waves
        if waves and sorted(named) != sorted(in_waves):
            raise click.UsageError(
                "--waves and --region name different regions: leave out --region, or use the same regions"
            )
        # A name is that of a group of the deploy, or else the three letters of a region. A count for a region that
        # is not among those of --region is a typo in one of the two options.
        groups = made.spec.group_names
        codes = {code for code in self.count.regions if code not in groups and REGION.fullmatch(code)}
        if named and (unknown := sorted(codes - set(named))):
            raise click.UsageError(
                f"--count names {', '.join(unknown)}, which is not among the regions: add it to --region"
            )
        made = stated("--fallback", made.fallback, *self.fallback)
        if named:
            made = stated("--region" if self.region else "--waves", made.to_regions, *named)
        for name, code, count in self.count.stated:
            is_group = code or name in groups or not REGION.fullmatch(name or "any")
            group, region = (name, code) if is_group else (None, name)
            per_region, by_region = (count, {}) if region is None else (None, {region: count})
            change = made.count if group is None else partial(made.count_group, group)
            made = stated("--count", partial(change, per_region, **by_region))
        made = made.max_machines(self.max_machines)
        return made.waves(*waves) if waves else made


class StrategyOptions(OptionGroup):
    """How the fleet is changed to the desired state."""

    title = "Strategy"

    # None stands for the default of the builder, which the help text repeats.
    strategy: str | None = option(
        "--strategy",
        type=click.Choice(NAMES),
        help="How the machines are changed to the desired image, config and counts.  [default: that of the fly.toml, "
        "else rolling; in bulk, none: machines are only added]",
    )
    max_unavailable: float | str | None = option(
        "--max-unavailable",
        callback=amount,  # a number or a text, which the builder parses
        metavar="N|SHARE",
        help="rolling, canary: how many machines of a region may be unavailable at once: a number, or a share such as "
        "33%.  [default: 33%]",
    )
    canaries: float | str | None = option(
        "--canaries",
        callback=amount,
        metavar="N|SHARE",
        help="canary: how many machines are updated first.  [default: 1]",
    )
    soak: float | None = option(
        "--soak", type=float, metavar="SECONDS", help="canary: how long to watch them.  [default: 60]"
    )
    drain: float | None = option(
        "--drain",
        type=float,
        metavar="SECONDS",
        help="bluegreen: time from the cordon of an old machine to its stop.  [default: 10]",
    )
    waves: tuple[tuple[str, ...], ...] = option(
        "--waves",
        metavar="CODES/CODES",
        callback=waves,
        help="Regions in waves, such as iad/lhr,nrt: each wave starts when the last one is done. Can replace --region.",
    )
    region_by_region: bool = option(
        "--region-by-region", is_flag=True, help="Make each --region a separate wave, in the order given."
    )
    group: tuple[str, ...] = option(
        "--group",
        multiple=True,
        metavar="NAME",
        shell_complete=groups,
        help="Process group to change; other machines stay as they are. May be repeated with a fly.toml "
        "or --undo.  [default: all groups of the fly.toml; app without one]",
    )
    retire_group: tuple[str, ...] = option(
        "--retire-group",
        multiple=True,
        metavar="NAME",
        shell_complete=groups,
        help="Destroy the machines of this process group at the end; may be repeated.",
    )
    adopt: tuple[str, ...] = option(
        "--adopt",
        multiple=True,
        metavar="[GROUP=]MACHINE|all",
        shell_complete=machines,
        help="Take a machine outside the groups, by its id or name, into the group, and update it like the others; all "
        "takes those without a process group. May be repeated.",
    )
    replace: tuple[str, ...] = option(
        "--replace",
        multiple=True,
        metavar="FIELD",
        help="Replace this field of the config as a whole, such as services or env; by default the given values are "
        "merged by key into the config of each machine. May be repeated.",
    )
    visible_to_flyctl: bool = option("--visible-to-flyctl", is_flag=True, help="Let flyctl manage these machines.")
    release_command: str | None = option(
        "--release-command",
        metavar="CMD",
        help="Run this on a temporary machine before anything changes; continue only if its exit code is 0.",
    )
    release_timeout: float | None = option(
        "--release-timeout", type=float, metavar="SECONDS", help="Time limit of the release command.  [default: 300]"
    )

    seed_command: str | None = option(
        "--seed-command",
        metavar="CMD",
        help="Run this once, in the first deploy of the app, after the release command; continue only if its exit code "
        "is 0.",
    )

    def applied(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder with this strategy, group and release command; `made` has its regions already."""
        made = stated("--retire-group", self.changing(made).retire_groups, *self.retire_group)
        for each in self.adopt:
            group, _, machine = each.rpartition("=")
            made = stated("--adopt", made.adopt, machine, group=group or None)
        made = made.visible_to_flyctl() if self.visible_to_flyctl else made
        # The waves consist of the regions that the builder has by now.
        made = made.region_by_region() if self.region_by_region else made
        return self.releasing(stated("--replace", made.replace, *self.replace) if self.replace else made)

    def changing(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that changes this group by this strategy."""
        # The groups of a fly.toml are chosen when it is read.
        if self.group and self.group != made.spec.group_names:
            only, *others = self.group
            if others:
                raise click.UsageError(
                    f"--group names {' and '.join(self.group)}, but only a fly.toml has several groups"
                )
            made = stated("--group", made.process_group, only)
        if self.strategy is None:
            return made
        # The builder has a method of the same name for each strategy, which takes the strategy's parameters.
        by_parameter = {parameter: name for name, parameter in PARAMETERS.items()}
        taken = strategies()[self.strategy].parameters()
        values = {name: getattr(self, by_parameter.get(name, name), None) for name in taken}
        options = {parameter: f"--{by_parameter.get(parameter, parameter).replace('_', '-')}" for parameter in taken}
        change = partial(getattr(made, self.strategy), **given(**values))
        return stated(f"--strategy {self.strategy}", change, options=options)

    def releasing(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that runs the release command and the seed command, if there are any."""
        return with_seed(with_release(made, self.release_command, self.release_timeout), self.seed_command)


class SuccessOptions(OptionGroup):
    """When a machine counts as ready, and when the deploy counts as ok."""

    title = "Success"

    wait: str | None = option(
        "--wait",
        type=click.Choice(["started", "healthy", "none"]),
        help="What to wait for; by default healthy for a machine with checks, else started.",
    )
    timeout: float | None = option(
        "--timeout", type=float, metavar="SECONDS", help="Time limit for each machine.  [default: 300]"
    )
    smoke_check: float | None = option(
        "--smoke-check",
        type=float,
        metavar="SECONDS",
        help="How long a ready machine has to stay ready.  [default: 10; 0 where machines are only added]",
    )
    verify_stopped: Literal["auto", "always", "never"] | None = option(
        "--verify-stopped",
        type=click.Choice(["auto", "always", "never"]),
        help="Whether to start one machine of each region as a test, and stop it again, if all machines are stopped. "
        "By default (auto) only if a service has autostart. If no machine was verified, the exit status is 8.",
    )
    verify: str | None = option(
        "--verify",
        metavar="CMD",
        help="Run CMD in a shell for each machine that is up, before others follow: an exit status other than 0 is a "
        "failure of the machine. CMD gets $FLY_MACHINE_ID, $FLY_REGION, $FLY_PRIVATE_IP, $FLY_APP_NAME, "
        "$FLY_MACHINE_NAME, $FLY_PROCESS_GROUP and $FLY_IMAGE_REF.",
    )
    verify_timeout: float | None = option(
        "--verify-timeout", type=float, metavar="SECONDS", help="Time limit of each run of --verify.  [default: 60]"
    )
    hedge: float | None = option(
        "--hedge",
        alone="3",
        type=float,
        metavar="[TIMES]",
        help="Create a second machine if a boot takes 3 times as long as the others, or TIMES as long: --hedge=4.",
    )
    require: float | str | None = option(
        "--require",
        callback=amount,
        metavar="all|N|SHARE",
        help="How many regions must run for exit status 0: all, a number, or a share such as 60% or 0.6. By default "
        "all, or one where machines are only added. Without --require, a deploy that meets the default but is "
        "incomplete is degraded: exit status 7.",
    )
    roll_back: bool = option(
        "--roll-back",
        is_flag=True,
        help="If the deploy misses --require, restore the previous configs, and destroy the machines that it created. "
        "A deploy that Ctrl-C stops is not rolled back.",
    )

    def applied(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that waits, verifies and rolls back in this way; `made` has its config already."""
        made = made.roll_back_on_failure(self.roll_back)
        made = stated("--require", made.require, self.require) if self.require is not None else made
        made = stated("--hedge", made.hedge, self.hedge) if self.hedge is not None else made
        made = stated("--smoke-check", made.smoke_check, self.smoke_check) if self.smoke_check is not None else made
        made = made.verify_stopped(self.verify_stopped) if self.verify_stopped else made
        made = self.verifying(made)
        # 1. The default depends on the config of each machine: healthy with checks, else started.
        # 2. No wait: a timeout would have no effect.
        # 3. The given goal, if machines can reach it.
        if self.wait is None:
            return stated("--timeout", made.wait_for, timeout=self.timeout)
        if self.wait == "none":
            if self.timeout is not None:
                raise click.UsageError("--timeout limits the wait, so it cannot be combined with --wait none")
            return made.wait_for(None)
        if self.wait == "started":
            return stated("--timeout", made.wait_for, "started", timeout=self.timeout)
        from flyasync.models.machine import expected_checks

        # With a strategy, existing machines may have checks that are not stated here.
        if made.spec.strategy.only_adds and not expected_checks(made.config):
            raise click.UsageError("--wait healthy needs a check to wait for: add --port and --check PATH")
        return stated("--timeout", made.wait_for, "healthy", timeout=self.timeout)

    def verifying(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that verifies each machine from outside, if there is a command for it."""
        return with_verification(made, self.verify, self.verify_timeout)


class AppOptions(Options):
    """The desired state of one app, and how to reach it."""

    config: ConfigOptions
    regions: RegionOptions
    change: StrategyOptions
    success: SuccessOptions

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the values that click has read."""
        return cls(
            config=ConfigOptions.of(params),
            regions=RegionOptions.of(params),
            change=StrategyOptions.of(params),
            success=SuccessOptions.of(params),
        )

    def applied(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder with these options; raises UsageError and InvalidInput for invalid ones."""
        # The order matters: waves need regions, and the goal of the wait depends on the config.
        made = self.config.applied(made)
        made = self.regions.applied(made, self.change.waves)
        made = self.change.applied(made)
        return self.success.applied(made)


def with_release(made: "DeployBuilder", command: str | None, timeout: float | None) -> "DeployBuilder":
    """Return a builder that runs a release command, if there is one, with its time limit in seconds."""
    if command is None:
        return made
    run = partial(made.with_release_command, command, **given(timeout=timeout))
    return stated("--release-command", run, options={"timeout": "--release-timeout"})


def with_seed(made: "DeployBuilder", command: str | None) -> "DeployBuilder":
    """Return a builder that runs a seed command, if there is one."""
    return made if command is None else stated("--seed-command", made.with_seed_command, command)


def with_verification(made: "DeployBuilder", command: str | None, timeout: float | None) -> "DeployBuilder":
    """Return a builder that verifies machines by a command, if there is one, with its time limit in seconds."""
    if command is None:
        return made
    check = partial(made.verify, command, **given(timeout=timeout))
    return stated("--verify", check, options={"timeout": "--verify-timeout"})


APP_GROUPS = (ConfigOptions, RegionOptions, StrategyOptions, SuccessOptions)


def stated(
    option: str,
    method: "Callable[..., DeployBuilder]",
    *values: Any,
    options: Mapping[str, str] = MappingProxyType({}),
    **more: Any,
) -> "DeployBuilder":
    """Call a method of the builder with the values of an option; the error for an invalid value names the option.

    `options` are the options of those parameters of the method that have one of their own.
    """
    try:
        return method(*values, **more)
    except InvalidInput as error:
        raise InvalidInput(error.for_option(options.get(error.parameter, option))) from error


def given(**options: Any) -> dict[str, Any]:
    """Return the options that are not None, so that the defaults of the builder apply to the others."""
    return {name: value for name, value in options.items() if value is not None}
