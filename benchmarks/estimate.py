"""How close the estimate of a deploy comes, in virtual time: `python -m benchmarks.estimate [--quick]`.

300 machines in 30 regions, of 1, 3 and 30 apps by one client: launched; made by a rolling deploy; updated by one. Each
time what was estimated before the first change beside what it took, their ratio, and the 429s. Boots are fixed, and
then of any length that the emulator's default allows.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing

from flyasync import DeployBuilder, Emulator, FlyClient, deploy_many
from flyasync.deploy.estimate import estimate, estimate_many
from flyasync.deploy.rehearsal import Bounds, Usual
from flyasync.deploy.rehearsal_clock import Pace
from flyasync.emulator.regions import CODES
from flyasync.testing import run_virtual

FIXED, ANY = (2.0, 2.0), (1.0, 3.0)
REGIONS = 30
AT_ONCE = 30
CLOSE = 0.05


def builder(machines: int, regions: int) -> DeployBuilder:
    """Spread the machines of one app over the regions as evenly as can be."""
    codes = CODES[: min(machines, regions)]
    each, more = divmod(machines, len(codes))
    return DeployBuilder("web").to_regions(*codes).count(each, **dict.fromkeys(codes[:more], each + 1)).require("all")


async def estimated(fly: FlyClient, base: DeployBuilder, apps: list[str], usual: Usual) -> float:
    """Estimate a deploy of all apps from their plans; among many the slowest shows, so each counts by itself."""
    rate = fly.limits.rate("machines.create")
    pace = Pace(usable=rate.usable, per_second=rate.per_second)
    plans = await asyncio.gather(*(base.for_app(app).plan(fly) for app in apps))
    rehearsals = 1 if len(apps) > 1 else None
    return estimate_many((estimate(plan, pace, usual, rehearsals=rehearsals) for plan in plans), AT_ONCE)


async def deployed(fly: FlyClient, base: DeployBuilder, apps: list[str]) -> float:
    """Deploy to all apps, and give the seconds that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with aclosing(deploy_many(fly, base, apps, at_once=AT_ONCE)) as reports:
        async for report in reports:
            assert report.ok, report
    return loop.time() - begun


async def measure(machines: int, count: int, boot: Bounds, *, seed: int) -> list[float]:
    """Give the ratios of launch, creation and update, and print them on the way."""
    ratios: list[float] = []
    apps = [f"web-{number}" for number in range(1, count + 1)]
    base = builder(machines // count, REGIONS)
    deploys: dict[str, Callable[[], DeployBuilder]] = {
        "launch": lambda: base.with_image("v1"),
        "rolling, new": lambda: base.rolling().with_image("v1"),
        "rolling, update": lambda: base.rolling().with_image("v2"),
    }
    async with Emulator(seed=seed, boot=boot) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        for app in apps:
            await fly.apps.create(app, org_slug="personal")
        for what, made in deploys.items():
            guess = await estimated(fly, made(), apps, Usual(boot=boot))
            await asyncio.sleep(10)  # a deploy that follows a plan at once waits a second for its turn to list
            seconds = await deployed(fly, made(), apps)
            ratios.append(guess / seconds)
            limited = sum(emulator.refused_by_limit().values())
            print(f"  {what:<16} {guess:7.1f} s estimated {seconds:7.1f} s taken  {ratios[-1]:.3f}  {limited} x 429")
            assert not limited
            await asyncio.sleep(10)
    return ratios


async def main(*, quick: bool) -> None:
    machines = 30 if quick else 300
    ratios: list[float] = []
    for boot in (FIXED, ANY):
        for count in (1, 3) if quick else (1, 3, 30):
            apps = f"{count} apps" if count > 1 else "one app"
            print(f"{machines} machines, {apps}, boots of {boot[0]:g} to {boot[1]:g} s, {AT_ONCE} apps at once")
            ratios += await measure(machines, count, boot, seed=count)
    furthest = max(ratios, key=lambda ratio: abs(ratio - 1))
    within = sum(abs(ratio - 1) <= CLOSE for ratio in ratios)
    print(f"{within} of {len(ratios)} within {CLOSE:.0%}; furthest off: {furthest:.3f}")


if __name__ == "__main__":
    run_virtual(main(quick="--quick" in sys.argv))
