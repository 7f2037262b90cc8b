"""Faults, met over real sockets."""

import asyncio
import itertools
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


def timed(**times: Any) -> dict[str, Any]:
    return {"services": [{"internal_port": 8080, "checks": [{"type": "http", **times}]}]}


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (timed(interval="10s"), 10),
        (timed(interval="15s", grace_period="5s"), 20),
        (timed(interval="15s", grace_period=5_000_000_000), 20),
        (timed(interval="2s", grace_period="1m0.5s"), 62),  # both clamped to a minute
        (timed(interval="100ms", timeout="1ms"), 1),
        (timed(interval="90s"), 60),
        ({"checks": {"alive": {"type": "tcp", "port": 80, "interval": "1m30s", "grace_period": "90s"}}}, 180),
    ],
)
async def test_a_check_passes_after_its_grace_period_and_first_interval(
    api: Api, config: dict[str, Any], seconds: float
) -> None:
    machine = await api.running(config=config)
    await asyncio.sleep(seconds - 0.01)
    assert await check_states(api, machine) <= {"warning", "critical"} != set()
    await asyncio.sleep(0.12)
    assert await check_states(api, machine) == {"passing"}


async def test_each_check_has_its_own_times(api: Api) -> None:
    checks = {"soon": {"port": 1, "interval": "2s"}, "late": {"port": 2, "interval": "9s"}}
    machine = await api.running(config={"checks": checks})
    await asyncio.sleep(3)
    states = {check["name"]: check["status"] for check in (await api.look(machine))["checks"]}
    assert states["soon"] == "passing"
    assert states["late"] in {"warning", "critical"}


async def test_a_check_that_is_not_answered_is_known_to_be_so_after_its_timeout(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_never_pass"))
    machine = await api.running(config=timed(interval="5s", timeout="20s"))
    await asyncio.sleep(24)
    (before,) = (await api.look(machine))["checks"]
    await asyncio.sleep(2)
    (after,) = (await api.look(machine))["checks"]
    assert after["status"] == "critical"
    assert before["updated_at"] < after["updated_at"]


async def test_checks_turn_critical_only_after_they_passed(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_turn_critical", seconds=2.5))
    machine = await api.running(config=timed(interval="10s"))
    await asyncio.sleep(11)
    assert await check_states(api, machine) == {"passing"}
    await asyncio.sleep(2)
    assert await check_states(api, machine) == {"critical"}


async def test_checks_may_stay_in_warning(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_stay_warning"))
    machine = await api.running(config=CHECKED)
    await asyncio.sleep(1)
    assert await check_states(api, machine) == {"warning"}
    await asyncio.sleep(600)
    assert await check_states(api, machine) == {"warning"}
    assert api.emulator.serving("web") == {}


async def flaps(seed: int, **fault: Any) -> list[tuple[float, bool]]:
    """Return when one machine began to serve and ceased to, in two minutes."""
    async with serving(limits=False, boot=(1, 1), seed=seed, faults=[Fault(does="checks_flap", **fault)]) as api:
        await api.app()
        seen: list[tuple[float, bool]] = []
        began = asyncio.get_running_loop().time()

        def note(_: Any) -> None:
            at, serves = asyncio.get_running_loop().time() - began, bool(api.emulator.serving("web"))
            if serves is not (seen[-1][1] if seen else False):
                seen.append((round(at, 3), serves))

        api.emulator.on_change(note)
        await api.running(config=timed(interval="10s"))
        await asyncio.sleep(120)
        return seen


@pytest.mark.parametrize(("fault", "least", "most"), [({"seconds": 2}, 1, 3), ({}, 5, 15)])
async def test_checks_may_flap(fault: dict[str, Any], least: float, most: float) -> None:
    seen = await flaps(1, **fault)
    assert seen[0][1]
    assert len(seen) >= 7
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(seen)]
    assert all(least - 0.01 <= gap <= most + 0.01 for gap in gaps)
    assert len({round(gap, 1) for gap in gaps}) > 1


async def test_checks_flap_alike_with_the_same_seed() -> None:
    first, again, other = [await flaps(seed, seconds=5) for seed in (3, 3, 4)]
    assert [serves for _, serves in first] == [serves for _, serves in again]
    assert [at for at, _ in first] == pytest.approx([at for at, _ in again], abs=0.01)
    assert [at for at, _ in first] != pytest.approx([at for at, _ in other][: len(first)], abs=0.01)


async def test_a_machine_that_stops_flaps_no_more(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_flap", seconds=1))
    machine = await api.running(config=CHECKED)
    await asyncio.sleep(30)
    assert len(api.emulator.world.machines[machine["id"]].check_phases) < 12
    await api.act(machine, "stop")
    await api.reach(machine, "stopped")
    assert await check_states(api, machine) == set()
    await asyncio.sleep(5)
    assert api.emulator.world.next_due() is None


@pytest.mark.parametrize(("value", "kind"), [("soon", "invalid duration"), ("1", "invalid"), (True, "type Duration")])
async def test_a_duration_is_a_text_of_go_or_nanoseconds(api: Api, value: Any, kind: str) -> None:
    said = await api.post("/v1/apps/web/machines", {"config": {"image": "nginx", **timed(interval=value)}})
    assert said.status == 400
    assert kind in said.error
