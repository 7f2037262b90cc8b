"""Placement against an oracle that tries every order, over random tables of capacity."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from random import Random

import pytest

from flyasync import DeployBuilder, DeployReport, MachineReport
from flyasync.deploy.plan.placement import by_distance
from flyasync.emulator.core.regions import CODES
from flyasync.models.region import Regions
from tests.deploy.conftest import world

REGIONS = ("iad", "ewr", "ord", "lhr", "ams", "nrt", "syd", "fra")
MACHINES = 5


class Table:
    """A random deploy of at most five machines, and the room that each region has."""

    def __init__(self, seed: int) -> None:
        self._random = random = Random(seed)
        self.wanted = random.sample(REGIONS, random.randint(1, 4))
        self.counts = {region: random.randint(1, 2) for region in self.wanted}
        while sum(self.counts.values()) > MACHINES:
            self.counts[max(self.counts, key=self.counts.__getitem__)] -= 1
        self.fallback = self._fallback()
        self.capacity = {code: self._room(code) for code in CODES}

    def _fallback(self) -> tuple[str, ...]:
        kind = self._random.choice(["skip", "nearest", "named", "named"])
        if kind != "named":
            return (kind,)
        return tuple(self._random.sample(REGIONS, self._random.randint(1, 3)))

    def _room(self, code: str) -> int:
        return self._random.choice([0, 0, 1, 2]) if code in REGIONS else 0

    def builder(self) -> DeployBuilder:
        builder = DeployBuilder("web").to_regions(*self.wanted).count(**self.counts).with_launch("v1")
        return builder.with_image("nginx").fallback(*self.fallback)

    def preferences(self, home: str, regions: Regions) -> tuple[str, ...]:
        """List where a machine may be, in order."""
        if self.fallback == ("skip",):
            return (home,)
        if self.fallback != ("nearest",):
            return (home, *(code for code in self.fallback if code != home))
        roomy = [code for code, room in self.capacity.items() if room]
        return (home, *by_distance(home, regions, without=self.wanted, room=roomy))


Placed = tuple[tuple[str, str | None], ...]
"""Each machine wanted, by the region it wup to date in, and where it came to be."""


def oracle(machines: Sequence[tuple[str, tuple[str, ...]]], capacity: Mapping[str, int]) -> set[Placed]:
    """Return every possible result, in any order of arrival: each machine gets the first region with room left."""
    return {tuple(sorted(_one(order, dict(capacity)), key=str)) for order in permutations(machines)}


def _one(order: Sequence[tuple[str, tuple[str, ...]]], left: dict[str, int]) -> Iterator[tuple[str, str | None]]:
    for home, preferences in order:
        region = next((code for code in preferences if left.get(code, 0)), None)
        if region:
            left[region] -= 1
        yield home, region


def placed(report: DeployReport) -> Placed:
    return tuple(sorted(((each.asked, each.region if each.id else None) for each in report.machines), key=str))


def check_causes(machine: MachineReport) -> None:
    """Each move, and giving up, has to cite the answer that caused it."""
    if machine.fell_back or machine.id is None:
        assert machine.refusals[0].region == machine.asked
    for refusal in machine.refusals:
        assert (refusal.status, refusal.code) == (422, "insufficient_capacity")
        assert refusal.message == "could not find a candidate host"
        assert refusal.request_id


@pytest.mark.no_cover
@pytest.mark.parametrize("fifty", range(6))
async def test_every_placement_is_one_that_the_oracle_knows(fifty: int) -> None:
    moved = 0
    for seed in range(50 * fifty, 50 * fifty + 50):
        table = Table(seed)
        async with world(seed=seed, limits=False, boot=(0.1, 0.1), capacity=table.capacity) as (_, fly):
            regions = await fly.platform.regions()
            report = await table.builder().execute(fly)
        machines = [
            (home, table.preferences(home, regions)) for home, count in table.counts.items() for _ in range(count)
        ]
        assert placed(report) in oracle(machines, table.capacity), f"seed {seed}: {report}"
        for machine in report.machines:
            check_causes(machine)
            moved += machine.fell_back
    assert moved > 10
