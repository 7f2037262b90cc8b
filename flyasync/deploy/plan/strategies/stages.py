"""From what is wanted and what is there to a plan; pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, zip_longest

from attrs import evolve, frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.deploy.plan.notes import remarks_of_group, remarks_of_launch
from flyasync.deploy.plan.plan import (
    ONLY_SECRETS,
    Adopt,
    Create,
    GiveUp,
    Lane,
    Plan,
    RunToEnd,
    Stage,
    Start,
    Step,
    Target,
    Track,
    Uncordon,
    Update,
    Watch,
)
from flyasync.deploy.plan.reconcile import RESTING, Action, Member, converged, renewed, verified
from flyasync.deploy.plan.sibling_config import Pattern, inherited
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine
from flyasync.deploy.plan.step_sequences import creation, goal, placed, readiness, retirement, there, update
from flyasync.deploy.plan.strategy import BlueGreen, Canary, Immediate, Rolling
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.lint.linter import Finding, lint_groups
from flyasync.models.machine import GONE, Machine, expected_checks
from flyasync.models.redaction import without_passwords


def plan(spec: DeploySpec, fleet: Fleet) -> Plan:
    """Decide what to do, by the deployment's strategy; raises InvalidInput for what that strategy cannot do."""
    made = launch(spec, fleet) if spec.strategy is None else group(spec, fleet)
    return _released(spec, made)


def launch(spec: DeploySpec, fleet: Fleet) -> Plan:
    """Add the machines of a launch that are not there yet; touch no other machine.

    Raises InvalidInput when the launch was made with another config: its machines are never changed.
    """
    for machine in fleet.machines:
        _check_config(spec, machine)
    made = _plan(spec, fleet, (Stage(lanes=_launch_lanes(spec, fleet)),))
    return evolve(made, remarks=tuple(remarks_of_launch(spec, fleet)))


def group(spec: DeploySpec, fleet: Fleet) -> Plan:
    """Bring a group of machines to what is wanted, by a strategy; touch no machine outside the group."""
    everyone, shape = _decided(spec, fleet)
    members = verified(spec, [each for each in everyone if not each.is_apart])
    others = [each for each in everyone if each.is_apart]
    _check_goal(spec, members)
    differing = _check_services(spec, fleet, everyone)
    stages = chain.from_iterable(shape(spec, fleet, those, wave) for wave, those in _waves(spec, members))
    return evolve(
        _plan(spec, fleet, (*stages, _apart(spec, fleet, others), *_retired_groups(spec, fleet))),
        kept=tuple(_track(each, (), _target(each)) for each in everyone if each.action is Action.KEEP),
        remarks=tuple(remarks_of_group(spec, fleet, everyone, differing)),
    )


def _waves(spec: DeploySpec, members: Sequence[Member]) -> Iterator[tuple["_Wave", list[Member]]]:
    waves = spec.waves or (spec.regions,)
    has_led = False
    for number, regions in enumerate(waves, start=1):
        those = [each for each in members if each.region in regions]
        changes = any(each.action in {Action.UPDATE, Action.MAKE} for each in those)
        yield _Wave(number, len(waves), leads=changes and not has_led), those
        has_led |= changes


def _decided(spec: DeploySpec, fleet: Fleet) -> tuple[tuple[Member, ...], "Shape"]:
    if isinstance(spec.strategy, BlueGreen):
        _check_bluegreen(spec, fleet)
        return renewed(spec, fleet), _bluegreen
    return converged(spec, fleet), _in_place


def _plan(spec: DeploySpec, fleet: Fleet, stages: Iterable[Stage]) -> Plan:
    return Plan(
        app=spec.app,
        launch=spec.launch,
        image=spec.image,
        fallback=spec.fallback,
        strategy=_name(spec),
        group=spec.group if spec.strategy else None,
        before=fleet,
        stages=tuple(stage for stage in stages if stage.lanes),
    )


def _name(spec: DeploySpec) -> str | None:
    if spec.only_secrets:
        return ONLY_SECRETS
    return spec.strategy.name if spec.strategy else None


# The launch: it only adds.


def _check_config(spec: DeploySpec, machine: Machine) -> None:
    if machine.config is not None and not spec.made(machine):
        raise InvalidInput(
            f"launch {spec.launch!r} was made with another config: {machine.name} runs "
            f"{without_passwords(str(machine.image))}; use another launch for this one, or deploy what it was made with"
        )


