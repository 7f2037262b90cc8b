"""Many apps at once, on the emulator: reports as they come, names read as they are needed, nothing left behind."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from flyasync import DeployBuilder, DeployReport, Emulator, Fault, FlyClient, InvalidInput, MachineConfig, deploy_many
from flyasync.deploy.reporting.resume import read_journal
from flyasync.models.image import without_digest
from tests.deploy.conftest import total, world

BASE = DeployBuilder("base").to_regions("iad", "lhr").with_image("nginx").with_launch("v1").require("all")
FULL = Fault(does="refuse", action="createMachine", identifier="shop-1", status=422, body={"error": "no"})


def shops(count: int) -> list[str]:
    return [f"shop-{number}" for number in range(count)]


async def opened(fly: FlyClient, count: int) -> list[str]:
    for shop in shops(count):
        await fly.apps.create(shop, org_slug="personal")
    return shops(count)


async def all_of(fly: FlyClient, builder: Any, apps: Any, **options: Any) -> list[DeployReport]:
    async with aclosing(deploy_many(fly, builder, apps, **options)) as reports:
        return [report async for report in reports]


async def collect(reports: AsyncIterator[DeployReport], into: list[DeployReport]) -> None:
    """Keep what comes before an error."""
    async for report in reports:
        into.append(report)  # noqa: PERF401 - as above


async def test_each_app_gets_a_report() -> None:
    async with world(seed=1) as (emulator, fly):
        names = await opened(fly, 7)
        reports = await all_of(fly, BASE, names, at_once=3)
        assert {report.app for report in reports} == set(names)
        assert all(report.ok for report in reports)
        assert [len(await fly.machines.list(name)) for name in names] == [2] * 7
    assert not emulator.refused_by_limit()


async def test_the_tag_is_resolved_once_while_the_apps_are_read() -> None:
    slow = [Fault(does="delay", action=each, seconds=2) for each in ("graphql", "listMachines", "listSecrets")]
    async with world(seed=1, boot=(1, 1), faults=slow) as (emulator, fly):
        reports = await all_of(fly, BASE, await opened(fly, 3))
        assert total(emulator, "graphql") == 1
        digests = {record.digest for record in emulator.world.machines.values()}
    assert all(report.ok for report in reports)
    assert len(digests) == 1
    # 2 s for all of these together, 1 s to boot, and 2 s for the last list.
    assert max(report.seconds for report in reports) < 6


async def test_where_the_shared_resolution_fails_an_app_resolves_the_tag_itself() -> None:
    once = [Fault(does="refuse", action="graphql", times=1, status=401, body={"error": "no"})]
    async with world(seed=1, latency=(0.1, 0.1), faults=once) as (emulator, fly):
        reports = await all_of(fly, BASE, await opened(fly, 3))
        assert total(emulator, "graphql") == 3
    assert [("was not resolved" in str(report.remarks)) for report in reports].count(True) == 1
    assert all(report.ok for report in reports)


async def test_reports_come_as_apps_finish() -> None:
    slow = Fault(does="delay", action="createMachine", identifier="shop-0", seconds=5)
    async with world(seed=1, faults=[slow]) as (_, fly):
        names = await opened(fly, 3)
        reports = await all_of(fly, BASE, names)
    assert reports[-1].app == "shop-0"


async def test_a_function_says_what_goes_to_each_app() -> None:
    async with world(seed=1) as (_, fly):
        names = await opened(fly, 2)
        reports = await all_of(fly, lambda app: BASE.for_app(app).with_image(f"registry.fly.io/{app}:v7"), names)
    assert {report.app: without_digest(report.image) for report in reports} == {
        name: f"registry.fly.io/{name}:v7" for name in names
    }


async def test_one_journal_for_many_apps_is_refused_before_anything_happens(tmp_path: Path) -> None:
    journaling = BASE.with_journal(tmp_path / "all.jsonl")
    async with world(seed=1) as (emulator, fly):
        names = await opened(fly, 2)
        before = len(emulator.log)
        with pytest.raises(InvalidInput, match=r"is for one app, not for many: use a function .*\.with_journal"):
            await all_of(fly, journaling, names)
        assert len(emulator.log) == before


async def test_a_function_may_give_each_app_its_own_journal(tmp_path: Path) -> None:
    def own(app: str) -> DeployBuilder:
        return BASE.for_app(app).with_journal(tmp_path / f"{app}.jsonl")

    def same(app: str) -> DeployBuilder:
        return BASE.for_app(app).with_journal(tmp_path / "all.jsonl")

    async with world(seed=1) as (_, fly):
        names = await opened(fly, 2)
        assert all(report.ok for report in await all_of(fly, own, names))
        first, second = sorted(await all_of(fly, same, names), key=lambda report: report.ok)
    assert second.ok
    assert not first.ok
    assert "is being written by another deploy" in str(first)
    assert {read_journal(str(tmp_path / f"{name}.jsonl")).spec.app for name in names} == set(names)


async def test_no_more_than_so_many_are_under_way_and_a_place_is_never_left_empty() -> None:
    begun: list[str] = []
    ahead: list[int] = []

    def made(app: str) -> DeployBuilder:
        begun.append(app)
        return BASE.for_app(app)

    async with world(seed=1, boot=(2.0, 2.0)) as (_, fly):
        names = await opened(fly, 9)
        start = asyncio.get_running_loop().time()
        async with aclosing(deploy_many(fly, made, names, at_once=3)) as reports:
            taken = 0
            async for _report in reports:
                ahead.append(len(begun) - taken)
                taken += 1
        assert asyncio.get_running_loop().time() - start == pytest.approx(3 * 2, abs=0.5)
    assert max(ahead) == 3


async def test_an_endless_source_is_read_no_further_than_needed() -> None:
    read: list[str] = []
    closed: list[bool] = []

    async def names() -> AsyncIterator[str]:
        try:
            for number in range(10**9):
                read.append(f"shop-{number}")
                yield read[-1]
        finally:
            closed.append(True)

    async with world(seed=1) as (_, fly):
        await opened(fly, 12)
        taken = []
        async with aclosing(deploy_many(fly, BASE, names(), at_once=4)) as reports:
            async for report in reports:
                taken.append(report.app)
                assert len(read) <= len(taken) - 1 + 4
                if len(taken) == 5:
                    break
    assert closed == [True]


async def test_an_endless_plain_iterable_is_read_no_further_either() -> None:
    read: list[str] = []

    def names() -> Iterator[str]:
        while True:
            read.append(f"nobody-{len(read)}")
            yield read[-1]

    async with world(seed=1) as (_, fly), aclosing(deploy_many(fly, BASE, names(), at_once=2)) as reports:
        assert not read
        assert not (await anext(reports)).ok
        assert len(read) <= 2


async def test_nothing_is_kept_of_apps_that_are_done() -> None:
    kept: list[weakref.ref[DeployBuilder]] = []

    def made(app: str) -> DeployBuilder:
        kept.append(weakref.ref(builder := DeployBuilder(app).to_regions("iad").with_image("nginx")))
        return builder

    names = (f"nobody-{number}" for number in range(12))
    async with world(seed=1) as (_, fly), aclosing(deploy_many(fly, made, names, at_once=3)) as reports:
        async for report in reports:
            assert not report.ok
            gc.collect()
            assert sum(each() is not None for each in kept) <= 4
    assert len(kept) == 12


async def test_an_app_that_cannot_begin_says_why_and_stops_no_other() -> None:
    async with world(seed=1) as (_, fly):
        names = await opened(fly, 2)
        reports = {report.app: report for report in await all_of(fly, BASE, [*names, "nobody", "Not a name"])}
    assert [reports[name].ok for name in names] == [True, True]
    absent, wrong = reports["nobody"], reports["Not a name"]
    assert not absent.ok
    assert not wrong.ok
    assert absent.is_missed
    assert [machine.name for machine in absent.machines] == ["v1-iad-1", "v1-lhr-1"]
    assert "nobody: failed: 0 of 2 machines run" in str(absent)
    assert str(absent).count("machines.list nobody: app not found") == 2
    assert "Not a name" in str(wrong)
    assert DeployReport.from_dict(absent.to_dict()) == absent
    assert DeployReport.from_dict(wrong.to_dict()) == wrong


async def test_an_app_where_another_deploy_is_at_work_says_so() -> None:
    async with world(seed=1) as (_, fly):
        names = await opened(fly, 2)
        await all_of(fly, BASE.rolling(), names)
        await asyncio.sleep(10)
        (machine, *_) = await fly.machines.list("shop-0", region="iad")
        async with fly.leases.hold("shop-0", machine.id, ttl=30, description="somebody"):
            reports = {report.app: report for report in await all_of(fly, BASE.rolling().with_image("v2"), names)}
    assert reports["shop-1"].ok
    assert not reports["shop-0"].ok
    assert "lease" in str(reports["shop-0"])
    assert [machine.name for machine in reports["shop-0"].machines] == ["app-iad-1", "app-lhr-1"]


async def test_scaling_to_nothing_is_refused_and_not_ok() -> None:
    async with world(seed=1) as (_, fly):
        (report,) = await all_of(fly, BASE.rolling().count(iad=0, lhr=0), ["nobody"])
    assert not report.ok
    assert "every region has a count of 0" in str(report)


async def test_after_a_failure_no_further_app_begins_if_so_asked() -> None:
    async with world(seed=1, faults=[FULL]) as (emulator, fly):
        await opened(fly, 8)
        reports = await all_of(fly, BASE, shops(8), at_once=3, stop_on_failure=True)
        assert {report.app: report.ok for report in reports} == {"shop-0": True, "shop-1": False, "shop-2": True}
    assert emulator.counts()["createMachine", "shop-3"] == 0


async def test_without_that_all_others_go_on() -> None:
    async with world(seed=1, faults=[FULL]) as (_, fly):
        await opened(fly, 5)
        reports = await all_of(fly, BASE, shops(5), at_once=2)
    assert sorted(report.app for report in reports if report.ok) == ["shop-0", "shop-2", "shop-3", "shop-4"]


async def test_a_source_that_never_answers_does_not_outlive_a_failure() -> None:
    async def names() -> AsyncIterator[str]:
        yield "nobody"
        await asyncio.get_running_loop().create_future()

    async with world(seed=1) as (_, fly):
        (report,) = await all_of(fly, BASE, names(), stop_on_failure=True)
    assert report.app == "nobody"


async def test_reports_do_not_wait_for_the_next_name() -> None:
    async def names() -> AsyncIterator[str]:
        yield "shop-0"
        await asyncio.sleep(1000)
        yield "shop-1"

    async with world(seed=1) as (_, fly):
        await opened(fly, 2)
        at = []
        async for report in deploy_many(fly, BASE, names()):
            assert report.ok
            at.append(asyncio.get_running_loop().time())
    assert at[0] < 10
    assert at[1] > 1000


async def test_what_the_source_raises_comes_after_the_reports_of_what_had_begun() -> None:
    def names() -> Iterator[str]:
        yield from shops(2)
        raise LookupError("the table is gone")

    async with world(seed=1) as (_, fly):
        await opened(fly, 2)
        reports: list[DeployReport] = []
        with pytest.raises(LookupError, match="the table is gone"):
            await collect(deploy_many(fly, BASE, names()), reports)
    assert sorted(report.app for report in reports) == shops(2)


async def test_a_mistake_in_the_builders_function_comes_out_and_a_refusal_is_a_report() -> None:
    def made(app: str) -> DeployBuilder:
        if app == "shop-1":
            raise KeyError(app)
        return BASE.for_app(app) if app == "shop-0" else BASE.for_app(app).to_regions("nowhere")

    async with world(seed=1) as (_, fly):
        await opened(fly, 2)
        reports: list[DeployReport] = []
        with pytest.raises(KeyError):
            await collect(deploy_many(fly, made, ["shop-0", "shop-2", "shop-1", "shop-3"], at_once=2), reports)
    assert [report.app for report in reports if report.ok] == ["shop-0"]
    assert "'nowhere' is not a region" in next(str(report) for report in reports if report.app == "shop-2")


@pytest.mark.parametrize("breaks", ["close", "cancel"])
async def test_broken_off_the_deploys_under_way_end_in_order(breaks: str) -> None:
    async with world(seed=1) as (emulator, fly):
        names = await opened(fly, 6)
        base = BASE.rolling().count(20)
        if breaks == "close":
            async with aclosing(deploy_many(fly, base, ["nobody", *names], at_once=4)) as reports:
                assert (await anext(reports)).app == "nobody"
                await asyncio.sleep(5)
        else:
            many = asyncio.ensure_future(all_of(fly, base, names, at_once=3))
            await asyncio.sleep(5)
            many.cancel()
            with suppress(asyncio.CancelledError):
                await many
        machines = [await fly.machines.list(name, include_leases=True) for name in names]
        asked = emulator.counts().copy()
        await asyncio.sleep(60)
        assert emulator.counts() == asked
    assert all(4 < len(those) < 10 for those in machines[:3])
    assert not any(machines[3:])
    assert not any(machine.lease for those in machines for machine in those)


@pytest.mark.parametrize(
    ("builder", "apps", "options", "says"),
    [
        (BASE, "shop", {}, "apps is 'shop'"),
        (BASE, 7, {}, "apps is 7"),
        (None, [], {}, "builder is None"),
        (BASE, [], {"at_once": 0}, "at_once is 0"),
        (BASE, [], {"at_once": True}, "at_once is True"),
    ],
)
async def test_what_cannot_be_meant_is_refused(builder: Any, apps: Any, options: dict[str, Any], says: str) -> None:
    async with Emulator() as emulator, FlyClient("x", base_url=emulator.url) as fly:
        with pytest.raises(InvalidInput, match=says):
            await all_of(fly, builder, apps, **options)
        assert await all_of(fly, BASE, []) == []


async def test_names_that_are_none_and_builders_that_are_none_are_reports() -> None:
    async with Emulator() as emulator, FlyClient("x", base_url=emulator.url) as fly:
        (number,) = await all_of(fly, BASE, [7])
        (nothing,) = await all_of(fly, lambda _: MachineConfig(), ["shop"])
    assert "7 is not an app name" in str(number)
    assert "the builder for shop returned MachineConfig()" in str(nothing)


async def test_many_deploys_meet_no_limit_and_leave_one_machine_each() -> None:
    async with world(seed=1) as (emulator, fly):
        names = await opened(fly, 25)
        reports = await all_of(fly, BASE.to_regions("iad"), names, at_once=10)
    assert len([report for report in reports if report.ok]) == 25
    assert total(emulator, "createMachine") == 25
    assert not emulator.refused_by_limit()
