"""What a deploy can be told: the methods that shape a DeployBuilder."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from secrets import token_hex
from typing import Any, Literal, Self

from attrs import evolve, field, frozen

from flyasync.deploy.plan.config_merge import REPLACEABLE
from flyasync.deploy.plan.release_command import ReleaseCommand
from flyasync.deploy.plan.spec import (
    DeploySpec,
    DesiredVolume,
    Fallback,
    Goal,
    Requirement,
    VerifyStopped,
    Waves,
    check_launch,
    check_region,
)
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.immediate import Immediate
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Share, Strategy, demand_seconds
from flyasync.deploy.reporting.events import OnEvent
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest
from flyasync.models.lint.linter import check_app_name, check_config, check_guest, check_image, refuse
from flyasync.models.service import Check, Port, Service

MOST = 1000
"""How many machines of one region a deploy may want; more of one app is a slip, for no organization has them."""


@frozen
class Settings:
    """What a deploy has been told so far; each method gives a changed copy."""

    app: str
    config: MachineConfig = field(factory=MachineConfig, kw_only=True)
    _regions: tuple[str, ...] = field(default=(), kw_only=True)
    _count: int = field(default=1, kw_only=True)
    _counts: Mapping[str, int] = field(factory=dict, kw_only=True)
    _launch: str | None = field(default=None, kw_only=True)
    _fallback: Fallback = field(default="skip", kw_only=True)
    _goal: Goal | Literal["checked"] = field(default="checked", kw_only=True)
    _timeout: float = field(default=300.0, kw_only=True)
    _requirement: Requirement | None = field(default=None, kw_only=True)
    _strategy: Strategy = field(default=Launch(), kw_only=True)
    _waves: Waves = field(default=(), kw_only=True)
    _group: str = field(default="app", kw_only=True)
    _retired_groups: tuple[str, ...] = field(default=(), kw_only=True)
    _is_visible_to_flyctl: bool = field(default=False, kw_only=True)
    _volume: DesiredVolume | None = field(default=None, kw_only=True)
    _release: ReleaseCommand | None = field(default=None, kw_only=True)
    _smoke: float | None = field(default=None, kw_only=True)
    _hedge: float | None = field(default=None, kw_only=True)
    _secrets_version: int | None = field(default=None, kw_only=True)
    _replaces: tuple[str, ...] = field(default=(), kw_only=True)
    _verify_stopped: VerifyStopped = field(default="auto", kw_only=True)
    _digest: str | None = field(default=None, kw_only=True)
    _only_secrets: bool = field(default=False, kw_only=True)
    _journal: str | None = field(default=None, kw_only=True)
    _rolls_back: bool = field(default=False, kw_only=True)
    _onlookers: tuple[OnEvent, ...] = field(default=(), kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        refuse(check_app_name(self.app))

    def for_app(self, app: str) -> Self:
        """Deploy the same to another app."""
        return evolve(self, app=app)

    def to_regions(self, *regions: str) -> Self:
        """Deploy to these regions, by their codes, in place of any named before."""
        for region in regions:
            check_region(region)
        for region, times in Counter(regions).items():
            if times > 1:
                raise InvalidInput(f"{region!r} is listed twice; for two machines in it, use count({region}=2)")
        return evolve(self, regions=regions)

    def count(self, per_region: int | None = None, /, **by_region: int) -> Self:
        """Run so many machines in each region, or in those named: `count(2, iad=5)`. The default is one.

        With a strategy, `count(lhr=0)` retires those of a region.
        """
        for count in (*by_region.values(), *([] if per_region is None else [per_region])):
            if type(count) is not int or not 0 <= count <= MOST or (count == 0 and per_region == 0):
                raise InvalidInput(
                    f"count is {count!r}, but must be a whole number from 1 to {MOST}; for none, leave out the region, "
                    "or with a strategy give it a count of 0"
                )
        return evolve(self, count=per_region or self._count, counts={**self._counts, **by_region})

    def with_image(self, image: str) -> Self:
        """Run this image: the digest that its tag is at when the deploy begins, on all machines.

        One deploy resolves the tag once; a tag that has moved since the last one is a change. An image given with its
        digest is used as it is.
        """
        refuse(check_image(image))
        return self.with_config(evolve(self.config, image=image))

    def with_guest(self, *, cpus: int | None = None, memory_mb: int | None = None, cpu_kind: str | None = None) -> Self:
        """Give each machine this many CPUs and this much memory; see `Guest` for what fits together."""
        guest = Guest(cpu_kind=cpu_kind, cpus=cpus, memory_mb=memory_mb)
        refuse(check_guest(guest))
        return self._with(guest=guest)

    def with_size(self, size: str, *, memory_mb: int | None = None) -> Self:
        """Give each machine a named size such as `shared-cpu-2x`, with its least memory unless given."""
        guest = Guest.of_size(size, memory_mb)
        refuse(check_guest(guest))
        return self._with(guest=guest)

    def with_env(self, env: Mapping[str, str] | None = None, /, **more: str) -> Self:
        """Set these environment variables, besides those set before. For secrets, use the app's secrets."""
        return self._with(env={**(self.config.env or {}), **(env or {}), **more})

    def with_metadata(self, metadata: Mapping[str, str] | None = None, /, **more: str) -> Self:
        """Set these metadata keys, besides those set before."""
        return self._with(metadata={**(self.config.metadata or {}), **(metadata or {}), **more})

    def with_service(self, service: Service | None = None, /, *, internal_port: int | None = None) -> Self:
        """Have the Fly Proxy route to a service: the one given, or the web server on `internal_port`.

        The latter is reached on ports 80 and 443, with http redirected to https.
        """
        if (service is None) == (internal_port is None):
            raise InvalidInput("with_service takes either a Service or internal_port=…, and one of them")
        added = service or _web(internal_port)
        return self._with(services=(*(self.config.services or ()), added))

    def with_check(self, name: str, check: Check) -> Self:
        """Check each machine; the deploy then waits until it passes, unless `wait_for` says otherwise."""
        return self._with(checks={**(self.config.checks or {}), name: check})

    def with_config(self, config: MachineConfig) -> Self:
        """Start from a whole config; the other `with_…` methods change it from there."""
        digest = self._digest if config.image == self.config.image else None
        return evolve(self, config=config, digest=digest)

    def replace(self, *names: str) -> Self:
        """Replace these fields of the config as a whole: `replace("services")`. For a strategy.

        Otherwise what is stated is merged into what each machine has: maps such as `env` by key, services by internal
        port and protocol, mounts and files by path, all else by field. What is not stated stays then, unless an earlier
        deploy of flyasync had set it.
        """
        for name in names:
            if name not in REPLACEABLE:
                raise InvalidInput(f"{name!r} cannot be replaced as a whole: use {', '.join(REPLACEABLE)}")
        return evolve(self, replaces=tuple(dict.fromkeys(names)))

    def with_launch(self, launch: str) -> Self:
        """Name the launch, so that executing it again finds its machines and makes only what is missing.

        Without a name, each `execute` is a launch of its own.
        """
        return evolve(self, launch=check_launch(launch))

    def fallback(self, *regions: str) -> Self:
        """Say where a machine goes when its region has no room.

        `fallback("skip")` leaves it out, which is the default; `fallback("nearest")` takes the nearest region with room
        that is not wanted itself; `fallback("ewr", "ord")` tries these in order.
        """
        if regions in {("skip",), ("nearest",)}:
            return evolve(self, fallback=regions[0])
        if not regions:
            raise InvalidInput("fallback needs 'skip', 'nearest', or regions to try in order")
        for region in regions:
            check_region(region)
        for region, times in Counter(regions).items():
            if times > 1:
                raise InvalidInput(f"{region!r} is listed twice as a fallback")
        return evolve(self, fallback=regions)

    def wait_for(self, goal: Goal | Literal["checked"] = "checked", /, *, timeout: float | None = None) -> Self:
        """Wait until each machine is `started`, or `healthy` (all its checks pass), or with None not at all.

        `checked`, the default, is `healthy` for a machine that has checks, of this deploy or of another tool, else
        `started`. `timeout` is in seconds for
        each machine, from its creation; 300 unless given.
        """
        if goal not in {"started", "healthy", "checked", None}:
            raise InvalidInput(f"{goal!r} cannot be waited for: use 'started', 'healthy', 'checked' or None")
        if timeout is not None and not timeout > 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        return evolve(self, goal=goal, timeout=timeout or self._timeout)

    def require(self, regions: float | str) -> Self:
        """Call the deploy ok only when so many regions run: `all`, a number, or a share such as 0.6.

        A region runs when all its machines do, here or where they fell back to. The default is at least one; with a
        strategy, all.
        """
        return evolve(self, requirement=Requirement.of(regions))

    def rolling(self, *, max_unavailable: float | str = 0.33) -> Self:
        """Update the group's machines where they are, a few of each region at a time; one of all goes first.

        `max_unavailable` is how many of a region's serving machines may be away at once: a count such as 2, or a share
        such as 0.33 or "33%" of them, rounded down but never less than one.

        This, as every strategy, converges a group (see `process_group`) to what is wanted: machines are updated,
        made, and retired until each region has its count of this config.
        """
        return evolve(self, strategy=Rolling(max_unavailable=Share.of(max_unavailable, "max_unavailable")))

    def canary(self, machines: float | str = 1, *, soak: float = 60.0, max_unavailable: float | str = 0.33) -> Self:
        """Update so many machines first, watch them for `soak` seconds, then roll on as `rolling` does.

        `machines` is a count, or a share of those of the first wave.
        """
        return evolve(
            self,
            strategy=Canary(
                machines=Share.of(machines, "machines"),
                soak=soak,
                max_unavailable=Share.of(max_unavailable, "max_unavailable"),
            ),
        )

    def bluegreen(self, *, drain: float = 10.0) -> Self:
        """Make new machines outside routing; once all are healthy let them in, then take the old ones out.

        Letting in is the point of no return: after it no failure deletes a new machine. Old ones get `drain` seconds
        between their last new request and their stop. Needs checks, and machines without volumes. Every new machine
        starts, also in the place of one that was at rest.
        """
        return evolve(self, strategy=BlueGreen(drain=drain))

    def immediate(self) -> Self:
        """Update all machines at once, whatever that interrupts."""
        return evolve(self, strategy=Immediate())

    def waves(self, *waves: Iterable[str]) -> Self:
        """Go from wave to wave of regions, each only once the one before is done: `waves(["iad"], ["lhr", "nrt"])`.

        Names the regions too, unless `to_regions` does. For a strategy.
        """
        made = tuple(tuple(wave) for wave in waves)
        if any(isinstance(wave, str) or not tuple(wave) for wave in waves):
            raise InvalidInput("waves takes lists of regions, such as waves(['iad'], ['lhr', 'nrt'])")
        regions = self.to_regions(*(region for wave in made for region in wave))
        return evolve(regions if not self._regions else self, waves=made)

    def region_by_region(self) -> Self:
        """Go from region to region, in the order of `to_regions`, each only once the one before is done."""
        return self.waves(*([region] for region in self._regions))

    def process_group(self, group: str | None) -> Self:
        """Converge this group: the app's machines whose metadata says `fly_process_group`; the default is `app`.

        No other machine is ever touched. For a strategy. None stands for the machines of no group, such as those of
        launches, with `only_secrets` alone.
        """
        return evolve(self, group="" if group is None else _group(group))

    def retire_groups(self, *groups: str) -> Self:
        """Destroy the machines of these process groups in the end, once all else is done. For a strategy."""
        return evolve(self, retired_groups=tuple(dict.fromkeys(map(_group, groups))))

    def visible_to_flyctl(self, visible: bool = True, /) -> Self:  # noqa: FBT001, FBT002 - a switch
        """Have flyctl count these machines as its own; by default flyasync and flyctl stay out of each other's way.

        `fly deploy` then updates them, and destroys them if its fly.toml has no such process group. For a strategy.
        """
        return evolve(self, is_visible_to_flyctl=visible)

    def with_volume(
        self, name: str, path: str, *, size_gb: int = 1, if_lost: Literal["fork", "new"] | None = None
    ) -> Self:
        """Give each machine a volume of its own of this name, mounted at `path`.

        One that nobody holds in its region is taken, else a new one of `size_gb` made, on a host with room for the
        machine. When a machine has to leave its host, its volume can be forked (`if_lost="fork"`, slow), or given up
        for an empty one (`"new"`); without, the machine stays as it is, and the deploy fails. No rollback deletes a
        volume that this deploy has not made.
        """
        if not re.fullmatch(r"[a-z0-9_]{1,30}", name):
            raise InvalidInput(f"{name!r} cannot be a volume's name: use 1 to 30 lowercase letters, digits and _")
        if not path.startswith("/"):
            raise InvalidInput(f"{path!r} is no place to mount a volume: use an absolute path, such as '/data'")
        if type(size_gb) is not int or not 1 <= size_gb <= 500:  # noqa: PLR2004 - the API's own bounds
            raise InvalidInput(f"size_gb is {size_gb!r}, but must be a whole number from 1 to 500")
        if if_lost not in {None, "fork", "new"}:
            raise InvalidInput(f"if_lost is {if_lost!r}, but must be 'fork', 'new' or None")
        return evolve(self, volume=DesiredVolume(name=name, path=path, size_gb=size_gb, if_lost=if_lost))

    def with_release_command(
        self, command: str | tuple[str, ...], *, timeout: float = 300.0, guest: Guest | None = None
    ) -> Self:
        """Run a command on a machine of its own before anything changes; the deploy goes on only after exit code 0.

        It has the image, the environment and the app's secrets, and `RELEASE_COMMAND=1`; no services and no volume.
        A deploy that finds nothing to do does not run it; one that is run again may, so it must bear that.
        """
        demand_seconds("timeout", timeout, least=1)
        return evolve(self, release=ReleaseCommand.of(command, timeout=timeout, guest=guest))

    def smoke_check(self, seconds: float) -> Self:
        """Demand that a machine that has come up stays up, with its checks passing, for so many seconds.

        The default is 10 with a strategy and 0 without. One that crashes meanwhile, restarted or not, has failed.
        """
        demand_seconds("seconds", seconds)
        return evolve(self, smoke=seconds)

    def verify_stopped(self, verify: VerifyStopped, /) -> Self:
        """Choose whether a group whose machines are all stopped or suspended is verified.

        Verified means that one machine of each region is started with its new config, seen up as any other would be,
        and returned to its former state, before the other machines are changed. `auto`, the default, does so where a
        service has autostart, so that a request would start the machine anyway. `always` does so for workers and
        scheduled machines as well, of which one that ends with exit code 0 is well, and where nothing was changed;
        `never` starts none. Where machines were changed and
        none was verified, `report.status` is `not verified`, and the report is not ok.
        """
        if verify not in {"auto", "always", "never"}:
            raise InvalidInput(f"verify_stopped takes 'auto', 'always' or 'never', not {verify!r}")
        return evolve(self, verify_stopped=verify)

    def hedge(self, times: float = 3.0) -> Self:
        """Make a rival for a new machine that takes `times` as long to start as its siblings; the slower is destroyed.

        That goes for machines that a deploy makes; one that is updated where it is has no rival.
        """
        if not times > 1:
            raise InvalidInput(f"times is {times!r}, but must be above 1: a machine is late after so many usual boots")
        return evolve(self, hedge=times)

    def with_secrets_version(self, version: int) -> Self:
        """Start machines with the app's secrets of this version or newer; with a strategy the newest is found out.

        With a strategy, machines that were not created or updated with that version, or a newer one, are updated.
        """
        return evolve(self, secrets_version=version)

    def only_secrets(self) -> Self:
        """Change nothing but the secrets: update the machines of the group that may have started with older ones.

        Each keeps its config and its image; none is made or destroyed, and one that does not run stays so. Regions and
        counts are those of the machines there are. Any strategy but bluegreen may say how; `rolling` unless named.
        """
        return evolve(self, strategy=Rolling() if self._strategy.only_adds else self._strategy, only_secrets=True)

    def with_journal(self, path: "str | os.PathLike[str]") -> Self:
        """Append to this file one JSON line for each thing decided and done, readable by its owner alone.

        It holds no secrets. A deploy that was broken off goes on from it: see `resumed`.
        """
        return evolve(self, journal=os.fspath(path))

    @property
    def journal(self) -> str | None:
        """The file that it journals into, if any."""
        return self._journal

    def roll_back_on_failure(self, roll_back: bool = True, /) -> Self:  # noqa: FBT001, FBT002 - a switch
        """Go back to what was there before if the deploy misses its requirement; by default all stays as it is then.

        A launch destroys the machines that it made. A strategy gives machines their old configs, makes again what it
        had retired, and destroys what it made; `report.rollback` tells how that went. Past the point of no return of a
        bluegreen nothing is undone.
        """
        return evolve(self, rolls_back=roll_back)

    def on_event(self, onlooker: OnEvent) -> Self:
        """Tell `onlooker` of every event; the last one is `Finished`, with the report, also after a cancellation."""
        if not callable(onlooker):
            raise InvalidInput(f"on_event takes a function of one event, not {onlooker!r}")
        return evolve(self, onlookers=(*self._onlookers, onlooker))

    def deployment(self) -> DeploySpec:
        """Say what is wanted, as one value; raises InvalidInput for what the API would refuse as a whole."""
        if self._only_secrets:
            return self._of_secrets()
        if not self._group:
            raise InvalidInput("machines of no process group can be given new secrets, by only_secrets(), and no more")
        if not self._regions:
            raise InvalidInput("no region to deploy to: name some with to_regions('iad', …)")
        if strangers := set(self._counts) - set(self._regions):
            raise InvalidInput(f"count names {', '.join(sorted(strangers))}, which to_regions does not")
        spec = DeploySpec(
            app=self.app,
            launch=self._launch or token_hex(5),
            config=self.config if self._strategy.only_adds else _sized(self.config),
            counts={region: self._count_in(region) for region in self._regions},
            fallback=self._fallback,
            goal=self._goal,
            timeout=self._timeout,
            requirement=self._requirement or Requirement.of(self._strategy.default_requirement),
            rolls_back=self._rolls_back,
            strategy=self._strategy,
            group=self._group,
            waves=self._waves,
            retired_groups=self._retired_groups,
            is_visible_to_flyctl=self._is_visible_to_flyctl,
            volume=self._volume,
            release=self._release,
            smoke=self._strategy.default_smoke if self._smoke is None else self._smoke,
            hedge=self._hedge,
            secrets_version=self._secrets_version,
            replaces=self._replaces,
            verify_stopped=self._verify_stopped,
            digest=self._digest,
        )
        spec.strategy.check(spec)
        if self._waves and sorted(chain(*self._waves)) != sorted(self._regions):
            raise InvalidInput("waves and to_regions name different regions: each region has to be in one wave")
        wanted = sum(count > 0 for count in spec.counts.values())
        if wanted == 0:
            raise InvalidInput("every region has a count of 0, which would leave no machine of the group")
        if spec.requirement.needed(wanted) > wanted:
            raise InvalidInput(f"{spec.requirement} are required, but only {wanted} are wanted")
        refuse(check_config(self.config))
        return spec

    def _of_secrets(self) -> DeploySpec:
        """Return what is wanted where nothing but the secrets is to be changed."""
        asked = {
            "a config": self.config != MachineConfig(),
            "regions": self._regions,
            "waves": self._waves,
            "a volume": self._volume,
            "a release command": self._release,
            "retire_groups": self._retired_groups,
            self._strategy.name: self._strategy.replaces_machines,
        }
        if told := [name for name, is_asked in asked.items() if is_asked]:
            raise InvalidInput(
                f"only_secrets keeps the machines and their configs, so {' and '.join(told)} cannot go with it"
            )
        return DeploySpec(
            app=self.app,
            launch=self._launch or token_hex(5),
            config=self.config,
            counts={},
            goal=self._goal,
            timeout=self._timeout,
            requirement=self._requirement or Requirement("all"),
            rolls_back=self._rolls_back,
            strategy=self._strategy,
            group=self._group,
            smoke=self._strategy.default_smoke if self._smoke is None else self._smoke,
            secrets_version=self._secrets_version,
            verify_stopped=self._verify_stopped,
            only_secrets=True,
        )

    def _count_in(self, region: str) -> int:
        return self._counts.get(region, self._count)

    def _with(self, **changes: Any) -> Self:
        return evolve(self, config=evolve(self.config, **changes))


def _sized(config: MachineConfig) -> MachineConfig:
    """Name the guest that a named size stands for: that is what machines are compared by."""
    return evolve(config, guest=Guest.of_size(config.size), size=None) if config.size and not config.guest else config


def _group(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,38}[a-zA-Z0-9])?", name):
        raise InvalidInput(f"{name!r} is no process group: use 1 to 40 letters, digits, and inner - and _")
    if name.startswith("fly_app_"):
        raise InvalidInput(f"{name!r} is a process group of flyctl's own: choose another")
    return name


def _web(internal_port: int | None) -> Service:
    return Service(
        protocol="tcp",
        internal_port=internal_port,
        ports=(
            Port(port=80, handlers=("http",), force_https=True),
            Port(port=443, handlers=("tls", "http")),
        ),
    )
