"""The steps of a request: faults before and after the work, and requests that are delivered twice."""

import asyncio
from typing import Any

import aiohttp
import pytest

from flyasync.emulator import Fault
from tests.emulator.driver import Api, at, serving


def now() -> float:
    return asyncio.get_running_loop().time()


MACHINES = "/v1/apps/web/machines"


def image(row: dict[str, Any]) -> str:
    return str(row["config"]["image"])


async def rows(api: Api, path: str = MACHINES) -> dict[str, dict[str, Any]]:
    body = (await api.get(path)).body
    return {row["id"]: row for row in (body["machines"] if isinstance(body, dict) else body)}


async def test_refuse_answers_instead_of_working(api: Api) -> None:
    body = {"error": "deploys to this host are temporarily disabled"}
    api.emulator.faults.add(
        Fault(does="refuse", action="createMachine", times=1, status=422, body=body, headers={"Retry-After": "7"})
    )
    said = await api.post("/v1/apps/web/machines", {"config": {"image": "nginx"}})
    assert (said.status, said.body, said.headers["Retry-After"]) == (422, body, "7")
    assert api.emulator.world.machines == {}
    await api.machine()


@pytest.mark.parametrize(("body", "text"), [("upstream is gone", "upstream is gone"), (None, "")])
async def test_a_refusal_may_be_text_or_nothing(api: Api, body: Any, text: str) -> None:
    api.emulator.faults.add(Fault(does="refuse", status=502, body=body))
    said = await api.get("/v1/apps/web")
    assert (said.status, said.body) == (502, text)
    assert api.emulator.log[-1].faults == ("refuse",)


async def test_a_refused_request_takes_no_turn_of_the_limits() -> None:
    async with serving(faults=[Fault(does="refuse", action="getApp", times=5)]) as api:
        statuses = [(await api.get("/v1/apps/web")).status for _ in range(9)]
        assert statuses == [503] * 5 + [404] * 3 + [429]


async def test_delay_comes_before_the_work(api: Api) -> None:
    api.emulator.faults.add(Fault(does="delay", action="getApp", seconds=3), Fault(does="delay", seconds=2))
    await api.get("/v1/apps/web")
    assert now() == pytest.approx(5, abs=0.01)
    assert api.emulator.log[-1].faults == ("delay", "delay")


async def test_cut_closes_the_connection_before_the_work(api: Api) -> None:
    api.emulator.faults.add(Fault(does="cut", action="createMachine"))
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.machine()
    assert api.emulator.world.machines == {}
    assert (api.emulator.log[-1].status, api.emulator.log[-1].faults) == (None, ("cut",))


async def test_refuse_after_does_the_work_and_returns_an_error(api: Api) -> None:
    api.emulator.faults.add(Fault(does="refuse_after", action="createMachine", status=408, body={"error": "slow"}))
    said = await api.post("/v1/apps/web/machines", {"config": {"image": "nginx"}})
    assert (said.status, said.body) == (408, {"error": "slow"})
    assert len(api.emulator.world.machines) == 1


async def test_cut_after_closes_it_when_the_work_is_done(api: Api) -> None:
    api.emulator.faults.add(Fault(does="cut_after", action="createMachine"))
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.machine()
    assert len(api.emulator.world.machines) == 1
    assert (api.emulator.log[-1].status, api.emulator.log[-1].faults) == (200, ("cut_after",))


async def test_lose_answer_does_the_work_and_never_responds(api: Api) -> None:
    api.emulator.faults.add(Fault(does="lose_answer", action="createMachine", times=1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(200):
            await api.machine()
    assert now() == pytest.approx(200, abs=0.1)
    assert len(api.emulator.world.machines) == 1
    assert [entry.faults for entry in api.emulator.log if entry.faults] == [("lose_answer",)]


async def test_faults_choose_by_region_app_name_and_image(api: Api) -> None:
    await api.app("api")
    api.emulator.faults.add(
        Fault(does="refuse", action="createMachine", region="iad"),
        Fault(does="refuse", action="startMachine", region="nrt"),
        Fault(does="refuse", app="api", method="GET"),
        Fault(does="refuse", image="*:broken"),
        Fault(does="refuse", name="blue-*"),
    )
    create = "/v1/apps/web/machines"
    asked: list[dict[str, Any]] = [
        {"config": {"image": "nginx"}},
        {"config": {"image": "nginx"}, "region": "iad"},
        {"config": {"image": "web:broken"}, "region": "lhr"},
        {"config": {"image": "nginx"}, "region": "lhr", "name": "blue-1"},
        {"config": {"image": "nginx"}, "region": "lhr", "name": "green-1"},
    ]
    assert [(await api.post(create, one)).status for one in asked] == [503, 503, 503, 503, 200]
    assert (await api.get("/v1/apps/api")).status == 503
    machine = await api.machine(region="nrt")
    assert (await api.act(machine, "start")).status == 503


async def test_a_request_that_is_delivered_twice_is_done_twice(api: Api) -> None:
    api.emulator.faults.add(Fault(does="repeat", action="createMachine", times=1))
    machine = await api.machine()
    found = await rows(api)
    assert len(found) == 2
    assert list(found)[1] == machine["id"]


async def test_the_second_delivery_may_be_refused_for_the_first(api: Api) -> None:
    machine = await api.running()
    api.emulator.faults.add(Fault(does="repeat", action="createMachineLease", times=1))
    assert (await api.act(machine, "lease")).status == 409
    assert (await api.get(f"{at(machine)}/lease")).status == 200


async def test_a_request_may_be_delivered_again_later(api: Api) -> None:
    machine = await api.running()
    api.emulator.faults.add(Fault(does="repeat_after", action="updateMachine", times=1, seconds=10))
    for version in ("nginx:1", "nginx:2"):
        await api.post(at(machine), {"config": {"image": version}})
        await api.reach(machine, "started")
    assert image(await api.look(machine)) == "nginx:2"
    await asyncio.sleep(10)
    assert image(await api.look(machine)) == "nginx:1"


async def test_a_second_delivery_counts_for_the_limits() -> None:
    async with serving(faults=[Fault(does="repeat", action="getApp")]) as api:
        await api.app()
        assert [(await api.get("/v1/apps/web")).status for _ in range(3)] == [200, 429, 429]


async def test_what_was_to_be_delivered_later_goes_with_a_reset(api: Api) -> None:
    await api.machine()
    api.emulator.faults.add(Fault(does="repeat_after", action="createMachine", seconds=5))
    await api.machine()
    api.emulator.reset()
    await api.app()
    await asyncio.sleep(10)
    assert await rows(api) == {}


async def test_what_was_to_be_delivered_later_goes_with_the_end() -> None:
    async with serving(faults=[Fault(does="repeat_after", action="createApp", seconds=500)]) as api:
        await api.app()
