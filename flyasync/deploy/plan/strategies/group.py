"""The base class of the strategies that change a group."""

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from attrs import define, evolve, frozen

from flyasync.deploy.plan.config_merge import changes
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.deploy.plan.new_group import completed, with_standbys
from flyasync.deploy.plan.notes import remarks_of_group, remarks_of_others
from flyasync.deploy.plan.plan import ONLY_SECRETS, Plan, Stage, Target, Track
from flyasync.deploy.plan.reconcile import Action, Member, converged, verified
from flyasync.deploy.plan.spec import GROUP, DeploySpec, DesiredMachine
from flyasync.deploy.plan.step_sequences import retirement
from flyasync.deploy.plan.strategies.tracks import changed, target_of, track
from flyasync.deploy.plan.strategy import Strategy
from flyasync.errors import InvalidInput
from flyasync.models.lint.linter import Finding, lint_groups
from flyasync.models.machine import GONE, expected_checks


@frozen
class Wave:
    """A wave of `regions`, number `number` of `of`; the wave that `leads` is the first one with a change.

    The regions are those of all groups, which have the same stages, so that each stage is one of all groups.
    """

    number: int
    of: int
    leads: bool
    regions: tuple[str, ...]

    def __str__(self) -> str:
        return f", wave {self.number} of {self.of}" if self.of > 1 else ""


@define
class _Group:
    """One group of a deploy while it is planned.

    `everyone` are all its machines, `members` those that count, and `differing` where its services differ.
    """

    spec: DeploySpec
    everyone: Sequence[Member]
    members: Sequence[Member]
    differing: Sequence[Finding]
    has_led: bool = False


@frozen(kw_only=True)
class GroupStrategy(Strategy):
    """Converges a group of machines to the spec; changes no machine outside the group.

    A strategy implements `stages`, how the members of one wave change, and may override `members`, their actions.
    """

    def check(self, spec: DeploySpec) -> None:
        """Raise InvalidInput if the spec contradicts itself."""
        group = (spec.config.metadata or {}).get(GROUP, spec.group)
        if group != spec.group:
            raise InvalidInput(
                f"the config's metadata names the process group {group!r}, but the deploy changes {spec.group!r}",
                python=f"use process_group({group!r}), or a config of {spec.group!r}",
                command=f"use --group {group}, or a config of {spec.group!r}",
            )
        # A file states completely what it can express: a field that it lacks is removed.
        if not spec.source and (unstated := [name for name in spec.replaces if getattr(spec.config, name) is None]):
            names = " and ".join(unstated)
            raise InvalidInput(
                f"the config does not set {names}, so there is no value to replace it with",
                python=f"set it, or leave it out of replace({', '.join(map(repr, unstated))})",
                command=f"set it, or leave out --replace {' --replace '.join(unstated)}",
            )
        if spec.group in spec.retired_groups:
            raise InvalidInput(f"{spec.group!r} is the group to deploy, so it cannot be retired too")

    def members(self, spec: DeploySpec, fleet: Fleet) -> tuple[Member, ...]:
        """Return the action for each machine of the group; raises InvalidInput for a fleet that it cannot change."""
        return converged(spec, fleet)

    def check_goal(self, spec: DeploySpec, member: Member) -> None:
        """Raise InvalidInput if the machine cannot reach the state to wait for."""
        if spec.goal == "healthy" and lacks_checks(member):
            raise InvalidInput(
                f"waiting for healthy machines needs checks, but {member.desired.name} would have none",
                python="add one with with_check(…), or use wait_for('started')",
                command="add --port PORT and --check PATH, or use --wait started",
            )

    @abstractmethod
    def stages(self, spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: Wave) -> Iterator[Stage]:
        """Yield the stages of one wave, in order; the plan omits stages without tracks."""

    def plan(self, spec: DeploySpec, fleet: Fleet) -> Plan:
        """Return the plan: one wave after another, then standby and scheduled machines, then retired groups.

        The groups of a deploy go through the stages of a wave together.
        """
        groups: list[_Group] = []
        left = fleet
        for own in spec.groups:
            group = self._group(own, left)
            groups.append(group)
            # A volume that one group takes is not free for the next.
            taken = {each.volume.id for each in group.everyone if each.volume}
            left = evolve(left, volumes=tuple(each for each in left.volumes if each.id not in taken))

        stages: list[Stage] = []
        waves = spec.waves or (spec.regions,)
        for number, regions in enumerate(waves, start=1):
            together = []
            for group in groups:
                those = [each for each in group.members if each.region in regions]
                changes = any(each.action in {Action.UPDATE, Action.MAKE} for each in those)
                wave = Wave(number, len(waves), leads=changes and not group.has_led, regions=regions)
                together.append(list(self.stages(group.spec, fleet, those, wave)))
                group.has_led |= changes
            stages += (evolve(Stage.together(filter(None, those)), wave=number) for those in zip_longest(*together))
        # A new group is completed after its machines are up.
        parts = [list(completed(group.spec, fleet, group.members)) for group in groups]
        stages += (Stage.together(filter(None, those)) for those in zip_longest(*parts))
        # Standby and scheduled machines are updated after the others are up; they are not started for the update.
        apart = (changed(group.spec, fleet, (each for each in group.everyone if each.is_apart)) for group in groups)
        stages.append(Stage.of("standby and scheduled machines", chain.from_iterable(apart)))
        stages += (_retired_group(fleet, name) for name in spec.retired_groups)
        everyone = [each for group in groups for each in group.everyone]

        return Plan(
            app=spec.app,
            launch=spec.launch,
            image=spec.image,
            fallback=spec.fallback,
            strategy=ONLY_SECRETS if spec.only_secrets else spec.strategy_name,
            groups=spec.group_names,
            source=spec.source,
            keeps_config=spec.keeps_config,
            pause_after=spec.pause_after,
            before=fleet,
            stages=tuple(stage for stage in stages if stage.lanes),
            kept=tuple(track(each, (), target_of(each)) for each in everyone if each.action is Action.KEEP),
            remarks=(
                *(
                    f"{each.spec.group}: {remark}" if len(groups) > 1 else remark
                    for each in groups
                    for remark in remarks_of_group(each.spec, fleet, each.everyone, each.differing)
                ),
                *remarks_of_others(spec, fleet),
                *([f"the deploy pauses after wave {spec.pause_after} of {len(waves)}"] if spec.pause_after else []),
            ),
        )

    def _group(self, spec: DeploySpec, fleet: Fleet) -> "_Group":
        """Return the machines of one group with their actions; raises InvalidInput for what the strategy cannot do."""
        everyone = with_standbys(spec, self.members(spec, fleet))
        members = verified(spec, [each for each in everyone if not each.is_apart])
        for member in members:
            self.check_goal(spec, member)
        _check_doubts(spec, fleet, everyone)
        return _Group(spec, everyone, members, _check_services(spec, fleet, everyone))


