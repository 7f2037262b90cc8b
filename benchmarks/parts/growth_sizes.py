"""What one size of one subject costs, in a process of its own: `python -m benchmarks.parts.growth_sizes SUBJECT SIZE`.

It prints one line of JSON: how many machines there were, the seconds of CPU, the bytes of memory at their peak, and
those that are kept at the end, each without the little that a first run of the same at size 10 takes.

- `plan SIZE` is a group of SIZE machines that gets a new image: what to do with each, how long that takes, and the
  report when it is done. No network; machines are made up beforehand, which costs no CPU here, but memory.
- `deploy SIZE` makes SIZE machines in one app, in virtual time, from the first list to the report. What is kept is the
  report, and what the client still holds then.
- `apps SIZE` makes SIZE apps of a machine each, 100 apps at once, by one client in virtual time. What is done is
  forgotten by the emulator.

Deploys keep to the published limits: one create a second for each app. The emulator works in the same process, so its
CPU and its memory are in the figures of the last two.
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import asdict, evolve, frozen

from benchmarks.fleet.simulation import Run as Simulation, simulate
from benchmarks.shared.usage import reachable
from flyasync import DeployBuilder, DeployReport, Emulator, FlyClient, Machine
from flyasync.deploy.estimate import CreateRate, estimate
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import plan as decided
from flyasync.deploy.plan.plan import Plan
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


@frozen
class Cost:
    """What so many machines took: seconds of CPU, bytes of memory at the peak, and those that are kept if measured."""

    machines: int
    cpu: float
    memory: int
    kept: int | None = None


def cost(subject: str, size: int) -> Cost:
    """Do it, and say what it took."""
    work = SUBJECTS[subject]
    work(min(size, WARM_UP))
    gc.collect()
    before = _status("VmRSS")
    cpu, kept = work(size)
    return Cost(size, cpu, max(0, _status("VmHWM") - before), kept)


def _status(name: str) -> int:
    """Read how much memory this process has, or had at its peak, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


# A decision


Spent = tuple[float, int | None]
"""Seconds of CPU, and the bytes that are kept."""


def plan(machines: int) -> Spent:
    """Decide about so many machines, and report them done."""
    old, new = (_wanted(image, machines) for image in ("nginx:1", "nginx:2"))
    before = tuple(_there(old, machines))
    after = tuple(_updated(new, before))
    began = time.process_time()
    made = decided(new, Fleet(new.app, before))
    estimate(made, CreateRate(usable=2, per_second=1), Timings.of(made.before, made.group))
    report = DeployReport.of(new, _done(made, after), seconds=1.0, strategy="rolling")
    shown = str(report)
    cpu = time.process_time() - began
    assert report.ok, shown[:1000]
    assert made.updates == machines
    return cpu, None


def _wanted(image: str, machines: int) -> DeploySpec:
    regions = CODES[:machines]
    made = DeployBuilder("web").to_regions(*regions).with_image(image).with_env({"A": "1"}).with_launch(image[-1])
    # The builder refuses more than 1,000 in a region, which is more than anybody has; the plan does not care.
    counts = {region: len(range(place, machines, len(regions))) for place, region in enumerate(regions)}
    return evolve(made.rolling().smoke_check(0).deployment(), counts=counts)


def _there(spec: DeploySpec, machines: int) -> Iterator[Machine]:
    """Make up the machines of a deployment, each with a config of its own, as a list from the API has them."""
    shown, tagged = mock_machine(), spec.tagged
    for number in range(machines):
        region = spec.regions[number % len(spec.regions)]
        name = f"app-{region}-{number // len(spec.regions) + 1}"
        config = evolve(tagged, metadata={**(tagged.metadata or {}), HOME: region})
        yield evolve(shown, id=f"{number:014x}", name=name, region=region, config=config)


def _updated(spec: DeploySpec, before: tuple[Machine, ...]) -> Iterator[Machine]:
    """Make up what the last look shows."""
    tagged = spec.tagged
    configs = {code: evolve(tagged, metadata={**(tagged.metadata or {}), HOME: code}) for code in spec.regions}
    return (evolve(machine, config=configs[machine.region]) for machine in before)


def _done(made: Plan, after: tuple[Machine, ...]) -> Observation:
    there = {machine.id: machine for machine in after}
    return Observation(
        runs=tuple(
            MachineRun(
                desired=track.machine,
                region=track.machine.region,
                config=track.config,
                machine=there[track.machine_id or ""],
                phase=Phase.STARTED,
                taken=len(track.steps),
                adopted=True,
                ready_after=1.0,
            )
            for track in made.tracks
        ),
        seen=after,
    )


# Deploys


def deploy(machines: int) -> Spent:
    """Make so many machines in one app."""
    return run_virtual(_deploy(machines))


async def _deploy(machines: int) -> Spent:
    regions = CODES[:machines]
    async with (
        Emulator(seed=1, boot=(2.0, 2.0), retired=()) as emulator,
        FlyClient(emulator.token, base_url=emulator.url, timeout=Timeouts(calls=machines, polls=2 * machines)) as fly,
    ):
        emulated.create(emulator.world, "web", org_slug="personal", network="")
        counts = {region: len(range(place, machines, len(regions))) for place, region in enumerate(regions)}
        base = DeployBuilder("web").to_regions(*regions).count(**counts).with_image("nginx").require("all")
        before = reachable(fly)
        began = time.process_time()
        report = await base.execute(fly)
        cpu = time.process_time() - began
        assert report.ok, str(report)[:1000]
        assert len(report.running) == machines
        return cpu, reachable(fly, report) - before


def apps(count: int) -> Spent:
    """Make so many apps."""
    began = time.process_time()
    seen = run_virtual(simulate(Simulation(apps=count, at_once=min(count, AT_ONCE), machines=1)))
    assert not seen.wrong, seen.wrong[:10]
    assert not seen.limited, seen.limited
    return time.process_time() - began, None


SUBJECTS: Mapping[str, Callable[[int], Spent]] = {"plan": plan, "deploy": deploy, "apps": apps}


if __name__ == "__main__":
    print(json.dumps(asdict(cost(sys.argv[1], int(sys.argv[2])))))
