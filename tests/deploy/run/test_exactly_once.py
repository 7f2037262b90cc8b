"""Each machine once, whatever happens to the answers."""

import asyncio

import pytest

from flyasync import DeployBuilder, Fault, FlyClient, Machine, RetryPolicy
from flyasync.emulator.core.regions import CODES
from tests.deploy.conftest import total, world

LOST = [
    Fault(does="lose_answer", action="createMachine", probability=0.15),
    Fault(does="cut_after", action="createMachine", probability=0.15 / 0.85),
]


def names(machines: tuple[Machine, ...]) -> list[str]:
    return sorted(machine.name for machine in machines)


@pytest.mark.no_cover  # measured by the other tests, and twice as fast without
@pytest.mark.parametrize("hundred", range(10))
async def test_thirty_per_cent_of_answers_lost_in_a_thousand_runs(base: DeployBuilder, hundred: int) -> None:
    wanted = [f"v1-{region}-1" for region in ("iad", "lhr", "nrt")]
    lost = 0
    for seed in range(100 * hundred, 100 * hundred + 100):
        async with world(seed=seed, faults=LOST) as (emulator, fly):
            report = await base.require("all").execute(fly)
            assert report.ok, f"seed {seed}: {report}"
            assert names(await fly.machines.list("web", include_deleted=True)) == wanted, f"seed {seed}"
            lost += sum(emulator.faults.hits(fault) for fault in LOST)
    assert 60 <= lost <= 120  # of 300 creates


TROUBLE = [
    pytest.param([Fault(does="cut", action="createMachine", probability=0.4)], id="cut before the work"),
    pytest.param([Fault(does="cut_after", action="createMachine", probability=0.4)], id="cut after the work"),
    pytest.param([Fault(does="lose_answer", action="createMachine", probability=0.4)], id="answer lost"),
    *(
        pytest.param([Fault(does="refuse", action="createMachine", probability=0.4, status=status)], id=str(status))
        for status in (408, 429, 500, 502, 503, 504)
    ),
    pytest.param(
        [
            Fault(does="cut_after", action="createMachine", probability=0.4),
            Fault(does="refuse", action="listMachines", probability=0.4, status=500),
            Fault(does="cut", action="getMachine", probability=0.4),
        ],
        id="answers lost, and lookups fail",
    ),
    pytest.param(
        [
            Fault(does="delay", action="createMachine", probability=0.4, seconds=45),
        ],
        id="work done long after the client gave up",
    ),
]


@pytest.mark.no_cover  # measured by the other tests, and twice as fast without
@pytest.mark.parametrize("faults", TROUBLE)
async def test_no_trouble_with_creates_makes_a_machine_twice(base: DeployBuilder, faults: list[Fault]) -> None:
    wanted = sorted(f"v1-{region}-{number}" for region in ("iad", "lhr", "nrt") for number in (1, 2))
    for seed in range(10):
        async with world(seed=seed, faults=faults) as (_, fly):
            report = await base.count(2).require("all").execute(fly)
            assert report.ok, f"seed {seed}: {report}"
            assert names(await fly.machines.list("web", include_deleted=True)) == wanted


async def test_a_deploy_that_gave_up_in_doubt_is_completed_by_the_same_launch(base: DeployBuilder) -> None:
    """The API is down from the first create on, and works again for the second run."""
    impatient = {"client": {"retry": RetryPolicy(attempts=2)}}
    async with world(seed=1, **impatient) as (emulator, fly):
        emulator.faults.add(Fault(does="cut_after", action="createMachine"))
        emulator.faults.add(Fault(does="refuse", action="listMachines", after=1, status=503))
        first = await base.execute(fly)
        assert not first.ok
        emulator.faults.clear()
        second = await base.require("all").execute(fly)
        assert second.ok, str(second)
        assert len(await fly.machines.list("web")) == 3


async def test_two_deployers_of_one_launch_share_its_machines(base: DeployBuilder) -> None:
    async with world(seed=1, latency=(0.02, 0.25)) as (emulator, fly):
        async with FlyClient(emulator.token, base_url=emulator.url) as other:
            reports = await asyncio.gather(
                base.count(2).require("all").execute(fly), base.count(2).require("all").execute(other)
            )
        machines = await fly.machines.list("web")
    assert [report.ok for report in reports] == [True, True]
    assert len(machines) == 6
    assert {machine.id for machine in reports[0].running} == {machine.id for machine in reports[1].running}


async def test_a_name_of_another_launch_is_not_taken_over(base: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        stranger = await fly.machines.create("web", base.config, name="v1-iad-1", region="iad")
        report = await base.require("all").execute(fly)
    (iad,) = (machine for machine in report.machines if machine.asked == "iad")
    assert not report.ok
    assert iad.id is None
    assert stranger.id in str(iad.failure)
    assert "another launch" in str(iad.failure)


async def test_sixty_machines_in_thirty_regions_take_what_the_limits_allow_and_no_429(base: DeployBuilder) -> None:
    boot = 2.0
    floor = 57 + boot  # three creates at once, one a second from then on, and the last machine boots
    for latency in ((0.0, 0.0), (0.02, 0.25)):
        async with world(seed=3, boot=(boot, boot), latency=latency, retired=()) as (emulator, fly):
            report = await base.to_regions(*CODES[:30]).count(2).require("all").execute(fly)
            assert report.ok
            assert len(report.running) == 60
            assert not emulator.refused_by_limit()
            assert floor <= report.seconds <= 1.03 * floor
            assert total(emulator, "createMachine") == total(emulator, "waitMachine") == 60
