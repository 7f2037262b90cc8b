"""Two deployers at once: one wins, the other says who it was, and has changed nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from flyasync import DeployBuilder, DeployReport, Emulator, Fault, FlyClient, LeaseHeld, Result
from flyasync.deploy.run.leases import KeptLease
from flyasync.errors import FlyError
from flyasync.models.image import without_digest
from flyasync.models.lease import Lease
from tests.deploy.conftest import world

APP = DeployBuilder("web").to_regions("iad", "lhr").count(2).with_image("nginx:1").rolling().smoke_check(0)
GONE = {"destroying", "destroyed"}
CHANGES = {"createMachine", "updateMachine", "deleteMachine", "stopMachine", "startMachine", "cordonMachine"}


def held(emulator: Emulator) -> list[str]:
    """The machines that are there and leased at the end."""
    now = emulator.world.clock
    there = (machine for machine in emulator.world.machines.values() if machine.state not in GONE)
    return [machine.name for machine in there if machine.lease and machine.lease.expires_at > now]


def images(emulator: Emulator) -> Counter[tuple[str, str]]:
    there = (machine for machine in emulator.world.machines.values() if machine.state not in GONE)
    return Counter((machine.region, without_digest(machine.config["image"])) for machine in there)


def changed(emulator: Emulator, since: int = 0) -> list[str]:
    return [entry.action for entry in emulator.log if entry.seq > since and entry.action in CHANGES]


async def outcomes(*deploys: Awaitable[DeployReport]) -> list[DeployReport | BaseException]:
    return list(await asyncio.gather(*deploys, return_exceptions=True))


async def test_of_two_deployers_one_wins_and_the_other_has_changed_nothing() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        slow = Fault(does="delay", action="updateMachine", seconds=20)
        emulator.faults.add(slow)
        async with FlyClient(emulator.token, base_url=emulator.url) as elsewhere:
            first = asyncio.ensure_future(APP.with_image("nginx:2").with_launch("one").execute(fly))
            await asyncio.sleep(5)
            with pytest.raises(LeaseHeld, match="another deploy is running, launch one, so nothing was changed"):
                await APP.with_image("nginx:3").with_launch("two").execute(elsewhere)
            report = await first
        assert report.ok, str(report)
        assert images(emulator) == {("iad", "nginx:2"): 2, ("lhr", "nginx:2"): 2}
        assert changed(emulator).count("updateMachine") == 4
        assert not held(emulator)


@pytest.mark.parametrize("seed", range(8))
async def test_whenever_the_second_begins_the_fleet_is_of_one_config(seed: int) -> None:
    """It loses, or it waits until the first is done and then deploys its own."""
    async with world(seed=seed, latency=(0.02, 0.3)) as (emulator, fly):
        await APP.execute(fly)
        async with FlyClient(emulator.token, base_url=emulator.url) as elsewhere:
            first = asyncio.ensure_future(APP.with_image("nginx:2").count(iad=3).execute(fly))
            await asyncio.sleep(seed * 1.5)
            second = APP.with_image("nginx:3").count(lhr=3).execute(elsewhere)
            ends = await outcomes(first, second)
        won = [number for number, end in enumerate(ends) if isinstance(end, DeployReport) and end.ok]
        assert won, str(ends)
        assert all(isinstance(ends[number], LeaseHeld) for number in {0, 1} - set(won)), str(ends)
        whole = ({("iad", "nginx:2"): 3, ("lhr", "nginx:2"): 2}, {("iad", "nginx:3"): 2, ("lhr", "nginx:3"): 3})
        assert images(emulator) in [whole[number] for number in won]
        assert not held(emulator)


@pytest.mark.parametrize("begin", [12, 22, 27, 32, 42])
async def test_the_lock_outlives_the_machine_that_it_was_on(begin: int) -> None:
    """A bluegreen takes out every machine there was, that on which it locked among the first."""
    blue = APP.bluegreen(drain=10).wait_for("started").region_by_region()
    async with world(seed=3) as (emulator, fly):
        await blue.with_image("nginx:1").execute(fly)
        async with FlyClient(emulator.token, base_url=emulator.url) as elsewhere:
            first = asyncio.ensure_future(blue.with_image("nginx:2").smoke_check(10).with_launch("one").execute(fly))
            await asyncio.sleep(begin)
            assert not first.done()
            with pytest.raises(LeaseHeld, match="launch one"):
                await blue.with_image("nginx:3").with_launch("two").execute(elsewhere)
            report = await first
        assert report.ok, str(report)
        assert images(emulator) == {("iad", "nginx:2"): 2, ("lhr", "nginx:2"): 2}
        assert not held(emulator)


@pytest.mark.parametrize("seed", range(8))
async def test_on_an_empty_app_the_fleet_is_of_one_config_and_the_counts_are_right(seed: int) -> None:
    """One makes the first machine; the other loses, or it waits until the first is done and then deploys its own."""
    async with world(seed=seed, latency=(0.02, 0.3)) as (emulator, fly):
        async with FlyClient(emulator.token, base_url=emulator.url) as elsewhere:
            ends = await outcomes(
                APP.with_image("nginx:2").execute(fly),
                APP.with_image("nginx:3").to_regions("lhr", "iad").execute(elsewhere),
            )
        won = [number for number, end in enumerate(ends) if isinstance(end, DeployReport) and end.ok]
        assert won, "\n".join(map(str, ends))
        whole = [{(region, image): 2 for region in ("iad", "lhr")} for image in ("nginx:2", "nginx:3")]
        assert images(emulator) in [whole[number] for number in won]
        lost = [end for number, end in enumerate(ends) if number not in won]
        assert all(isinstance(end, DeployReport) and not end.left_behind for end in lost)
        assert not held(emulator)


async def test_on_an_empty_app_two_deployers_of_one_config_make_each_machine_once() -> None:
    async with world(seed=1, latency=(0.02, 0.3)) as (emulator, fly):
        async with FlyClient(emulator.token, base_url=emulator.url) as elsewhere:
            ends = await outcomes(APP.execute(fly), APP.execute(elsewhere))
        assert images(emulator) == {("iad", "nginx:1"): 2, ("lhr", "nginx:1"): 2}
        assert any(isinstance(end, DeployReport) and end.ok for end in ends)
        assert not held(emulator)


async def test_the_lease_of_a_deployer_that_was_killed_is_waited_out() -> None:
    async with world(seed=1) as (emulator, fly):
        first = await APP.execute(fly)
        killed = sorted(machine.id or "" for machine in first.machines if machine.name == "app-iad-1")
        await fly.leases.acquire("web", killed[0], ttl=30, description="flyasync deploy gone #1")
        report = await APP.with_image("nginx:2").execute(fly)
        assert report.ok, str(report)
        assert 28 < report.seconds < 60
        assert images(emulator) == {("iad", "nginx:2"): 2, ("lhr", "nginx:2"): 2}
        assert not held(emulator)


async def test_somebody_else_who_keeps_the_lease_that_locks_is_not_waited_for() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        locking = next(machine for machine in await fly.machines.list("web") if machine.name == "app-iad-1")
        since = emulator.log[-1].seq
        loop = asyncio.get_running_loop()
        async with fly.leases.hold("web", locking.id, ttl=30, description="a person at work"):
            begun = loop.time()
            with pytest.raises(
                LeaseHeld,
                match=r"nothing was changed .*Wait until the lease expires, or release it: fly\.leases\.release",
            ) as caught:
                await APP.with_image("nginx:2").execute(fly)
            assert loop.time() - begun < 20
        assert "another deploy" not in str(caught.value).lower()
        assert caught.value.for_command.endswith(
            f"Wait until the lease expires, or release it: flyasync machines lease clear web {locking.id}"
        )
        assert changed(emulator, since) == []
        assert not held(emulator)


async def test_a_machine_that_somebody_else_keeps_fails_and_the_others_have_no_lease_left() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        other = next(machine for machine in await fly.machines.list("web") if machine.name == "app-lhr-2")
        async with fly.leases.hold("web", other.id, ttl=30, description="a person at work"):
            report = await APP.with_image("nginx:2").execute(fly)
            assert held(emulator) == ["app-lhr-2"]
        assert not report.ok
        failed = {machine.name: machine for machine in report.machines if machine.result is Result.FAILED}
        assert list(failed) == ["app-lhr-2"]
        assert "LeaseHeld" in str(failed["app-lhr-2"].failure and failed["app-lhr-2"].failure.kind)
        assert images(emulator)["lhr", "nginx:1"] == 1


async def test_leases_are_given_back_after_a_failure() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        emulator.faults.add(Fault(does="fail", name="app-lhr-*"))
        report = await APP.with_image("nginx:2").execute(fly)
        assert not report.ok
        assert not held(emulator)


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 5.0, 9.0])
async def test_leases_are_given_back_after_a_cancellation(seconds: float) -> None:
    async with world(seed=1, latency=(0.1, 0.3)) as (emulator, fly):
        await APP.execute(fly)
        deploy = asyncio.ensure_future(APP.with_image("nginx:2").execute(fly))
        await asyncio.sleep(seconds)
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
        assert not held(emulator)


async def test_the_machine_that_locks_may_go_while_it_is_waited_for() -> None:
    """The first deployer retires the machine whose lease the second one waits for."""
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        green = APP.with_image("nginx:2").bluegreen(drain=0).wait_for("started")
        gone = asyncio.Event()
        emulator.on_change(lambda machine: gone.set() if machine.state == "destroying" else None)
        first = asyncio.ensure_future(green.execute(fly))
        await gone.wait()
        async with FlyClient(emulator.token, base_url=emulator.url) as elsewhere:
            report = await APP.with_image("nginx:3").execute(elsewhere)
        assert (await first).ok
        assert report.ok, str(report)
        assert images(emulator) == {("iad", "nginx:3"): 2, ("lhr", "nginx:3"): 2}
        assert not held(emulator)


async def test_a_lease_that_was_lost_gives_its_error_in_place_of_its_nonce() -> None:
    is_lost = asyncio.Event()

    @asynccontextmanager
    async def hold() -> AsyncIterator[Lease]:
        yield Lease(nonce="n1")
        await is_lost.wait()
        raise FlyError("lost")

    kept = KeptLease(hold())
    await kept.acquired()
    assert (kept.nonce, repr(kept)) == ("n1", "<KeptLease: kept>")
    kept.release()
    is_lost.set()
    await asyncio.wait([kept.task])
    with pytest.raises(FlyError, match="lost"):
        _ = kept.nonce
    assert repr(kept) == "<KeptLease: lost>"
