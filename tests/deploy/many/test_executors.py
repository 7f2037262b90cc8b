"""Jobs that run elsewhere, on the emulator: what is serialized, what is refused, and how a lost job is reported."""

import asyncio
import pickle
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from attrs import define, field, frozen

from flyasync import Check, DeployBuilder, DeployReport, Fault, FlyClient, InvalidInput, MachineConfig, deploy_many
from flyasync.deploy.many.executors import Executor, Job, installed
from flyasync.deploy.reporting.result import Result
from flyasync.errors import FlyError, JobLost
from flyasync.models.container import File
from flyasync.models.json.codec import structure, unstructure
from tests.deploy.conftest import total, world
from tests.deploy.many.test_many import BASE, all_of, collect, opened

SECRET = "hunter2"
HERE = "http://127.0.0.1:4280"


@frozen
class Elsewhere:
    """As an engine of its own would be: nothing goes there or comes back but bytes."""

    fly: FlyClient

    async def execute(self, job: Job) -> DeployReport:
        back: DeployReport = pickle.loads(await self.there(job.packed()))
        return back

    async def there(self, packed: bytes) -> bytes:
        return pickle.dumps(await Job.unpacked(packed).run(self.fly))


@frozen
class Twice(Elsewhere):
    """Does each job again, as if its first worker had died with the report."""

    async def execute(self, job: Job) -> DeployReport:
        await self.there(job.packed())
        return await super().execute(job)


@define
class Failing:
    """Raises the given error for one app."""

    fly: FlyClient
    app: str
    error: Exception
    begun: list[str] = field(factory=list)

    async def execute(self, job: Job) -> DeployReport:
        self.begun.append(job.app)
        if job.app == self.app:
            raise self.error
        return await job.run(self.fly)


@define
class Slow:
    """Takes its time to end what is cancelled."""

    ended: list[str] = field(factory=list)

    async def execute(self, job: Job) -> DeployReport:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(5)
            self.ended.append(job.app)
        raise AssertionError


def job(builder: DeployBuilder = BASE, base_url: str = HERE) -> Job:
    return Job(builder=builder, launch="v1", base_url=base_url)


def everything() -> DeployBuilder:
    """A builder with every setting that can be serialized."""
    config = {
        "image": "nginx",
        "guest": {"cpus": 1, "memory_mb": 256, "a_key_to_come": [1, {"two": None}]},
        "services": [{"internal_port": 8080, "autostop": True, "ports": [{"port": 80, "handlers": None}]}],
        "stop_config": {"timeout": "1m0s"},
    }
    return (
        DeployBuilder("web")
        .with_config(structure(config, MachineConfig))
        .with_env(PASSWORD=SECRET)
        .with_check("up", Check(type="tcp", port=8080, interval="15s"))
        .waves(["iad"], ["lhr", "nrt"])
        .count(2, iad=5)
        .canary("10%", soak=5, max_unavailable=1)
        .process_group("web")
        .retire_groups("old")
        .visible_to_flyctl()
        .with_volume("data", "/data", size_gb=3, if_lost="fork")
        .with_release_command("migrate --all", timeout=60)
        .fallback("ewr", "ord")
        .smoke_check(7)
        .hedge(4)
        .with_secrets_version(3)
        .wait_for("healthy", timeout=90)
        .require("all")
        .roll_back_on_failure()
        .with_launch("v1")
    )


async def test_jobs_that_travel_come_to_the_same_reports() -> None:
    full = Fault(does="refuse", action="createMachine", identifier="shop-1", status=422, body={"error": "no"})
    async with world(seed=1, faults=[full]) as (emulator, fly):
        names = await opened(fly, 4)
        reports = await all_of(fly, BASE, names, executor=Elsewhere(fly))
        assert {report.app: report.ok for report in reports} == {name: name != "shop-1" for name in names}
        assert [len(await fly.machines.list(name)) for name in names] == [2, 0, 2, 2]
    assert not emulator.refused_by_limit()


async def test_a_job_done_twice_makes_no_machine_twice() -> None:
    async with world(seed=1) as (emulator, fly):
        names = await opened(fly, 3)
        nameless = DeployBuilder("base").to_regions("iad", "lhr").with_image("nginx").require("all")
        reports = await all_of(fly, nameless, names, executor=Twice(fly))
        assert all(report.ok and all(machine.adopted for machine in report.machines) for report in reports)
        assert [len(await fly.machines.list(name)) for name in names] == [2, 2, 2]
    assert total(emulator, "createMachine") == 6


async def test_of_a_lost_job_the_report_says_that_machines_may_have_been_made() -> None:
    async with world(seed=1) as (_, fly):
        names = await opened(fly, 3)
        lost = JobLost("shop-1", "v1", "its worker died")
        reports = {
            report.app: report for report in await all_of(fly, BASE, names, executor=Failing(fly, "shop-1", lost))
        }
    assert [reports[name].ok for name in names] == [True, False, True]
    report = reports["shop-1"]
    assert {machine.result for machine in report.machines} == {Result.UNKNOWN}
    assert not report.is_missed
    assert "the deploy of shop-1 was lost: its worker died. Machines may have been created or changed" in str(report)
    assert "deploy again with launch v1" in str(report)
    assert DeployReport.from_dict(report.to_dict()) == report


