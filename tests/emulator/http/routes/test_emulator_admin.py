from typing import Any

import pytest

from tests.emulator.driver import Api


async def test_counts_and_log_are_shown(api: Api) -> None:
    await api.get("/v1/apps/web")
    await api.get("/v1/apps/web")
    counts = (await api.get("/_emulator/counts")).body["counts"]
    assert counts == [
        {"action": "createApp", "identifier": "personal", "count": 1, "refused_by_limit": 0},
        {"action": "getApp", "identifier": "web", "count": 2, "refused_by_limit": 0},
    ]
    assert (await api.get("/_emulator/log?after=2")).body["log"] == [
        {
            "seq": 3,
            "at": 0.0,
            "action": "getApp",
            "identifier": "web",
            "method": "GET",
            "path": "/v1/apps/web",
            "status": 200,
            "faults": [],
            "is_limited": False,
            "not_served": [],
        }
    ]
    assert (await api.get("/_emulator/log?after=x")).status == 400


async def test_the_door_needs_no_token_and_leaves_no_trace(api: Api) -> None:
    said = await api.get("/_emulator/counts", headers={"Authorization": "invalid"})
    assert said.status == 200
    assert len(api.emulator.log) == 1


async def test_faults_come_and_go(api: Api) -> None:
    said = await api.post("/_emulator/faults", [{"does": "refuse", "action": "getApp", "status": 500}, {"does": "cut"}])
    assert (said.status, len(said.body["faults"])) == (201, 2)
    assert (await api.get("/v1/apps/web")).status == 500
    assert [fault["hits"] for fault in (await api.get("/_emulator/faults")).body["faults"]] == [1, 0]
    assert (await api.ask("DELETE", "/_emulator/faults")).status == 204
    assert (await api.post("/_emulator/faults", {"does": "delay", "seconds": 1})).status == 201
    assert [fault.does for fault in api.emulator.faults] == ["delay"]


@pytest.mark.parametrize(
    "body", [b"", b"[3]", b'{"does":"explode"}', b'{"does":"cut","when":1}', b'{"does":"cut","times":"x"}', b"{"]
)
async def test_a_fault_that_is_none_is_refused(api: Api, body: bytes) -> None:
    assert (await api.post("/_emulator/faults", data=body)).status == 400
    assert len(api.emulator.faults) == 0


@pytest.mark.parametrize(
    ("path", "body", "rule"),
    [
        ("faults", {"does": "cut", "acton": "x"}, "a fault has no field 'acton'; it has does, action, method"),
        ("faults", [5], 'a fault must be an object such as {"does": "refuse", "times": 1}'),
        ("faults", {"status": 500}, "does is missing, but must be one of checks_flap, "),
        ("faults", {"does": "cut", "app": 5}, "app is 5, but must be a text"),
        ("commands", {"command": "ls", "exit": 1}, "a scripted command has no field 'exit'; it has command, stdout"),
        ("reach", None, "app: the name of an app is required, such as ?app=web"),
    ],
)
async def test_a_refusal_names_the_rule(api: Api, path: str, body: Any, rule: str) -> None:
    said = await (api.get(f"/_emulator/{path}") if body is None else api.post(f"/_emulator/{path}", body))
    assert said.status == 400
    assert said.body["error"].startswith(rule)


async def test_capacity_is_set_for_a_region(api: Api) -> None:
    assert (await api.post("/_emulator/capacity", {"region": "iad", "machines": 0})).status == 204
    assert api.emulator.world.capacity == {"iad": 0}
    assert (await api.post("/_emulator/capacity", {"region": "iad", "machines": None})).status == 204
    assert (await api.post("/_emulator/capacity", {"region": "xyz", "machines": 1})).status == 400
    assert (await api.post("/_emulator/capacity", {"region": "iad", "machines": "1"})).status == 400


async def test_reset_begins_again(api: Api) -> None:
    await api.post("/_emulator/faults", {"does": "cut"})
    assert (await api.post("/_emulator/reset")).status == 204
    assert (await api.get("/v1/apps/web")).status == 404
    assert len(api.emulator.log) == 1


async def test_health_and_incidents_need_no_token(api: Api) -> None:
    headers = {"Authorization": "invalid"}
    assert (await api.get("/_emulator/health", headers=headers)).body == {"status": "ok"}
    assert (await api.get("/_emulator/incidents", headers=headers)).body == {"incidents": []}
    assert [entry.action for entry in api.emulator.log] == ["createApp"]
