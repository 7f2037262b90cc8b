"""What rolling and canary have in common: they update machines where they are, some ahead of the others."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import Stage, Track
from flyasync.deploy.plan.reconcile import Action, Member
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.step_sequences import readiness
from flyasync.deploy.plan.strategies.group import GroupStrategy, Wave
from flyasync.deploy.plan.strategies.tracks import changed, leaving
from flyasync.deploy.plan.strategy import THIRD, Share

VERIFY = "verify one stopped machine of each region"


@frozen(kw_only=True)
class InPlace(GroupStrategy):
    """Update machines where they are, a few of each region at a time.

    `max_unavailable` is how many of a region's serving machines may be away at once: a count, or a share of them
    rounded down, but never less than one.
    """

    max_unavailable: Share = THIRD

    @abstractmethod
    def ahead(self, tracks: Sequence[Track]) -> tuple[str, list[Track]]:
        """Choose the tracks that go ahead of the others in the first wave that changes anything, with a title."""

    def widths(self, serving: Mapping[str, int]) -> dict[str, int]:
        """Return `max_unavailable` of each region."""
        return self.max_unavailable.of_each(serving)

    def stages(self, spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: Wave) -> Iterator[Stage]:
        """Yield first what does not serve as it should, then what goes ahead, then the rest, then what is left over."""
        serving = {region: sum(each.serves for each in members if each.region == region) for region in spec.regions}
        widths = self.widths(serving)

        # A machine that is there to serve and does not goes first: before it serves, no other may be put at risk.
        sick: list[Member] = []
        others: list[Member] = []
        for each in members:
            is_sick = each.runs and not each.serves
            is_sick = is_sick and (
                each.action is Action.UPDATE or (each.action is Action.KEEP and any(readiness(spec, each)))
            )
            (sick if is_sick else others).append(each)
        yield Stage.of(f"first those that do not serve as they should{wave}", changed(spec, fleet, sick))

        # Where no machine of the group runs, one of each region is verified; these show what the others would meet.
        tracks = list(changed(spec, fleet, others))
        title, ahead = VERIFY, [each for each in tracks if each.verifies]
        if not ahead and wave.leads:
            title, ahead = self.ahead(tracks)
        yield Stage.of(f"{title}{wave}", ahead, widths)

        first = {each.machine.name for each in ahead}
        rest = [each for each in tracks if each.machine.name not in first]
        yield Stage.of(f"{'the rest' if ahead else 'all of them'}{wave}", rest, widths)
        yield surplus(members, wave)


def surplus(members: Sequence[Member], wave: Wave) -> Stage:
    """Return the stage in which go those that are left over; each region waits until what stays there serves."""
    return Stage.of(f"let go what is not wanted any more{wave}", leaving(members), relies_on_others=True)
