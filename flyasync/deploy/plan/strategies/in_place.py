"""The base class of rolling and canary: update machines in place, some before the others."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import Stage, Track
from flyasync.deploy.plan.reconcile import Action, Member, has_to_be_proven
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.step_sequences import readiness
from flyasync.deploy.plan.strategies.group import GroupStrategy, Wave
from flyasync.deploy.plan.strategies.tracks import changed, leaving
from flyasync.deploy.plan.strategy import THIRD, Share

VERIFY = "verify one stopped machine per region"


@frozen(kw_only=True)
class InPlace(GroupStrategy):
    """Updates machines in place, a few of each region at a time.

    `max_unavailable` is how many of a region's serving machines may be unavailable at once: a count, or a share that is
    rounded down to at least one.
    """

    max_unavailable: Share = THIRD

    @abstractmethod
    def ahead(self, tracks: Sequence[Track]) -> tuple[str, list[Track]]:
        """Return the tracks that run first, in the first wave that changes anything, and the title of their stage."""

    def widths(self, serving: Mapping[str, int]) -> dict[str, int]:
        """Return `max_unavailable` of each region."""
        return self.max_unavailable.of_each(serving)

    def stages(self, spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: Wave) -> Iterator[Stage]:
        """Yield stages for unhealthy machines, for those ahead of the others, for the others, and for surplus ones."""
        serving = {region: sum(each.serves for each in members if each.region == region) for region in spec.regions}
        widths = {(region, spec.group): width for region, width in self.widths(serving).items()}

        # A machine that should serve but does not comes first: until it serves, no other one is put at risk. The same
        # holds for a machine that serves, but was not verified. If only the count changes, no other one is at risk.
        puts_at_risk = not spec.keeps_config or any(each.action is Action.UPDATE for each in members)
        unproven: list[Member] = []
        unhealthy: list[Member] = []
        others: list[Member] = []
        for each in members:
            if each.serves and has_to_be_proven(spec, each):
                unproven.append(each)
                continue
            is_unhealthy = each.runs and not each.serves
            is_unhealthy = is_unhealthy and (
                each.action is Action.UPDATE
                or (each.action is Action.KEEP and puts_at_risk and any(readiness(spec, each)))
            )
            (unhealthy if is_unhealthy else others).append(each)
        yield Stage.of(f"verify machines of an earlier deploy{wave}", changed(spec, fleet, unproven))
        yield Stage.of(f"unhealthy machines first{wave}", changed(spec, fleet, unhealthy))

        # If no machine of the group runs, one per region is verified before the others are updated.
        tracks = list(changed(spec, fleet, others))
        title, ahead = VERIFY, [each for each in tracks if each.verifies]
        if not ahead and wave.leads:
            title, ahead = self.ahead(tracks)
        yield Stage.of(f"{title}{wave}", ahead, widths)

        first = {each.machine.name for each in ahead}
        rest = [each for each in tracks if each.machine.name not in first]
        yield Stage.of(f"{'remaining machines' if ahead else 'all machines'}{wave}", rest, widths)
        yield surplus(members, wave)


def surplus(members: Sequence[Member], wave: Wave) -> Stage:
    """Return the stage that destroys surplus machines; each region waits until its remaining machines are up."""
    return Stage.of(f"destroy surplus machines{wave}", leaving(members), relies_on_others=True)
