"""A deploy killed after each of its requests, then run again: `python -m benchmarks.killed [--machines N] [--every N]`.

For each strategy an update of 30 machines is flown once undisturbed. Then again and again from the same start, each
time killed after one more request: from then on nothing of it reaches the API and nothing of it is cleaned up, leases
neither. Another deployer, which knows nothing of the first, then runs the same deploy. The fleet must come out as
after the undisturbed run: same machines by name, config, region, state and routing, and same volumes and
addresses, nothing more and nothing less.

With `--app` it is an app of three process groups from a fly.toml instead: its first deploy, and the changes that an app
goes through. The release command runs before each of them. Of the groups that the first deploy creates, web gets two
machines, worker one and a standby, and cron one with a volume.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen

from benchmarks.flight import STRATEGIES, ours
from benchmarks.parts.flight_fleets import NEW, OLD, REGIONS, alive
from benchmarks.shared import fly_toml
from benchmarks.shared.fly_toml import CRON, WORKER
from benchmarks.shared.options import options
from benchmarks.shared.served import world
from flyasync import DeployBuilder, Emulator, Fault, FlyClient
from flyasync.emulator.world.volumes import is_gone
from flyasync.testing import run_virtual
from flyasync.transport.events import Attempt, ClientEvent

World = Mapping[str, Any]
OPTIONS: dict[str, Any] = {"seed": 7, "latency": (0.02, 0.1), "limits": False}
OF_A_RUN = dict.fromkeys(("flyasync_creation", "flyasync_launch", "flyasync_replaces"))
"""Which run did it; all else is to be the same."""


@frozen
class End:
    """What a fleet came out as, and by how many requests; `left` is what the killed deploy had left of it."""

    ok: bool
    requests: int
    fleet: list[str]
    left: list[str]


@frozen
class Case:
    """A deploy, and the one that made the fleet which it finds; None for an empty app."""

    name: str
    before: DeployBuilder | None
    wanted: DeployBuilder


def strategies(machines: int) -> Iterator[Case]:
    """Yield an update of a fleet with each strategy."""
    base = ours().with_image(OLD).count(machines // len(REGIONS)).wait_for("healthy", timeout=120)
    for name, strategy in STRATEGIES.items():
        yield Case(name, base.immediate(), strategy(base.with_image(NEW)))


def changes() -> Iterator[Case]:
    """Yield a first deploy, and the changes that an app goes through."""
    web, cron, whole = (_of(fly_toml.web('interval = "5s"') + groups) for groups in ("", CRON, WORKER + CRON))
    v2 = whole.with_image(NEW)
    yield Case("first deploy", None, whole)
    yield Case("first, three regions", None, whole.to_regions(*REGIONS))
    yield Case("image changed", whole, v2)
    yield Case("image, canary", web, web.with_image(NEW).canary(soak=5))
    yield Case("one count changed", whole, whole.count_group("worker", iad=3))
    yield Case("group added", cron, v2)
    yield Case("group removed", whole, cron.retire_groups("worker"))


def _of(text: str) -> DeployBuilder:
    """Return the deploy of a fly.toml with this text."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "fly.toml")
        path.write_text(text)
        return DeployBuilder.from_fly_toml(path, image=OLD).smoke_check(2)


async def begun(case: Case) -> World:
    """Return the world that the deploy finds, the same each time."""
    async with world(**OPTIONS) as (emulator, fly):
        if case.before:
            report = await case.before.with_launch("v1").execute(fly)
            assert report.ok, str(report)
        return emulator.dump()


async def flown(start: World, wanted: DeployBuilder, after: int | None = None) -> End:
    """Deploy in this world; if killed `after` so many requests, another deploys to the end."""
    async with Emulator.from_world(start, **OPTIONS) as emulator:
        if after:
            await _killed(emulator, wanted.with_launch("v2"), after)
        begun, left = len(emulator.log), sorted(_fleet(emulator))
        async with FlyClient(emulator.token, base_url=emulator.url) as fly:
            report = await wanted.with_launch("v2-again" if after else "v2").execute(fly)
        requests = len(emulator.log) - begun
        await asyncio.sleep(5)  # what is being destroyed is gone then
        return End(report.ok, requests, sorted(_fleet(emulator)), left)


async def _killed(emulator: Emulator, builder: DeployBuilder, after: int) -> None:
    """Deploy until so many requests are sent; from then on nothing that it sends is heard."""
    seen = 0

    def count(event: ClientEvent) -> None:
        nonlocal seen
        seen += isinstance(event, Attempt)
        if seen == after:
            emulator.faults.add(Fault(does="cut"))
            deploy.cancel()

    async with FlyClient(emulator.token, base_url=emulator.url, on_event=count) as fly:
        deploy = asyncio.ensure_future(builder.execute(fly))
        while not deploy.done():
            await asyncio.wait([deploy], timeout=0.5)
            if seen >= after:
                deploy.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await deploy
        await fly.aclose(grace=0)
    emulator.faults.clear()


def _fleet(emulator: Emulator) -> Iterator[str]:
    """Yield each machine, volume and address, with names instead of ids, which depend on the order of requests."""
    machines = alive(emulator)
    names = {each.id: each.name for each in machines}
    volumes = [each for each in emulator.world.volumes.values() if not is_gone(emulator.world, each)]
    names |= {each.id: f"volume of {names.get(each.machine_id or '', 'no machine')}" for each in volumes}
    for machine in machines:
        marks = dict(machine.config.get("metadata") or {})
        config = json.dumps({**machine.config, "metadata": {**marks, **OF_A_RUN}}, sort_keys=True)
        routing = "out of routing" if machine.is_cordoned else "in routing"
        text = f"{machine.name} {machine.region} {machine.state} {routing} {config}"
        for id_, name in names.items():
            text = text.replace(id_, name)
        yield text
    yield from (f"{names[each.id]} {each.name} {each.region} {each.size_gb}" for each in volumes)
    yield from (f"address {each.type}" for each in emulator.world.apps["web"].addresses.values())


def main(cases: Iterable[Case], every: int, map_: Callable[..., Any]) -> int:
    """Print a row for each case; return the number of runs that came out otherwise."""
    wrong = 0
    for case in cases:
        start = run_virtual(begun(case))
        run = partial(_run, start, case.wanted)
        whole = run()
        assert whole.ok, f"{case.name} fails undisturbed"
        points = range(1, whole.requests + 1, every)
        ends = list(map_(run, points))
        others = [point for point, end in zip(points, ends, strict=True) if not end.ok or end.fleet != whole.fleet]
        wrong += len(others)
        midway = sum(end.left not in (whole.left, whole.fleet) for end in ends)
        print(
            f"{case.name:22} {whole.requests} requests: killed after {len(points)} of them, "
            f"{midway} times with the fleet in between; {len(points) - len(others)} came out the same"
            f"{f', not after {others[:10]}' if others else ''}",
            flush=True,
        )
    return wrong


def _run(start: World, wanted: DeployBuilder, after: int | None = None) -> End:
    return run_virtual(flown(start, wanted, after))


if __name__ == "__main__":
    given = options(__doc__, machines=30, every=1, app=False)
    with ProcessPoolExecutor() as pool:
        sys.exit(bool(main(changes() if given.app else strategies(given.machines), given.every, pool.map)))
