"""Bluegreen: create new machines next to the old ones, and uncordon them together."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from attrs import field, frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import Stage, Track, Uncordon
from flyasync.deploy.plan.reconcile import Action, Member, renewed
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.step_sequences import readiness
from flyasync.deploy.plan.strategies.group import GroupStrategy, Wave, lacks_checks
from flyasync.deploy.plan.strategies.tracks import changed, leaving, made, track
from flyasync.deploy.plan.strategy import is_seconds
from flyasync.errors import InvalidInput


@frozen(kw_only=True)
class BlueGreen(GroupStrategy):
    """Create new machines cordoned; once all are healthy, uncordon them, then cordon and destroy the old ones.

    Each old machine drains for `drain` seconds between its last new request and its stop. If a new machine does not
    become healthy, none is uncordoned and the old ones keep serving; the new ones stay cordoned for inspection, or a
    rollback destroys them. Once they are uncordoned, no failure deletes them.
    """

    name: ClassVar[str] = "bluegreen"
    replaces_machines: ClassVar[bool] = True
    drain: float = field(default=10.0, validator=is_seconds)

    def check(self, spec: DeploySpec) -> None:
        """Raise InvalidInput for volumes, and for a spec that does not wait for new machines."""
        super().check(spec)
        if spec.volume is not None:
            raise InvalidInput("bluegreen creates new machines, so volumes would be left behind: use rolling or canary")
        if spec.goal is None:
            raise InvalidInput(
                "bluegreen uncordons new machines once they are ready, so it has to wait for them",
                python="leave out wait_for(None)",
                command="leave out --wait none",
            )

    def members(self, spec: DeploySpec, fleet: Fleet) -> tuple[Member, ...]:
        """Return the action for each machine: a new machine replaces each one that differs from the spec."""
        holders = [machine for machine in fleet.group(spec.group) if fleet.volume_of(machine)]
        if spec.volume or holders:
            who = holders[0].name if holders else "each machine"
            raise InvalidInput(
                f"bluegreen creates new machines, but {who} has a volume, which would be left behind: "
                "use rolling or canary"
            )
        return renewed(spec, fleet)

    def check_goal(self, spec: DeploySpec, member: Member) -> None:
        """Raise InvalidInput for a new machine without checks, unless the spec waits for `started` only."""
        if spec.goal != "checked":
            super().check_goal(spec, member)
        elif member.action is Action.MAKE and lacks_checks(member):
            raise InvalidInput(
                f"bluegreen uncordons new machines once their checks pass, but {member.desired.name} would have none",
                python="add one with with_check(…), or use wait_for('started')",
                command="add --port PORT and --check PATH, or use --wait started",
            )

    def stages(self, spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: Wave) -> Iterator[Stage]:
        """Yield three stages: create the new machines cordoned, uncordon them together, destroy the old ones."""
        old = [member for member in members if member.action is Action.RETIRE]
        new = [member for member in members if member.action is not Action.RETIRE]
        # If no old machine serves, the new ones may serve at once.
        cordoned = any(member.serves for member in old)
        yield Stage.of(f"create the new machines{wave}", _outside_routing(spec, fleet, new, cordoned=cordoned))
        uncordoning = (
            track(member, [Uncordon(cause="all new machines are ready")])
            for member in new
            if (member.machine.cordoned if member.machine else cordoned)
        )
        yield Stage.of(f"uncordon the new machines{wave}", uncordoning, point_of_no_return=True, relies_on_others=True)
        yield Stage.of(
            f"cordon and destroy the old machines{wave}", leaving(old, drain=self.drain), relies_on_others=True
        )


def _outside_routing(spec: DeploySpec, fleet: Fleet, members: Sequence[Member], *, cordoned: bool) -> Iterator[Track]:
    for member in members:
        # 1. A new machine is created cordoned.
        if member.action is Action.MAKE:
            yield made(spec, member, cordoned=cordoned)
        # 2. A scheduled machine is updated in place: the proxy routes nothing to it.
        elif member.action is not Action.KEEP:
            yield from changed(spec, fleet, [member])
        # 3. A machine that an earlier run created becomes ready, and is uncordoned with the others.
        elif steps := tuple(step for step in readiness(spec, member) if not isinstance(step, Uncordon)):
            yield track(member, steps)
