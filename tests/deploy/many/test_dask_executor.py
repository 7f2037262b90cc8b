"""Many apps on Dask clusters, in real time: each as asked whatever dies, and nothing kept of those that are done."""

import asyncio
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from typing import Any

import dask
import distributed
import pytest

from flyasync import ClientClosed, DeployBuilder, Emulator, FlyClient, InvalidInput, Limits, Rate, deploy_many
from flyasync.deploy.many.dask_executor import DaskExecutor
from flyasync.deploy.many.dask_worker import GROUP, Parcel
from flyasync.deploy.many.executors import Job
from flyasync.deploy.reporting.result import Result
from tests.deploy.conftest import total
from tests.deploy.many.test_many import all_of

DASK: Any = distributed  # its signatures tell of a life without an event loop
SECRET = "hunter2"
BASE = DeployBuilder("base").to_regions("iad", "lhr").with_image("nginx").with_env(PASSWORD=SECRET).require("all")
V1 = BASE.with_launch("v1")
ONE = V1.to_regions("iad")
QUICK = Limits(default=Rate(per_second=1000, burst=1000), operations={})
MADE: list[FlyClient] = []


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path) -> Iterator[None]:
    with dask.config.set({"temporary-directory": str(tmp_path)}):
        yield
    MADE.clear()


def in_real_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on a loop of its own: clusters have threads and processes, which virtual time cannot see."""

    @wraps(test)
    def alone(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner() as runner:
            runner.run(and_leaves_nothing(test(*args, **kwargs)))

    return alone


async def and_leaves_nothing(test: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(60):
        await test
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        _, left = await asyncio.wait(left, timeout=5)  # Dask's own write their last words
    assert not left, f"tasks left running: {left}"


async def seen(happens: Callable[[], Any]) -> None:
    while not happens():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


@asynccontextmanager
async def town(count: int, **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient, list[str]]]:
    """An emulator with this many apps, and a client that polls them without a pause."""
    async with (
        Emulator(seed=1, limits=False, **options) as emulator,
        FlyClient(emulator.token, base_url=emulator.url, limits=QUICK) as fly,
    ):
        names = [f"shop-{number}" for number in range(count)]
        for name in names:
            await fly.apps.create(name, org_slug="personal")
        yield emulator, fly, names


@asynccontextmanager
async def cluster(workers: int = 2) -> AsyncIterator[tuple[Any, Any]]:
    """Workers with one thread each, all on this loop."""
    async with (
        DASK.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            host="127.0.0.1",
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            asynchronous=True,
        ) as local,
        DASK.Client(local, asynchronous=True) as client,
    ):
        yield local, client


@asynccontextmanager
async def scheduler() -> AsyncIterator[tuple[Any, Any]]:
    """A scheduler on this loop, without workers yet."""
    async with (
        DASK.Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0", dashboard=False) as leader,
        DASK.Client(leader.address, asynchronous=True, timeout=1) as client,
    ):
        yield leader, client


@asynccontextmanager
async def process(leader: Any, url: str, *, before: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker as a process of its own, which finds its client in its environment."""
    program = f"{before}\nfrom distributed.cli.dask_worker import main\nmain()"
    options = ["--no-nanny", "--nthreads=1", "--host=127.0.0.1", "--dashboard-address=127.0.0.1:0"]
    folder = f"--local-directory={dask.config.get('temporary-directory')}"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, leader.address, folder, *options),
        env={**os.environ, "FLY_API_TOKEN": "fm2_x", "FLY_FLAPS_BASE_URL": url},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def counted(url: str) -> FlyClient:
    MADE.append(FlyClient("fm2_x", base_url=url))
    return MADE[-1]


def job_for(fly: FlyClient, app: str) -> Job:
    return Job(builder=V1.for_app(app), launch="v1", base_url=fly.base_url)


@asynccontextmanager
async def one_fetch(client: Any, results: int) -> AsyncIterator[tuple[Callable[[], Any], Callable[[], None]]]:
    """Have Dask fetch this many results in one task; return its state, and the event that lets it begin."""
    turns = 0
    while not client._gather_semaphore.locked():
        await client._gather_semaphore.acquire()
        turns += 1

    def let() -> None:
        for _ in range(turns):
            client._gather_semaphore.release()

    yield lambda: client._gather_future if len(client._gather_keys or ()) == results else None, let


async def machines(fly: FlyClient, names: list[str]) -> list[int]:
    return [len(await fly.machines.list(name)) for name in names]


