"""The last release of a group, as the app itself remembers it, and the way back to what was there before.

Nothing but the app is asked: each machine lists its versions, each version says which launch made it, and what a launch
has retired can be read for a while after it is gone.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set as AbstractSet
from itertools import chain

from attrs import Factory, define, evolve, frozen

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.freshness import fetch
from flyasync.deploy.observe import observe
from flyasync.deploy.plan.config_merge import REPLACED_IMAGE, REPLACES, RETIRED, unmanaged_metadata
from flyasync.deploy.plan.fleet import Fleet, group_of, home, serves, tags
from flyasync.deploy.plan.plan import Decision, Plan
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.spec import GROUP, DeploySpec
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.reporting.resume import JournalReplay
from flyasync.deploy.undo.rollback_plan import AGAIN, RESTORED, before_launch, deployment_back, way_back
from flyasync.errors import InvalidInput, NotFound
from flyasync.models.config import MachineConfig
from flyasync.models.image import runs
from flyasync.models.machine import GONE, CheckStatus, Machine, expected_checks
from flyasync.models.machine_results import MachineVersion


@frozen(kw_only=True)
class Life:
    """A machine with the versions that it has had, oldest first.

    One that was made again goes on the life of the one before it; it `is_whole` if that can still be read.
    """

    machine: Machine
    versions: tuple[MachineVersion, ...] = ()
    is_whole: bool = True

    @property
    def launch(self) -> str | None:
        """The launch that its present config is of."""
        return _launch_of(self.machine.config or self.machine.incomplete_config)

    def first(self, launch: str) -> int | None:
        """Give the place of its first version of a launch."""
        places = (place for place, each in enumerate(self.versions) if _launch_of(each.user_config) == launch)
        return next(places, None)

    def before(self, launch: str) -> MachineConfig | None:
        """Return the config that it had before a launch, if it is known to have had one.

        Metadata can be written without a new version. So what the launch has not set stays as it is, and so does the
        group, for it was of that group when the launch changed it.
        """
        first = self.first(launch)
        if not first:
            return None
        config, after = self.versions[first - 1].user_config, self.versions[first].user_config
        if config is None:
            return None
        kept = unmanaged_metadata(self.machine.config or MachineConfig())
        kept |= {key: value for key, value in tags(self.machine).items() if key == GROUP}
        # What the launch replaced, with the digest; the config of then may state the tag alone.
        image = ((after and after.metadata) or {}).get(REPLACED_IMAGE)
        image = image if image and runs(image, config.image) else config.image
        return evolve(config, image=image, metadata={**(config.metadata or {}), **kept})

    def was_made_by(self, launch: str) -> bool:
        """Tell whether a launch made the machine, and did not find it there."""
        return self.is_whole and self.first(launch) == 0


@frozen(kw_only=True)
class History:
    """What an app remembers of a group: its machines, those of a launch without a group, and those that are gone."""

    app: str
    group: str
    lives: tuple[Life, ...]
    dead: tuple[Machine, ...] = ()

    def last(self) -> str | None:
        """Name the launch that came last: the one whose first trace is the newest."""
        traces: dict[str, str] = {}
        for launch, moment in self._traces():
            traces[launch] = min(moment, traces.get(launch, moment))
        return max(traces, key=lambda launch: traces[launch], default=None)

    def _traces(self) -> Iterator[tuple[str, str]]:
        """Give launches with ids that sort by time; what is undone has no trace any more."""
        for life in self.lives:
            if life.launch and (first := life.first(life.launch)) is not None:
                yield life.launch, life.versions[first].version
            if life.machine.cordoned and (launch := tags(life.machine).get(RETIRED)):
                yield launch, _end(life.machine)
        for launch in {tags(machine)[RETIRED] for machine in self.dead}:
            for machine in self.lost(launch):
                if group_of(machine) == self.group:
                    yield launch, _end(machine)

    def lost(self, launch: str) -> tuple[Machine, ...]:
        """Give the machines that a launch has retired and that were not made again, the last one of each name."""
        again = self._made_again(launch)
        retired = (machine for machine in self.dead if tags(machine)[RETIRED] == launch != tags(machine).get(LAUNCH))
        found = {machine.name: machine for machine in sorted(retired, key=_end)}
        return tuple(machine for machine in found.values() if _stem(machine) not in again)

    def _made_again(self, launch: str) -> frozenset[str]:
        everyone = chain((life.machine for life in self.lives), self.dead)
        return frozenset(_stem(machine) for machine in everyone if tags(machine).get(RESTORED) == launch)


@define
class _Past:
    """What was there before a launch, as far as it is known."""

    before: list[Machine] = Factory(list)
    made: list[Machine] = Factory(list)
    changed: int = 0
    remarks: list[str] = Factory(list)


async def undoing(
    fly: FlyClient,
    asked: DeploySpec,
    *,
    launch: str | None,
    story: JournalReplay | None = None,
    unlisted: Collection[str] = (),
) -> Decision:
    """Plan to undo a launch, the last one of the group unless it is named; changes nothing.

    Of `asked` count the app, the group, and how to go about it. `story` may know more of what was there; `unlisted` are
    ids of machines that a list has lacked. Raises InvalidInput when there is nothing to undo.
    """
    fleet = await observe(fly, evolve(asked, launch=launch or ""), include_deleted=True, unlisted=unlisted)
    dead = tuple(machine for machine in fleet.gone if RETIRED in tags(machine))
    members = _members(fleet, asked.group, launch)
    lives = await asyncio.gather(*(_life(fly, asked.app, machine, dead) for machine in members))
    history = History(app=asked.app, group=asked.group, lives=tuple(lives), dead=dead)
    undone = launch or history.last()
    if undone is None:
        raise InvalidInput(f"no machine of the group {asked.group} of {asked.app} tells of a launch: nothing to undo")
    replaced = await _replaced(fly, asked.app, members, undone, known={each.id for each in (*fleet.machines, *dead)})
    history = evolve(history, dead=(*dead, *replaced))
    return undo_launch(evolve(asked, launch=undone, secrets=fleet.secrets), fleet, history, story)


async def _replaced(
    fly: FlyClient, app: str, members: Iterable[Machine], launch: str, *, known: AbstractSet[str]
) -> list[Machine]:
    """Fetch the machines whose place a launch gave to others, where no list shows them: these say which they are."""
    made = (tags(machine) for machine in members if tags(machine).get(LAUNCH) == launch)
    ids = {marks[REPLACES] for marks in made if REPLACES in marks} - known
    found = await asyncio.gather(*(fetch(fly, app, each) for each in sorted(ids)))
    return [machine for machine in found if machine and machine.state in GONE and RETIRED in tags(machine)]


def _members(fleet: Fleet, group: str, launch: str | None) -> Sequence[Machine]:
    """Give the machines of the group; of a launch that knew of no groups, its own."""
    members = fleet.group(group)
    alone = [each for each in fleet.machines if group_of(each) is None and launch and tags(each).get(LAUNCH) == launch]
    return alone if alone and not any(tags(each).get(LAUNCH) == launch for each in members) else members


async def _life(fly: FlyClient, app: str, machine: Machine, dead: Sequence[Machine]) -> Life:
    """Read the versions of a machine, and of those that it was made again from."""
    try:
        newest_first = await fly.machines.versions(app, machine.id)
    except NotFound:
        newest_first = ()  # of one that is gone there may be nothing left to read
    oldest_first = newest_first[::-1]
    life = Life(machine=machine, versions=tuple(sorted(oldest_first, key=_moment)))
    if (undone := tags(machine).get(RESTORED)) is None:
        return life
    origin = next((each for each in dead if _is_origin(each, machine, undone)), None)
    if origin is None:
        return evolve(life, is_whole=False)
    earlier = await _life(fly, app, origin, dead)
    return evolve(life, versions=(*earlier.versions, *life.versions), is_whole=bool(earlier.versions))


def _moment(version: MachineVersion) -> str:
    """Give the time that the id of a version begins with; what follows is drawn by lot."""
    return version.version[:10]


def _is_origin(dead: Machine, machine: Machine, undone: str) -> bool:
    """Tell whether a machine was made again from a dead one."""
    return dead.id != machine.id and tags(dead)[RETIRED] == undone and _stem(dead) == _stem(machine)


# What to do is decided from here on, without asking anybody.


def undo_launch(spec: DeploySpec, fleet: Fleet, history: History, story: JournalReplay | None = None) -> Decision:
    """Plan the way back to what was there before a launch; raises InvalidInput for nothing to undo."""
    launch = spec.launch
    known = story if story and story.is_of(history.app, launch) else None
    past = _past(history, launch, known)
    lost = history.lost(launch)
    _check(history, launch, past, is_known=known is not None and not known.before)
    past.remarks += _missing(past, lost, launch, known)
    is_alone = not any(group_of(life.machine) == history.group for life in history.lives) and not lost
    base = Plan(
        app=spec.app,
        launch=launch,
        image=spec.image,
        fallback=spec.fallback,
        stages=(),
        group=None if is_alone else spec.group,
        before=fleet,
    )
    made = frozenset(machine.id for machine in past.made)
    plan = way_back(base, past.before, fleet.machines, made=made, widths=_widths(spec, fleet))
    plan = evolve(plan, remarks=(*plan.remarks, *past.remarks, *_volumes(fleet, past.made)))
    others = {group for machine in lost if (group := group_of(machine))} - {spec.group}
    wanted = evolve(spec, retired_groups=tuple(sorted(others)), strategy=Launch() if is_alone else spec.strategy)
    return Decision(spec=deployment_back(wanted, plan), plan=plan)


def _past(history: History, launch: str, story: JournalReplay | None) -> _Past:
    past = _Past()
    known = {each.id for each in (*history.lost(launch), *(life.machine for life in history.lives))}
    made = [life.machine for life in history.lives if life.launch == launch and life.was_made_by(launch)]
    past.made = [machine for machine in made if tags(machine).get(REPLACES) in {None, *known}]
    made_in = {machine.region for machine in past.made}
    for life in history.lives:
        if life.launch != launch:
            made_way = _made_way(life.machine, launch, made_in, story)
            past.before.append(_let_in(life.machine) if made_way else life.machine)
            past.changed += made_way
        elif config := life.before(launch):
            past.before.append(_as_before(life.machine, config))
            past.changed += 1
        elif life.machine not in past.made:
            past.before.append(life.machine)
            past.remarks.append(f"{life.machine.name}: what was there before it is not known, so it stays as it is")
    past.before += map(_made_again, history.lost(launch))
    return past


def _check(history: History, launch: str, past: _Past, *, is_known: bool) -> None:
    """Raise InvalidInput if there is nothing to undo, or if that would leave nothing."""
    lost = history.lost(launch)
    if not (past.made or past.changed or lost):
        raise InvalidInput(
            f"no machine of the group {history.group} is as launch {launch} left it, and none that it retired can be "
            "read any more: there is nothing to undo"
        )
    is_of_group = any(group_of(machine) == history.group for machine in past.made)
    if is_of_group and not past.before and not is_known:
        raise InvalidInput(
            f"launch {launch} made all machines of the group {history.group}, and what was there before, if anything, "
            "can be read no more: undoing it would leave none; to have none, destroy them"
        )


def _made_way(machine: Machine, launch: str, made_in: AbstractSet[str], story: JournalReplay | None) -> bool:
    """Tell whether a machine is out of routing, or about to go, since a launch was to retire it."""
    if not machine.cordoned:
        return False
    is_known = story is not None and any(each.id == machine.id and not each.cordoned for each in story.before)
    return is_known or tags(machine).get(RETIRED) == launch or (story is None and machine.region in made_in)


def _let_in(machine: Machine) -> Machine:
    """Give a machine as it was before it began to make way."""
    if machine.config is None:
        return machine
    kept = {key: value for key, value in machine.metadata.items() if key != RETIRED}
    return _up(evolve(machine, config=evolve(machine.config, metadata=kept)))


def _as_before(machine: Machine, config: MachineConfig) -> Machine:
    """Give a machine as it was with an older config; if it runs no more because it failed, that was the newer one."""
    fell = machine.has_crashed or machine.state not in RESTING
    then = evolve(machine, config=config, image_ref=None)  # which is of the newer one too
    return _up(then, cordoned=machine.cordoned) if fell else then


def _made_again(machine: Machine) -> Machine:
    """Give a machine that is gone as it was; one that stands by for others waits, stopped."""
    standby = machine.config is not None and bool(machine.config.standbys)
    return evolve(_up(machine), state="stopped") if standby else _up(machine)


def _up(machine: Machine, *, cordoned: bool | None = False) -> Machine:
    """Suppose that a machine was well."""
    passing = tuple(CheckStatus(status="passing") for _ in range(expected_checks(machine.config)))
    return evolve(machine, state="started", cordoned=cordoned, checks=passing, host_status="ok")


def _missing(past: _Past, lost: Iterable[Machine], launch: str, story: JournalReplay | None) -> Iterator[str]:
    """Say what was there and cannot be brought back, as far as that is known."""
    if story is not None:
        ids, names = {machine.id for machine in past.before}, {machine.name for machine in past.before}
        for each in story.before:
            if each.id not in ids and each.name not in names:
                yield f"{each.name} in {each.region} can be read no more, so it is not made again"
        return
    back = Counter(machine.region for machine in lost)
    for region, count in sorted(Counter(machine.region for machine in past.made).items()):
        if count > back[region]:
            yield (
                f"{region}: launch {launch} made {count}, and {back[region] or 'none'} that it retired can be read; "
                "if there were more, they are not made again"
            )


def _volumes(fleet: Fleet, made: Iterable[Machine]) -> Iterator[str]:
    for machine in made:
        if volume := fleet.volume_of(machine):
            yield f"volume {volume.id} of {machine.name} stays"


def _widths(spec: DeploySpec, fleet: Fleet) -> Mapping[str, int]:
    """Say how many serving machines of each region may be away at once, as in a rolling update."""
    return spec.strategy.widths(Counter(home(machine) for machine in fleet.group(spec.group) if serves(machine)))


def _launch_of(config: MachineConfig | None) -> str | None:
    """Name the launch that a config is of; one that was put back to before any launch is of none."""
    marks = (config and config.metadata) or {}
    launch = marks.get(LAUNCH)
    return None if launch == before_launch(marks.get(RESTORED, "")) else launch


def _end(machine: Machine) -> str:
    """Give an id that sorts by when a machine ended: the ids of events, as those of versions, begin with the time."""
    return max((event.id or "" for event in machine.events or ()), default="") or machine.current_version or ""


def _stem(machine: Machine) -> str:
    """Give a machine's name without what the way back may have added to it."""
    return machine.name.removesuffix(AGAIN)