def _launch_lanes(spec: DeploySpec, fleet: Fleet) -> tuple[Lane, ...]:
    free = [each for each in fleet.volumes if spec.volume and each.name == spec.volume.name and each.is_free]
    return tuple(_launch_lane(spec, fleet, region, {each.id for each in free if each.region == region})
                 for region in spec.regions)  # fmt: skip


def _launch_lane(spec: DeploySpec, fleet: Fleet, region: str, volumes: Iterable[str]) -> Lane:
    wanted = spec.machines(region)
    there = sum(fleet.named(machine.name) is not None for machine in wanted)
    cause = f"{region} has {there} of the {len(wanted)} wanted"
    free = iter(sorted(volumes))
    return Lane(
        region=region,
        tracks=tuple(
            Track(
                machine=machine,
                machine_id=_id(fleet.named(machine.name)),
                steps=tuple(_launch_steps(spec, fleet, fleet.named(machine.name), cause, free)),
                config=spec.tagged,
            )
            for machine in wanted
        ),
    )


def _launch_steps(
    spec: DeploySpec, fleet: Fleet, present: Machine | None, cause: str, volumes: Iterator[str]
) -> Iterator[Step]:
    if present is None:
        pattern = Pattern.of(spec, fleet, None)
        volume = next(volumes, None) if spec.volume else None
        yield from creation(spec, pattern, pattern.config, cause, volume=volume)
        return
    yield Adopt(machine_id=present.id, cause="an earlier run of this launch made it")
    config = spec.tagged
    if spec.goal_of(config) is None or spec.rests(present, config):
        return
    if present.state in RESTING:
        yield Start(cause=f"it is {present.state}")
    yield from goal(spec, config)


# Members become tracks.


def _track(member: Member, steps: Iterable[Step], target: Target = Target.SERVE) -> Track:
    return Track(
        machine=member.wanted,
        machine_id=_id(member.machine),
        steps=tuple(steps),
        target=target,
        takes_a_place=member.action is Action.UPDATE and member.serves,
        config=member.config,
        stays_out=member.is_apart and bool(member.machine and member.machine.cordoned),
    )


def _target(member: Member) -> Target:
    """Say what a machine that is there shall be: one that did not run stays so."""
    if member.is_apart:
        return Target.APART
    return Target.SERVE if member.runs else Target.REST


def _changed(spec: DeploySpec, fleet: Fleet, members: Iterable[Member]) -> Iterator[Track]:
    """Give the tracks of those that are made, updated, or not yet ready."""
    for member in members:
        match member.action:
            case Action.MAKE:
                yield _made(spec, member)
            case Action.UPDATE:
                yield _track(member, update(spec, fleet, member), _target(member))
            case Action.KEEP if steps := tuple(readiness(spec, member)):
                yield _track(member, steps, _target(member))
            case Action.STUCK:
                yield _track(member, [GiveUp(cause=member.cause)])
            case _:
                pass


def _made(spec: DeploySpec, member: Member, *, cordoned: bool = False) -> Track:
    """Give the track of one that is made."""
    assert member.pattern is not None  # noqa: S101 - one that is to be made has it
    config = placed(member.pattern, member.wanted, replaces=member.replaces)
    steps = creation(
        spec,
        member.pattern,
        config,
        member.cause,
        volume=member.volume.id if member.volume else None,
        source=member.source,
        cordoned=cordoned,
        replaces=member.replaces,
    )
    return evolve(_track(member, steps), config=config)


def _leaving(members: Iterable[Member], *, drain: float = 0.0) -> Iterator[Track]:
    for member in members:
        if member.action is Action.RETIRE:
            yield _track(member, retirement(there(member), member.cause, drain=drain), Target.GO)


def _id(machine: Machine | None) -> str | None:
    return machine.id if machine else None


# Tracks become stages.


@frozen
class _Wave:
    """Which wave of how many; the one that `leads` is the first in which anything changes."""

    number: int
    of: int
    leads: bool

    def __str__(self) -> str:
        return f", wave {self.number} of {self.of}" if self.of > 1 else ""


Shape = Callable[[DeploySpec, Fleet, Sequence[Member], _Wave], Iterator[Stage]]


