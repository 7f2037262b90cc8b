import asyncio
from typing import Any

import pytest

from tests.emulator.driver import Api, at


async def eventually(api: Api, machine: dict[str, Any]) -> str:
    await asyncio.sleep(10)
    return str((await api.look(machine))["state"])


async def test_start_is_refused_until_the_image_is_prepared(api: Api) -> None:
    machine = await api.machine(skip_launch=True)
    said = await api.act(machine, "start")
    text = "failed_precondition: unable to start machine from current state: 'created'"
    assert (said.status, said.body) == (412, {"error": text})


async def test_start_is_refused_for_a_moment_after_a_stop(api: Api) -> None:
    machine = await api.running()
    await api.act(machine, "stop")
    said = await api.act(machine, "start")
    assert said.error == "failed_precondition: unable to start machine from current state: 'stopping'"
    await api.reach(machine, "stopped")
    said = await api.act(machine, "start")
    assert (said.status, said.error) == (412, "failed_precondition: machine still active, refusing to start")
    await asyncio.sleep(1)
    assert (await api.act(machine, "start")).status == 200
    assert await eventually(api, machine) == "started"


@pytest.mark.parametrize("body", [None, {}, {"signal": "SIGINT", "timeout": "10s"}, {"id": "x", "timeout": "0s"}])
async def test_stop_takes_any_object_or_nothing_and_may_be_repeated(api: Api, body: Any) -> None:
    machine = await api.running()
    for _ in range(2):
        assert (await api.act(machine, "stop", body)).body == {"ok": True}
    await api.reach(machine, "stopped")
    assert (await api.act(machine, "stop", body)).body == {"ok": True}
    events = (await api.look(machine))["events"]
    assert [event["type"] for event in events] == ["exit", "stop", "start", "launch"]
    assert events[0]["request"]["exit_event"]["requested_stop"] is True


async def test_stop_refuses_a_body_that_is_not_an_object(api: Api) -> None:
    machine = await api.running()
    said = await api.act(machine, "stop", [])
    text = "json: cannot unmarshal array into Go value of type main.stopRequest"
    assert (said.status, said.body) == (400, {"error": text})


async def test_stop_ends_a_start_or_a_suspension(api: Api) -> None:
    machine = await api.stopped()
    await api.act(machine, "start")
    await api.act(machine, "stop")
    assert await eventually(api, machine) == "stopped"
    await api.act(machine, "start")
    await api.reach(machine, "started")
    await api.act(machine, "suspend")
    await api.reach(machine, "suspended")
    await api.act(machine, "stop")
    assert (await api.look(machine))["state"] == "stopped"


async def test_restart_keeps_the_version(api: Api) -> None:
    machine = await api.running()
    path = f"{at(machine)}/restart?force_stop=false&timeout=5s&signal=SIGTERM"
    assert (await api.post(path)).body == {"ok": True}
    assert (await api.look(machine))["state"] == "restarting"
    assert (await api.act(machine, "start")).error == "aborted: machine still attempting to start"
    await api.reach(machine, "started")
    found = await api.look(machine)
    assert found["instance_id"] == machine["instance_id"]
    assert [event["type"] for event in found["events"]][:3] == ["start", "exit", "restart"]
    assert found["events"][1]["request"]["exit_event"]["restarting"] is True


async def test_restart_starts_what_is_stopped(api: Api) -> None:
    machine = await api.stopped()
    await api.act(machine, "restart")
    assert await eventually(api, machine) == "started"


async def test_suspend_and_resume(api: Api) -> None:
    machine = await api.running()
    assert (await api.act(machine, "suspend")).body == {"ok": True}
    await api.reach(machine, "suspended")
    assert (await api.act(machine, "suspend")).status == 412
    assert (await api.act(machine, "start")).body["previous_state"] == "suspended"
    assert await eventually(api, machine) == "started"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"guest": {"cpus": 2, "memory_mb": 4096}}, "with more than 2048 MB of memory"),
        ({"init": {"swap_size_mb": 512}}, "with swap"),
        ({"schedule": "daily"}, "scheduled machine"),
    ],
)
async def test_some_machines_cannot_be_suspended(api: Api, config: dict[str, Any], text: str) -> None:
    machine = await api.running(config=config)
    said = await api.act(machine, "suspend")
    assert said.status == 412
    assert text in said.error


async def test_cordon_and_uncordon_may_be_repeated(api: Api) -> None:
    machine = await api.machine()
    for action, cordoned in (("cordon", True), ("cordon", True), ("uncordon", False), ("uncordon", False)):
        assert (await api.act(machine, action)).body == {"ok": True}
        assert (await api.look(machine))["cordoned"] is cordoned


@pytest.mark.parametrize(("signal", "state"), [("SIGTERM", "stopped"), (9, "stopped"), ("SIGHUP", "started")])
async def test_a_signal_may_end_the_process(api: Api, signal: Any, state: str) -> None:
    machine = await api.running(config={"restart": {"policy": "no"}})
    assert (await api.act(machine, "signal", {"signal": signal})).body == {"ok": True}
    assert (await api.look(machine))["state"] == state


async def test_a_killed_process_is_restarted_by_the_policy(api: Api) -> None:
    machine = await api.running()
    await api.act(machine, "signal", {"signal": "SIGKILL"})
    found = await api.look(machine)
    assert found["state"] == "starting"
    assert found["events"][0]["request"] == {
        "exit_event": {
            "exit_code": 137,
            "restarting": True,
            "guest_signal": -1,
            "signal": -1,
            "exited_at": found["updated_at"],
        },
        "restart_count": 1,
    }
    assert await eventually(api, machine) == "started"


async def test_signals_need_a_name_and_a_running_machine(api: Api) -> None:
    machine = await api.stopped()
    assert (await api.act(machine, "signal", {"signal": "SIGNOPE"})).status == 400
    assert (await api.act(machine, "signal", {"signal": 99})).status == 400
    assert (await api.act(machine, "signal")).error == "EOF"
    said = await api.act(machine, "signal", {"signal": "SIGHUP"})
    assert (said.status, said.error) == (412, "failed_precondition: machine not running")