@in_real_time
async def test_two_hundred_apps_leave_nothing_behind() -> None:
    async with town(200, boot=(0, 0)) as (emulator, fly, names):
        async with cluster() as (local, client):
            executor = DaskExecutor(client, connect=partial(counted, emulator.url))
            most, ok = 0, 0
            async with aclosing(deploy_many(fly, ONE, iter(names), at_once=8, executor=executor)) as reports:
                async for report in reports:
                    ok += report.ok
                    most = max(most, len(local.scheduler.tasks))
            assert ok == 200
            assert 0 < most <= 3 * 8  # those under way, and those that are just being forgotten
            del executor
            workers = list(local.workers.values())
            await seen(lambda: not local.scheduler.tasks and not any(each.state.tasks for each in workers))
            assert not client.futures
            assert not local.scheduler.task_groups
        assert len(MADE) == 2  # one for each worker, however many jobs it had
        for made in MADE:
            with pytest.raises(ClientClosed):
                await made.machines.list("shop-0")
        assert await machines(fly, names) == [1] * 200


@in_real_time
async def test_apps_one_after_the_other_are_one_piece_of_work_to_dask() -> None:
    async with town(0) as (emulator, fly, _), cluster() as (local, client):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        nobody = [f"nobody-{number}" for number in range(10)]
        assert not any(report.ok for report in await all_of(fly, V1, nobody, at_once=1, executor=executor))
        await seen(lambda: len(local.scheduler.tasks) == 1)
        (span,) = local.scheduler.extensions["spans"].spans.values()
        assert [group.name for group in span.groups] == [GROUP]
        assert [name for name in local.scheduler.task_prefixes if "fly" in name] == [GROUP]


@in_real_time
async def test_a_worker_with_one_thread_drives_many_apps() -> None:
    async with town(6, boot=(1.5, 1.5)) as (emulator, fly, names), cluster(workers=1) as (_, client):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        async with aclosing(deploy_many(fly, ONE, names, executor=executor)) as reports:
            assert (await anext(reports)).ok
            assert total(emulator, "createMachine") == 6


@in_real_time
async def test_cancelled_deploys_end_in_order_on_their_workers() -> None:
    async with town(6, speed=10) as (emulator, fly, names), cluster() as (local, client):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        many = asyncio.ensure_future(all_of(fly, V1.rolling().count(9), names, at_once=3, executor=executor))
        await seen(lambda: total(emulator, "createMachine") >= 6)
        many.cancel()
        with pytest.raises(asyncio.CancelledError):
            await many
        made = total(emulator, "createMachine")
        there = [await fly.machines.list(name, include_leases=True) for name in names]
        await asyncio.sleep(0.3)
        assert total(emulator, "createMachine") == made
        assert not any(there[3:])
        assert not any(machine.lease for those in there for machine in those)
        del executor
        await seen(lambda: not local.scheduler.tasks and not any(each.state.tasks for each in local.workers.values()))


@in_real_time
async def test_a_job_cancelled_on_its_way_never_begins() -> None:
    async with town(1, boot=(0, 0)) as (emulator, fly, names), cluster() as (_, client):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        assert (await all_of(fly, ONE, names, executor=executor))[0].ok
        asked = len(emulator.log)
        for turns in range(12):
            job = asyncio.ensure_future(executor.execute(job_for(fly, "shop-0")))
            for _turn in range(turns):
                await asyncio.sleep(0)
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        await asyncio.sleep(0.2)
        assert {entry.action for entry in emulator.log[asked:]} == set()


@in_real_time
async def test_the_cancellation_of_one_job_takes_no_other_along() -> None:
    async with town(2, boot=(0, 0)) as (emulator, fly, names), cluster() as (_, client):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        async with one_fetch(client, 2) as (fetch, let):
            jobs = [asyncio.ensure_future(executor.execute(job_for(fly, name))) for name in names]
            await seen(fetch)
            jobs[0].cancel()
            await asyncio.sleep(0)
            let()
        assert (await jobs[1]).ok
        await asyncio.gather(*jobs, return_exceptions=True)
        assert jobs[0].cancelled()


@in_real_time
async def test_a_fetch_that_somebody_else_has_cancelled_is_made_again() -> None:
    async with town(2, boot=(0, 0)) as (emulator, fly, names), cluster() as (_, client):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        async with one_fetch(client, 2) as (fetch, let):
            reports = asyncio.ensure_future(all_of(fly, V1, names, executor=executor))
            await seen(fetch)
            shared = fetch()
            let()
            for _ in range(1000):
                await asyncio.sleep(0)
                if client._gather_future is not shared:
                    break
            shared.cancel()
        assert [report.ok for report in await reports] == [True, True]


