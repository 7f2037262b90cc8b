"""A flight simulator for deploys: every strategy against every bad day, in virtual time.

`python -m benchmarks.flight [--seeds N] [--only PATTERN]` flies an update from v1 to v2 of three regions with three
machines each, one more machine wanted in each, while one trouble strikes. Judged by what the emulator holds, not by
what the deploy says:

- agreement: the report is ok exactly when the fleet is as wanted, and each machine it calls running serves v2;
- orphans: machines of the group that the report does not name;
- duplicates: more machines of v2 in a region than wanted, or two of one name;
- dips: moments at which fewer machines of a region served than the strategy promises;
- leases left behind.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from fnmatch import fnmatch
from functools import partial
from typing import Any

from attrs import Factory, define, frozen

from flyasync import Check, DeployBuilder, DeployReport, Emulator, Fault, Finished, FlyClient, FlyError, Phase
from flyasync.emulator.machines import serves
from flyasync.emulator.records import Machine
from flyasync.testing import run_virtual

REGIONS = ("iad", "lhr", "nrt")
BEFORE, WANTED = 3, 4  # machines in each region
BASE = (
    DeployBuilder("web")
    .to_regions(*REGIONS)
    .with_image("shop:1")
    .with_service(internal_port=8080)
    .with_check("up", Check(type="tcp", port=8080, interval=10, timeout=2))
    .count(BEFORE)
    .wait_for("healthy", timeout=60)
)
STRATEGIES: dict[str, Callable[[DeployBuilder], DeployBuilder]] = {
    "rolling": lambda base: base.rolling(),
    "canary": lambda base: base.canary(2, soak=10),
    "bluegreen": lambda base: base.bluegreen(drain=2),
    "immediate": lambda base: base.immediate(),
}
AWAY = {"rolling": 1, "canary": 1, "bluegreen": 0, "immediate": BEFORE}
"""How many of a region's three serving machines each strategy may take away at once."""

HOST_FULL = {
    "error": "aborted: could not reserve resource for machine: insufficient memory available to fulfill request on "
    "the current host"
}


def _requests(does: str, **options: Any) -> list[Fault]:
    """Strike a quarter of all requests about machines: creates, updates, waits, leases, lists, all of them."""
    return [Fault(does=does, action="*achine*", probability=0.25, **options)]


UNRELEASED = {"answers lost", "cut before", "cut after", "500", "502 before", "408 after the work", "429"}
"""Troubles that may also eat the release of a lease, which then ends by itself."""

TROUBLE: dict[str, list[Fault]] = {
    "none": [],
    "429": _requests("refuse", status=429, body={"error": "rate limit exceeded"}),
    "408 after the work": _requests("refuse_after", status=408, body={"error": "deadline_exceeded: slow"}),
    "500": _requests("refuse", status=500, body={"error": "internal"}),
    "502 before": _requests("refuse", status=502, body=None),
    "cut before": _requests("cut"),
    "cut after": _requests("cut_after"),
    "answers lost": _requests("lose_answer"),
    "region full": [],
    "host full": [Fault(does="refuse", action="updateMachine", probability=0.5, status=409, body=HOST_FULL)],
    "never starts": [Fault(does="stay_starting", image="*:2*", times=1)],
    "check never passes": [Fault(does="checks_never_pass", image="*:2*", times=1)],
    "crashes": [Fault(does="crash", image="*:2*", seconds=1.0, exit_code=3, probability=0.3)],
    "lease held": [],
    "cancelled": [],
}


@define
class Watcher:
    """Counts at every change how many machines of each region serve."""

    emulator: Emulator
    least: dict[str, int] = Factory(dict)

    def see(self, _: Machine) -> None:
        """Count anew."""
        serving = self.emulator.serving("web")
        for region in REGIONS:
            self.least[region] = min(self.least.get(region, BEFORE), serving[region])


@frozen(kw_only=True)
class Verdict:
    """What came of one flight; `faults` are what must not be, empty as a rule."""

    ok: bool
    is_back: bool
    seconds: float
    faults: tuple[str, ...]


