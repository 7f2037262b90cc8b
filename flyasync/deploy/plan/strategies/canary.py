"""Canary: update a few machines first, watch them, then update the others as rolling does."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import ClassVar

from attrs import evolve, field, frozen

from flyasync.deploy.plan.plan import Create, Step, Target, Track, Update, Verify, Watch
from flyasync.deploy.plan.strategies.in_place import InPlace
from flyasync.deploy.plan.strategy import Share, is_seconds

ONE = Share(1)


@frozen(kw_only=True)
class Canary(InPlace):
    """Update `machines` (a count or a share) of the first wave, watch them for `soak` seconds, then the others."""

    name: ClassVar[str] = "canary"
    machines: Share = ONE
    soak: float = field(default=60.0, validator=is_seconds)

    def ahead(self, tracks: Sequence[Track]) -> tuple[str, list[Track]]:
        """Return the canaries, spread over the regions: serving machines before those that do not serve."""
        # Only a machine that gets the config and runs can show whether the config works.
        able = [
            each
            for each in tracks
            if each.target is Target.SERVE and any(isinstance(step, Update | Create) for step in each.steps)
        ]
        by_region: dict[str, list[Track]] = {}
        for each in sorted(able, key=lambda each: not each.takes_slot):
            by_region.setdefault(each.machine.region, []).append(each)
        # The first machine of every region comes before the second of any.
        spread = [each for those in zip_longest(*by_region.values()) for each in those if each]
        chosen = spread[: self.machines.at_most(len(able))]
        title = f"{len(chosen)} {'canaries' if len(chosen) > 1 else 'canary'}"
        if not self.soak:
            return title, chosen
        return title, [evolve(each, steps=tuple(self._soaked(each.steps))) for each in chosen]

    def _soaked(self, steps: Sequence[Step]) -> Iterator[Step]:
        """Yield the steps of a canary, which is watched before it is verified: the check may judge its traffic."""
        *others, last = steps
        ends_verified = isinstance(last, Verify)
        yield from others if ends_verified else steps
        yield Watch(seconds=self.soak, cause="canary soak")
        yield from [last] if ends_verified else []