async def test_what_did_not_begin_elsewhere_is_not_begun() -> None:
    async with world(seed=1) as (_, fly):
        (report,) = await all_of(fly, BASE, ["web"], executor=Failing(fly, "web", FlyError("no room there")))
    assert {machine.result for machine in report.machines} == {Result.NOT_BEGUN}
    assert str(report).count("no room there") == 2


async def test_a_lost_job_is_a_failure_to_stop_on() -> None:
    async with world(seed=1) as (_, fly):
        names = await opened(fly, 4)
        executor = Failing(fly, "shop-0", JobLost("shop-0", "v1", "gone"))
        reports = await all_of(fly, BASE, names, at_once=2, executor=executor, stop_on_failure=True)
    assert {report.app: report.ok for report in reports} == {"shop-0": False, "shop-1": True}
    assert executor.begun == ["shop-0", "shop-1"]


async def test_a_mistake_of_an_executor_comes_out_once_the_others_are_given() -> None:
    async with world(seed=1) as (_, fly):
        names = await opened(fly, 3)
        reports: list[DeployReport] = []
        with pytest.raises(KeyError, match="engine"):
            await collect(deploy_many(fly, BASE, names, executor=Failing(fly, "shop-1", KeyError("engine"))), reports)
    assert sorted(report.app for report in reports) == ["shop-0", "shop-2"]


async def test_closed_early_it_waits_until_the_jobs_have_ended() -> None:
    slow = Slow()
    async with world(seed=1) as (_, fly), aclosing(deploy_many(fly, BASE, ["a", "b", "c"], executor=slow)) as reports:
        first = asyncio.ensure_future(anext(reports))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert sorted(slow.ended) == ["a", "b", "c"]


async def test_a_client_of_another_api_is_refused_before_any_request() -> None:
    async with world(seed=1) as (emulator, fly):
        before = len(emulator.log)
        with pytest.raises(InvalidInput) as refusal:
            await job(BASE.for_app("web"), "https://api.machines.dev").run(fly)
        assert len(emulator.log) == before
        assert emulator.url in str(refusal.value)
    assert "set FLY_FLAPS_BASE_URL=https://api.machines.dev here" in str(refusal.value)


@pytest.mark.parametrize(
    ("builder", "says"),
    [
        (
            BASE.with_journal("deploy.jsonl"),
            "the journal deploy.jsonl would be written in the process that deploys .* omit it",
        ),
        (BASE.on_event(print), "on_event would be called in the process that deploys .* omit it"),
        (BASE.with_config(MachineConfig(image="nginx", extra={"odd": lambda: 0})), "cannot be sent to another process"),
    ],
    ids=["journal", "onlooker", "odd"],
)
def test_what_means_nothing_elsewhere_does_not_travel(builder: DeployBuilder, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        job(builder).packed()


async def test_an_app_whose_builder_cannot_travel_says_so_and_stops_no_other() -> None:
    def made(app: str) -> DeployBuilder:
        return BASE.for_app(app).on_event(print) if app == "shop-1" else BASE.for_app(app)

    async with world(seed=1) as (_, fly):
        names = await opened(fly, 3)
        reports = {report.app: report for report in await all_of(fly, made, names, executor=Elsewhere(fly))}
    assert [reports[name].ok for name in names] == [True, False, True]
    assert str(reports["shop-1"]).count("on_event would be called in the process that deploys shop-1") == 2


def test_all_that_a_builder_was_told_arrives() -> None:
    sent = job(everything())
    arrived = Job.unpacked(sent.packed())
    assert arrived == sent
    assert arrived.builder.deployment() == sent.builder.deployment()
    assert unstructure(arrived.builder.config) == unstructure(sent.builder.config)
    assert arrived.builder.deployment().fingerprint == sent.builder.deployment().fingerprint


@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (lambda packed: b"0.0.1" + packed[packed.index(b"\n") :], "written by flyasync 0.0.1, but this process has"),
        (lambda packed: packed[:-9], "the job cannot be read here"),
    ],
)
def test_what_another_version_has_sent_is_refused(alter: Callable[[bytes], bytes], says: str) -> None:
    assert installed()
    with pytest.raises(InvalidInput, match=says):
        Job.unpacked(alter(job().packed()))


def test_no_secret_is_shown() -> None:
    told = everything().with_config(
        MachineConfig(image="nginx", env={"PASSWORD": SECRET}, files=[File(guest_path="/k", raw_value=SECRET)])
    )
    assert SECRET.encode() in job(told).packed()
    assert SECRET not in repr(job(told)) + repr(told) + repr(everything())


@pytest.mark.parametrize("executor", [7, "dask", Executor, object()])
async def test_what_is_no_executor_is_refused(executor: Any) -> None:
    async with world(seed=1) as (emulator, fly):
        before = len(emulator.log)
        with pytest.raises(InvalidInput, match=r"executor is .* async execute"):
            await all_of(fly, BASE, ["web"], executor=executor)
        assert len(emulator.log) == before


async def test_an_executor_that_gives_no_report_loses_no_app() -> None:
    class Forgetful:
        async def execute(self, job: Job) -> Any:
            """Give nothing."""

    async with world() as (_, fly):
        reports = await all_of(fly, BASE, ["shop-1", "shop-2"], executor=Forgetful())
    assert {report.app for report in reports} == {"shop-1", "shop-2"}
    assert all(not report.ok and "returned NoneType" in str(report.unseen) for report in reports)