def lacks_checks(member: Member) -> bool:
    """Whether a machine that is to serve will have no checks."""
    config = member.config
    return config is not None and not (config.schedule or config.standbys or expected_checks(config))


def _check_doubts(spec: DeploySpec, fleet: Fleet, members: Sequence[Member]) -> None:
    """Raise InvalidInput if something would be removed that the file may state under an unknown key."""
    there = {machine.id: machine for machine in fleet.machines} if spec.in_doubt else {}
    for name, key in spec.in_doubt.items():
        for member in members:
            before = member.machine or there.get(member.replaces or "")
            if not (before and before.config and member.config):
                continue
            changed = changes(before.config, member.config)
            if any(each.new is None and re.match(rf"{re.escape(name)}\b", each.path) for each in changed):
                raise InvalidInput(
                    f"{spec.source} has an unknown key {key!r}, and as it does not state {name} otherwise, the deploy "
                    f"would remove that from {before.name} ({before.id}): correct the name of the key, or remove the "
                    "key if that is meant"
                )


def _check_services(spec: DeploySpec, fleet: Fleet, members: Sequence[Member]) -> Sequence[Finding]:
    """Return where services differ within the group; raise InvalidInput if they did not differ before."""
    there = [each for each in fleet.group(spec.group) if spec.role(each) is Role.MEMBER]
    before = {machine.name: machine.config for machine in there if machine.config}
    after = dict(before)
    for member in members:
        if member.action is Action.RETIRE:
            after.pop(member.desired.name, None)
        elif member.config and role(member.config) is Role.MEMBER:
            after[member.desired.name] = member.config
    # If they differ already, that is on purpose: it is a remark, not an error.
    found = lint_groups(after)
    if found and not lint_groups(before):
        raise InvalidInput(
            f"the machines of the group {spec.group} would have different services, but the proxy treats them as "
            f"equal: {found[0].path.removesuffix('.services')}: {found[0].message}; deploy to all regions of the group "
            "together, or state services that match those of the other machines"
        )
    return found


def _retired_group(fleet: Fleet, name: str) -> Stage:
    """Return the stage that destroys the machines of a group."""
    return Stage.of(
        f"retire group {name}",
        (
            Track(
                machine=DesiredMachine(name=machine.name, region=machine.region, number=number, group=name),
                machine_id=machine.id,
                steps=tuple(retirement(machine, f"group {name} is retired")),
                target=Target.GO,
            )
            for number, machine in enumerate(fleet.group(name), start=1)
            if machine.state not in GONE
        ),
    )
