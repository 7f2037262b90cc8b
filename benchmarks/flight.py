"""A flight simulator for deploys: every strategy against every bad day, in virtual time.

`python -m benchmarks.flight [--seeds N] [--only PATTERN]` flies an update from v1 to v2 of three regions with three
machines each, usually with one more machine desired in each, on one bad day. Checked by what the emulator holds, not by
what the deploy says:

- agreement: the report is ok exactly when the fleet is as desired, and each machine that it calls running runs v2;
- orphans: machines of the group, and volumes that no machine holds, that the report does not name;
- duplicates: more machines of v2 in a region than desired, or two of one name;
- dips: moments at which fewer machines of a region served than the strategy promises;
- leases left behind;
- a port that no client can reach after a deploy that is called ok, unless the report says that there is no address;
- harm to a fleet of another tool: fields that are lost, and machines changed that are not the deploy's.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from fnmatch import fnmatch
from functools import partial
from typing import Any

from attrs import frozen

from benchmarks.parts.flight_checks import Group, Watcher
from benchmarks.parts.flight_days import DAYS, Day
from benchmarks.parts.flight_fleets import EACH, NEW, OLD, REGIONS, Found
from benchmarks.shared import served
from benchmarks.shared.options import options
from flyasync import Check, DeployBuilder, DeployReport, Emulator, Finished, FlyClient, FlyError
from flyasync.testing import run_virtual

GROUP = DeployBuilder("web").to_regions(*REGIONS).wait_for(timeout=60)
STRATEGIES: dict[str, Callable[[DeployBuilder], DeployBuilder]] = {
    "rolling": lambda base: base.rolling(),
    "canary": lambda base: base.canary(2, soak=10),
    "bluegreen": lambda base: base.bluegreen(drain=2),
    "immediate": lambda base: base.immediate(),
}


RELEASED: dict[int, Mapping[str, Any]] = {}


@frozen(kw_only=True)
class Result:
    """What came of one flight; `faults` are what must not be, and usually empty."""

    ok: bool
    is_back: bool
    seconds: float
    faults: tuple[str, ...]


def ours(grace: int = 0) -> DeployBuilder:
    """Return the deploy of a fleet of ours, whose check has so many seconds of grace."""
    check = Check(type="tcp", port=8080, interval=10, timeout=2, grace_period=grace or None)
    return GROUP.with_service(internal_port=8080).with_check("up", check)


@asynccontextmanager
async def world(seed: int, **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    """Serve an app, and a client that did not create it: that would be sent to a node that does not lag."""
    async with (
        served.world(seed=seed, latency=(0.02, 0.2), **options) as (emulator, _),
        FlyClient(emulator.token, base_url=emulator.url, timeout=10.0) as fly,
    ):
        yield emulator, fly


async def release(client: FlyClient) -> None:
    report = await ours().with_image(OLD).count(EACH).immediate().with_launch("v1").execute(client)
    assert report.ok, str(report)


async def released(seed: int) -> Mapping[str, Any]:
    """Return a world without options in which v1 runs, deployed once for all flights that begin with it."""
    if seed not in RELEASED:
        async with world(seed) as (emulator, client):
            await release(client)
            RELEASED[seed] = emulator.dump()
    return RELEASED[seed]


@asynccontextmanager
async def scene(
    strategy: str, day: Day, seed: int
) -> AsyncIterator[tuple[Emulator, FlyClient, DeployBuilder, Found | None]]:
    """Make the fleet that a deploy finds, and have the bad day begin; every other seed rolls back on failure."""
    begun = None if day.fleet or day.options else await released(seed)
    random.seed(seed)  # the jitter of retries
    async with world(seed, **day.options) as (emulator, client), AsyncExitStack() as stack:
        found = await day.fleet.settle(emulator) if day.fleet else None
        if begun:
            emulator.load(begun)
        elif not day.fleet:  # a dump lacks the past, which lists that lag show
            await release(client)
        assert Group.of(emulator).up == dict.fromkeys(REGIONS, EACH)
        # What the deploy states besides the image; for a fleet of another tool that is little.
        stated = day.fleet.states(GROUP) if day.fleet else ours(day.grace)
        builder = STRATEGIES[strategy](stated.with_image(NEW).count(day.count)).with_launch("v2")
        # The bad day begins.
        emulator.faults.add(*day.faults)
        for region in REGIONS if day.loses else ():
            lost = [each.id for each in emulator.world.machines.values() if each.region == region][: day.loses]
            await asyncio.gather(*(client.machines.delete("web", id_, force=True) for id_ in lost))
        await asyncio.sleep(bool(day.loses))  # they are destroyed then
        if day.is_full:
            emulator.set_capacity("lhr", EACH)
        if day.is_leased:
            other = await stack.enter_async_context(FlyClient(emulator.token, base_url=emulator.url))
            held = sorted(emulator.world.machines)[seed % (EACH * len(REGIONS))]
            await stack.enter_async_context(other.leases.hold("web", held, description="another client"))
        yield emulator, client, builder.roll_back_on_failure(seed % 2 == 1), found


async def deployed(
    builder: DeployBuilder, client: FlyClient, day: Day, seed: int
) -> tuple[DeployReport | None, FlyError | None]:
    """Execute; return the report, also of a deploy that was cancelled, or the error that came before any change."""
    reports: list[DeployReport] = []
    observer = builder.on_event(lambda event: reports.append(event.report) if isinstance(event, Finished) else None)
    deploy = asyncio.ensure_future(observer.execute(client))
    if day.is_cancelled:
        asyncio.get_running_loop().call_later(random.Random(seed).uniform(0.1, 25), deploy.cancel)
    error: FlyError | None = None
    with suppress(asyncio.CancelledError):
        try:
            await deploy
        except FlyError as raised:
            error = raised
    return (reports[-1] if reports else None), error


async def fly(strategy: str, day: Day, seed: int) -> Result:
    """Update a fleet on one bad day, and check what is left."""
    async with scene(strategy, day, seed) as (emulator, client, builder, found):
        watcher = Watcher(emulator, strategy, day)
        stop = emulator.on_change(watcher.see)
        report, error = await deployed(builder, client, day, seed)
        watcher.see()
        stop()
        emulator.faults.clear()
        await asyncio.sleep(5)  # what is being destroyed is gone then
        return Result(
            ok=report is not None and report.ok,
            is_back=report is not None and report.rollback is not None and report.rollback.ok,
            seconds=report.seconds if report else 0.0,
            faults=(*watcher.wrong(report, error), *(found.harmed(emulator) if found else ())),
        )


def flown(case: tuple[str, str], seeds: int) -> list[Result]:
    """Fly one case with each seed, in a loop of its own."""
    strategy, name = case
    return [run_virtual(fly(strategy, DAYS[name], seed)) for seed in range(seeds)]


def main(seeds: int, only: str) -> int:
    """Print a row for each case; return how many flights went wrong."""
    cases = [(strategy, name) for strategy in STRATEGIES for name in DAYS if fnmatch(f"{strategy}/{name}", only)]
    found = 0
    with ProcessPoolExecutor() as pool:
        for (strategy, name), results in zip(cases, pool.map(partial(flown, seeds=seeds), cases), strict=True):
            wrong = [(seed, result) for seed, result in enumerate(results) if result.faults]
            found += len(wrong)
            print(
                f"{strategy:10} {name:20} {seeds:3} flights, {sum(each.ok for each in results):3} ok, "
                f"{sum(each.is_back for each in results):2} rolled back, {len(wrong):2} wrong, "
                f"longest {max(each.seconds for each in results):6.1f} s",
                *(f"\n    seed {seed}: {'; '.join(result.faults)}" for seed, result in wrong[:5]),
                sep="",
                flush=True,
            )
    print(f"{found} flights of {len(cases) * seeds} went wrong")
    return found


if __name__ == "__main__":
    sys.exit(bool(main(**vars(options(__doc__, seeds=20, only="*")))))
