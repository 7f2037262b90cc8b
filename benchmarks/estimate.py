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
import sys
from collections.abc import Sequence
from itertools import accumulate, chain
from statistics import fmean

from attrs import frozen

from benchmarks.shared.served import world
from flyasync import Check, DeployBuilder, Estimate, Phase, Progress
from flyasync.testing import run_virtual

Bounds = tuple[float, float]
FIXED = (2.0, 20.0)
ANY: Bounds = (1.0, 60.0)
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
class Told:
    """What was estimated at some moment, and what was really left then."""

    estimate: Estimate
    really: float

    @property
    def off(self) -> float:
        """How far the expected time is off, as a share of what it may be; without one it is all off."""
        if self.estimate.likely is None:
            return math.inf
        return abs(self.estimate.likely - self.really) / max(self.really / 4, 3.0)

    @property
    def most(self) -> float:
        return math.inf if self.estimate.most is None else self.estimate.most

    @property
    def holds(self) -> bool:
        """Whether the time really left is in the range, or is at least what was said while there is no range."""
        return self.estimate.least <= self.really <= self.most


Run = tuple[Told, Sequence[Told]]
"""One deploy: what its plan said beside what it took, and its events from the third machine up on."""


async def deployed(shape: Shape, boot: Bounds, seed: int) -> Run:
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
        assert report.ok, report
        assert not sum(emulator.refused_by_limit().values())
    assert planned is not None
    is_up = Phase.HEALTHY if any(each.phase is Phase.HEALTHY for each in events) else Phase.STARTED
    up = accumulate(event.phase is is_up for event in events)
    return Told(planned, report.seconds), [
        Told(event.remaining, report.seconds - event.at)
        for event, count in zip(events, up, strict=True)
        if count >= ENOUGH and event.remaining is not None
    ]


def fixed(name: str, boot: float, runs: Sequence[Run]) -> bool:
    """Print how far off a shape was on fixed boots, and return whether that is close enough."""
    planned, _ = runs[0]
    worst = max(told.off for _, events in runs for told in events)
    print(f"  {name:<34} {boot:3.0f} s {planned.estimate!s:>18} {planned.really:7.1f} s {worst:10.0%}")
    return worst <= 1


def varied(name: str, runs: Sequence[Run]) -> bool:
    """Print how often the range held the truth, and return whether that is often enough."""
    ranges = [[told for told in events if told.estimate.most is not None] for _, events in runs]
    halves = [[told for told in events if told.really <= planned.really / 2][:1] for planned, events in runs]
    cases = [[planned for planned, _ in runs], [each for some in ranges for each in some[:1]], list(chain(*halves))]
    counts = [(sum(told.holds for told in those), len(those)) for those in cases]
    every, half = list(chain(*ranges)), cases[2]
    really, width = fmean(told.really for told in half), fmean(told.most - told.estimate.least for told in half)
    print(
        f"  {name:<34}",
        *(f"{held:>5} of {count:<3}" for held, count in counts),
        f"{sum(told.holds for told in every) / len(every):9.0%} {really:7.0f} s {width:7.0f} s",
    )
    return min(held / count for held, count in counts) >= OFTEN


async def main(*, quick: bool) -> None:
    seeds, shapes = (10, list(SHAPES.items())[2:5]) if quick else (50, list(SHAPES.items()))
    close: list[bool] = []
    print(f"  {'fixed boots':<34}  boot {'before':>18} {'took':>9} {'worst off':>10}")
    for name, shape in shapes:
        for boot in FIXED:
            runs = [await deployed(shape, (boot, boot), seed) for seed in range(seeds // 5)]
            close.append(fixed(name, boot, runs))
    print(f"\n  {'boots of 1 to 60 s':<34} {'before':>12} {'first':>12} {'half way':>12} ", end="")
    print(f"{'all':>9} {'left':>9} {'range':>9}")
    for name, shape in shapes:
        close.append(varied(name, [await deployed(shape, ANY, seed) for seed in range(seeds)]))
    print(f"\n{sum(close)} of {len(close)} rows are close enough")


if __name__ == "__main__":
    run_virtual(main(quick="--quick" in sys.argv))
