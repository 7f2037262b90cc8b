"""What one size of one subject costs, in a process of its own: `python -m benchmarks.parts.growth_sizes SUBJECT SIZE`.

It prints one line of JSON, `Cost`, each figure without the little that a first run of the same at size 10 takes.

- `plan SIZE` is a group of SIZE machines that gets a new image: what to do with each, how long that takes, and the
  report when it is done. No network; machines are made up beforehand, which costs no CPU here, but memory. `uncollected
  SIZE` is the same without garbage collection.
- `deploy SIZE` makes SIZE machines in one app, in virtual time, from the first list to the report; `held SIZE` does so
  too, and looks 20 times, between two requests, at all objects that the client and the deploying task refer to: the
  machines and configs, the tasks with their coroutines and futures, the events, the report.
- `apps SIZE` makes SIZE apps of a machine each, 100 apps at once, by one client in virtual time. What is done is
  forgotten by the emulator.

Deploys keep to the published limits: one create a second for each app. The emulator works in the same process, so its
CPU and its memory are in the figures of the last three, but not in what is held and kept.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from attrs import asdict, evolve, frozen

from benchmarks.fleet.simulation import Run as Simulation, simulate
from benchmarks.shared.usage import Gauge, reachable, resident
from flyasync import DeployBuilder, DeployReport, Emulator, FlyClient, Machine, MachineConfig
from flyasync.deploy.estimate import CreateRate, estimate
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import plan as decided
from flyasync.deploy.plan.spec import HOME, DeploySpec
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.deploy.timings import Timings
from flyasync.emulator.core.regions import CODES
from flyasync.emulator.world import apps as emulated
from flyasync.testing import mock_machine, run_virtual
from flyasync.transport.session import Timeouts

AT_ONCE = 100
WARM_UP = 10
LOOKS = 20


@frozen
class Cost:
    """What so many machines took: seconds of CPU, bytes of memory at the peak, and those kept and held, if measured."""

    machines: int
    cpu: float
    memory: int = 0
    kept: int | None = None
    held: int | None = None


def cost(subject: str, size: int) -> Cost:
    """Do it, and say what it took."""
    work, gauge = SUBJECTS[subject], Gauge(subject, os.getpid())
    work(min(size, WARM_UP))
    gc.collect()
    before, spent = resident(), work(size)
    gauge.look()
    return evolve(spent, memory=max(0, int(gauge.peak_mb * 2**20) - before))


def _counts(machines: int) -> dict[str, int]:
    """Spread so many machines over all regions."""
    regions = CODES[:machines]
    return {region: len(range(place, machines, len(regions))) for place, region in enumerate(regions)}


def plan(machines: int) -> Cost:
    """Decide about so many machines, and report them done."""
    old, new = (_spec(image, machines) for image in ("nginx:1", "nginx:2"))
    before = tuple(_made_up(old, machines))
    after = {each.id: evolve(each, config=_placed(new, each.region)) for each in before}
    began = time.process_time()
    made = decided(new, Fleet(new.app, before))
    estimate(made, CreateRate(usable=2, per_second=1), Timings.of(made.before, made.group))
    runs = tuple(
        MachineRun(
            desired=track.machine,
            region=track.machine.region,
            config=track.config,
            machine=after[track.machine_id or ""],
            phase=Phase.STARTED,
            taken=len(track.steps),
            adopted=True,
            ready_after=1.0,
        )
        for track in made.tracks
    )
    observed = Observation(runs=runs, seen=tuple(after.values()))
    report = DeployReport.of(new, observed, seconds=1.0, strategy="rolling")
    shown = str(report)
    cpu = time.process_time() - began
    assert report.ok, shown[:1000]
    assert made.updates == machines
    return Cost(machines, cpu)


def uncollected(machines: int) -> Cost:
    """Do the same without garbage collection: what remains is no matter of how many objects there are."""
    gc.disable()
    return plan(machines)


def _spec(image: str, machines: int) -> DeploySpec:
    made = DeployBuilder("web").to_regions(*CODES).with_image(image).with_env({"A": "1"}).with_launch(image[-1])
    # The builder refuses more than 1,000 in a region, which is more than anybody has; the plan does not care.
    return evolve(made.rolling().smoke_check(0).deployment(), counts=_counts(machines))


def _placed(spec: DeploySpec, region: str) -> MachineConfig:
    return evolve(spec.tagged, metadata={**(spec.tagged.metadata or {}), HOME: region})


def _made_up(spec: DeploySpec, machines: int) -> Iterator[Machine]:
    """Make up the machines of a deployment, each with a config of its own, as a list from the API has them."""
    shown, regions = mock_machine(), spec.regions
    for number in range(machines):
        region = regions[number % len(regions)]
        name = f"app-{region}-{number // len(regions) + 1}"
        yield evolve(shown, id=f"{number:014x}", name=name, region=region, config=_placed(spec, region))


async def deploy(machines: int, looks: int = 0) -> Cost:
    """Make so many machines in one app, and look at what is held meanwhile."""
    counts = _counts(machines)
    async with (
        Emulator(seed=1, boot=(2.0, 2.0), retired=()) as emulator,
        FlyClient(emulator.token, base_url=emulator.url, timeout=Timeouts(calls=machines, polls=2 * machines)) as fly,
    ):
        emulated.create(emulator.world, "web", org_slug="personal", network="")
        base = DeployBuilder("web").to_regions(*counts).count(**counts).with_image("nginx").require("all")
        before = reachable(fly)
        began = time.process_time()
        deploying = asyncio.create_task(base.execute(fly))
        seen = []
        for look in range(looks):
            await asyncio.sleep(machines / looks if look else 5.0)  # a create a second: from the first to the last
            seen.append(reachable(fly, deploying) - before)
        report = await deploying
        cpu = time.process_time() - began
        assert report.ok, str(report)[:1000]
        assert len(report.running) == machines
        return Cost(machines, cpu, kept=reachable(fly, report) - before, held=max(seen, default=None))


def apps(count: int) -> Cost:
    """Make so many apps."""
    began = time.process_time()
    seen = run_virtual(simulate(Simulation(apps=count, at_once=min(count, AT_ONCE), machines=1)))
    assert not seen.wrong, seen.wrong[:10]
    assert not seen.limited, seen.limited
    return Cost(count, time.process_time() - began)


SUBJECTS: Mapping[str, Callable[[int], Cost]] = {
    "plan": plan,
    "uncollected": uncollected,
    "deploy": lambda machines: run_virtual(deploy(machines)),
    "held": lambda machines: run_virtual(deploy(machines, LOOKS)),
    "apps": apps,
}


if __name__ == "__main__":
    print(json.dumps(asdict(cost(sys.argv[1], int(sys.argv[2])))))