@asynccontextmanager
async def world(seed: int, **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    async with (
        Emulator(seed=seed, latency=(0.02, 0.2), **options) as emulator,
        FlyClient(emulator.token, base_url=emulator.url, timeout=10.0) as fly,
    ):
        await fly.apps.create("web", org_slug="personal")
        yield emulator, fly


async def fly(strategy: str, trouble: str, seed: int) -> Verdict:
    """Update a fleet under one trouble, and judge what is left; every other seed rolls back on failure."""
    rolls_back = seed % 2 == 1
    async with world(seed) as (emulator, client), AsyncExitStack() as stack:
        await _settle(client, emulator)
        builder = STRATEGIES[strategy](BASE.with_image("shop:2").count(WANTED)).with_launch("v2")
        watcher = Watcher(emulator)
        stop = emulator.on_change(watcher.see)
        await _strike(emulator, trouble, seed, stack)
        report, error = await _deploy(builder.roll_back_on_failure(rolls_back), client, trouble, seed)
        stop()
        emulator.faults.clear()
        await asyncio.sleep(5)  # what is being destroyed is gone then
        return Verdict(
            ok=report is not None and report.ok,
            is_back=report is not None and report.rollback is not None and report.rollback.ok,
            seconds=report.seconds if report else 0.0,
            faults=(*_judged(emulator, report, error, trouble), *_dips(watcher, strategy)),
        )


async def _settle(client: FlyClient, emulator: Emulator) -> None:
    report = await BASE.immediate().with_launch("v1").execute(client)
    assert report.ok, str(report)
    assert sum(emulator.serving("web").values()) == BEFORE * len(REGIONS)


async def _strike(emulator: Emulator, trouble: str, seed: int, stack: AsyncExitStack) -> None:
    emulator.faults.add(*TROUBLE[trouble])
    if trouble == "region full":
        emulator.set_capacity("lhr", BEFORE)
    if trouble == "lease held":
        other = await stack.enter_async_context(FlyClient(emulator.token, base_url=emulator.url))
        held = sorted(emulator.world.machines)[seed % (BEFORE * len(REGIONS))]
        await stack.enter_async_context(other.leases.hold("web", held, description="somebody else"))


async def _deploy(
    builder: DeployBuilder, client: FlyClient, trouble: str, seed: int
) -> tuple[DeployReport | None, FlyError | None]:
    """Execute; give the report, also of a deploy that was cancelled, or the error that came before any change."""
    reports: list[DeployReport] = []
    onlooker = builder.on_event(lambda event: reports.append(event.report) if isinstance(event, Finished) else None)
    deploy = asyncio.ensure_future(onlooker.execute(client))
    if trouble == "cancelled":
        asyncio.get_running_loop().call_later(random.Random(seed).uniform(0.1, 25), deploy.cancel)
    error: FlyError | None = None
    with suppress(asyncio.CancelledError):
        try:
            await deploy
        except FlyError as raised:
            error = raised
    return (reports[-1] if reports else None), error


def _judged(emulator: Emulator, report: DeployReport | None, error: FlyError | None, trouble: str) -> Iterator[str]:
    alive = [each for each in emulator.world.machines.values() if each.state not in {"destroying", "destroyed"}]
    leased = [each.name for each in alive if each.lease and each.lease.expires_at > emulator.world.clock]
    if leased and trouble not in {"lease held", *UNRELEASED}:
        yield f"leases left on {leased}"
    names = Counter(each.name for each in alive)
    if twice := [name for name, count in names.items() if count > 1]:
        yield f"two of one name: {twice}"
    new = Counter(_home(each) for each in alive if _image(each) == "shop:2")
    if many := {region: count for region, count in new.items() if count > WANTED}:
        yield f"duplicates: {many}"
    is_as_before = [_image(each) for each in alive] == ["shop:1"] * BEFORE * len(REGIONS)
    if report is None:
        if not is_as_before:
            yield f"it raised {error!r}, and something has changed"
        return
    if report.rollback and report.rollback.ok and not _past_return(report) and not is_as_before:
        yield f"called rolled back, and is not: {sorted(map(_image, alive))}"
    yield from _agreement(emulator, report, alive)


def _past_return(report: DeployReport) -> bool:
    return report.strategy == "bluegreen" and any(moment.phase is Phase.UNCORDONED
                                                  for each in report.machines for moment in each.moments)  # fmt: skip


def _agreement(emulator: Emulator, report: DeployReport, alive: list[Machine]) -> Iterator[str]:
    serving = emulator.serving("web")
    serves_new = Counter(_home(each) for each in alive if _image(each) == "shop:2" and serves(emulator.world, each))
    is_as_wanted = (
        all(serves_new[region] == WANTED for region in REGIONS)
        and len(alive) == WANTED * len(REGIONS)
        and sum(serving.values()) == WANTED * len(REGIONS)
    )
    # A machine that crashed and is up at this moment has not stayed up where it was watched; any other is as it seems.
    has_crashed = any(each.restart_count for each in alive)
    if report.unseen is None and not report.cancelled and not has_crashed and report.ok != is_as_wanted:
        yield f"ok is {report.ok}, and the fleet has {dict(serves_new)} of v2 among {len(alive)}"
    if report.ok and not is_as_wanted:
        yield "called ok, and is not"
    for machine in report.running:
        record = emulator.world.machines.get(machine.id or "")
        if record is None or _image(record) != "shop:2" or record.state != "started":
            yield f"{machine.name} is called running"
    told = {machine.id for region in report.regions for machine in (*region.machines, *region.retired)}
    told |= {*report.surplus, *((each.id for each in report.rollback.machines) if report.rollback else ())}
    if orphans := [f"{each.name} {each.state}" for each in alive if each.id not in told]:
        yield f"orphans: {orphans}"


def _dips(watcher: Watcher, strategy: str) -> Iterator[str]:
    for region, least in watcher.least.items():
        if least < BEFORE - AWAY[strategy]:
            yield f"{region} was down to {least} serving"


def _image(machine: Machine) -> str:
    return str(machine.config.get("image"))


def _home(machine: Machine) -> str:
    return str((machine.config.get("metadata") or {}).get("flyasync_region", machine.region))


def one(flight: tuple[str, str, int]) -> Verdict:
    """Fly once, in a loop of its own."""
    strategy, trouble, seed = flight
    random.seed(seed)  # the jitter of retries
    return run_virtual(fly(strategy, trouble, seed))


def many(strategy: str, trouble: str, seeds: int) -> list[Verdict]:
    """Fly all seeds of one case."""
    return [one((strategy, trouble, seed)) for seed in range(seeds)]


def main(seeds: int, only: str) -> int:
    """Print a row for each case; give the number of faults."""
    cases = [(s, t) for s in STRATEGIES for t in TROUBLE if fnmatch(f"{s}/{t}", only)]
    found = 0
    with ProcessPoolExecutor() as pool:
        for (strategy, trouble), verdicts in zip(cases, pool.map(partial(_case, seeds=seeds), cases), strict=True):
            wrong = [(seed, verdict) for seed, verdict in enumerate(verdicts) if verdict.faults]
            found += len(wrong)
            well, back = sum(verdict.ok for verdict in verdicts), sum(verdict.is_back for verdict in verdicts)
            longest = max(verdict.seconds for verdict in verdicts)
            print(
                f"{strategy:10} {trouble:20} {len(verdicts):3} flights, {well:3} ok, {back:2} rolled back, "
                f"{len(wrong):2} wrong, longest {longest:6.1f} s",
                flush=True,
            )
            for seed, verdict in wrong[:5]:
                print(f"    seed {seed}: {'; '.join(verdict.faults)}", flush=True)
    print(f"{found} flights of {len(cases) * seeds} went wrong")
    return found


def _case(case: tuple[str, str], *, seeds: int) -> list[Verdict]:
    return many(*case, seeds)


def _option(name: str, default: str) -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


if __name__ == "__main__":
    sys.exit(bool(main(int(_option("--seeds", "50")), _option("--only", "*"))))