def _in_place(spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: _Wave) -> Iterator[Stage]:
    """Rolling, canary and immediate: update where they are, and let go what is left over when the rest serves."""
    sick, others = _parted(members, lambda each: _is_sick(spec, each))
    yield Stage.of(f"first those that do not serve as they should{wave}", _changed(spec, fleet, sick))
    tracks = list(_changed(spec, fleet, others))
    widths = _widths(spec, members)
    ahead = [track for track in tracks if track.verifies] or (_ahead(spec, tracks) if wave.leads else [])
    if ahead:
        yield Stage.of(f"{_title_ahead(spec, ahead)}{wave}", ahead, widths)
    first = {track.machine.name for track in ahead}
    rest = [track for track in tracks if track.machine.name not in first]
    title = "all at once" if isinstance(spec.strategy, Immediate) else "the rest" if ahead else "all of them"
    yield Stage.of(f"{title}{wave}", rest, widths)
    yield Stage.of(f"let go what is not wanted any more{wave}", _leaving(members), relies_on_others=True)


def _parted(members: Iterable[Member], has: Callable[[Member], bool]) -> tuple[list[Member], list[Member]]:
    """Part those that have something from those that have not."""
    parts: tuple[list[Member], list[Member]] = ([], [])
    for member in members:
        parts[0 if has(member) else 1].append(member)
    return parts


def _is_sick(spec: DeploySpec, member: Member) -> bool:
    """Tell whether a machine is there to serve and does not; before it does, no other may be put at risk."""
    if isinstance(spec.strategy, Immediate) or not member.runs or member.serves:
        return False
    return member.action is Action.UPDATE or (member.action is Action.KEEP and any(readiness(spec, member)))


def _widths(spec: DeploySpec, members: Sequence[Member]) -> dict[str, int]:
    """Say how many serving machines of each region may be away at once; nothing for a strategy without such a bound."""
    strategy = spec.strategy
    if not isinstance(strategy, Rolling | Canary):
        return {}
    serving = Counter(member.region for member in members if member.serves)
    return {region: strategy.max_unavailable.at_most(serving[region]) for region in spec.regions}


def _ahead(spec: DeploySpec, tracks: Sequence[Track]) -> list[Track]:
    """Choose the tracks that go ahead of the others: canaries, or the one that goes first."""
    strategy = spec.strategy
    if isinstance(strategy, Rolling):
        updates = [track for track in tracks if track.takes_a_place]
        return updates[:1] if len(tracks) > 1 else []
    if not isinstance(strategy, Canary):
        return []
    able = [
        track
        for track in tracks
        if track.target is Target.SERVE and any(isinstance(s, Update | Create) for s in track.steps)
    ]
    chosen = _spread(sorted(able, key=lambda track: not track.takes_a_place))[: strategy.machines.at_most(len(able))]
    soak = Watch(seconds=strategy.soak, cause="a canary shows what the others would meet")
    return [evolve(track, steps=(*track.steps, soak) if strategy.soak else track.steps) for track in chosen]


def _spread(tracks: Iterable[Track]) -> list[Track]:
    """Order tracks so that one of each region comes before the second of any."""
    by_region: dict[str, list[Track]] = {}
    for track in tracks:
        by_region.setdefault(track.machine.region, []).append(track)
    return [track for those in zip_longest(*by_region.values()) for track in those if track]


def _title_ahead(spec: DeploySpec, ahead: Sequence[Track]) -> str:
    if all(track.verifies for track in ahead):
        return "verify one stopped machine of each region"
    if isinstance(spec.strategy, Canary):
        return f"{len(ahead)} {'canaries' if len(ahead) > 1 else 'canary'}"
    return "one machine goes first"


def _bluegreen(spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: _Wave) -> Iterator[Stage]:
    """Make the new ones outside routing, let them in together, and only then take the old ones out."""
    old = [member for member in members if member.action is Action.RETIRE]
    new = [member for member in members if member.action is not Action.RETIRE]
    cordoned = any(member.serves for member in old)
    yield Stage.of(f"make the new ones{wave}", _outside(spec, fleet, new, cordoned=cordoned))
    yield Stage.of(
        f"let them in{wave}", _let_in(new, cordoned=cordoned), point_of_no_return=True, relies_on_others=True
    )
    assert isinstance(spec.strategy, BlueGreen)  # noqa: S101 - that is what brought us here
    leaving = _leaving(old, drain=spec.strategy.drain)
    yield Stage.of(f"take the old ones out{wave}", leaving, relies_on_others=True)


def _outside(spec: DeploySpec, fleet: Fleet, members: Iterable[Member], *, cordoned: bool) -> Iterator[Track]:
    for member in members:
        if member.action is Action.MAKE:
            yield _made(spec, member, cordoned=cordoned)
        elif member.action is not Action.KEEP:  # a job stays the same machine
            yield from _changed(spec, fleet, [member])
        elif steps := tuple(step for step in readiness(spec, member) if not isinstance(step, Uncordon)):
            yield _track(member, steps)