@in_real_time
async def test_a_client_that_somebody_else_has_broken_is_no_reason_to_hang() -> None:
    async with town(1, boot=(0, 0)) as (emulator, fly, names), cluster() as (_, client):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        async with one_fetch(client, 1) as (fetch, let):
            reports = asyncio.ensure_future(all_of(fly, V1, names, executor=executor))
            await seen(fetch)
            fetch().cancel()
            let()
        (lost,) = await reports
    assert {machine.result for machine in lost.machines} == {Result.UNKNOWN}
    assert "its report is complete, but Dask does not return it" in str(lost)


@in_real_time
async def test_what_a_killed_worker_had_is_done_by_another_and_each_app_is_as_asked() -> None:
    async with town(7, speed=4) as (emulator, fly, names), scheduler() as (leader, client):
        async with process(leader, emulator.url) as first, process(leader, emulator.url):
            await client.wait_for_workers(2)
            reports = []
            async with aclosing(deploy_many(fly, V1, names, at_once=5, executor=DaskExecutor(client))) as coming:
                async for report in coming:
                    reports.append(report)
                    if len(reports) == 2:
                        first.kill()
        assert len(leader.workers) <= 1
        assert await machines(fly, names) == [2] * 7
    assert {report.app: report.ok for report in reports} == dict.fromkeys(names, True)


@in_real_time
async def test_where_dask_gives_up_machines_may_have_been_made_and_the_same_launch_goes_on() -> None:
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        async with town(1, speed=4) as (emulator, fly, names), scheduler() as (leader, client):
            async with process(leader, emulator.url) as first:
                many = asyncio.ensure_future(all_of(fly, V1, names, executor=DaskExecutor(client)))
                await seen(lambda: total(emulator, "createMachine") > 0)
                first.kill()
                (lost,) = await many
            assert not lost.ok
            assert {machine.result for machine in lost.machines} == {Result.UNKNOWN}
            assert "1 Dask workers died running it, the last at tcp://127.0.0.1" in str(lost)
            async with DASK.Worker(leader.address, host="127.0.0.1", nthreads=1, dashboard_address="127.0.0.1:0"):
                again = DaskExecutor(client, connect=partial(counted, emulator.url))
                (report,) = await all_of(fly, V1, names, executor=again)
            assert report.ok
            assert await machines(fly, names) == [2]


async def closed(client: FlyClient) -> bool:
    try:
        await client.machines.list("shop-0")
    except ClientClosed:
        return True
    return False


@pytest.mark.parametrize("leaves", ["retired", "closed"])
@in_real_time
async def test_what_a_worker_had_that_leaves_goes_to_another_and_its_client_is_closed(leaves: str) -> None:
    async with town(4, boot=(1, 1)) as (emulator, fly, names), cluster() as (local, client):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        many = asyncio.ensure_future(all_of(fly, V1, names, executor=executor))
        await seen(lambda: total(emulator, "createMachine") >= 4)
        leaver = next(iter(local.workers.values()))
        await (leaver.close() if leaves == "closed" else client.retire_workers([leaver.address]))
        assert [report.ok for report in await many] == [True] * 4
        assert await machines(fly, names) == [2] * 4
        assert sorted([await closed(made) for made in MADE]) == [False, True]


@in_real_time
async def test_where_the_scheduler_is_gone_the_report_says_what_may_be_and_nothing_hangs() -> None:
    async with (
        town(3, boot=(9, 9)) as (emulator, fly, names),
        scheduler() as (leader, client),
        DASK.Worker(leader.address, nthreads=1, dashboard_address="127.0.0.1:0"),
    ):
        executor = DaskExecutor(client, connect=partial(counted, emulator.url))
        many = asyncio.ensure_future(all_of(fly, V1, names, at_once=1, executor=executor))
        await seen(lambda: total(emulator, "createMachine") > 0)
        await leader.close()
        first, *others = await many
    assert {machine.result for machine in first.machines} == {Result.UNKNOWN}
    assert "Dask cancelled it (scheduler-connection-lost). Machines may have been created" in str(first)
    assert [report.ok for report in others] == [False, False]
    assert total(emulator, "createMachine") <= 2  # none for the others


@in_real_time
async def test_what_a_second_worker_refuses_may_have_been_done_by_the_first() -> None:
    async with (
        town(1, boot=(30, 30)) as (emulator, fly, names),
        scheduler() as (leader, client),
        process(leader, emulator.url) as first,
    ):
        many = asyncio.ensure_future(all_of(fly, V1, names, executor=DaskExecutor(client)))
        await seen(lambda: total(emulator, "createMachine") > 0)
        async with process(leader, "http://127.0.0.1:9"):
            await client.wait_for_workers(2)
            first.kill()
            (report,) = await many
    assert {machine.result for machine in report.machines} == {Result.UNKNOWN}
    assert "but the client here uses http://127.0.0.1:9" in str(report)
    assert "Machines may have been created" in str(report)


