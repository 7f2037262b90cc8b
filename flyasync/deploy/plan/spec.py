"""DeploySpec: the desired state of an app, and when a deploy counts as successful."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from itertools import chain
from typing import Any, Literal

from attrs import evolve, field, fields, frozen

from flyasync.deploy.plan.config_merge import (
    FINGERPRINT,
    NEW,
    SECRETS,
    SECRETS_VERSION,
    STANDBY_FOR,
    changes,
    managed_before,
    merged,
    observed,
    patched,
)
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.launch_origin import LaunchOrigin
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.deploy.plan.release_command import ReleaseCommand
from flyasync.deploy.plan.strategy import Strategy
from flyasync.deploy.plan.verification import Verification
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.guest import Guest
from flyasync.models.image import at_digest
from flyasync.models.json.codec import unstructure
from flyasync.models.lint.linter import check_app_name, check_config, check_guest, refuse
from flyasync.models.machine import GONE, Machine, expected_checks

Fallback = Literal["skip", "nearest"] | tuple[str, ...]
"""What to do if a region has no room: skip it, use the nearest region with room, or try these regions in order."""

VerifyStopped = Literal["auto", "always", "never"]
"""Whether a deploy to a group whose machines are all stopped starts one per region to verify the new config."""

Waves = tuple[tuple[str, ...], ...]
"""The regions of each wave, in order."""

Goal = Literal["started", "healthy"] | None
"""The state to wait for; None to not wait at all."""

AUTOSTOPPED = frozenset({"stopping", "stopped", "suspending", "suspended"})
"""The states in which autostop leaves a machine."""

GROUP = "fly_process_group"
"""The metadata key with the process group of a machine; flyctl uses it too."""

HOME = "flyasync_region"
"""The metadata key with the region that a machine was created for, even if it fell back to another one."""

_FLYCTL = {"fly_platform_version": "v2"}

_ALIASES = frozenset({"any", "apac", "eu", "na", "sa", "us", "usa"})


def check_region(code: str) -> str:
    """Return `code` if it is a valid region code, else raise InvalidInput."""
    if not isinstance(code, str):
        raise InvalidInput(f"{code!r} is not a region: pass each region as a separate string, such as 'iad', 'lhr'")
    if code in _ALIASES:
        raise InvalidInput(f"{code!r} stands for many regions; name each region, such as 'iad', or use a fallback")
    if not re.fullmatch(r"[a-z]{3}", code):
        hint = f"; did you mean {code.strip().lower()!r}?" if re.fullmatch(r"\s*[A-Za-z]{3}\s*", code) else ""
        raise InvalidInput(f"{code!r} is not a region: a region is three lowercase letters, such as 'iad'{hint}")
    return code


def check_launch(launch: str) -> str:
    """Return `launch` if machine names can be made from it, else raise InvalidInput."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", launch):
        raise InvalidInput(
            f"{launch!r} is not a valid launch name: machine names begin with it, so use 1 to 40 lowercase letters, "
            "digits and inner dashes, such as 'release-42'"
        )
    return launch


