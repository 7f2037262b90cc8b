"""The release history of a group, read from the API, and the plan that restores the state before a release.

The API lists the versions of each machine, the config of each version names its launch, and a retired machine can be
read for some days after it is destroyed.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from attrs import evolve, frozen

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.list_lag import fetch
from flyasync.deploy.observe import observe
from flyasync.deploy.plan.config_merge import ADOPTED, REPLACED_IMAGE, REPLACES, RETIRED, STOPPED, unmanaged_metadata
from flyasync.deploy.plan.fleet import Fleet, group_of, home, serves, tags
from flyasync.deploy.plan.plan import Decision, Plan
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.spec import GROUP, DeploySpec, GroupSpec, LaneKey
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.tally import tally
from flyasync.deploy.reporting.resume import JournalReplay
from flyasync.deploy.undo.rollback_plan import AGAIN, RESTORED, before_launch, restored_spec, restoring
from flyasync.errors import InvalidInput, NotFound
from flyasync.models.config import MachineConfig
from flyasync.models.image import runs
from flyasync.models.machine import GONE, CheckStatus, Machine, expected_checks
from flyasync.models.machine_results import MachineVersion


@frozen(kw_only=True)
class Life:
    """A machine and its versions, oldest first.

    A recreated machine continues the life of the machine that it replaced; `is_whole` is whether that can still be
    read.
    """

    machine: Machine
    versions: tuple[MachineVersion, ...] = ()
    is_whole: bool = True

    @property
    def launch(self) -> str | None:
        """The launch of its current config."""
        return _launch_of(self.machine.config or self.machine.incomplete_config)

    def first(self, launch: str) -> int | None:
        """Return the index of its first version with a launch."""
        ours = (index for index, each in enumerate(self.versions) if _launch_of(each.user_config) == launch)
        return next(ours, None)

    def before(self, launch: str) -> MachineConfig | None:
        """Return the config that it had before a launch, or None if there is none or it is unknown.

        Metadata can change without a new version. So metadata that deploys have not set keeps its current values, and
        so does the group, unless the launch adopted the machine from another one.
        """
        first = self.first(launch)
        if not first:
            return None
        config, after = self.versions[first - 1].user_config, self.versions[first].user_config
        if config is None:
            return None
        kept = unmanaged_metadata(self.machine.config or MachineConfig())
        kept |= {key: value for key, value in tags(self.machine).items() if key == GROUP}
        if ADOPTED in ((after and after.metadata) or {}):
            del kept[GROUP]
        # The launch recorded the replaced image with its digest; the earlier config may have only the tag.
        image = ((after and after.metadata) or {}).get(REPLACED_IMAGE)
        image = image if image and runs(image, config.image) else config.image
        return evolve(config, image=image, metadata={**(config.metadata or {}), **kept})

    def was_made_by(self, launch: str) -> bool:
        """Whether a launch created the machine."""
        return self.is_whole and self.first(launch) == 0


@frozen(kw_only=True)
class History:
    """The machines of groups, or of a launch without a group, with their versions.

    `dead` are retired machines of all groups, `others` the existing machines of other groups, and `there` has the ids
    of all existing machines.
    """

    app: str
    groups: tuple[str, ...]
    lives: tuple[Life, ...]
    dead: tuple[Machine, ...] = ()
    others: tuple[Machine, ...] = ()
    there: frozenset[str] = frozenset()

    def last(self) -> str | None:
        """Return the last launch: the one whose first trace is the newest, where ids of traces sort by time.

        A launch that was undone has no trace.
        """
        traces: list[tuple[str, str]] = []
        for life in self.lives:
            # 1. A machine has the config of the launch: the trace is its first version of the launch.
            # 2. A machine was cordoned to be retired, and still exists: the trace is its last event.
            if life.launch and (first := life.first(life.launch)) is not None:
                traces.append((life.launch, life.versions[first].version))
            if life.machine.cordoned and (retired_by := tags(life.machine).get(RETIRED)):
                traces.append((retired_by, _end(life.machine)))
        # 3. A machine was retired and is destroyed: the trace is its last event.
        for launch in {tags(machine)[RETIRED] for machine in self.dead}:
            lost = (machine for machine in self.lost(launch) if group_of(machine) in self.groups)
            traces += ((launch, _end(machine)) for machine in lost)
        begun: dict[str, str] = {}
        for launch, moment in traces:
            begun[launch] = min(moment, begun.get(launch, moment))
        return max(begun, key=lambda launch: begun[launch], default=None)

    def of(self, launch: str) -> "History":
        """Return the history of the groups that a launch changed; all of them if it changed none."""
        changed = {group_of(machine) for machine in self.lost(launch)}
        for life in self.lives:
            marks = tags(life.machine)
            if life.first(launch) is not None or launch in {marks.get(RETIRED), marks.get(STOPPED)}:
                changed.add(group_of(life.machine))
        groups = tuple(group for group in self.groups if group in changed)
        if not groups:
            return self
        lives = (each for each in self.lives if group_of(each.machine) in groups or ADOPTED in tags(each.machine))
        return evolve(self, groups=groups, lives=tuple(lives))

    @property
    def which(self) -> str:
        """The groups in words."""
        return f"the group{'s' if len(self.groups) > 1 else ''} {', '.join(self.groups)}"

    def lost(self, launch: str) -> tuple[Machine, ...]:
        """Return the machines that a launch retired and that were not recreated, the last one of each name.

        Machines of another group count only if the launch retired that whole group, or adopted them.
        """
        everyone = (*(life.machine for life in self.lives), *self.others, *self.dead)
        again = {_stem(machine) for machine in everyone if tags(machine).get(RESTORED) == launch}
        # A group with machines that neither leave nor were recreated was deployed too: it has an undo of its own.
        deployed = {group_of(machine) for machine in self.others if not {RETIRED, RESTORED} & tags(machine).keys()}
        mine = (
            machine
            for machine in self.dead
            if group_of(machine) not in deployed or tags(machine).get(ADOPTED) == launch
        )
        retired = (machine for machine in mine if tags(machine)[RETIRED] == launch != tags(machine).get(LAUNCH))
        found = {machine.name: machine for machine in sorted(retired, key=_end)}
        return tuple(machine for machine in found.values() if _stem(machine) not in again)


@frozen(kw_only=True)
class Past:
    """The machines `before` a launch, as far as they are known.

    `made` are the machines that the launch created, and `lost` those that it retired. `changed` is the number of
    machines that it updated or cordoned. `replay` is the journal of the launch, if there is one.
    """

    history: History
    launch: str
    replay: JournalReplay | None
    before: tuple[Machine, ...]
    made: tuple[Machine, ...]
    lost: tuple[Machine, ...]
    changed: int
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, history: History, launch: str, replay: JournalReplay | None) -> "Past":
        """Return the machines before a launch."""
        lost = history.lost(launch)
        known = {*history.there, *(each.id for each in (*lost, *(life.machine for life in history.lives)))}
        mine = (life.machine for life in history.lives if life.launch == launch and life.was_made_by(launch))
        made = [machine for machine in mine if tags(machine).get(REPLACES) in {None, *known}]
        made_in = {machine.region for machine in made}
        in_routing = {each.id for each in replay.before if not each.cordoned} if replay else set()
        before: list[Machine] = []
        remarks: list[str] = []
        changed = 0
        for life in history.lives:
            machine = life.machine
            # 1. The launch cordoned it to retire it: it was in routing. Or the launch stopped it for its update and was
            #    interrupted: it was running.
            # 2. The launch did not change it: it was as it is now.
            # 3. The launch updated it: it had another config. It was healthy if it failed with the new config, or if
            #    the launch had stopped it for the update.
            # 4. The launch created it: it did not exist.
            # 5. Its earlier config is unknown: it stays as it is.
            if life.launch != launch:
                is_ours = machine.id in in_routing or tags(machine).get(RETIRED) == launch
                if machine.cordoned and (is_ours or (replay is None and machine.region in made_in)):
                    changed += 1
                    if machine.config is not None:
                        kept = {key: value for key, value in machine.metadata.items() if key != RETIRED}
                        machine = _up(evolve(machine, config=evolve(machine.config, metadata=kept)))
                elif machine.state in RESTING and tags(machine).get(STOPPED) == launch:
                    changed += 1
                    machine = _up(machine, cordoned=machine.cordoned)
                before.append(machine)
            elif config := life.before(launch):
                then = evolve(machine, config=config, image_ref=None)  # which belongs to the newer config too
                was_up = machine.has_crashed or machine.state not in RESTING or STOPPED in tags(machine)
                before.append(_up(then, cordoned=machine.cordoned) if was_up else then)
                changed += 1
            elif machine not in made:
                before.append(machine)
                remarks.append(f"{machine.name}: its earlier config is unknown, so it is left unchanged")
        # Retired machines were running, except standbys, which were stopped.
        for machine in lost:
            is_standby = machine.config is not None and bool(machine.config.standbys)
            before.append(evolve(_up(machine), state="stopped") if is_standby else _up(machine))
        return cls(
            history=history, launch=launch, replay=replay, before=tuple(before), made=tuple(made), lost=lost,
            changed=changed, remarks=tuple(remarks),
        )  # fmt: skip

    def check(self) -> None:
        """Raise InvalidInput if there is nothing to undo, or if the undo would leave no machine."""
        if not (self.made or self.changed or self.lost):
            raise InvalidInput(
                f"nothing to undo: no machine of {self.history.which} has the config of launch {self.launch},"
                " and the API no longer shows the machines that it retired"
            )
        is_of_group = any(group_of(machine) in self.history.groups for machine in self.made)
        is_known_empty = self.replay is not None and not self.replay.before
        if is_of_group and not self.before and not is_known_empty:
            raise InvalidInput(
                f"launch {self.launch} created all machines of {self.history.which}, and the API no longer "
                "shows any earlier ones, so undoing it would leave no machine; if that is what you want, destroy them"
            )

    def missing(self) -> Iterator[str]:
        """Yield a remark for each machine that is known to be missing and cannot be recreated."""
        if self.replay is not None:
            ids = {*self.history.there, *(machine.id for machine in self.before)}
            names = {machine.name for machine in self.before}
            for each in self.replay.before:
                if each.id not in ids and each.name not in names:
                    yield f"{each.name} in {each.region}: the API no longer shows it, so it is not recreated"
            return
        back = Counter(machine.region for machine in self.lost)
        for region, count in sorted(Counter(machine.region for machine in self.made).items()):
            if count > back[region]:
                yield (
                    f"{region}: launch {self.launch} created {count}, and the API shows {back[region] or 'none'} of "
                    "the machines that it retired; others are not recreated"
                )


async def undoing(
    fly: FlyClient,
    asked: DeploySpec,
    *,
    launch: str | None,
    replay: JournalReplay | None = None,
    unlisted: Collection[str] = (),
    every_group: bool = False,
) -> Decision:
    """Return the plan that undoes a launch; changes nothing. Raises InvalidInput if there is nothing to undo.

    `launch` defaults to the last one of the group. Of `asked`, the app, the group, the strategy, the fallback and the
    timeout count. The `replay` of a journal may contain machines that the API no longer shows. `unlisted` are ids of
    machines that an earlier list lacked. With `every_group`, the launch is undone in all groups that it changed.
    """
    if every_group:
        listed = await fly.machines.list(asked.app, include_deleted=True)
        found_groups = sorted(
            {group for each in listed if (group := group_of(each)) and not group.startswith("fly_app_")}
        )
        first, *others = found_groups or [asked.group]
        asked = evolve(asked, group=first, also=tuple(GroupSpec(group=group) for group in others))
    fleet = await observe(fly, evolve(asked, launch=launch or ""), include_deleted=True, unlisted=unlisted)
    # Machines that were adopted to be replaced, and still exist, belong to no group of their own.
    to_replace = (each for each in fleet.machines if ADOPTED in tags(each) and group_of(each) not in asked.group_names)
    fleet = evolve(fleet, adopted={machine.id: asked.group for machine in to_replace})
    dead = tuple(machine for machine in fleet.gone if RETIRED in tags(machine))
    members = tuple(machine for group in asked.group_names for machine in fleet.group(group))
    # Machines of a launch without a group are recognized by their tag.
    tagged = [each for each in fleet.machines if launch and tags(each).get(LAUNCH) == launch]
    if alone := [each for each in tagged if group_of(each) is None]:
        members = members if any(each in tagged for each in members) else tuple(alone)
    lives = await asyncio.gather(*(_life(fly, asked.app, machine, dead) for machine in members))
    outside = tuple(each for each in fleet.machines if each not in members and group_of(each) is not None)
    history = History(
        app=asked.app,
        groups=asked.group_names,
        lives=tuple(lives),
        dead=dead,
        others=outside,
        there=frozenset(each.id for each in fleet.machines),
    )
    undone = launch or history.last()
    if undone is None:
        raise InvalidInput(f"nothing to undo: no machine of {history.which} of {asked.app} has the tag of a launch")
    # Replaced machines may no longer be listed; the machines that replaced them have their ids.
    replaced = {tags(each).get(REPLACES) for each in members if tags(each).get(LAUNCH) == undone}
    unseen = sorted(filter(None, replaced - {each.id for each in (*fleet.machines, *dead)}))
    found = await asyncio.gather(*(fetch(fly, asked.app, each) for each in unseen))
    retired = (each for each in found if each and each.state in GONE and RETIRED in tags(each))
    history = evolve(history, dead=(*dead, *retired))
    history = history.of(undone) if len(history.groups) > 1 else history
    first, *others = history.groups
    spec = evolve(asked, launch=undone, secrets=fleet.secrets, group=first)
    spec = evolve(spec, also=tuple(GroupSpec(group=group) for group in others))
    return undo_launch(spec, fleet, history, replay)


async def _life(fly: FlyClient, app: str, machine: Machine, dead: Sequence[Machine]) -> Life:
    """Read the versions of a machine, and of the machines that it is a recreation of."""
    try:
        newest_first = await fly.machines.versions(app, machine.id)
    except NotFound:
        newest_first = ()  # the versions of a destroyed machine may no longer be available
    # A version id begins with ten characters of time; the rest is random, so the API's order decides.
    oldest_first = newest_first[::-1]
    versions = tuple(sorted(oldest_first, key=lambda version: version.version[:10]))
    life = Life(machine=machine, versions=versions)
    if (undone := tags(machine).get(RESTORED)) is None:
        return life
    same_name = (each for each in dead if each.id != machine.id and _stem(each) == _stem(machine))
    origin = next((each for each in same_name if tags(each)[RETIRED] == undone), None)
    if origin is None:
        return evolve(life, is_whole=False)
    earlier = await _life(fly, app, origin, dead)
    return evolve(life, versions=(*earlier.versions, *life.versions), is_whole=bool(earlier.versions))


# The decision; no I/O from here on.


def undo_launch(spec: DeploySpec, fleet: Fleet, history: History, replay: JournalReplay | None = None) -> Decision:
    """Return the plan that restores the state before a launch; raises InvalidInput if there is nothing to undo."""
    launch = spec.launch
    past = Past.of(history, launch, replay if replay and replay.is_of(history.app, launch) else None)
    past.check()
    is_alone = not any(group_of(life.machine) in history.groups for life in history.lives) and not past.lost
    base = Plan(
        app=spec.app,
        launch=launch,
        image=spec.image,
        fallback=spec.fallback,
        stages=(),
        groups=() if is_alone else history.groups,
        before=fleet,
    )
    # As many serving machines of a region are unavailable at once as in an update by the strategy.
    widths: dict[LaneKey, int] = {}
    for name in history.groups:
        serving = Counter(home(machine) for machine in fleet.group(name) if serves(machine))
        widths |= {(region, name): width for region, width in spec.strategy.widths(serving).items()}
    made = frozenset(machine.id for machine in past.made)
    plan = restoring(base, past.before, fleet.machines, made=made, widths=widths)
    volumes = [(machine, fleet.volume_of(machine)) for machine in past.made]
    stays = [f"volume {volume.id} of {machine.name} is kept" for machine, volume in volumes if volume]
    plan = evolve(plan, remarks=(*plan.remarks, *past.remarks, *past.missing(), *stays))
    retired = (machine for machine in past.lost if tags(machine).get(ADOPTED) != launch)
    others = {group for machine in retired if (group := group_of(machine))} - {*history.groups}
    plan = evolve(plan, resources=tally(plan, others))
    desired = evolve(spec, retired_groups=tuple(sorted(others)), strategy=Launch() if is_alone else spec.strategy)
    return Decision(spec=restored_spec(desired, plan), plan=plan)


def _up(machine: Machine, *, cordoned: bool | None = False) -> Machine:
    """Return a machine in its healthy state."""
    passing = tuple(CheckStatus(status="passing") for _ in range(expected_checks(machine.config)))
    return evolve(machine, state="started", cordoned=cordoned, checks=passing, host_status="ok")


def _launch_of(config: MachineConfig | None) -> str | None:
    """Return the launch of a config; None if it was restored to the state before any launch."""
    marks = (config and config.metadata) or {}
    launch = marks.get(LAUNCH)
    return None if launch == before_launch(marks.get(RESTORED, "")) else launch


def _end(machine: Machine) -> str:
    """Return an id that sorts by the time when a machine ended; ids of events and versions begin with the time."""
    return max((event.id or "" for event in machine.events or ()), default="") or machine.current_version or ""


def _stem(machine: Machine) -> str:
    """Return a machine's name without the suffix that a rollback may have added."""
    return machine.name.removesuffix(AGAIN)
