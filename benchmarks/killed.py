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

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen

from benchmarks.flight import STRATEGIES
from benchmarks.shared.served import world
from flyasync import Check, DeployBuilder, Emulator, Fault, FlyClient
from flyasync.emulator.world.volumes import is_gone
from flyasync.testing import run_virtual
from flyasync.transport.events import Attempt, ClientEvent

REGIONS = ("iad", "lhr", "nrt")
BASE = (
    DeployBuilder("web")
    .to_regions(*REGIONS)
    .with_image("shop:1")
    .with_service(internal_port=8080)
    .with_check("up", Check(type="tcp", port=8080, interval=10, timeout=2))
    .wait_for("healthy", timeout=120)
)
MARKS = {"flyasync_creation", "flyasync_launch", "flyasync_replaces"}  # which run did it; all else is the same
WEB = """
app = "web"
primary_region = "iad"

[deploy]
release_command = "bin/migrate"

[http_service]
internal_port = 8080
processes = ["web"]

[[http_service.checks]]
path = "/"
interval = "5s"
timeout = "2s"

[mounts]
source = "data"
destination = "/data"
processes = ["cron"]

[processes]
web = "serve"
"""
CRON = WEB + 'cron = "supercronic /crontab"\n'
WHOLE = CRON + 'worker = "work"\n'


@frozen(kw_only=True)
class End:
    """What a fleet came out as, and by how many requests; `left` is what the killed deploy had left of it."""

    ok: bool
    requests: int
    fleet: tuple[str, ...]
    left: tuple[str, ...]


@frozen
class Case:
    """A deploy, and the one that made the fleet which it finds; None for an empty app."""

    name: str
    before: DeployBuilder | None
    wanted: DeployBuilder


def strategies(machines: int) -> Iterator[Case]:
    """Yield an update of a fleet with each strategy."""
    base = BASE.count(machines // len(REGIONS))
    for name, strategy in STRATEGIES.items():
        yield Case(name, base.immediate(), strategy(base.with_image("shop:2")))


def changes() -> Iterator[Case]:
    """Yield a first deploy, and the changes that an app goes through."""
    web, cron, whole = (_of(text) for text in (WEB, CRON, WHOLE))
    v2 = whole.with_image("shop:2")
    yield Case("first deploy", None, whole)
    yield Case("first, three regions", None, whole.to_regions(*REGIONS))
    yield Case("image changed", whole, v2)
    yield Case("image, canary", web, web.with_image("shop:2").canary(soak=5))
    yield Case("one count changed", whole, whole.count_group("worker", iad=3))
    yield Case("group added", cron, v2)
    yield Case("group removed", whole, cron.retire_groups("worker"))


def _of(text: str) -> DeployBuilder:
    """Return the deploy of a fly.toml with this text."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "fly.toml")
        path.write_text(text)
        return DeployBuilder.from_fly_toml(path, image="shop:1").smoke_check(2)


@asynccontextmanager
async def _start(case: Case) -> AsyncIterator[Emulator]:
    """The fleet that the deploy finds, in a world that is the same each time."""
    async with world(seed=7, latency=(0.02, 0.1), limits=False) as (emulator, fly):
        if case.before:
            report = await case.before.with_launch("v1").execute(fly)
            assert report.ok, str(report)
        yield emulator


async def undisturbed(case: Case) -> End:
    """Fly once without trouble."""
    async with _start(case) as emulator:
        return await _end(emulator, case.wanted.with_launch("v2"))


async def killed(case: Case, after: int) -> End:
    """Kill a deploy after so many requests, and run another to its end."""
    async with _start(case) as emulator:
        await _killed(emulator, case.wanted.with_launch("v2"), after)
        return await _end(emulator, case.wanted.with_launch("v2-again"))


async def _end(emulator: Emulator, builder: DeployBuilder) -> End:
    """Deploy to the end, and see what the fleet has come to."""
    begun, left = len(emulator.log), tuple(sorted(_fleet(emulator)))
    async with FlyClient(emulator.token, base_url=emulator.url) as fly:
        report = await builder.execute(fly)
    requests = len(emulator.log) - begun
    await asyncio.sleep(5)  # what is being destroyed is gone then
    return End(ok=report.ok, requests=requests, fleet=tuple(sorted(_fleet(emulator))), left=left)


async def _killed(emulator: Emulator, builder: DeployBuilder, after: int) -> None:
    dead, seen = Fault(does="cut"), 0

    def count(event: ClientEvent) -> None:
        nonlocal seen
        seen += isinstance(event, Attempt)
        if seen == after:
            emulator.faults.add(dead)  # nothing that it still sends is heard
            deploy.cancel()

    async with FlyClient(emulator.token, base_url=emulator.url, on_event=count) as fly:
        deploy = asyncio.ensure_future(builder.execute(fly))
        while not deploy.done():
            await asyncio.wait([deploy], timeout=0.5)
            if emulator.faults.hits(dead) or seen >= after:
                deploy.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await deploy
        await fly.aclose(grace=0)
    emulator.faults.clear()


def _fleet(emulator: Emulator) -> Iterator[str]:
    """Yield each machine, volume and address, with names instead of ids, which depend on the order of requests."""
    machines = [each for each in emulator.world.machines.values() if each.state not in {"destroying", "destroyed"}]
    names = {each.id: each.name for each in machines}
    volumes = [each for each in emulator.world.volumes.values() if not is_gone(emulator.world, each)]
    names |= {each.id: f"volume of {names.get(each.machine_id or '', 'no machine')}" for each in volumes}
    for machine in machines:
        config = {key: value for key, value in machine.config.items() if key != "metadata"}
        marks = {key: value for key, value in (machine.config.get("metadata") or {}).items() if key not in MARKS}
        routing = "out of routing" if machine.is_cordoned else "in routing"
        text = f"{machine.name} {machine.region} {machine.state} {routing} "
        text += json.dumps([config, marks], sort_keys=True)
        for id_, name in names.items():
            text = text.replace(id_, name)
        yield text
    for volume in volumes:
        yield f"{names[volume.id]} {volume.name} {volume.region} {volume.size_gb}"
    for address in emulator.world.apps["web"].addresses.values():
        yield f"address {address.type}"


def main(cases: Iterable[Case], every: int, map_: Callable[..., Any]) -> int:
    """Print a row for each case; give the number of runs that came out otherwise."""
    wrong = 0
    for case in cases:
        whole = run_virtual(undisturbed(case))
        assert whole.ok, f"{case.name} fails undisturbed"
        points = range(1, whole.requests + 1, every)
        ends = list(map_(partial(_one, case=case), points))
        others = [point for point, end in zip(points, ends, strict=True) if not end.ok or end.fleet != whole.fleet]
        wrong += len(others)
        midway = sum(end.left not in {whole.left, whole.fleet} for end in ends)
        print(
            f"{case.name:22} {whole.requests} requests: killed after {len(points)} of them, "
            f"{midway} times with the fleet in between; {len(points) - len(others)} came out the same"
            f"{f', not after {others[:10]}' if others else ''}",
            flush=True,
        )
    return wrong


def _one(after: int, *, case: Case) -> End:
    return run_virtual(killed(case, after))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.killed")
    parser.add_argument("--machines", type=int, default=30, help="of the fleet that is updated")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="kill after every N-th request only")
    parser.add_argument("--app", action="store_true", help="an app of three process groups")
    options = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        cases = changes() if options.app else strategies(options.machines)
        sys.exit(bool(main(cases, options.every, pool.map)))
