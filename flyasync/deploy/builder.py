"""DeployBuilder: state, plan and execute a deploy."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from secrets import token_hex
from typing import Literal, Self

from attrs import evolve, field, frozen

from flyasync.api.client import FlyClient
from flyasync.api.fly_toml import load_fly_toml
from flyasync.api.webhook import Webhook
from flyasync.cancellation import cancelled_once, unscoped
from flyasync.deploy.estimate import timed
from flyasync.deploy.from_fly_toml import spec_of
from flyasync.deploy.plan.config_merge import REPLACEABLE
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.launch_origin import LaunchOrigin
from flyasync.deploy.plan.plan import Decision, Plan
from flyasync.deploy.plan.release_command import ReleaseCommand
from flyasync.deploy.plan.spec import (
    DeploySpec,
    Goal,
    GroupSpec,
    Requirement,
    VerifyStopped,
    check_launch,
    check_region,
)
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.immediate import Immediate
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.recreate import Recreate
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Share, demand_seconds
from flyasync.deploy.plan.verification import Verification, VerifyMachine
from flyasync.deploy.planner import Planner, Resolve, resolved
from flyasync.deploy.reporting.events import Event, OnEvent
from flyasync.deploy.reporting.journal import Journal, JournalFile
from flyasync.deploy.reporting.plan_file import SavedPlan, read_plan, write_plan
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.resume import JournalReplay, read_journal
from flyasync.deploy.reporting.saved_deploy import SavedDeploy
from flyasync.deploy.reporting.spec_json import write_spec_for_replay
from flyasync.deploy.run.deploy_run import run_deploy
from flyasync.deploy.run.notification import notifying
from flyasync.deploy.run.observers import Observers
from flyasync.deploy.run.recorded_end import noting_cancellation, noting_error
from flyasync.deploy.run.spans import deploying, reported
from flyasync.deploy.undo.release_history import undoing
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml.app_config import FlyToml
from flyasync.models.guest import Guest
from flyasync.models.lint.linter import check_guest, check_image, refuse
from flyasync.models.service import Check, Port, Service

MOST = 1000
"""The maximum number of machines in one region; a larger number is assumed to be a typing error."""


def _stated(given: str | DeploySpec) -> DeploySpec:
    return given if isinstance(given, DeploySpec) else DeploySpec(app=given, strategy=Launch())


@frozen
class DeployBuilder:
    """Deploys one image to many regions concurrently, creates each machine exactly once, and reports what runs where.

        report = await (
            DeployBuilder("web")
            .to_regions("iad", "lhr", "nrt")
            .with_image("registry.fly.io/web:v2")
            .with_guest(cpus=1, memory_mb=256)
            .execute(fly)
        )

    A builder is immutable: each method returns a new one, so one base can serve many apps (`base.for_app(name)`). A
    method raises InvalidInput, before any request, for a value that the API would refuse.

    Without a strategy a deploy adds the machines of its launch and changes no others. With `rolling`, `canary`,
    `bluegreen`, `immediate` or `recreate` it converges a process group to the spec. A region without room is skipped,
    unless `fallback` names another one. If an observer raises, the event loop's exception handler is called and the
    deploy continues.
    """

    spec: DeploySpec = field(converter=_stated)
    observers: tuple[OnEvent, ...] = field(default=(), kw_only=True, repr=False)
    webhooks: tuple[Webhook, ...] = field(default=(), kw_only=True, repr=False)
    journal: str | None = field(default=None, kw_only=True)
    _replay: JournalReplay | None = field(default=None, kw_only=True, repr=False)
    _plan: SavedPlan | None = field(default=None, kw_only=True, repr=False)
    _resolve: Resolve = field(default=resolved, kw_only=True, repr=False, eq=False)

    @classmethod
    def from_fly_toml(
        cls,
        path: "str | os.PathLike[str] | FlyToml" = "fly.toml",
        *,
        app: str | None = None,
        image: str | None = None,
        groups: Collection[str] = (),
        ha: bool = True,
        strict: bool = False,
    ) -> Self:
        """Deploy the process groups of a fly.toml together, as `fly deploy --image` does, to any regions.

            report = await DeployBuilder.from_fly_toml("fly.toml", image="registry.fly.io/web:v3").execute(fly)

        The file states its fields completely: env, services, checks, files, init, restart, metrics, statics and
        stop_config of existing machines are replaced, and what the file does not contain is removed. What it cannot
        express is kept, and so is the guest without a `[[vm]]`. The strategy, `max_unavailable`, `wait_timeout`, the
        release command and the seed command (see `with_seed_command`) are those of `[deploy]`; the strategy defaults to
        rolling. Machines are visible to flyctl. Other methods are applied on top, to all groups.

        Each group keeps the number of machines that it has in each region (see `keep_counts`). A group that is created
        is in the primary region, unless `to_regions` states others. In a single region, it gets two machines if it has
        services, one if it has mounts, and else one machine and a standby for it; in several regions, and if `count`
        states how many, only these. The app's first deploy allocates IP addresses for public services: see
        `allocate_public_ips`. Groups that the file no longer contains are left unchanged: see `retire_groups`.

        Reads the file and the files that it names, which blocks. Raises InvalidInput with all invalid values.

        Args:
            path: The file, or its content as `load_config_file` has read it.
            app: The app to deploy; by default the one that the file names.
            image: The image to run; by default `build.image`. `with_image` sets it, too.
            groups: The process groups to deploy; by default all.
            ha: Whether groups that are created get a second machine or a standby.
            strict: Whether unknown keys are refused; by default they are ignored, as by flyctl.
        """
        read = path if isinstance(path, FlyToml) else load_fly_toml(path)
        read.refuse(*groups, strict=strict)
        return cls(spec_of(read, app=app, image=image, groups=groups, ha=ha))

    @classmethod
    def resumed(cls, path: "str | os.PathLike[str]", *, env: Mapping[str, str] | None = None) -> Self:
        """Resume the last deploy in a journal: the same launch, so existing machines are found and not created again.

            report = await DeployBuilder.resumed("deploy.jsonl", env=os.environ).execute(fly)

        It appends to the same file, and omits the release command if it has already succeeded. A rollback restores the
        state at the start of this run; `undo` restores the state at the start of the first run.

        The journal does not contain values that may be secret. Pass environment variables in `env`, of which only the
        redacted ones are used; a name such as `worker:ROLE` is that of one process group. State other values again with
        `with_config` and the like. Until the config is that of the journal, `plan` and `execute` raise InvalidInput
        with the names of the redacted values. They also raise InvalidInput if the journal is of a deploy at another
        API, and FleetChanged if the deploy has paused and the fleet has changed since.

        Raises InvalidInput, with file and line, for a file that is not a journal.
        """
        replay = read_journal(path)
        return cls(replay.restated(env), journal=os.fspath(path), replay=replay)

    @classmethod
    def from_plan(cls, path: "str | os.PathLike[str]", *, env: Mapping[str, str] | None = None) -> Self:
        """Read a plan that `save_plan` has written; `execute` does exactly that, or raises FleetChanged.

            report = await DeployBuilder.from_plan("plan.json", env=os.environ).execute(fly)

        Before the first change, `execute` plans again, under the lock of the groups, for the same launch and the same
        digest of the image. The steps of each machine have to be those of the file, and the machines of its groups have
        to be unchanged: none added, gone, updated or cordoned. A machine that has stopped or started matters if its
        steps would be others. A plan that is applied already leaves nothing to do, and the report is ok.

        The file does not contain values that may be secret; they are stated again as in `resumed`. Raises InvalidInput
        for a file that is not a plan.
        """
        saved = read_plan(path)
        return cls(saved.restated(env), plan=saved)

    @property
    def app(self) -> str:
        """The name of the app."""
        return self.spec.app

    @property
    def config(self) -> MachineConfig:
        """The config stated so far."""
        return self.spec.config

    def _with(self, spec: DeploySpec) -> Self:
        return evolve(self, spec=spec)

    def _each(self, change: Callable[[DeploySpec], DeploySpec]) -> Self:
        """Return a builder with a change to each group."""
        return self._with(self.spec.changed(change))

    def _each_config(self, change: Callable[[MachineConfig], MachineConfig]) -> Self:
        """Return a builder with a change to the config of each group."""
        spec = self.spec.changed(lambda group: evolve(group, config=change(group.config)))
        # The digest belongs to the image's tag, so another image needs another digest.
        digest = spec.digest if spec.config.image == self.config.image else None
        return self._with(evolve(spec, digest=digest))

    def _known_group(self, group: str) -> str:
        """Return the name of a group; raises InvalidInput if the deploy does not contain it."""
        if group not in self.spec.group_names:
            known = ", ".join(self.spec.group_names)
            raise InvalidInput(f"{group!r} is not a process group of this deploy: choose one of {known}")
        return group

    def _demand_one_group(self, method: str) -> None:
        if self.spec.also:
            groups = " and ".join(self.spec.group_names)
            raise InvalidInput(
                f"{method} is for one process group, but this deploy has {groups}: call it before together_with"
            )

    def for_app(self, app: str) -> Self:
        """Deploy the same spec to another app."""
        return self._with(evolve(self.spec, app=app))

    def to_regions(self, *regions: str) -> Self:
        """Set the regions, by their codes; replaces any regions stated before."""
        for region in regions:
            check_region(region)
        for region, times in Counter(regions).items():
            if times > 1:
                raise InvalidInput(
                    f"{region!r} is listed twice",
                    python=f"for two machines in it, use count({region}=2)",
                    command=f"for two machines in it, use --count {region}=2",
                )
        return self._each(lambda group: evolve(group, stated_regions=regions))

    def count(self, per_region: int | None = None, /, **by_region: int) -> Self:
        """Set the number of machines per region, for all or for the regions named: `count(2, iad=5)`. The default is 1.

        With a strategy, `count(lhr=0)` retires the machines of a region. In a deploy of several groups it is the number
        of each group: see `count_group`.
        """
        _check_counts(per_region, by_region)
        return self._each(lambda group: _counting(group, per_region, by_region))

    def count_group(self, group: str, per_region: int | None = None, /, **by_region: int) -> Self:
        """Set the number of machines of one group per region, for all or for the regions named."""
        _check_counts(per_region, by_region)
        self._known_group(group)
        return self._each(lambda each: _counting(each, per_region, by_region) if each.group == group else each)

    def keep_counts(self, keep: bool = True, /) -> Self:  # noqa: FBT001, FBT002 - a switch
        """Keep the number of machines in each region, where `count` states none; needs a strategy.

        Without `to_regions`, the regions are those where the group has machines. A region without machines gets one.
        """
        return self._with(evolve(self.spec, keeps_counts=keep))

    def max_machines(self, machines: int | None, /) -> Self:
        """Refuse a plan after which there would be more than this number of machines; None removes the limit.

        The machines of the groups that are deployed or retired count, and without a strategy all machines of the app.
        Machines that exist only during the deploy, such as the old ones of a bluegreen deploy, do not count; the plan
        shows their number. `plan` and `execute` raise InvalidInput before anything is changed.
        """
        if machines is not None and (type(machines) is not int or machines < 1):
            raise InvalidInput(
                f"max_machines is {machines!r}, but must be a whole number from 1", parameter="max_machines"
            )
        return self._with(evolve(self.spec, max_machines=machines))

    def with_image(self, image: str) -> Self:
        """Set the image; all machines run the digest that its tag has when the deploy begins.

        A deploy resolves the tag once; a tag that has moved since the last deploy counts as a change. An image with a
        digest is used unchanged.
        """
        refuse(check_image(image))
        return self._each_config(lambda config: _running(config, image))

    def with_guest(self, *, cpus: int | None = None, memory_mb: int | None = None, cpu_kind: str | None = None) -> Self:
        """Set the CPUs and the memory in MB of each machine; see `Guest` for valid combinations."""
        guest = Guest(cpu_kind=cpu_kind, cpus=cpus, memory_mb=memory_mb)
        refuse(check_guest(guest))
        return self._each_config(lambda config: evolve(config, guest=guest))

    def with_size(self, size: str, *, memory_mb: int | None = None) -> Self:
        """Set a named size such as `shared-cpu-2x`; `memory_mb` defaults to the minimum for that size."""
        guest = Guest.of_size(size, memory_mb)
        refuse(check_guest(guest))
        return self._each_config(lambda config: evolve(config, guest=guest))

    def with_env(self, env: Mapping[str, str] | None = None, /, **more: str) -> Self:
        """Add environment variables to those set before. For secrets, use the app's secrets."""
        return self._each_config(lambda config: evolve(config, env={**(config.env or {}), **(env or {}), **more}))

    def with_metadata(self, metadata: Mapping[str, str] | None = None, /, **more: str) -> Self:
        """Add metadata keys to those set before."""
        return self._each_config(
            lambda config: evolve(config, metadata={**(config.metadata or {}), **(metadata or {}), **more})
        )

    def with_service(self, service: Service | None = None, /, *, internal_port: int | None = None) -> Self:
        """Add a service for the Fly Proxy: `service`, or a web server on `internal_port`.

        The web server is reachable on ports 80 and 443, and http is redirected to https.
        """
        if (service is None) == (internal_port is None):
            raise InvalidInput("with_service takes either a Service or internal_port=…, but not both")
        added = service or _web(internal_port)
        return self._each_config(lambda config: evolve(config, services=(*(config.services or ()), added)))

    def with_check(self, name: str, check: Check) -> Self:
        """Add a check; the deploy then waits until it passes on each machine, unless `wait_for` changes that."""
        return self._each_config(lambda config: evolve(config, checks={**(config.checks or {}), name: check}))

    def with_config(self, config: MachineConfig) -> Self:
        """Set the complete config; the other `with_…` methods then change it."""
        self._demand_one_group("with_config")
        return self._each_config(lambda _: config)

    def replace(self, *names: str) -> Self:
        """Replace these fields of each machine's config instead of merging them: `replace("services")`.

        Needs a strategy. Other fields are merged into the machine's config: maps such as `env` by key, services by
        internal port and protocol, mounts and files by path, everything else by field. A value that is not stated is
        kept, unless an earlier deploy of flyasync had set it.
        """
        for name in names:
            if name not in REPLACEABLE:
                raise InvalidInput(f"{name!r} cannot be replaced as a whole: use {', '.join(REPLACEABLE)}")
        return self._each(lambda group: evolve(group, replaces=tuple(dict.fromkeys(names))))

    def with_launch(self, launch: str) -> Self:
        """Name the launch, so that executing it again finds its machines and creates only the missing ones.

        Without a name, each `execute` is a new launch.
        """
        return self._with(evolve(self.spec, launch=check_launch(launch)))

    def with_message(self, message: str | None = None, /, *, commit: str | None = None, by: str | None = None) -> Self:
        """Store why this is deployed, which git commit, and by whom, in the metadata of the machines that it changes.

        Machines that the launch creates or updates get `flyasync_message`, `flyasync_commit` and `flyasync_by`; kept
        machines keep theirs. They never count as a change, and a rollback or an undo restores the earlier ones. Each is
        stored as one line of at most 200 characters; a longer text is cut. Passwords in URLs, and tokens of Fly.io and
        GitHub, are redacted. Nothing is read from git or the environment; the command `flyasync` does that.
        """
        return self._with(evolve(self.spec, origin=LaunchOrigin(message=message, commit=commit, by=by)))

    def fallback(self, *regions: str) -> Self:
        """Set where to create a machine if its region has no room.

        `fallback("skip")`, the default, skips the machine; `fallback("nearest")` uses the nearest region with room that
        the deploy does not list itself; `fallback("ewr", "ord")` tries these regions in order.
        """
        if regions in {("skip",), ("nearest",)}:
            return self._with(evolve(self.spec, fallback=regions[0]))
        if not regions:
            raise InvalidInput("fallback needs 'skip', 'nearest', or regions to try in order")
        for region in regions:
            check_region(region)
        for region, times in Counter(regions).items():
            if times > 1:
                raise InvalidInput(f"{region!r} is listed twice as a fallback")
        return self._with(evolve(self.spec, fallback=regions))

    def wait_for(self, goal: Goal | Literal["checked"] = "checked", /, *, timeout: float | None = None) -> Self:
        """Wait until each machine is `started` or `healthy` (all its checks pass); with None, do not wait.

        The default, `checked`, means `healthy` for a machine with checks and `started` for the others, whichever tool
        added the checks. `timeout` is in seconds per machine, from its creation; the default is 300.
        """
        if goal not in {"started", "healthy", "checked", None}:
            raise InvalidInput(f"{goal!r} cannot be waited for: use 'started', 'healthy', 'checked' or None")
        if timeout is not None and not timeout > 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0", parameter="timeout")
        return self._with(evolve(self.spec, goal=goal, timeout=timeout or self.spec.timeout))

    def require(self, regions: float | str) -> Self:
        """Set how many regions must run: `all`, a number, or a share such as 0.6.

        A region runs if all its machines run, there or in their fallback region. A report that meets a requirement set
        here is ok, even if other regions are missing or surplus machines remain: its status is then *degraded*. The
        default is one region, or all with a strategy; a *degraded* report that meets only the default is not ok.
        """
        return self._with(evolve(self.spec, requirement=evolve(Requirement.of(regions), is_stated=True)))

    def rolling(self, *, max_unavailable: float | str = 0.33) -> Self:
        """Update the group's machines in place, a few of each region at a time, after one single machine.

        `max_unavailable` is how many of a region's serving machines may be unavailable at once: a count such as 2, or a
        share such as 0.33 or "33%", rounded down to at least one.

        Like every strategy, it converges a group (see `process_group`) to the spec: machines are updated, created and
        retired until each region has its count of machines with this config.
        """
        strategy = Rolling(max_unavailable=Share.of(max_unavailable, "max_unavailable"))
        return self._with(evolve(self.spec, strategy=strategy))

    def canary(self, machines: float | str = 1, *, soak: float = 60.0, max_unavailable: float | str = 0.33) -> Self:
        """Update a few machines first, watch them for `soak` seconds, then update the others as `rolling` does.

        `machines` is a count, or a share of the machines of the first wave.
        """
        strategy = Canary(
            machines=Share.of(machines, "machines"),
            soak=soak,
            max_unavailable=Share.of(max_unavailable, "max_unavailable"),
        )
        return self._with(evolve(self.spec, strategy=strategy))

    def bluegreen(self, *, drain: float = 10.0) -> Self:
        """Create new machines cordoned; once all are healthy, uncordon them, then cordon and destroy the old ones.

        Uncordoning is the point of no return: after it, no failure deletes a new machine. Old machines drain for
        `drain` seconds between their last new request and their stop. Needs checks, and machines without volumes. Every
        new machine is started, even if it replaces a stopped one.
        """
        return self._with(evolve(self.spec, strategy=BlueGreen(drain=drain)))

    def immediate(self) -> Self:
        """Update all machines at once; this interrupts the service."""
        return self._with(evolve(self.spec, strategy=Immediate()))

    def recreate(self) -> Self:
        """Stop all machines of a region, then start all with the new config; machines keep their ids and volumes.

        Use it for programs of which two versions must not run at the same time. Each region is down until its machines
        have started again. Regions are deployed one after another, or in `waves`; if one does not come up, the deploy
        stops. The image is resolved before any machine stops: if the API does not show the digest of its tag, `plan`
        and `execute` raise InvalidInput.

        If a machine cannot be stopped, the other machines of its region are started again with their old config. A
        machine whose update fails is also started again with its old config, next to those that were updated. A
        cancelled deploy starts its stopped machines again; after a killed one, the next deploy does. Where a service
        has `autostart`, the proxy may start a machine of the old version in the meantime.
        """
        return self._with(evolve(self.spec, strategy=Recreate()))

    def waves(self, *waves: Iterable[str]) -> Self:
        """Deploy the regions in waves, each after the one before is done: `waves(["iad"], ["lhr", "nrt"])`.

        Also sets the regions, unless `to_regions` does. Needs a strategy.
        """
        made = tuple(tuple(wave) for wave in waves)
        if any(isinstance(wave, str) or not tuple(wave) for wave in waves):
            raise InvalidInput("waves takes lists of regions, such as waves(['iad'], ['lhr', 'nrt'])")
        named = self.to_regions(*(region for wave in made for region in wave))
        return self._with(evolve(self.spec if self.spec.stated_regions else named.spec, waves=made))

    def pause_after(self, wave: int) -> Self:
        """Pause after the wave with this number, from 1, so that the next waves can be approved.

            report = await deploy.waves(["iad"], ["lhr", "nrt"]).pause_after(1).with_journal("d.jsonl").execute(fly)
            report = await DeployBuilder.resumed("d.jsonl").execute(fly)  # once it is approved

        The deploy then ends with the status `paused`, and releases its leases. `resumed` continues with the next wave,
        under a new lock; it raises FleetChanged if a machine of the groups was added, destroyed, updated, cordoned,
        stopped or started since, except by the proxy. A deploy that fails before the pause does not pause; one that is
        resumed before it still does. Needs waves and a journal.
        """
        return self._with(evolve(self.spec, pause_after=wave))

    def region_by_region(self) -> Self:
        """Deploy one region after another, in the order of `to_regions`."""
        return self.waves(*([region] for region in self.spec.stated_regions))

    def process_group(self, group: str | None) -> Self:
        """Set the process group to converge: machines with this `fly_process_group` in their metadata; default `app`.

        No other machine is changed. Needs a strategy. None, which only works with `only_secrets`, means machines
        without a group, such as those of launches.
        """
        self._demand_one_group("process_group")
        return self._with(evolve(self.spec, group="" if group is None else _group(group)))

    def together_with(self, *others: "DeployBuilder") -> Self:
        """Deploy the process groups of other builders together with this one: in one plan, with one rollback.

            web = DeployBuilder("shop").process_group("web").to_regions("iad", "lhr").with_service(internal_port=8080)
            worker = DeployBuilder("shop").process_group("worker").to_regions("iad")
            report = await web.rolling().together_with(worker).with_image("shop:v2").execute(fly)

        Of each other builder, the group and its config, regions, counts, volume and `replace` are used; the rest, such
        as the strategy and the release command, is that of this builder. All groups run the same image. Methods called
        afterwards change all groups. Other deploys are locked out of each group. Needs a strategy.
        """
        groups = [self.spec, *(group for other in others for group in other.spec.groups)]
        for other in groups:
            if other.app != self.app:
                raise InvalidInput(f"{self.app} and {other.app} are two apps, but one deploy changes one app")
            if other.config.image not in {None, self.config.image}:
                raise InvalidInput(
                    f"groups that are deployed together run one image, but {other.group} has {other.config.image}, and "
                    f"{self.spec.group} {self.config.image}"
                )
        image = self.config.image
        also = (GroupSpec.of(evolve(each, config=evolve(each.config, image=image))) for each in groups[1:])
        return self._with(evolve(self.spec, also=(*self.spec.also, *also)))

    def retire_groups(self, *groups: str) -> Self:
        """Destroy the machines of these process groups at the end of the deploy. Needs a strategy."""
        return self._with(evolve(self.spec, retired_groups=tuple(dict.fromkeys(map(_group, groups)))))

    def adopt(self, *machines: str, group: str | None = None) -> Self:
        """Take machines of the app that are outside the groups into a group, by their ids or names. Needs a strategy.

            report = await DeployBuilder.from_fly_toml("fly.toml").adopt("all", group="web").execute(fly)

        They become members of the group, count as such, and are updated by the strategy like the others; bluegreen
        replaces them. What a deploy does not manage is kept. A rollback and an undo restore their config and their
        former group. A machine that was adopted before stays in the group, whether it is stated again or not.

        `"all"` adopts the machines without a process group in the regions of the deploy. A machine of a group that the
        deploy does not contain is adopted only if it is stated. Machines of release commands and consoles, standbys,
        and machines that destroy themselves are never adopted: stated, they are an error. `group` is the group that
        adopts them; a deploy of several groups needs it.
        """
        if group is None and self.spec.also:
            raise InvalidInput(
                f"this deploy has the groups {' and '.join(self.spec.group_names)}: state which of them adopts "
                f"{', '.join(machines)}",
                python="use adopt(…, group=…)",
                command="use --adopt GROUP=MACHINE",
            )
        name = self._known_group(group or self.spec.group)
        if not all(machines):
            raise InvalidInput("a machine to adopt is stated by its id or name, or as 'all', but one is empty")
        return self._each(lambda each: evolve(each, adopts=(*each.adopts, *machines)) if each.group == name else each)

    def visible_to_flyctl(self, visible: bool = True, /) -> Self:  # noqa: FBT001, FBT002 - a switch
        """Mark the machines as managed by flyctl too; by default neither tool changes the machines of the other.

        `fly deploy` then updates them, and destroys them if its fly.toml has no such process group. Needs a strategy.
        """
        return self._with(evolve(self.spec, is_visible_to_flyctl=visible))

    def with_volume(
        self,
        name: str,
        path: str,
        *,
        size_gb: int = 1,
        if_lost: Literal["fork", "new"] | None = None,
        extend_threshold_percent: int | None = None,
        add_size_gb: int | None = None,
        add_size_percent: int | None = None,
        min_add_size_gb: int | None = None,
        size_gb_limit: int | None = None,
        snapshot_retention: int | None = None,
        scheduled_snapshots: bool | None = None,
    ) -> Self:
        """Attach a volume of this name to each machine, mounted at `path`.

        An unattached volume of the region is used if there is one; otherwise a new one of `size_gb` is created on a
        host with room for the machine. If a machine has to leave its host, its volume is forked (`if_lost="fork"`,
        slow) or replaced by an empty one (`"new"`); without `if_lost` the machine is not changed and the deploy fails.
        A rollback deletes only volumes that this deploy created.

        Args:
            name: the volume's name; volumes in several regions, and several in one, can have the same.
            path: the absolute path of the mount.
            size_gb: the size of a new volume, 1 to 500 GB.
            if_lost: what to do if a machine has to leave the host of its volume.
            extend_threshold_percent: extend the volume automatically when this share of it is used, 50 to 99 percent.
                For all settings of the extension, None keeps what a machine has, and 0 removes it.
            add_size_gb: by how much it is extended, 1 to 100 GB.
            add_size_percent: by how much of its size it is extended instead, rounded up to whole GB.
            min_add_size_gb: the least that `add_size_percent` adds.
            size_gb_limit: up to which size, at most 500 GB.
            snapshot_retention: days for which snapshots of a new volume are kept, 1 to 60; the API's default is 5.
            scheduled_snapshots: whether snapshots of a new volume are taken automatically; the API's default is True.
        """
        volume = DesiredVolume(
            name=name,
            path=path,
            size_gb=size_gb,
            if_lost=if_lost,
            extend_threshold_percent=extend_threshold_percent,
            add_size_gb=add_size_gb,
            add_size_percent=add_size_percent,
            min_add_size_gb=min_add_size_gb,
            size_gb_limit=size_gb_limit,
            snapshot_retention=snapshot_retention,
            scheduled_snapshots=scheduled_snapshots,
        ).checked()
        return self._each(lambda group: evolve(group, volume=volume))

    def with_release_command(
        self, command: str | tuple[str, ...], *, timeout: float = 300.0, guest: Guest | None = None
    ) -> Self:
        """Run a command on a temporary machine before anything changes; the deploy continues only after exit code 0.

        The machine has the image, the environment, the app's secrets and `RELEASE_COMMAND=1`, but no services and no
        volume. A deploy with nothing to do does not run it. A deploy that is repeated may run it again, so the command
        must be idempotent; never two at once: if that of an earlier deploy, which was killed, still runs, the deploy
        waits up to `timeout` seconds until it exits.
        """
        demand_seconds("timeout", timeout, least=1)
        return self._with(evolve(self.spec, release=ReleaseCommand.of(command, timeout=timeout, guest=guest)))

    def with_seed_command(
        self, command: str | tuple[str, ...], *, timeout: float = 300.0, guest: Guest | None = None
    ) -> Self:
        """Run a command once, in the first deploy of the app, to fill its database; after the release command.

        It runs on a temporary machine like that of the release command, and if it fails, no machine is created. A
        deploy is the first one if the app has no machines, and has had none in a process group as far as the API still
        shows destroyed ones. `fly deploy` never runs the `seed_command` of a fly.toml; `fly launch` does.

        A deploy that was killed has perhaps run it already. The next one looks for its machine, which the API shows for
        a while after it is destroyed:

        1. It still runs: the deploy waits for it.
        2. It has exited with 0: it is not run again.
        3. It has exited with another code: it is run again.
        4. Its exit code is unknown: it is not run again, and the plan says that it may have run.
        """
        demand_seconds("timeout", timeout, least=1)
        needs = "a seed command needs a command, such as 'bin/seed'"
        seed = ReleaseCommand.of(command, needs=needs, timeout=timeout, guest=guest)
        return self._with(evolve(self.spec, seed=seed))

    def smoke_check(self, seconds: float) -> Self:
        """Require that each machine, once up, stays up with its checks passing for `seconds`.

        The default is 10 with a strategy and 0 without. A machine that crashes in this time has failed, even if it was
        restarted.
        """
        demand_seconds("seconds", seconds)
        return self._with(evolve(self.spec, smoke=seconds))

    def verify(self, check: VerifyMachine | str, /, *, timeout: float = 60.0) -> Self:
        """Verify from outside that each machine is well, before others follow: by an async function, or a command line.

            async def answers(fly: FlyClient, machine: Machine) -> None:
                (await http.get(f"http://[{machine.private_ip}]:8080/health")).raise_for_status()

            report = await app.canary(soak=300).verify(answers, timeout=30).roll_back_on_failure().execute(fly)

        Each machine that the deploy creates, updates or starts is verified once it is up: after its checks and the
        `smoke_check`, a canary after its soak, a machine of a bluegreen deploy before it is uncordoned. The function
        fails by raising, or by returning False. A command line runs in `/bin/sh`, without input, and fails by an exit
        status other than 0. Besides the variables of this process, it has `FLY_APP_NAME`, `FLY_MACHINE_ID`,
        `FLY_MACHINE_NAME`, `FLY_REGION`, `FLY_PRIVATE_IP`, `FLY_PROCESS_GROUP` and `FLY_IMAGE_REF` of the machine,
        empty if they are unknown.

        At most 8 machines are verified at once, by all deploys of a client together. A run that takes longer than
        `timeout` seconds has failed; it is cancelled, as it is when the deploy is cancelled. A command is terminated
        together with its children: by SIGTERM, and 5 seconds later by SIGKILL. A failure is a failure of the machine,
        like a crash; the report has the last lines of the command's output, without the values of the environment that
        may be secret. With a strategy, the next deploy with a verification begins with the machines that an earlier one
        has changed and not verified. A journal does not contain the function, nor a command line that may contain a
        secret: to resume, state it again.

        Raises InvalidInput with `wait_for(None)`, since only a machine that is up is verified.
        """
        return self._with(evolve(self.spec, verification=Verification.of(check, timeout=timeout)))

    def verify_stopped(self, verify: VerifyStopped, /) -> Self:
        """Choose whether a group whose machines are all stopped or suspended is verified.

        To verify means that, before the other machines are changed, one machine of each region is started with its new
        config, verified as any other, and returned to its former state. `auto`, the default, verifies if a service has
        autostart, because a request would start the machine anyway. `always` also verifies workers, scheduled machines
        (an exit with code 0 is a success), and groups in which nothing changes. `never` starts none. If machines were
        changed and none was verified, `report.status` is `not verified`, and the report is not ok.
        """
        if verify not in {"auto", "always", "never"}:
            raise InvalidInput(f"verify_stopped takes 'auto', 'always' or 'never', not {verify!r}")
        return self._with(evolve(self.spec, verify_stopped=verify))

    def hedge(self, times: float = 3.0) -> Self:
        """Create a second machine if a new one takes `times` as long to start as the others; the slower is destroyed.

        This applies to machines that the deploy creates, not to machines that are updated in place. The others are the
        last 100 machines of the image that this client has seen start, in any app; their median counts, and at least
        three must have started. If the second machine is late too, it gets a third one beside it, and that a fourth.
        The creates are sent before those of machines that have not begun, within the rate limits.
        """
        if not times > 1:
            raise InvalidInput(
                f"times is {times!r}, but must be above 1: it is a multiple of the usual boot time", parameter="times"
            )
        return self._with(evolve(self.spec, hedge=times))

    def allocate_public_ips(self, allocate: bool = True, /) -> Self:  # noqa: FBT001, FBT002 - a switch
        """Choose whether the first deploy of an app with public services allocates IP addresses for it.

        The first one is that of an app without machines and without any address. It gets a shared IPv4 and an IPv6, or
        a dedicated IPv4, which is billed, where ports other than 80 and 443 or UDP need it. If it was killed between
        the two, so that the app has only that IPv4, the next one allocates the IPv6. A rollback releases what the
        deploy has allocated. By default only a deploy from a fly.toml does so, as with flyctl; on any other, a remark
        says that an address is lacking.
        """
        return self._with(evolve(self.spec, public_ips=allocate))

    def with_secrets_version(self, version: int) -> Self:
        """Start machines with this version of the app's secrets or a newer one.

        With a strategy, the default is the newest version, and machines that were created or last updated with an older
        version are updated.
        """
        return self._with(evolve(self.spec, secrets_version=version))

    def only_secrets(self) -> Self:
        """Change nothing but the secrets: update the machines of the group that may have started with older ones.

        Each machine keeps its config and its image. No machine is created or destroyed, and stopped machines stay
        stopped. Regions and counts are those of the existing machines. Any strategy but bluegreen can be used; the
        default is `rolling`.
        """
        strategy = Rolling() if self.spec.strategy.only_adds else self.spec.strategy
        return self._with(evolve(self.spec, strategy=strategy, only_secrets=True))

    def keep_config(self) -> Self:
        """Keep the image and the config of each machine, except for what is stated: scale a group that runs already.

            report = await DeployBuilder("web").keep_config().count(iad=4).execute(fly)
            report = await DeployBuilder("web").keep_config().with_size("shared-cpu-2x").execute(fly)

        Regions and counts that are not stated are those of the existing machines (see `keep_counts`). A new machine is
        like its siblings, and runs the digest of the image that they run. A machine in which nothing changes is left
        alone: it is not updated, started or uncordoned. Others are updated in place, keep the digest of their image,
        and stay stopped or cordoned if they were. What is stated here does not belong to a deploy: a later one that
        does not state it keeps it.

        Any strategy but bluegreen can be used; the default is `rolling`. `plan` and `execute` raise InvalidInput if the
        group has no machines, or for a guest that its machines cannot have.
        """
        strategy = Rolling() if self.spec.strategy.only_adds else self.spec.strategy
        return self._with(evolve(self.spec, strategy=strategy, keeps_config=True, keeps_counts=True))

    def with_journal(self, path: "str | os.PathLike[str]") -> Self:
        """Append one JSON line to this file for each decision and each step; only its owner can read the file.

        It contains no secrets. An interrupted deploy can be resumed from it: see `resumed`.
        """
        return evolve(self, journal=os.fspath(path))

    def roll_back_on_failure(self, roll_back: bool = True, /) -> Self:  # noqa: FBT001, FBT002 - a switch
        """Roll back if the deploy misses its requirement; by default it leaves everything in place.

        A launch destroys the machines that it created. A strategy restores the old configs, recreates the machines that
        it retired, and destroys those that it created; `report.rollback` is the report of the rollback. A bluegreen
        deploy is not rolled back after its point of no return.
        """
        return self._with(evolve(self.spec, rolls_back=roll_back))

    def on_event(self, observer: OnEvent) -> Self:
        """Call `observer` with every event; the last one is `Finished`, with the report, also after a cancellation."""
        if not callable(observer):
            raise InvalidInput(f"on_event takes a function of one event, not {observer!r}")
        return evolve(self, observers=(*self.observers, observer))

    def notify(self, url: str, key: str | None = None) -> Self:
        """Post the report to an http or https URL once the deploy is over, also if it fails or is cancelled.

        The body is JSON: `event` is `finished`, `at` the seconds that it took, `report` is `report.to_dict()`. With a
        `key`, the header `X-Flyasync-Signature-256` is `sha256=` and the HMAC-SHA256, in hexadecimal digits, of the
        header `X-Flyasync-Timestamp`, a full stop and the body. `execute` and `undo` return once the report is
        delivered, after three retries at most and within 30 seconds. A failure is passed to the exception handler of
        the event loop, and changes nothing else. Nothing is posted if there is no report. May be called repeatedly.
        """
        return evolve(self, webhooks=(*self.webhooks, Webhook(url, key)))

    def deployment(self) -> DeploySpec:
        """Return the deploy spec; raises InvalidInput if its values do not fit together."""
        # A launch without a name is named here, so that planning is deterministic.
        spec = evolve(self.spec, launch=self.spec.launch or token_hex(5)).resolved()
        if self._saved:
            self._saved.check(spec)
        return spec

    @property
    def _saved(self) -> SavedDeploy | None:
        """The deploy of the journal or the plan that the builder was made from."""
        return self._plan or self._replay

    async def plan(self, fly: FlyClient) -> Plan:
        """Return what `execute` would do now; changes nothing. Raises NotFound if the app does not exist."""
        return (await self._decided(fly)).plan

    async def save_plan(self, fly: FlyClient, path: "str | os.PathLike[str]") -> Plan:
        """Return what `execute` would do now, and write it to a file, so that it can be reviewed and then applied.

            plan = await builder.save_plan(fly, "plan.json")
            report = await DeployBuilder.from_plan("plan.json", env=os.environ).execute(fly)

        The file has the spec, the resolved digest, the steps of each machine, and the machines of the groups as
        observed. Only its owner can read it, and it contains no value that may be secret. Raises InvalidInput if it
        cannot be written, and what `plan` raises.
        """
        decision = await self._decided(fly)
        write_plan(path, decision, fly.base_url)
        return decision.plan

    async def _decided(self, fly: FlyClient) -> Decision:
        self._check_api(fly)
        decision = await Planner(fly, self.deployment(), self._saved, self._resolve).decide()
        return evolve(decision, plan=timed(decision.plan, fly))

    @cancelled_once
    async def execute(self, fly: FlyClient) -> DeployReport:
        """Deploy, and report what runs where; `report.ok` is true if that meets the spec.

        Each machine is created exactly once, however many responses are lost, and then awaited. The report shows the
        machines as they are listed at the end. Without a strategy, all regions are deployed concurrently, and a failed
        machine or region does not stop the others. With a strategy, after a failure the machines under way finish and
        no other machine begins.

        Raises InvalidInput, NotFound if the app does not exist, FleetChanged if the fleet no longer fits a plan from a
        file or a deploy that has paused, LeaseHeld if another deploy of the group is running,
        and any error of the requests that read the app; nothing has been changed then. Before it raises LeaseHeld, it
        waits some seconds, and if the other deploy has finished by then, it plans again and continues. Later failures
        are in the report; `raise_for_failure()` raises them as DeployFailed.

        If cancelled, it sends no further create, awaits those in flight (no longer than one exchange may take), lists
        the machines, emits the event `Finished` with the report, and re-raises the cancellation. Machines that are up
        stay up, except those started only for verification, and leases are released. A second cancellation interrupts
        that.
        """
        spec = self.deployment()
        if spec.pause_after is not None and self.journal is None:
            raise InvalidInput(
                "a deploy that pauses continues from its journal, so it needs one",
                python="use with_journal(…)",
                command="add --journal FILE",
            )
        async with self._observing() as observers:
            journal = self._open_journal(fly)
            with closing(journal), deploying(fly, self.app, spec) as span, noting_error(fly, self.app):
                self._record(fly, spec, "deploy")
                decide = Planner(fly, spec, self._saved, self._resolve).decide
                report = await noting_cancellation(fly, spec.app, run_deploy(fly, spec, decide, observers, journal))
                return reported(span, report)

    @asynccontextmanager
    async def _observing(self) -> AsyncIterator[Observers]:
        """Open the observers of one deploy, whose report goes to the webhooks at the end of the block."""
        async with notifying(self.webhooks) as notify:
            yield Observers((*self.observers, notify) if self.webhooks else self.observers)

    def _open_journal(self, fly: FlyClient) -> Journal:
        self._check_api(fly)
        return Journal() if self.journal is None else JournalFile(self.journal, fly.base_url)

    def _record(self, fly: FlyClient, spec: DeploySpec, kind: str, **facts: bool) -> None:
        """Add the spec to the recording of the client, if there is one."""
        if fly.recording:
            of = {"kind": kind, "app": spec.app, "launch": spec.launch, "fingerprints": spec.fingerprint_of_all.split()}
            continues = {"continues": self._saved.noun} if self._saved else {}
            fly.recording.note("deploy", {**of, **continues, **facts, "spec": write_spec_for_replay(spec)})

    def _check_api(self, fly: FlyClient) -> None:
        if self._saved:
            self._saved.check_api(fly.base_url)

    async def stream(self, fly: FlyClient) -> AsyncGenerator[Event, None]:
        """Deploy, and yield each event as it happens; the last one is `Finished`, with the report.

        Raises what `execute` raises. If it is closed early, the deploy is cancelled and ends as a cancelled `execute`
        does; a `break` closes it only inside `contextlib.aclosing`.
        """
        # Unbounded: a slow reader must not delay the deploy.
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        deploy = asyncio.ensure_future(self.on_event(events.put_nowait).execute(fly))
        deploy.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await deploy
        finally:
            deploy.cancel()
            with unscoped():
                await asyncio.gather(deploy, return_exceptions=True)

    async def plan_undo(self, fly: FlyClient, *, every_group: bool = False) -> Plan:
        """Return what `undo` would do now; changes nothing. Raises what `undo` raises."""
        self._check_api(fly)
        return timed((await self._undoing(fly, self.spec.launch or None, every_group=every_group)).plan, fly)

    @cancelled_once
    async def undo(self, fly: FlyClient, *, every_group: bool = False) -> DeployReport:
        """Undo the last release of the group, from the records that Fly.io keeps of its machines.

            report = await DeployBuilder("web").process_group("app").undo(fly)

        It uses these settings of the builder: the app, the groups, the launch if named, the strategy's
        `max_unavailable`, the fallback, the timeout and the observers. With `every_group`, it undoes the last release
        of the app, in all groups that this release changed.

        Each machine that the launch changed gets its previous config. Machines that the launch retired are created
        again under their old names, if the API still shows them, usually for some days. Machines that the launch
        created are destroyed, but their volumes are kept; if they take traffic, they are destroyed only after all other
        machines of their region are healthy. A failed machine does not stop the others. Undoing again goes back one
        more launch; it never restores what was undone.

        A stopped machine stays stopped, unless its process has failed. Remarks of the plan show what cannot be
        restored. Raises InvalidInput if there is nothing to undo or if no machine of the group would be left, and
        otherwise what `execute` raises. If cancelled, it ends as a cancelled `execute` does; undo again to continue.
        """
        async with self._observing() as observers:
            journal = self._open_journal(fly)
            with closing(journal), deploying(fly, self.app) as span, noting_error(fly, self.app):
                self._record(fly, self.spec, "undo", every_group=every_group)
                first = await self._undoing(fly, self.spec.launch or None, every_group=every_group)

                async def decide(*, by_id: bool, unlisted: Collection[str] = ()) -> Decision:
                    if not by_id:
                        return first
                    return await self._undoing(fly, first.plan.launch, unlisted, every_group=every_group)

                undone = run_deploy(fly, first.spec, decide, observers, journal, presses_on=True)
                report = await noting_cancellation(fly, first.spec.app, undone)
                return reported(span, report)

    async def _undoing(
        self, fly: FlyClient, launch: str | None, unlisted: Collection[str] = (), *, every_group: bool
    ) -> Decision:
        spec = self.spec
        # The machines show what the launch changed, so only these settings of the builder are used.
        asked = DeploySpec(
            app=spec.app,
            launch=launch or "",
            config=spec.config,
            fallback=spec.fallback,
            goal="healthy",
            timeout=spec.timeout,
            strategy=Rolling() if spec.strategy.only_adds else spec.strategy,
            group=spec.group,
            also=tuple(GroupSpec(group=group) for group in spec.group_names[1:]),
            secrets_version=spec.secrets_version,
        )
        return await undoing(fly, asked, launch=launch, replay=self._replay, unlisted=unlisted, every_group=every_group)


def _check_counts(per_region: int | None, by_region: Mapping[str, int]) -> None:
    for count in (*by_region.values(), *([] if per_region is None else [per_region])):
        if type(count) is not int or not 0 <= count <= MOST or (count == 0 and per_region == 0):
            raise InvalidInput(
                f"count is {count!r}, but must be a whole number from 1 to {MOST}; for none, leave out the region, "
                "or with a strategy give it a count of 0",
                parameter="count",
            )


def _counting(spec: DeploySpec, per_region: int | None, by_region: Mapping[str, int]) -> DeploySpec:
    return evolve(spec, per_region=per_region or spec.per_region, counts={**spec.counts, **by_region})


def _running(config: MachineConfig, image: str) -> MachineConfig:
    """Return the config with another image, for the containers that run the old one as well."""
    containers = [evolve(each, image=image) if each.image == config.image else each for each in config.containers or ()]
    return evolve(config, image=image, containers=containers or config.containers)


def _group(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,38}[a-zA-Z0-9])?", name):
        raise InvalidInput(f"{name!r} is not a process group: use 1 to 40 letters, digits, and inner - and _")
    if name.startswith("fly_app_"):
        raise InvalidInput(f"{name!r} is a process group that flyctl reserves: choose another")
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
