"""Faults, met over real sockets."""

import asyncio
from typing import Any

import aiohttp
import pytest

from flyasync.emulator import Fault
from tests.emulator.driver import Api, at, serving


def now() -> float:
    return asyncio.get_running_loop().time()


async def states(api: Api, machine: dict[str, Any], seconds: float) -> str:
    await asyncio.sleep(seconds)
    return str((await api.look(machine))["state"])


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


async def test_refuse_after_does_the_work_and_says_no(api: Api) -> None:
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


async def test_lose_answer_does_the_work_and_never_says_so(api: Api) -> None:
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


async def test_a_machine_may_stay_created_or_starting(api: Api) -> None:
    api.emulator.faults.add(
        Fault(does="stay_created", region="lhr"), Fault(does="stay_starting", region="nrt", times=1)
    )
    london, tokyo = await api.machine(region="lhr"), await api.machine(region="nrt")
    assert await states(api, london, 500) == "created"
    assert await states(api, tokyo, 0) == "starting"
    await api.act(tokyo, "stop")
    assert await states(api, tokyo, 5) == "stopped"
    await api.act(tokyo, "start")
    assert await states(api, tokyo, 5) == "started"


async def test_a_machine_may_fail_to_start(api: Api) -> None:
    api.emulator.faults.add(Fault(does="fail", image="*:v2"))
    good, bad = await api.machine(), await api.machine(config={"image": "web:v2"})
    assert await states(api, good, 5) == "started"
    assert await states(api, bad, 0) == "failed"
    assert (await api.look(bad))["events"][0]["status"] == "failed"
    api.emulator.faults.clear()
    await api.act(bad, "restart")
    assert await states(api, bad, 5) == "started"


async def test_a_launch_may_fail_for_good(api: Api) -> None:
    api.emulator.faults.add(Fault(does="launch_fail"))
    machine = await api.machine()
    assert (await api.wait(machine, "launch_failed")).status == 200
    assert (await api.wait(machine, "destroyed")).status == 200


async def test_a_crash_restarts_as_often_as_the_policy_says(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=2, exit_code=137))
    machine = await api.machine(config={"restart": {"policy": "on-failure", "max_retries": 2}})
    assert await states(api, machine, 60) == "stopped"
    exits = [event for event in (await api.look(machine))["events"] if event["type"] == "exit"]
    assert len(exits) == 3
    newest, _, oldest = exits
    assert newest["request"]["restart_count"] == 2
    assert newest["request"]["exit_event"]["exit_code"] == 137
    assert "restarting" not in newest["request"]["exit_event"]
    assert oldest["request"]["exit_event"]["restarting"] is True
    assert "requested_stop" not in oldest["request"]["exit_event"]


@pytest.mark.parametrize(
    ("restart", "exit_code", "state"),
    [
        ({"policy": "no"}, 1, "stopped"),
        ({}, 0, "stopped"),
        ({}, 1, "started"),
        ({"policy": "always"}, 0, "started"),
    ],
)
async def test_the_policy_decides_after_an_exit(api: Api, restart: dict[str, str], exit_code: int, state: str) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=1, exit_code=exit_code, times=1))
    machine = await api.machine(config={"restart": restart})
    assert await states(api, machine, 30) == state
    events = (await api.look(machine))["events"]
    exit_event = next(event for event in events if event["type"] == "exit")["request"]["exit_event"]
    assert ("exit_code" in exit_event) is (exit_code != 0)


async def test_an_exit_ends_a_machine_that_destroys_itself(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=1, exit_code=3))
    machine = await api.machine(config={"auto_destroy": True, "restart": {"policy": "no"}})
    assert await states(api, machine, 10) == "destroyed"


async def test_a_crash_does_not_strike_a_machine_that_was_stopped_before(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=10))
    machine = await api.running()
    await api.act(machine, "stop")
    assert await states(api, machine, 60) == "stopped"
    assert "restart_count" not in str((await api.look(machine))["events"])


CHECKED = {
    "services": [{"internal_port": 8080, "checks": [{"type": "http"}, {"type": "tcp", "port": 9}]}],
    "checks": {"alive": {"type": "tcp", "port": 80}},
}


async def check_states(api: Api, machine: dict[str, Any]) -> set[str]:
    return {check["status"] for check in (await api.look(machine))["checks"]}


async def test_checks_pass_after_a_while(api: Api) -> None:
    machine = await api.running(config=CHECKED)
    assert await check_states(api, machine) == set()
    await asyncio.sleep(0.6)
    assert await check_states(api, machine) <= {"warning", "critical"} != set()
    await asyncio.sleep(2)
    assert await check_states(api, machine) == {"passing"}
    assert [check["name"] for check in (await api.look(machine))["checks"]] == [
        "servicecheck-00-http-8080",
        "servicecheck-01-tcp-9",
        "alive",
    ]


async def test_checks_may_never_pass_or_turn_critical(api: Api) -> None:
    api.emulator.faults.add(
        Fault(does="checks_never_pass", region="lhr"), Fault(does="checks_turn_critical", region="nrt", seconds=60)
    )
    london, tokyo = await api.running(region="lhr", config=CHECKED), await api.running(region="nrt", config=CHECKED)
    await asyncio.sleep(5)
    assert (await check_states(api, london), await check_states(api, tokyo)) == ({"critical"}, {"passing"})
    await asyncio.sleep(60)
    assert await check_states(api, tokyo) == {"critical"}
    await api.ask("DELETE", at(tokyo), params={"force": "true"})
    assert await check_states(api, tokyo) == set()
