"""A deploy that is cancelled: nothing new, nothing unnamed, and a report all the same."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from flyasync import DeployBuilder, DeployReport, Emulator, Event, Fault, Finished, FlyClient, Machine, Result
from tests.deploy.conftest import total, world

LATENCY = (0.3, 0.4)


async def cancelled_after(seconds: float, builder: DeployBuilder, fly: FlyClient) -> DeployReport:
    events: list[Event] = []
    deploy = asyncio.ensure_future(builder.on_event(events.append).execute(fly))
    await asyncio.sleep(seconds)
    deploy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deploy
    assert isinstance(events[-1], Finished)
    return events[-1].report


async def ended_by_a_scope(seconds: float, builder: DeployBuilder, fly: FlyClient) -> DeployReport:
    """Deploy in a scope of anyio, which cancels at every await until it is left."""
    events: list[Event] = []
    with anyio.move_on_after(seconds) as scope:
        await builder.on_event(events.append).execute(fly)
    assert scope.cancelled_caught
    assert isinstance(events[-1], Finished)
    return events[-1].report


Cancel = Callable[[float, DeployBuilder, FlyClient], Awaitable[DeployReport]]


async def everything(emulator: Emulator, fly: FlyClient) -> tuple[Machine, ...]:
    """The machines after every request in flight has arrived."""
    await asyncio.sleep(60)
    assert not [entry for entry in emulator.log[-1:] if entry.action == "createMachine"]
    return await fly.machines.list("web")


@pytest.mark.parametrize("cancel", [cancelled_after, ended_by_a_scope])
@pytest.mark.parametrize("seconds", [0.8, 0.9, 1.0, 1.2, 1.5, 2.1, 3.3, 5.0, 8.0])
async def test_whenever_it_comes_the_report_names_everything_that_is_there(
    base: DeployBuilder, seconds: float, cancel: Cancel
) -> None:
    async with world(seed=1, latency=LATENCY, boot=(2, 6)) as (emulator, fly):
        report = await cancel(seconds, base.count(3), fly)
        creates = total(emulator, "createMachine")
        there = await everything(emulator, fly)
        assert total(emulator, "createMachine") == creates
    assert report.cancelled
    assert not report.ok
    assert {machine.id for machine in there} == set(report.left_behind)
    assert {machine.id for machine in there} == {machine.id for machine in report.machines if machine.id}
    for machine in report.machines:
        if machine.id is None:
            assert machine.result is Result.NOT_BEGUN
        else:
            assert machine.result is (Result.RUNNING if machine.state == "started" else Result.NOT_AWAITED)
    assert "left behind" in str(report) or not there
    assert "to continue, run the same launch again (v1)" in str(report) or len(there) == 9


@pytest.mark.parametrize("cancel", [cancelled_after, ended_by_a_scope])
async def test_a_create_under_way_is_heard_out(base: DeployBuilder, cancel: Cancel) -> None:
    """Slow answers: the creates were sent when the cancellation comes, and are done long after it."""
    async with world(seed=1, faults=[Fault(does="delay", action="createMachine", seconds=20)]) as (emulator, fly):
        report = await cancel(1.5, base.count(2), fly)
        assert total(emulator, "createMachine") == 3
        there = await everything(emulator, fly)
    assert report.seconds == pytest.approx(21, abs=2)
    assert len(there) == 3
    assert {machine.id for machine in there} == set(report.left_behind)


async def test_machines_that_are_up_stay_up_even_when_a_rollback_is_asked_for(base: DeployBuilder) -> None:
    async with world(seed=1, boot=(1, 1)) as (_, fly):
        report = await cancelled_after(1.5, base.count(3).require("all").roll_back_on_failure(), fly)
        assert len(await fly.machines.list("web")) == len(report.left_behind) > 0
    assert report.running


async def test_a_lost_answer_is_cleared_up_by_the_last_look(base: DeployBuilder) -> None:
    lost = Fault(does="lose_answer", action="createMachine")
    async with world(seed=1, faults=[lost]) as (emulator, fly):
        report = await cancelled_after(0.5, base, fly)
        there = await everything(emulator, fly)
    assert {machine.id for machine in there} == set(report.left_behind)
    assert len(there) == 2


async def test_what_cannot_be_cleared_up_is_called_unknown(base: DeployBuilder) -> None:
    faults = [
        Fault(does="lose_answer", action="createMachine"),
        Fault(does="refuse", action="listMachines", after=1, status=500, body={"error": "down"}),
    ]
    async with world(seed=1, faults=faults) as (_, fly):
        report = await cancelled_after(0.5, base, fly)
    results = [machine.result for machine in report.machines]
    assert results == [Result.UNKNOWN, Result.UNKNOWN, Result.NOT_BEGUN]
    assert "the final check is incomplete" in str(report)


async def test_a_second_cancellation_cuts_it_short(base: DeployBuilder) -> None:
    events: list[Event] = []
    async with world(seed=1, faults=[Fault(does="delay", action="createMachine", seconds=20)]) as (_, fly):
        loop = asyncio.get_running_loop()
        deploy = asyncio.ensure_future(base.on_event(events.append).execute(fly))
        await asyncio.sleep(0.5)
        deploy.cancel()
        await asyncio.sleep(0.5)
        deploy.cancel()
        await asyncio.sleep(0.5)
        deploy.cancel()
        before = loop.time()
        with pytest.raises(asyncio.CancelledError):
            await deploy
        assert loop.time() - before < 1
    assert isinstance(events[-1], Finished)
    assert {machine.result for machine in events[-1].report.machines} <= {Result.UNKNOWN, Result.NOT_BEGUN}


async def test_a_client_that_is_closed_under_it_leaves_everything_named(base: DeployBuilder) -> None:
    """The client is closed during the deploy: its calls fail, and so does the final check."""
    events: list[Event] = []
    async with world(seed=1, boot=(30, 30)) as (emulator, _):
        fly = FlyClient(emulator.token, base_url=emulator.url)
        deploy = asyncio.ensure_future(base.on_event(events.append).execute(fly))
        await asyncio.sleep(5)
        await fly.aclose()
        report = await deploy
    assert isinstance(events[-1], Finished)
    assert not report.ok
    assert {machine.result for machine in report.machines} == {Result.UNKNOWN}
    assert all(machine.id for machine in report.machines)


async def test_a_deadline_around_it_is_a_deadline(base: DeployBuilder) -> None:
    events: list[Any] = []
    async with world(seed=1, latency=LATENCY, boot=(30, 30)) as (_, fly):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await base.on_event(events.append).execute(fly)
        assert len(events[-1].report.left_behind) == 3


async def test_a_stream_that_is_left_early_leaves_nothing_unnamed(base: DeployBuilder) -> None:
    seen: list[Event] = []
    async with world(seed=1, latency=LATENCY) as (emulator, fly):
        stream = base.count(3).on_event(seen.append).stream(fly)
        async for event in stream:
            if getattr(event, "machine_id", None):
                break
        await stream.aclose()
        there = await everything(emulator, fly)
    assert isinstance(seen[-1], Finished)
    assert {machine.id for machine in there} == set(seen[-1].report.left_behind)


async def test_cancelled_before_it_began_it_has_done_nothing(base: DeployBuilder) -> None:
    async with world(seed=1, latency=LATENCY) as (emulator, fly):
        deploy = asyncio.ensure_future(base.execute(fly))
        await asyncio.sleep(0.1)
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
        assert total(emulator, "createMachine") == 0


@pytest.mark.parametrize("cancel", [cancelled_after, ended_by_a_scope])
@pytest.mark.parametrize("seconds", [2.5, 4.0, 6.0, 9.0])
async def test_an_update_releases_its_leases(base: DeployBuilder, seconds: float, cancel: Cancel) -> None:
    async with world(seed=1, latency=LATENCY, boot=(2, 4)) as (emulator, fly):
        await base.rolling().execute(fly)
        update = base.with_image("nginx:2").with_launch("v2").rolling()
        await cancel(seconds, update, fly)
        assert [each.id for each in emulator.world.machines.values() if each.lease] == []


async def test_events_that_a_scope_stops_reading(base: DeployBuilder) -> None:
    async with world(seed=1, faults=[Fault(does="delay", action="createMachine", seconds=20)]) as (emulator, fly):
        with anyio.move_on_after(1.5):
            async with aclosing(base.stream(fly)) as events:
                async for _ in events:
                    pass
        assert len(emulator.world.machines) == 3