def _let_in(members: Iterable[Member], *, cordoned: bool) -> Iterator[Track]:
    for member in members:
        if member.machine.cordoned if member.machine else cordoned:
            yield _track(member, [Uncordon(cause="all new machines are ready")])


def _check_goal(spec: DeploySpec, members: Iterable[Member]) -> None:
    """Refuse to wait for checks where machines have none."""
    lets_in = isinstance(spec.strategy, BlueGreen) and spec.goal == "checked"
    for member in members:
        config = member.config if member.action is Action.MAKE or not lets_in else None
        if config is None or config.schedule or config.standbys or expected_checks(config):
            continue
        if lets_in:
            raise InvalidInput(
                f"bluegreen lets machines in once their checks pass, and {member.wanted.name} would have none: add one "
                "with with_check or --check, or say wait_for('started') or --wait started to do without"
            )
        if spec.goal == "healthy":
            raise InvalidInput(
                f"to wait for 'healthy' needs checks, and {member.wanted.name} would have none: add one with "
                "with_check or --check, or wait for 'started'"
            )


def _check_services(spec: DeploySpec, fleet: Fleet, members: Iterable[Member]) -> Sequence[Finding]:
    """Refuse services that would differ within the group and do not so far; return where they differ."""
    there = [each for each in fleet.group(spec.group) if spec.role(each) is Role.MEMBER]
    before = {machine.name: machine.config for machine in there if machine.config}
    after = dict(before)
    for member in members:
        if member.action is Action.RETIRE:
            after.pop(member.wanted.name, None)
        elif member.config and role(member.config) is Role.MEMBER:
            after[member.wanted.name] = member.config
    found = lint_groups(after)
    if found and not lint_groups(before):
        raise InvalidInput(
            f"the machines of the group {spec.group} would have different services, and the proxy takes them for "
            f"equal: {found[0].path.removesuffix('.services')}: {found[0].message}; deploy to all regions of the group "
            "together, or with services that fit"
        )
    return found


def _check_bluegreen(spec: DeploySpec, fleet: Fleet) -> None:
    holders = [machine for machine in fleet.group(spec.group) if fleet.volume_of(machine)]
    if spec.volume or holders:
        who = holders[0].name if holders else "each machine"
        raise InvalidInput(
            f"bluegreen makes new machines, and {who} has a volume, which would be left behind: use rolling or canary"
        )


def _apart(spec: DeploySpec, fleet: Fleet, members: Iterable[Member]) -> Stage:
    """Update what stands by or runs on a schedule once the others are as they should be; it is not started for that."""
    return Stage.of("what stands by or runs on a schedule", _changed(spec, fleet, members))


def _retired_groups(spec: DeploySpec, fleet: Fleet) -> Iterator[Stage]:
    for name in spec.retired_groups:
        machines = fleet.group(name)
        tracks = [
            Track(
                machine=DesiredMachine(name=machine.name, region=machine.region, number=number),
                machine_id=machine.id,
                steps=tuple(retirement(machine, f"the group {name} is to be retired")),
                target=Target.GO,
            )
            for number, machine in enumerate(machines, start=1)
            if machine.state not in GONE
        ]
        yield Stage.of(f"retire the group {name}", tracks)


# The release command goes before everything.


def _released(spec: DeploySpec, plan: Plan) -> Plan:
    if spec.release is None or all(isinstance(step, GiveUp) for step in plan.steps):
        return plan
    region = spec.regions[0]
    config = spec.release.config(_base(spec, plan))
    track = Track(
        machine=DesiredMachine(name=f"release-{spec.group}".replace("_", "-"), region=region, number=0),
        steps=(
            Create(cause=f"to run {spec.release}", config=config),
            RunToEnd(seconds=spec.release.timeout, cause="nothing changes unless it ends with exit code 0"),
        ),
        config=config,
        target=Target.END,
    )
    lane = Lane(region=region, tracks=(track,))
    return evolve(plan, stages=(Stage(title="release command", lanes=(lane,)), *plan.stages))


def _base(spec: DeploySpec, plan: Plan) -> MachineConfig:
    """Return the config that the release command shares: one that machines of the group will have."""
    tracks = (track for track in (*plan.tracks, *plan.kept) if track.target in {Target.SERVE, Target.REST})
    return next((inherited(track.config) for track in tracks if track.config), spec.tagged)
