"""How close the estimates of a deploy come, in virtual time: `python -m benchmarks.estimate [--quick]`.

Each shape is deployed on boots of 2 s, of 20 s, and of anything from 1 to 60 s, with the published limits on. `before`
is what its plan said, from the events of the machines there. On fixed boots what counts is how far `left` was off in
each event from the third machine up on, as a share of what it may be: a quarter, or 3 s where that is more. Else
it is how often the range held the time that was really left: before the first change (as long as no boots are known it
must be at least what was said), in the first event with a range, in the first of the second half, and in all events
from the third machine up on. The last columns are the means half way: what was really left, and how wide the range was.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from statistics import fmean

from attrs import frozen

from benchmarks.shared.options import options
from benchmarks.shared.served import world
from flyasync import Check, DeployBuilder, Estimate, Phase, Progress
from flyasync.testing import run_virtual

FIXED = (2.0, 20.0)
ANY = (1.0, 60.0)
ENOUGH = 3
OFTEN = 0.8

BASE = DeployBuilder("web").with_image("v1").require("all")
ONE, THREE = BASE.to_regions("iad"), BASE.to_regions("iad", "lhr", "nrt")
SIX = BASE.to_regions("iad", "lhr", "nrt", "syd", "fra", "gru")
CHECKED = THREE.with_check("up", Check(type="http", port=8080, path="/up", interval="2s", timeout="1s"))
Shape = tuple[DeployBuilder | None, DeployBuilder]
SHAPES: dict[str, Shape] = {
    "launch, 3 regions of 4": (None, THREE.count(4)),
    "launch, 1 region of 30": (None, ONE.count(30)),
    "rolling, new, 3 of 4": (None, THREE.count(4).rolling()),
    "rolling, new, 6 one by one": (None, SIX.rolling().smoke_check(5).region_by_region()),
    "rolling, 1 of 6, one at a time": (ONE.count(6).rolling(), ONE.count(6).rolling(max_unavailable=1)),
    "rolling, 1 of 20, three at a time": (ONE.count(20).rolling(), ONE.count(20).rolling(max_unavailable=3)),
    "rolling, 3 of 5, checks": (CHECKED.count(5).rolling(), CHECKED.count(5).rolling(max_unavailable=2)),
    "canary, 2 of 9, soak 30 s": (THREE.count(3).rolling(), THREE.count(3).canary(2, soak=30)),
    "bluegreen, 3 of 4, checks": (CHECKED.count(4).rolling(), CHECKED.count(4).bluegreen(drain=5)),
}


@frozen
class Sample:
    """What was estimated at some moment, and what was really left then."""

    estimate: Estimate
    really: float

    @property
    def off(self) -> float:
        """How far the expected time is off, as a share of what it may be; without one it is all off."""
        likely = math.inf if self.estimate.likely is None else self.estimate.likely
        return abs(likely - self.really) / max(self.really / 4, 3.0)

    @property
    def width(self) -> float:
        return math.inf if self.estimate.most is None else self.estimate.most - self.estimate.least

    @property
    def holds(self) -> bool:
        """Whether the time really left is in the range, or is at least what was said while there is no range."""
        return 0 <= self.really - self.estimate.least <= self.width


Run = tuple[Sample, Sequence[Sample]]
"""One deploy: what its plan said beside what it took, and its events from the third machine up on."""


async def deployed(shape: Shape, boot: tuple[float, float], seed: int) -> Run:
    """Deploy a shape once, and compare."""
    first, then = shape
    events: list[Progress] = []
    async with world(seed=seed, boot=boot) as (emulator, fly):
        if first:
            await first.execute(fly)
            await asyncio.sleep(30)
            then = then.with_image("v2")
        planned = (await then.plan(fly)).estimate
        await asyncio.sleep(30)
        observed = then.on_event(lambda event: events.append(event) if isinstance(event, Progress) else None)
        report = await observed.execute(fly)
        assert planned is not None
        assert report.ok, report
        assert not sum(emulator.refused_by_limit().values())
    is_up = Phase.HEALTHY if any(each.phase is Phase.HEALTHY for each in events) else Phase.STARTED
    up = accumulate(event.phase is is_up for event in events)
    return Sample(planned, report.seconds), [
        Sample(event.remaining, report.seconds - event.at)
        for event, count in zip(events, up, strict=True)
        if count >= ENOUGH and event.remaining is not None
    ]


def fixed(name: str, boot: float, runs: Sequence[Run]) -> bool:
    """Print how far off a shape was on fixed boots, and return whether that is close enough."""
    planned, _ = runs[0]
    worst = max(sample.off for _, events in runs for sample in events)
    print(f"  {name:<34} {boot:3.0f} s {planned.estimate!s:>18} {planned.really:7.1f} s {worst:10.0%}")
    return worst <= 1


def varied(name: str, runs: Sequence[Run]) -> bool:
    """Print how often the range held the truth, and return whether that is often enough."""

    def held(samples: Iterable[Sample]) -> tuple[int, int]:
        found = [sample.holds for sample in samples]
        return sum(found), len(found)

    ranges = [[sample for sample in events if sample.width < math.inf] for _, events in runs]
    halves = [[sample for sample in events if sample.really <= planned.really / 2][:1] for planned, events in runs]
    half, (all_held, events) = list(chain(*halves)), held(chain(*ranges))
    counts = [held(planned for planned, _ in runs), held(each for some in ranges for each in some[:1]), held(half)]
    print(
        f"  {name:<34}",
        *(f"{well:>5} of {count:<3}" for well, count in counts),
        f"{all_held / events:9.0%} {fmean(each.really for each in half):7.0f} s",
        f"{fmean(each.width for each in half):7.0f} s",
    )
    return min(well / count for well, count in counts) >= OFTEN


async def main(*, quick: bool) -> None:
    seeds, shapes = (10, list(SHAPES.items())[2:5]) if quick else (50, list(SHAPES.items()))
    close: list[bool] = []
    print(f"  {'fixed boots':<34}  boot {'before':>18} {'took':>9} {'worst off':>10}")
    for name, shape in shapes:
        for boot in FIXED:
            runs = [await deployed(shape, (boot, boot), seed) for seed in range(seeds // 5)]
            close.append(fixed(name, boot, runs))
    heads = ("before", "first", "half way", " all", "left", "range")
    print(f"\n  {'boots of 1 to 60 s':<34}", *(f"{head:>{12 if index < 3 else 9}}" for index, head in enumerate(heads)))
    for name, shape in shapes:
        close.append(varied(name, [await deployed(shape, ANY, seed) for seed in range(seeds)]))
    print(f"\n{sum(close)} of {len(close)} rows are close enough")


if __name__ == "__main__":
    run_virtual(main(**vars(options(__doc__, quick=False))))