@in_real_time
async def test_a_cluster_without_flyasync_is_refused_before_it_gets_a_job() -> None:
    async with (
        town(1) as (emulator, fly, names),
        scheduler() as (leader, client),
        process(leader, emulator.url, before="import sys; sys.modules['flyasync'] = None"),
    ):
        (report,) = await all_of(fly, V1, names, executor=DaskExecutor(client))
        assert len(leader.workers) == 1
    assert {machine.result for machine in report.machines} == {Result.NOT_BEGUN}
    assert "the Dask cluster does not have flyasync" in str(report)
    assert "(tcp://127.0.0.1:" in str(report)
    assert "install the same flyasync[dask] for its scheduler and workers" in str(report)


def nothing() -> None:
    return None


@pytest.mark.parametrize(
    ("connect", "says"),
    [
        (FlyClient, "could not create its client: MissingToken: no Fly.io token found in FLY_ACCESS_TOKEN"),
        (partial(FlyClient, "fm2_x"), "uses https://api.machines.dev, so no request was sent: set FLY_FLAPS"),
        (partial(FlyClient, "fm2_x", base_url="http://fly.example"), "could not create its client: InvalidInput: "),
        (nothing, "connect returned None, but must return a FlyClient"),
    ],
    ids=["no token", "another API", "no API", "no client"],
)
@in_real_time
async def test_a_worker_that_cannot_ask_what_is_meant_asks_nothing(connect: Any, says: str) -> None:
    async with town(2) as (emulator, fly, names), cluster() as (_, client):
        asked = len(emulator.log)
        reports = await all_of(fly, V1, names, executor=DaskExecutor(client, connect=connect))
        assert [entry.action for entry in emulator.log[asked:]] == ["graphql"], "the tag is resolved here, for all"
    for report in reports:
        assert {machine.result for machine in report.machines} == {Result.NOT_BEGUN}
        assert re.search(says, str(report))


class Broken(FlyClient):
    """Cannot even be asked."""

    def __init__(self, url: str) -> None:
        super().__init__("fm2_x", base_url=url)
        vars(self)["machines"] = object()


@in_real_time
async def test_a_mistake_on_a_worker_shows_no_secret_in_keys_logs_or_reports(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with town(2) as (emulator, fly, names), cluster() as (local, client):
        executor = DaskExecutor(client, connect=partial(Broken, emulator.url))
        async with aclosing(deploy_many(fly, V1, names, executor=executor)) as coming:
            reports = [report async for report in coming]
        log = [str(each) for each in local.scheduler.transition_log]
    assert {machine.result for report in reports for machine in report.machines} == {Result.UNKNOWN}
    assert "AttributeError: 'object' object has no attribute 'list'" in str(reports[0])
    assert any(f"('{GROUP}', 'shop-0', 'v1', " in line for line in log)
    shown = "\n".join([caplog.text, *log, *map(str, reports), *(repr(report) for report in reports)])
    assert "flyasync" in caplog.text
    assert SECRET not in shown
    assert "fm2_x" not in shown


def test_a_parcel_shows_nothing_of_what_is_in_it() -> None:
    parcel = Parcel(number="1", app="web", launch="v1", connect=b"fm2_x", job=SECRET.encode())
    assert repr(parcel) == "Parcel(number='1', app='web', launch='v1')"
    assert parcel.key == (GROUP, "web", "v1", "1")


@in_real_time
async def test_what_cannot_be_meant_is_refused() -> None:
    odd: Any = asyncio.get_running_loop()
    async with town(1) as (_, fly, names), cluster(workers=1) as (local, client):
        with pytest.raises(InvalidInput, match=r"client is 'tcp://x', but must be a distributed\.Client"):
            DaskExecutor("tcp://x")  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match=r"connect is a FlyClient, but must be a function"):
            DaskExecutor(client, connect=fly)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="connect cannot be sent to Dask workers"):
            DaskExecutor(client, connect=partial(counted, odd))
        blocking = await asyncio.to_thread(DASK.Client, local.scheduler_address, set_as_default=False)
        with pytest.raises(InvalidInput, match=r"create it here, with Client\(…, asynchronous=True\)"):
            DaskExecutor(blocking)
        await asyncio.to_thread(blocking.close)
        executor = DaskExecutor(client)
        await client.close()
        (report,) = await all_of(fly, V1, names, executor=executor)
    assert {machine.result for machine in report.machines} == {Result.NOT_BEGUN}
    assert "the Dask client is closed: keep it open until all reports have come" in str(report)
