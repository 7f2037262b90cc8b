"""The report of a deploy is posted once the deploy is over, and changes nothing of its result."""

import asyncio
import json
from typing import Any

import pytest

from flyasync import DeployBuilder, DeployReport, Fault, LeaseHeld, NotFound
from tests.api.receiver import Receiver, receiver
from tests.deploy.conftest import world

V1 = DeployBuilder("web").to_regions("iad").with_image("nginx").rolling().smoke_check(0).with_launch("v1")


def reports(there: Receiver) -> list[DeployReport]:
    documents = [json.loads(got.body) for got in there.received]
    assert all(list(each) == ["event", "at", "report"] and each["event"] == "finished" for each in documents)
    return [DeployReport.from_dict(each["report"]) for each in documents]


async def test_the_report_of_a_deploy_and_of_an_undo_is_posted() -> None:
    async with world() as (_, fly), receiver() as there:
        first = await V1.notify(there.url, "key").execute(fly)
        await V1.with_image("nginx:2").with_launch("v2").execute(fly)
        undone = await DeployBuilder("web").notify(there.url).undo(fly)
    assert reports(there) == [first, undone]
    assert there.received[0].is_signed_by("key")


async def test_a_failed_deploy_is_posted_to_every_webhook() -> None:
    async with world(faults=[Fault(does="crash")]) as (_, fly), receiver() as one, receiver() as two:
        report = await V1.notify(one.url).notify(two.url).execute(fly)
    assert not report.ok
    assert reports(one) == reports(two) == [report]


async def test_a_cancelled_deploy_is_posted() -> None:
    async with world(boot=(60.0, 60.0)) as (_, fly), receiver() as there:
        deploy = asyncio.ensure_future(V1.notify(there.url).execute(fly))
        await asyncio.sleep(5)
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
    assert [str(report.status) for report in reports(there)] == ["cancelled"]


async def test_a_second_cancellation_does_not_wait_for_the_receiver() -> None:
    async with world(boot=(60.0, 60.0)) as (_, fly), receiver([503]) as there:
        deploy = asyncio.ensure_future(V1.notify(there.url).execute(fly))
        await asyncio.sleep(5)
        deploy.cancel()
        await asyncio.sleep(2.5)  # it is being retried now
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(deploy), 0.2)
    assert 1 <= len(there.received) <= 2


async def test_a_failed_notification_changes_nothing() -> None:
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    async with world() as (emulator, fly), receiver([500]) as there:
        report = await V1.notify(there.url).execute(fly)
        leases = [machine.lease for machine in emulator.world.machines.values()]
    assert report.ok
    assert leases == [None]
    assert [(each["message"], str(each["exception"])) for each in seen] == [
        ("the report could not be posted", f"webhook.post {there.url.removesuffix('/hooks')}: it returned HTTP 500")
    ]


async def test_without_a_report_nothing_is_posted() -> None:
    async with world() as (_, fly), receiver() as there:
        with pytest.raises(NotFound):
            await V1.for_app("missing").notify(there.url).execute(fly)
        await V1.notify(there.url).plan(fly)
        await V1.execute(fly)
        machine, *_ = await fly.machines.list("web")
        async with fly.leases.hold("web", machine.id, ttl=300):
            with pytest.raises(LeaseHeld):
                await V1.with_image("nginx:2").notify(there.url).execute(fly)
    assert there.received == []
