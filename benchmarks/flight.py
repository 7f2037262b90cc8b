"""A flight simulator for deploys: every strategy against every bad day, in virtual time.

`python -m benchmarks.flight [--seeds N] [--only PATTERN]` flies an update from v1 to v2 of three regions with three
machines each, usually with one more machine desired in each, on one bad day. Judged by what the emulator holds, not by
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
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from fnmatch import fnmatch
from functools import partial
from typing import Any

from attrs import evolve, frozen

from benchmarks.parts.flight_days import DAYS, Day
from benchmarks.parts.flight_fleets import EACH, NEW, OLD, REGIONS, Found
from benchmarks.parts.flight_judge import Watcher, judged, up
from flyasync import Check, DeployBuilder, DeployReport, Emulator, Fault, Finished, FlyClient, FlyError
from flyasync.testing import run_virtual

GROUP = DeployBuilder("web").to_regions(*REGIONS).wait_for(timeout=60)
CHECK = Check(type="tcp", port=8080, interval=10, timeout=2)
OURS = GROUP.with_service(internal_port=8080).with_check("up", CHECK)
STRATEGIES: dict[str, Callable[[DeployBuilder], DeployBuilder]] = {
    "rolling": lambda base: base.rolling(),
    "canary": lambda base: base.canary(2, soak=10),
    "bluegreen": lambda base: base.bluegreen(drain=2),
    "immediate": lambda base: base.immediate(),
}


@frozen(kw_only=True)
class Verdict:
    """What came of one flight; `faults` are what must not be, and usually empty."""

    ok: bool
    is_back: bool
    seconds: float
    faults: tuple[str, ...]


@asynccontextmanager
async def world(seed: int, stale: float, **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    late = [Fault(does="stale", seconds=stale)] if stale else []
    async with Emulator(seed=seed, latency=(0.02, 0.2), faults=late, **options) as emulator:
        # Another client than the one that deploys: who creates an app is sent to a node that does not lag.
        async with FlyClient(emulator.token, base_url=emulator.url) as creator:
            await creator.apps.create("web", org_slug="personal")
        async with FlyClient(emulator.token, base_url=emulator.url, timeout=10.0) as fly:
            yield emulator, fly


@asynccontextmanager
async def scene(
    strategy: str, day: Day, seed: int
) -> AsyncIterator[tuple[Emulator, FlyClient, DeployBuilder, Found | None]]:
    """Make the fleet that a deploy finds, and have the bad day begin; every other seed rolls back on failure."""
    async with world(seed, day.lag, **day.options) as (emulator, client), AsyncExitStack() as stack:
        if day.fleet is None:
            report = await OURS.with_image(OLD).count(EACH).immediate().with_launch("v1").execute(client)
            assert report.ok, str(report)
        found = await day.fleet.settle(emulator) if day.fleet else None
        assert up(emulator) == dict.fromkeys(REGIONS, EACH)
        check = evolve(CHECK, grace_period=day.grace) if day.grace else CHECK
        # What the deploy states besides the image; for a fleet of another tool that is little.
        stated = day.fleet.states(GROUP) if day.fleet else OURS.with_check("up", check)
        builder = STRATEGIES[strategy](stated.with_image(NEW).count(day.count)).with_launch("v2")
        await _strike(emulator, client, day, seed, stack)
        yield emulator, client, builder.roll_back_on_failure(seed % 2 == 1), found


async def fly(strategy: str, day: Day, seed: int) -> Verdict:
    """Update a fleet on one bad day, and judge what is left."""
    async with scene(strategy, day, seed) as (emulator, client, builder, found):
        watcher = Watcher(emulator, day.count)
        stop = emulator.on_change(watcher.see)
        report, error = await deployed(builder, client, day, seed)
        watcher.see()
        stop()
        emulator.faults.clear()
        await asyncio.sleep(5)  # what is being destroyed is gone then
        return Verdict(
            ok=report is not None and report.ok,
            is_back=report is not None and report.rollback is not None and report.rollback.ok,
            seconds=report.seconds if report else 0.0,
            faults=(
                *judged(emulator, report, error, day, watcher),
                *watcher.dips(strategy),
                *(found.harmed(emulator) if found else ()),
            ),
        )


async def _strike(emulator: Emulator, client: FlyClient, day: Day, seed: int, stack: AsyncExitStack) -> None:
    emulator.faults.add(*day.faults)
    for region in REGIONS:
        lost = [each.id for each in emulator.world.machines.values() if each.region == region][: day.loses]
        await asyncio.gather(*(client.machines.delete("web", id_, force=True) for id_ in lost))
    if day.loses:
        await asyncio.sleep(1)  # they are destroyed then
    if day.is_full:
        emulator.set_capacity("lhr", EACH)
    if day.is_leased:
        other = await stack.enter_async_context(FlyClient(emulator.token, base_url=emulator.url))
        held = sorted(emulator.world.machines)[seed % (EACH * len(REGIONS))]
        await stack.enter_async_context(other.leases.hold("web", held, description="another client"))


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


def one(strategy: str, day: Day, seed: int) -> Verdict:
    """Fly once, in a loop of its own."""
    random.seed(seed)  # the jitter of retries
    return run_virtual(fly(strategy, day, seed))


def main(seeds: int, only: str) -> int:
    """Print a row for each case; return how many flights went wrong."""
    cases = [(strategy, name) for strategy in STRATEGIES for name in DAYS if fnmatch(f"{strategy}/{name}", only)]
    found = 0
    with ProcessPoolExecutor() as pool:
        for (strategy, name), verdicts in zip(cases, pool.map(partial(_case, seeds=seeds), cases), strict=True):
            wrong = [(seed, verdict) for seed, verdict in enumerate(verdicts) if verdict.faults]
            found += len(wrong)
            well, back = sum(verdict.ok for verdict in verdicts), sum(verdict.is_back for verdict in verdicts)
            longest = max(verdict.seconds for verdict in verdicts)
            print(
                f"{strategy:10} {name:20} {len(verdicts):3} flights, {well:3} ok, {back:2} rolled back, "
                f"{len(wrong):2} wrong, longest {longest:6.1f} s",
                flush=True,
            )
            for seed, verdict in wrong[:5]:
                print(f"    seed {seed}: {'; '.join(verdict.faults)}", flush=True)
    print(f"{found} flights of {len(cases) * seeds} went wrong")
    return found


def _case(case: tuple[str, str], *, seeds: int) -> list[Verdict]:
    strategy, name = case
    return [one(strategy, DAYS[name], seed) for seed in range(seeds)]


def option(name: str, default: str) -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


if __name__ == "__main__":
    sys.exit(bool(main(int(option("--seeds", "20")), option("--only", "*"))))