@frozen
class Requirement:
    """How many of the desired regions must run: a number, a share of them, or all.

    `is_stated` is true if the user chose the requirement, and so accepts that other regions are missing; it is false
    for a default.
    """

    regions: int | float | Literal["all"] = 1
    is_stated: bool = field(default=False, eq=False, kw_only=True)

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Parse `all`, a number such as `2`, or a share such as `60%`."""
        if text == "all":
            return cls("all")
        if re.fullmatch(r"\d+", text):
            return cls(_checked(int(text)))
        if re.fullmatch(r"\d+(\.\d+)?%", text):
            return cls(_checked(float(text[:-1]) / 100))
        raise InvalidInput(
            f"{text!r} is not a requirement: use 'all', a number of regions such as 2, or a share such as 60%"
        )

    @classmethod
    def of(cls, regions: float | str) -> "Requirement":
        """Return a requirement from `all`, an int from 1, a float share up to 1.0, or the text of one."""
        return cls.parse(regions) if isinstance(regions, str) else cls(_checked(regions))

    def needed(self, desired: int) -> int:
        """Return how many of `desired` regions must run: at least 1."""
        if self.regions == "all":
            return desired
        if isinstance(self.regions, float):
            # Rounded first, so that a rounding error does not make a third of three regions two.
            return max(1, math.ceil(round(self.regions * desired, 9)))
        return self.regions

    def __str__(self) -> str:
        if self.regions == "all":
            return "all regions"
        if isinstance(self.regions, float):
            return f"{self.regions:.0%} of the regions"
        return "at least one region" if self.regions == 1 else f"at least {self.regions} regions"


def _checked(regions: Any) -> int | float:
    if isinstance(regions, bool) or not (0 < regions <= 1 if isinstance(regions, float) else regions >= 1):
        raise InvalidInput(f"{regions!r} is not a requirement: use 'all', a whole number from 1, or a share up to 1.0")
    checked: int | float = regions
    return checked


LaneKey = tuple[str, str]
"""A region, and a group whose machines in it go through a stage together; the group of a launch is an empty text."""


@frozen(kw_only=True)
class DesiredMachine:
    """One desired machine of a process group: the machine with this number in its region. A launch has no group."""

    name: str
    region: str
    number: int
    group: str = ""

    @property
    def lane(self) -> LaneKey:
        """The key of the lane that it is in: its region and group."""
        return self.region, self.group


@frozen(kw_only=True)
class NewGroup:
    """What a group without machines gets if its spec states no regions or no counts.

    It gets one machine in each of `regions`, which come from `source`; in its only region it gets `machines`, for the
    reason `why`. With a `standby`, a further machine stands by for the first.
    """

    regions: tuple[str, ...] = ()
    source: str | None = None
    machines: int = 1
    standby: bool = False
    why: str | None = None


@frozen(kw_only=True)
class GroupSpec:
    """One more process group of a deploy: its own settings. All others, such as the image, are those of the deploy."""

    group: str
    config: MachineConfig = field(factory=MachineConfig)
    counts: Mapping[str, int] = field(factory=dict)
    stated_regions: tuple[str, ...] = field()
    per_region: int | None = None
    volume: DesiredVolume | None = None
    replaces: tuple[str, ...] = ()
    if_new: NewGroup = NewGroup()
    creates_group: bool = False
    source: str | None = None
    in_doubt: Mapping[str, str] = field(factory=dict)
    adopts: tuple[str, ...] = ()

    @stated_regions.default
    def _all_counted(self) -> tuple[str, ...]:
        return tuple(self.counts)

    @classmethod
    def of(cls, spec: "DeploySpec") -> "GroupSpec":
        """Return the settings of the group in a deploy of a single group."""
        return cls(**{name: getattr(spec, name) for name in _OF_A_GROUP})

    def added_to(self, spec: "DeploySpec") -> "DeploySpec":
        """Return the spec of this group alone; all other settings are those of `spec`."""
        return evolve(spec, also=(), **{name: getattr(self, name) for name in _OF_A_GROUP})


_OF_A_GROUP = tuple(each.name for each in fields(GroupSpec))


def _checked_app(_: Any, __: Any, app: str) -> None:
    refuse(check_app_name(app))


@frozen(kw_only=True)
class DeploySpec:
    """The desired state of an app: `counts` machines in each region, with what `config` states.

    `launch` names the deploy. Machines have it in their metadata, so executing the same launch again finds them.
    `timeout` is in seconds per machine, from its creation until it reaches the goal.

    A `strategy` that only adds creates the machines of the launch, and changes no others. Any other strategy converges
    the machines of `group` to this spec, in `waves` of regions (all together if there are none), and destroys the
    machines of `retired_groups`. `smoke` is the number of seconds that a machine has to stay up once it is up. `hedge`
    is the multiple of its siblings' boot time after which a slow machine gets a rival. `verification` has to succeed
    for each machine that is up, before others follow. A plan after which there would be more than `max_machines`
    machines is refused.

    `also` are further groups, which are deployed together with the first one: in one plan, with one rollback. All of
    them run the same image. `groups` has the spec of each group alone.

    `config` is merged by key into the config of each machine, except the fields in `replaces`, which are replaced as a
    whole. A `goal` of `checked` means `healthy` for a machine whose config has checks, else `started`. With
    `only_secrets` each machine of the group keeps its config, and is updated if it may have started with older secrets.
    `source` is the file that states the fields in `replaces` completely: what it does not contain is removed. Fields
    `in_doubt` may be stated under an unknown key of the file, which probably is a typing error: nothing is removed from
    them.

    With `keeps_config` each machine of the group keeps its image and its config, except for what `config` states, and
    new machines are like the others. A machine in which nothing changes is left as it is, even stopped or cordoned.

    The deploy pauses after the wave with the number `pause_after`, from 1, and continues from its journal.

    `digest` is the digest of the image's tag; if the API did not show it, `unresolved` is the reason. `secrets` is the
    fingerprint of the app's secrets, and `secrets_version` the oldest version that machines may start with. `origin` is
    what machines that the launch creates or updates record about it.

    `release` runs before anything changes; after it, in the first deploy of the app, `seed`.

    Of the machines outside the groups, those in `adopts`, by id or name, join the group and are updated like its own;
    `all` stands for those without a group.

    With `public_ips`, the first deploy of an app with public services allocates addresses for it.

    Before `resolved` is called, fields that depend on the strategy may be None, and `counts` has only the regions with
    a count of their own: all other `stated_regions` run `per_region` machines. If the spec `keeps_counts`, regions and
    counts that are not stated are those of the machines that exist; a group without machines gets those of `if_new`. It
    `creates_group` if that takes more than one machine of a region, so that it can be cut short.
    """

    app: str = field(validator=_checked_app)
    launch: str = ""
    config: MachineConfig = field(factory=MachineConfig)
    counts: Mapping[str, int] = field(factory=dict)
    stated_regions: tuple[str, ...] = field()
    per_region: int | None = None
    fallback: Fallback = "skip"
    goal: Goal | Literal["checked"] = "checked"
    timeout: float = 300.0
    requirement: Requirement | None = None
    rolls_back: bool = False
    strategy: Strategy
    group: str = "app"
    waves: Waves = ()
    retired_groups: tuple[str, ...] = ()
    is_visible_to_flyctl: bool = False
    volume: DesiredVolume | None = None
    release: ReleaseCommand | None = None
    seed: ReleaseCommand | None = None
    smoke: float | None = None
    hedge: float | None = None
    secrets_version: int | None = None
    replaces: tuple[str, ...] = ()
    verify_stopped: VerifyStopped = "auto"
    verification: Verification | None = None
    max_machines: int | None = None
    pause_after: int | None = None
    digest: str | None = None
    unresolved: str | None = None
    secrets: str | None = None
    only_secrets: bool = False
    keeps_config: bool = False
    keeps_counts: bool = False
    public_ips: bool = False
    creates_group: bool = False
    if_new: NewGroup = NewGroup()
    source: str | None = None
    in_doubt: Mapping[str, str] = field(factory=dict)
    adopts: tuple[str, ...] = ()
    also: tuple[GroupSpec, ...] = ()
    origin: LaunchOrigin = field(factory=LaunchOrigin)

    @stated_regions.default
    def _all_counted(self) -> tuple[str, ...]:
        return tuple(self.counts)

    def resolved(self) -> "DeploySpec":
        """Return the spec with all counts, and with the defaults of the strategy; the launch must be named.

        Raises InvalidInput if the spec contradicts itself, or if the API would refuse it.
        """
        if self.also and self.strategy.only_adds:
            raise InvalidInput(
                f"groups that are deployed together ({', '.join(self.group_names)}) need a strategy, such as rolling: "
                "a deploy without one only adds machines of one config"
            )
        if self.strategy.only_adds and self.adopts:
            raise InvalidInput(
                "a deploy without a strategy only adds machines, so it cannot adopt any",
                python="choose a strategy, such as rolling()",
                command="leave out --add",
            )
        if self.verification and self.goal is None:
            raise InvalidInput(
                "a machine is verified once it is up, so the deploy has to wait for it",
                python="leave out wait_for(None)",
                command="leave out --wait none",
            )
        spec = self.changed(DeploySpec.resolved_alone)
        if self.pause_after is not None:
            self._check_pause(self.pause_after)
        if not spec.keeps_counts:
            return spec.checked()
        # The counts are not known before the fleet is observed, but no region keeps less than one machine.
        if all(group.stated_regions for group in spec.groups):
            spec.changed(DeploySpec.counted).checked()
        return spec

    def counted(self) -> "DeploySpec":
        """Return the spec of a group with a count for each stated region: the stated one, or one machine."""
        counts = {region: self.counts.get(region, self.per_region or 1) for region in self.stated_regions}
        return evolve(self, counts=counts, per_region=None)

    def checked(self) -> "DeploySpec":
        """Return the spec; raises InvalidInput if its groups, regions and counts do not fit together."""
        if self.only_secrets:
            return self
        if none := next((each.group for each in self.groups if not any(each.counts.values())), None):
            raise InvalidInput(
                f"every region has a count of 0, which would destroy all machines of the group {none}",
                python=f"to do so, deploy the other groups with retire_groups({none!r})",
                command=f"to do so, deploy the other groups with --retire-group {none}",
            )
        # Machines are named by their group, in which an underscore becomes a dash.
        names = Counter(group.group.replace("_", "-") for group in self.groups)
        if twice := [name for name, count in names.items() if count > 1]:
            raise InvalidInput(f"two process groups would both name their machines {twice[0]}-…: rename one of them")
        if self.waves and sorted(chain(*self.waves)) != sorted(self.regions):
            raise InvalidInput("the waves have other regions than the deploy: each region must be in exactly one wave")
        running = sum(count > 0 for count in self.asked.values())
        if self.required.needed(running) > running:
            raise InvalidInput(
                f"the deploy requires {self.required}, but has only {running}",
                python="require fewer with require(…), or add regions with to_regions(…)",
                command="require fewer with --require, or add regions with --region",
            )
        return self

    def resolved_alone(self) -> "DeploySpec":
        """Return the resolved spec of a single group; raises InvalidInput."""
        defaults = evolve(
            self,
            requirement=self.required,
            smoke=self.strategy.default_smoke if self.smoke is None else self.smoke,
        )
        # 1. If only the secrets change, regions and counts are those of the existing machines.
        if self.only_secrets:
            asked = {
                "a config": self.config != MachineConfig(),
                "regions": self.stated_regions,
                "waves": self.waves,
                "a volume": self.volume,
                "a release command": self.release,
                "a seed command": self.seed,
                "retire_groups": self.retired_groups,
                "adopt": self.adopts,
                self.strategy.name: self.strategy.replaces_machines,
            }
            if excess := [name for name, is_asked in asked.items() if is_asked]:
                raise InvalidInput(
                    "only_secrets keeps the machines and their configs, so "
                    f"{' and '.join(excess)} cannot be combined with it"
                )
            return evolve(defaults, counts={})

        # 2. Otherwise the regions are those stated, each with its count.
        self._check_kept()
        if not self.group:
            raise InvalidInput("machines without a process group can only get new secrets: use only_secrets()")
        if not (self.stated_regions or self.keeps_counts):
            raise InvalidInput(
                "no region to deploy to",
                python="add some with to_regions('iad', …)",
                command="add some with --region",
            )
        if self.stated_regions and (strangers := set(self.counts) - set(self.stated_regions)):
            raise InvalidInput(f"count names {', '.join(sorted(strangers))}, which is not among the regions")
        config, volume = self._config_and_volume()
        if config.size and not config.guest and not self.strategy.only_adds:
            # Machines are compared by the guest that a named size stands for.
            config = evolve(config, guest=Guest.of_size(config.size), size=None)
        spec = evolve(defaults, config=config, volume=volume)
        spec = spec if self.keeps_counts else spec.counted()

        # 3. Checks: what the strategy cannot do, contradictions, and what the API would refuse.
        self.strategy.check(spec)
        found = check_config(self.config, volumes_by_name=True)
        refuse(each for each in found if not (self.keeps_config and each.path == "image"))
        return spec

    def _check_kept(self) -> None:
        """Raise InvalidInput for what cannot be stated if each machine keeps its config."""
        asked = {
            "an image": self.config.image,
            "a mount": self.config.mounts,
            "a volume": self.volume,
            "a release command": self.release,
            "a seed command": self.seed,
            "replace": self.replaces,
            "adopt": self.adopts,
            self.strategy.name: self.strategy.replaces_machines,
        }
        if self.keeps_config and (excess := [name for name, is_asked in asked.items() if is_asked]):
            raise InvalidInput(
                "keep_config keeps the machines with their images and volumes, so "
                f"{' and '.join(excess)} cannot be combined with it"
            )

    def _config_and_volume(self) -> tuple[MachineConfig, DesiredVolume | None]:
        """Return the config without a mount that names its volume, and that volume; raises InvalidInput."""
        mounts = self.config.mounts or ()
        if len(mounts) != 1 or mounts[0].volume_name is None:
            return self.config, self.volume
        named = DesiredVolume.of_mount(mounts[0])
        if self.volume and (self.volume.name, self.volume.path) != (named.name, named.path):
            raise InvalidInput(
                f"the config mounts the volume {named.name} at {named.path}, but the volume {self.volume.name} at "
                f"{self.volume.path} is stated as well: a machine can mount only one, so remove one of them"
            )
        return evolve(self.config, mounts=None), self.volume or named

    def is_new(self, machines: Iterable[Machine]) -> bool:
        """Whether a group with these machines is new: it has none, or its first deploy is not complete."""
        there = [machine for machine in machines if machine.state not in GONE]
        return not there or any(NEW in machine.metadata for machine in there)

    def _check_pause(self, wave: int) -> None:
        """Raise InvalidInput unless another wave follows the one with this number."""
        count = len(self.waves)
        if count < 2:  # noqa: PLR2004 - one wave is followed by none
            raise InvalidInput(
                f"a deploy can pause after wave {wave} only if its regions are in several waves",
                python="use waves(…) or region_by_region()",
                command="add --waves, or --region-by-region with several regions",
            )
        if not 0 < wave < count:
            raise InvalidInput(
                f"pause after wave {wave}: the deploy has {count} waves, so this is a number from 1 to {count - 1}"
            )

    @property
    def required(self) -> Requirement:
        """The stated requirement, or the default of the strategy."""
        return self.requirement or Requirement.of(self.strategy.default_requirement)

    @cached_property
    def groups(self) -> tuple["DeploySpec", ...]:
        """The deploy of each group alone, in the order given."""
        return (evolve(self, also=()), *(group.added_to(self) for group in self.also)) if self.also else (self,)

    def changed(self, change: Callable[["DeploySpec"], "DeploySpec"]) -> "DeploySpec":
        """Return the deploy with a change to each of its groups."""
        first, *others = map(change, self.groups)
        return evolve(first, also=tuple(map(GroupSpec.of, others)))

    def of(self, machine: DesiredMachine) -> "DeploySpec":
        """Return the deploy of the machine's group alone; that of the first group for a machine of no group."""
        return next((each for each in self.groups if each.group == machine.group), self.groups[0])

    @property
    def group_names(self) -> tuple[str, ...]:
        """The names of the groups, in the order given."""
        return tuple(each.group for each in self.groups)

    @property
    def asked(self) -> Mapping[str, int]:
        """The desired number of machines of each region, over all groups."""
        asked: Counter[str] = Counter()
        for group in self.groups:
            asked.update(group.counts)
        return {region: asked[region] for group in self.groups for region in group.counts}

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that have a count, in order."""
        return tuple(self.asked)

    @property
    def strategy_name(self) -> str | None:
        """The name of the strategy in plans and reports; None for a launch, which only adds machines."""
        return None if self.strategy.only_adds else self.strategy.name

    @property
    def image(self) -> str:
        """The image to run, with its digest if that is known."""
        return at_digest(self.config.image, self.digest) if self.config.image else "the machines' own images"

    def machines(self, region: str) -> tuple[DesiredMachine, ...]:
        """Return the machines of the launch in `region`."""
        return tuple(
            DesiredMachine(name=f"{self.launch}-{region}-{number}", region=region, number=number)
            for number in range(1, self.counts[region] + 1)
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the config; machines have it in their metadata, so that one launch has one config."""
        written = json.dumps(unstructure(self._base), sort_keys=True)
        return sha256(written.encode()).hexdigest()[:16]

    @property
    def fingerprint_of_all(self) -> str:
        """The fingerprints of the configs of all groups."""
        return " ".join(group.fingerprint for group in self.groups)

    @property
    def _base(self) -> MachineConfig:
        """The config with the metadata that makes a machine a member of the group."""
        if self.strategy.only_adds:
            return self.config
        flyctl = _FLYCTL if self.is_visible_to_flyctl else {}
        return evolve(self.config, metadata={**(self.config.metadata or {}), GROUP: self.group, **flyctl})

    @cached_property
    def tagged(self) -> MachineConfig:
        """The stated config with its metadata marks; for a machine that does not exist yet, the whole config."""
        base = self._base
        image = base.image and self.image
        stated = evolve(base, image=image, metadata={**(base.metadata or {}), FINGERPRINT: self.fingerprint})
        stated = self.starting(stated)
        return stated if self.strategy.only_adds else merged(MachineConfig(), stated)

    def starting(self, config: MachineConfig) -> MachineConfig:
        """Return a config with the marks of the current secrets, with which a machine that gets it now starts."""
        marks = {SECRETS: self.secrets, SECRETS_VERSION: self.secrets_version and str(self.secrets_version)}
        known = {key: value for key, value in marks.items() if value}
        return evolve(config, metadata={**(config.metadata or {}), **known}) if known else config

    def desired(self, config: MachineConfig) -> MachineConfig:
        """Return the config that a machine of the group with this config will have.

        Fields that the deploy does not set stay as they are. A standby gets no services. Raises InvalidInput if
        services conflict.
        """
        if self.only_secrets:
            return self.starting(config)
        # The API refuses a standby with services.
        stated = self.config if self.keeps_config else self.tagged
        stated = evolve(stated, services=None) if config.standbys else stated
        if self.keeps_config:
            made = patched(config, stated)
            # Parts of a guest may not go with those that a machine has.
            refuse(check_guest(made.guest) if stated.guest and made.guest else ())
            return self.starting(made) if changes(config, made) else config
        desired = merged(config, stated, replace=self.replaces)
        # Of a standby, the variable that names its machine belongs to this one machine.
        if config.standbys and (of := (config.env or {}).get(STANDBY_FOR)):
            desired = evolve(desired, env={**(desired.env or {}), STANDBY_FOR: of})
        if self.volume is None:
            return desired
        # An update cannot change which volume is mounted: the API binds a machine to its volume when it creates it.
        return evolve(desired, mounts=self.volume.mounts(desired.mounts) if desired.mounts else ())

    def explained(self, found: Iterable[Change]) -> tuple[Change, ...]:
        """Return changes of a machine's config, with the reason for those that remove what a file does not contain."""
        if self.source is None:
            return tuple(found)
        # A name such as `init.cmd` or `env`, and what is inside it.
        complete = re.compile(rf"({'|'.join(map(re.escape, (*self.replaces, 'mounts')))})\b")
        why = f"not in {self.source}"
        return tuple(
            evolve(each, why=why) if each.new is None and complete.match(each.path) else each for each in found
        )

    def made(self, machine: Machine) -> bool:
        """Whether a machine was created with this config, according to its metadata."""
        return machine.metadata.get(FINGERPRINT) == self.fingerprint

    def fits(self, machine: Machine) -> bool:
        """Whether a machine's config needs no change."""
        current = observed(machine)
        return current is not None and not changes(current, self.desired(current))

    def role(self, machine: Machine) -> Role:
        """Return the role of a machine, even if its complete config is not known.

        A machine whose schedule was set by deploys is an ordinary member, whether this deploy changes or removes it.
        """
        config = machine.config or machine.incomplete_config
        if config is None or not config.schedule:
            return role(config)
        # The schedule is then part of the deployed config, like the image.
        is_ours = self.config.schedule is not None or "schedule" in managed_before(config)
        return role(evolve(config, schedule=None) if is_ours else config)

    def members(self, machines: Iterable[Machine]) -> tuple[Machine, ...]:
        """Return the machines of a group that count: all but the standbys.

        Scheduled machines count only if there are no others.
        """
        counted = [machine for machine in machines if self.role(machine) is not Role.STANDBY]
        plain = [machine for machine in counted if self.role(machine) is Role.MEMBER]
        return tuple(plain or counted)

    def goal_of(self, config: MachineConfig | None) -> Goal:
        """Return the state to wait for if a machine has this config; None if it need not run."""
        if role(config) is not Role.MEMBER:
            return None
        if self.goal == "checked" or self.goal == "healthy":  # noqa: PLR1714 - so that the types are known
            return "healthy" if expected_checks(config) else "started"
        return self.goal

    def time_for_checks(self, config: MachineConfig | None) -> float:
        """Return how many seconds after its start a machine's checks may still fail.

        For each check that is the sum of its grace period, interval and timeout; the longest one counts.
        """
        in_services = (check for service in (config and config.services) or () for check in service.checks or ())
        checks = (*((config and config.checks) or {}).values(), *in_services)
        return max((sum(map(float, (c.grace_period or 0, c.interval or 0, c.timeout or 0))) for c in checks), default=0)

    def may_verify(self, config: MachineConfig | None) -> bool:
        """Whether a stopped machine with this config may be started to verify it.

        By default this is so if the proxy would start it for a request.
        """
        if self.goal is None or self.verify_stopped == "never":
            return False
        # A request would start it anyway, so its owner expects that it may start.
        is_started_by_proxy = any(service.autostart for service in (config and config.services) or ())
        return self.verify_stopped == "always" or (is_started_by_proxy and role(config) is Role.MEMBER)

    def rests(self, machine: Machine, config: MachineConfig | None) -> bool:
        """Whether autostop has stopped a machine with this config, and its process did not fail."""
        autostops = any(service.autostop not in {None, "off"} for service in (config and config.services) or ())
        return autostops and machine.state in AUTOSTOPPED and not machine.has_crashed

    def is_up(self, machine: Machine, config: MachineConfig | None) -> bool:
        """Whether a machine with this config is in the state that the deploy waits for."""
        if role(config) is not Role.MEMBER:
            return machine.is_alive
        if machine.has_crashed:
            return False
        goal = self.goal_of(config)
        if goal is None:
            return machine.is_alive
        # A check that has not reported yet is missing in the response, so as many as the config has must pass.
        if goal == "healthy" and machine.state == "started":
            return machine.is_healthy and len(machine.reported_checks) >= expected_checks(config)
        return machine.state == "started" or self.rests(machine, config)
