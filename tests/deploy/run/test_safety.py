"""What must not happen to machines that serve, found out the hard way; each of these once took some away."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from flyasync import (
    Check,
    DeployBuilder,
    Emulator,
    Event,
    Fault,
    FlyClient,
    LeaseHeld,
    Phase,
    Port,
    Progress,
    RetryPolicy,
    Service,
)
from flyasync.models.image import without_digest
from tests.deploy.conftest import world

CHECKED = (
    DeployBuilder("web")
    .with_service(internal_port=80)
    .with_check("up", Check(type="tcp", port=80, interval=5, timeout=2))
    .wait_for("healthy", timeout=30)
)
RESTING = DeployBuilder("web").with_service(
    Service(protocol="tcp", internal_port=80, autostop="stop", autostart=True, ports=(Port(port=80),))
)
GONE = {"destroying", "destroyed"}


def alive(emulator: Emulator) -> dict[str, str]:
    """Name the machines that are there, with their images."""
    return {
        each.name: without_digest(each.config["image"])
        for each in emulator.world.machines.values()
        if each.state not in GONE
    }


def watched(emulator: Emulator) -> dict[str, int]:
    """The least number of machines that serve in each region, from now on."""
    least: dict[str, int] = dict(emulator.serving("web"))

    def see(_: object) -> None:
        serving = emulator.serving("web")
        least.update({region: min(least[region], serving[region]) for region in least})

    emulator.on_change(see)
    return least


async def test_a_rollback_leaves_what_the_same_launch_made_in_another_region() -> None:
    base = DeployBuilder("web").with_image("shop:1").rolling().smoke_check(2).with_launch("sha1")
    async with world(seed=1) as (emulator, fly):
        assert (await base.to_regions("nrt").count(2).execute(fly)).ok
        emulator.faults.add(Fault(does="fail", region="iad"))
        report = await base.to_regions("iad").roll_back_on_failure().execute(fly)
        assert report.rollback is not None
        assert report.rollback.ok
        assert emulator.serving("web") == Counter(nrt=2)


async def test_a_launch_takes_back_nothing_that_an_earlier_run_of_it_made() -> None:
    base = DeployBuilder("web").with_image("shop:1").with_launch("v1").require("all").roll_back_on_failure()
    async with world(seed=1) as (emulator, fly):
        assert (await base.to_regions("iad").count(2).execute(fly)).ok
        again = base.to_regions("iad", "lhr").count(2, lhr=1)
        assert not (await again.with_release_command("false").execute(fly)).ok
        assert emulator.serving("web") == Counter(iad=2)
        emulator.set_capacity("lhr", 0)
        emulator.faults.add(Fault(does="refuse", action="getMachine", status=500, after=2, times=8))
        assert not (await again.execute(fly)).ok
        assert emulator.serving("web") == Counter(iad=2)


@pytest.mark.parametrize("delay", [2.5, 4.0, 5.0, 8.0])
async def test_new_machines_never_take_the_lock_over(delay: float) -> None:
    """Every second bluegreen makes machines whose names come before those that are there."""
    base = CHECKED.to_regions("iad").count(2).bluegreen(drain=20)
    async with world(seed=1) as (emulator, fly):
        for version in (1, 2):
            assert (await base.with_image(f"shop:{version}").execute(fly)).ok
        async with FlyClient(emulator.token, base_url=emulator.url) as elsewhere:
            first = asyncio.ensure_future(base.with_image("shop:3").with_launch("v3").execute(fly))
            await asyncio.sleep(delay)
            with pytest.raises(LeaseHeld, match="launch v3"):
                await base.with_image("shop:4").execute(elsewhere)
            assert (await first).ok
        assert set(alive(emulator).values()) == {"shop:3"}


async def test_a_deploy_whose_lock_was_taken_away_begins_nothing_more() -> None:
    base = CHECKED.to_regions("iad").count(4).rolling(max_unavailable=1)
    async with world(seed=1) as (emulator, fly):
        assert (await base.with_image("shop:1").execute(fly)).ok
        deploy = asyncio.ensure_future(base.with_image("shop:2").execute(fly))
        await asyncio.sleep(4)
        (held,) = {each.name for each in emulator.world.machines.values() if each.lease}
        machine = next(each for each in await fly.machines.list("web") if each.name == held)
        lease = await fly.leases.get("web", machine.id)
        await fly.leases.release("web", machine.id, lease.nonce)
        async with FlyClient(emulator.token, base_url=emulator.url) as other, other.leases.hold("web", machine.id):
            report = await deploy
        assert not report.ok
        assert Counter(alive(emulator).values())["shop:1"] >= 1


async def test_nothing_is_let_in_or_taken_out_on_the_word_of_a_check_that_has_turned() -> None:
    base = CHECKED.to_regions("iad", "lhr").bluegreen(drain=5)
    async with world(seed=1) as (emulator, fly):
        assert (await base.with_image("shop:1").execute(fly)).ok
        emulator.faults.add(
            Fault(does="checks_turn_critical", region="iad", image="*:2*", seconds=15),
            Fault(does="delay", action="createMachine", region="lhr", seconds=25),
        )
        least = watched(emulator)
        report = await base.with_image("shop:2").execute(fly)
        assert not report.ok
        assert least == {"iad": 1, "lhr": 1}


async def test_an_undo_to_what_cannot_run_stops_where_the_region_would_have_too_few() -> None:
    base = CHECKED.to_regions("iad").count(4).rolling()
    async with world(seed=1) as (emulator, fly):
        for version in (1, 2):
            assert (await base.with_image(f"shop:{version}").execute(fly)).ok
        emulator.faults.add(Fault(does="checks_never_pass", image="*:1*"))
        least = watched(emulator)
        report = await base.undo(fly)
        assert not report.ok
        assert least == {"iad": 3}
        assert Counter(alive(emulator).values()) == {"shop:2": 3, "shop:1": 1}


async def test_an_undo_counts_machines_where_they_were_wanted() -> None:
    base = CHECKED.to_regions("iad").count(4).fallback("ewr").rolling()
    async with world(seed=1, capacity={"iad": 0}) as (emulator, fly):
        for version in (1, 2):
            assert (await base.with_image(f"shop:{version}").execute(fly)).ok
        least = watched(emulator)
        assert (await base.undo(fly)).ok
        assert least == {"ewr": 3}
        assert set(alive(emulator).values()) == {"shop:1"}


async def drift(
    act: Callable[[FlyClient, str], Awaitable[object]], at: float, before: tuple[str, ...] = ()
) -> dict[str, int]:
    """Update four machines while the proxy starts or stops two of them; give the least that served."""
    base = RESTING.to_regions("iad").count(4).rolling().smoke_check(2)
    async with world(seed=1) as (emulator, fly):
        assert (await base.with_image("shop:1").execute(fly)).ok
        ids = {machine.name: machine.id for machine in await fly.machines.list("web")}
        for name in before:
            await fly.machines.stop("web", ids[name])
            await fly.machines.wait("web", ids[name], state="stopped")
        deploy = asyncio.ensure_future(base.with_image("shop:2").execute(fly))
        await asyncio.sleep(at)
        for name in ("app-iad-3", "app-iad-4"):
            await act(fly, ids[name])
        await asyncio.sleep(1)
        least = watched(emulator)
        report = await deploy
        assert report.ok, str(report)
        assert set(alive(emulator).values()) == {"shop:2"}
        return least


async def test_a_machine_put_to_rest_meanwhile_is_updated_and_waited_for_in_vain_by_nobody() -> None:
    least = await drift(lambda fly, machine_id: fly.machines.stop("web", machine_id), 4)
    assert least["iad"] >= 1


async def test_a_machine_woken_meanwhile_takes_a_slot_and_stays_up() -> None:
    least = await drift(lambda fly, id_: fly.machines.start("web", id_), 3, before=("app-iad-3", "app-iad-4"))
    assert least["iad"] >= 2


async def test_the_canary_leads_the_first_wave_that_changes_anything() -> None:
    base = CHECKED.to_regions("iad", "lhr").count(2).canary(1, soak=5).waves(["iad"], ["lhr"])
    async with world(seed=1) as (_, fly):
        assert (await base.with_image("shop:1").execute(fly)).ok
        await base.with_image("shop:2").to_regions("iad").waves(["iad"]).execute(fly)
        plan = await base.with_image("shop:2").plan(fly)
    assert [stage.title for stage in plan.stages] == ["1 canary, wave 2 of 2", "remaining machines, wave 2 of 2"]


async def test_the_same_deploy_again_waits_for_the_machine_that_failed_before_it_touches_another() -> None:
    base = CHECKED.to_regions("iad", "lhr").count(2).rolling()
    async with world(seed=1) as (emulator, fly):
        assert (await base.with_image("shop:1").execute(fly)).ok
        emulator.faults.add(Fault(does="checks_never_pass", image="*:2*"))
        for _ in range(3):
            assert not (await base.with_image("shop:2").execute(fly)).ok
        assert emulator.serving("web") == Counter(iad=1, lhr=2)
        emulator.faults.clear()
        least = watched(emulator)
        assert (await base.with_image("shop:3").execute(fly)).ok
        assert least == {"iad": 1, "lhr": 1}


async def test_an_undo_keeps_what_took_the_place_of_a_machine_that_cannot_be_read_any_more() -> None:
    base = CHECKED.to_regions("iad", "lhr").count(2).rolling()
    async with world(seed=1) as (emulator, fly):
        assert (await base.with_image("shop:1").execute(fly)).ok
        lost = next(each for each in emulator.world.machines.values() if each.name == "app-iad-2")
        emulator.set_host_status(lost.id, "unreachable")
        assert (await base.with_image("shop:2").execute(fly)).ok
        report = await base.undo(fly)
        assert report.ok, str(report)
        assert emulator.serving("web") == Counter(iad=2, lhr=2)
        assert Counter(alive(emulator).values()) == {"shop:1": 3, "shop:2": 1}


async def test_a_machine_that_nobody_could_see_has_not_stayed_up() -> None:
    base = DeployBuilder("web").to_regions("iad").count(2).rolling().smoke_check(10).wait_for("started", timeout=30)
    async with world(seed=1, client={"retry": RetryPolicy(attempts=1)}) as (emulator, fly):
        assert (await base.with_image("shop:1").execute(fly)).ok

        def blind(event: Event) -> None:
            if isinstance(event, Progress) and event.phase is Phase.WATCHING:
                emulator.faults.add(
                    Fault(does="crash", image="*:2*", seconds=6.0, exit_code=137),
                    Fault(does="refuse", action="getMachine", status=503),
                )

        report = await base.with_image("shop:2").on_event(blind).execute(fly)
        assert not report.ok
        assert Counter(alive(emulator).values()) == {"shop:1": 1, "shop:2": 1}


async def test_what_is_sick_is_not_called_rolled_back_and_well() -> None:
    base = CHECKED.to_regions("iad").count(2).rolling().roll_back_on_failure()
    async with world(seed=1) as (emulator, fly):
        assert (await base.with_image("shop:1").execute(fly)).ok
        emulator.faults.add(Fault(does="checks_never_pass", image="*:2*"))
        assert not (await base.with_image("shop:2").roll_back_on_failure(False).execute(fly)).ok
        report = await base.with_image("shop:3").with_image("shop:2").execute(fly)
        assert not report.ok
        assert report.rollback is None or not report.rollback.ok


async def test_leaving_out_the_volume_changes_no_machine() -> None:
    base = CHECKED.to_regions("iad").count(2).with_image("shop:1").rolling()
    async with world(seed=1) as (_, fly):
        assert (await base.with_volume("data", "/data").execute(fly)).ok
        assert (await base.plan(fly)).is_empty
        assert (await base.with_volume("data", "/data").plan(fly)).is_empty
