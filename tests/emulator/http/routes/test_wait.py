import asyncio
from typing import Any

import pytest

from flyasync.emulator import Fault
from tests.emulator.driver import Api, at, serving


def now() -> float:
    return asyncio.get_running_loop().time()


def expired(states: str, current: str) -> dict[str, str]:
    return {"error": f"deadline_exceeded: machine failed to reach desired state, {states}, currently {current}"}


async def test_wait_answers_at_the_very_moment(api: Api) -> None:
    machine = await api.machine()
    said = await api.wait(machine, "started")
    assert now() == pytest.approx(1, abs=0.001)
    event_id = (await api.look(machine))["events"][0]["id"]
    assert said.body == {"ok": True, "event_id": event_id, "state": "started", "version": machine["instance_id"]}


async def test_wait_is_woken_by_what_others_do(api: Api) -> None:
    machine = await api.running()
    poll = asyncio.ensure_future(api.wait(machine, "suspended"))
    await asyncio.sleep(30)
    await api.act(machine, "suspend")
    assert (await poll).status == 200
    assert now() == pytest.approx(31.5, abs=0.5)


async def test_wait_ends_after_a_minute_or_sooner(api: Api) -> None:
    machine = await api.machine()
    for timeout, seconds in (("", 60), ("1", 1), ("5", 5), ("60", 60)):
        before = now()
        said = await api.wait(machine, "stopped", **({"timeout": timeout} if timeout else {}))
        assert (said.status, said.body) == (408, expired("stopped", "started"))
        assert now() - before == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("timeout", ["0", "61", "90", "3600", "-1"])
async def test_a_wait_takes_one_second_to_a_minute(api: Api, timeout: str) -> None:
    said = await api.wait(await api.machine(), "started", timeout=timeout)
    assert (said.status, said.error) == (
        400,
        "invalid_argument: invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]",
    )


async def test_wait_is_for_started_by_default(api: Api) -> None:
    machine = await api.machine()
    assert (await api.get(f"{at(machine)}/wait")).body["state"] == "started"


@pytest.mark.parametrize("query", ["state=stopped&state=failed,started", "state=settled", "state=stopped,settled"])
async def test_wait_takes_several_states(api: Api, query: str) -> None:
    machine = await api.machine()
    assert (await api.get(f"{at(machine)}/wait?{query}")).body["state"] == "started"
    assert now() == pytest.approx(1, abs=0.001)


async def test_settled_notices_a_machine_that_cannot_get_there() -> None:
    async with serving(faults=[Fault(does="fail")]) as api:
        await api.app()
        machine = await api.machine()
        assert (await api.wait(machine, "settled")).body["state"] == "failed"
        assert (await api.wait(machine, "started", timeout=2)).body == expired("started", "failed")


async def test_a_state_passed_while_waiting_counts() -> None:
    async with serving(faults=[Fault(does="crash", seconds=0)], limits=False) as api:
        await api.app()
        machine = await api.machine(config={"restart": {"policy": "no"}})
        assert (await api.wait(machine, "started")).body["state"] == "started"
        assert (await api.look(machine))["state"] == "stopped"


async def test_wait_for_a_version(api: Api) -> None:
    machine = await api.running()
    old = machine["instance_id"]
    new = (await api.post(at(machine), {"config": {"image": "nginx:2"}})).body["instance_id"]
    said = await api.wait(machine, "started", version=old, timeout=10)
    assert (said.status, said.body) == (408, expired("started", "replaced"))
    assert (await api.wait(machine, "replaced", version=old)).body["version"] == old
    assert (await api.wait(machine, "started", instance_id=new)).body["version"] == new


async def test_a_version_superseded_meanwhile_reads_replaced(api: Api) -> None:
    machine = await api.running()
    poll = asyncio.ensure_future(api.wait(machine, "stopped", version=machine["instance_id"], timeout=30))
    await asyncio.sleep(1)
    await api.post(at(machine), {"config": {"image": "nginx:2"}})
    assert (await poll).body == expired("stopped", "replaced")


async def test_from_event_counts_only_what_came_later(api: Api) -> None:
    machine = await api.machine()
    launched = machine["events"][0]["id"]
    started = (await api.wait(machine, "started", from_event_id=launched)).body["event_id"]
    assert (await api.wait(machine, "started", from_event_id=launched)).status == 200
    assert (await api.wait(machine, "started", from_event_id=started, timeout=5)).status == 408
    await api.act(machine, "restart")
    said = await api.wait(machine, "started", from_event_id=started)
    assert said.body["event_id"] not in {launched, started}
    assert (await api.wait(machine, "started", from_event_id="unknown")).status == 200


async def test_an_event_that_brought_several_states_is_over_with_the_last(api: Api) -> None:
    machine = await api.machine()
    launched = machine["events"][0]["id"]
    # The image is prepared in 0.4 s of a boot of a second; no event reports that the machine is starting.
    await asyncio.sleep(0.6)
    assert (await api.look(machine))["events"][0]["id"] == launched
    assert (await api.wait(machine, "starting", from_event_id=launched, timeout=5)).status == 408
    assert (await api.wait(machine, "started", from_event_id=launched)).status == 200


@pytest.mark.parametrize(
    "query", [{"state": "error"}, {"version": "01OLD"}, {"timeout": "60s"}, {"timeout": "-1"}, {"state": "Started"}]
)
async def test_what_makes_no_sense_is_a_bad_request(api: Api, query: dict[str, Any]) -> None:
    machine = await api.machine()
    assert (await api.get(f"{at(machine)}/wait", params=query)).status == 400


async def test_a_destroyed_machine_can_be_waited_for(api: Api) -> None:
    machine = await api.machine()
    await api.ask("DELETE", f"{at(machine)}?force=true")
    for _ in range(2):
        assert (await api.wait(machine, "destroyed")).status == 200


async def test_wait_ends_when_the_app_goes(api: Api) -> None:
    machine = await api.machine()
    poll = asyncio.ensure_future(api.wait(machine, "stopped"))
    await asyncio.sleep(5)
    await api.ask("DELETE", "/v1/apps/web")
    assert (await poll).body == {"error": "machine not found"}
    assert now() == pytest.approx(5, abs=0.1)
