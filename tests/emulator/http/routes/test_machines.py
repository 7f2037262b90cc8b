import asyncio
import json
from typing import Any

import pytest

from tests.emulator.driver import Api, at, serving

MACHINES = "/v1/apps/web/machines"
NGINX = {"config": {"image": "nginx"}}


def kinds(machine: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(event["type"], event["status"], event["source"]) for event in machine["events"]]


async def test_a_new_machine_has_what_other_clients_need(api: Api) -> None:
    machine = await api.machine(region="lhr", name="green")
    assert len(machine["id"]) == 14
    assert int(machine["id"], 16) >= 0
    assert len(machine["instance_id"]) == 26
    assert machine["version"] == machine["instance_id"]
    assert (machine["name"], machine["region"], machine["state"]) == ("green", "lhr", "created")
    assert (machine["host_status"], machine["cordoned"], machine["checks"]) == ("ok", False, [])
    assert "incomplete_config" not in machine
    assert "nonce" not in machine
    assert kinds(machine) == [("launch", "created", "user")]
    assert machine["events"][0]["timestamp"] > 1_600_000_000_000


async def test_a_machine_boots_by_itself(api: Api) -> None:
    machine = await api.machine()
    await asyncio.sleep(0.5)
    assert (await api.look(machine))["state"] == "starting"
    await asyncio.sleep(0.51)
    found = await api.look(machine)
    assert kinds(found) == [("start", "started", "flyd"), ("launch", "created", "user")]
    assert found["state"] == "started"
    assert found["events"][0]["timestamp"] > found["events"][1]["timestamp"]


async def test_skip_launch_settles_in_stopped(api: Api) -> None:
    machine = await api.stopped()
    await asyncio.sleep(60)
    assert (await api.look(machine))["state"] == "stopped"
    assert (await api.act(machine, "start")).body == {"previous_state": "stopped", "migrated": False, "new_host": ""}
    await api.reach(machine, "started")


async def test_a_machine_can_be_made_cordoned(api: Api) -> None:
    assert (await api.machine(skip_service_registration=True))["cordoned"] is True


async def test_a_name_is_unique_among_the_living(api: Api) -> None:
    machine = await api.machine(name="one")
    said = await api.post(MACHINES, {**NGINX, "name": "one"})
    text = f'already_exists: unique machine name violation, machine ID {machine["id"]} already exists with name "one"'
    assert (said.status, said.body) == (409, {"error": text})
    await api.ask("DELETE", f"{at(machine)}?kill=true")
    await api.reach(machine, "destroyed")
    await api.machine(name="one")


async def test_a_full_region_has_no_candidate_host_until_a_machine_is_gone() -> None:
    async with serving(capacity={"iad": 1}, limits=False) as api:
        await api.app()
        machine = await api.machine(region="iad")
        said = await api.post(MACHINES, {**NGINX, "region": "iad"})
        assert said.status == 422
        assert said.body == {"error": "could not find a candidate host", "status": "insufficient_capacity"}
        assert (await api.machine(region="iad,lhr"))["region"] == "lhr"
        assert (await api.machine())["region"] == "ams"
        await api.ask("DELETE", f"{at(machine)}?force=true")
        assert (await api.post(MACHINES, {**NGINX, "region": "iad"})).status == 422
        await api.reach(machine, "destroyed")
        assert (await api.machine(region="iad"))["region"] == "iad"
        api.emulator.set_capacity("iad", None)
        await api.machine(region="iad")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "config is required"),
        ({"config": {}}, "config.image is required"),
        ({**NGINX, "region": "xyz"}, "unknown region 'xyz'"),
        (
            {**NGINX, "lease_ttl": "5"},
            "json: cannot unmarshal string into Go struct field CreateMachineRequest.lease_ttl of type int",
        ),
    ],
)
async def test_a_create_that_makes_no_sense_leaves_nothing(api: Api, body: dict[str, Any], text: str) -> None:
    said = await api.post(MACHINES, body)
    assert (said.status, said.error) == (400, text)
    assert (await api.get("/v1/apps/web")).body["status"] == "pending"


async def test_unknown_apps_and_machines_are_not_found(api: Api) -> None:
    await api.app("other")
    machine = await api.machine("other")
    assert (await api.post("/v1/apps/none/machines", NGINX)).body == {"error": "app not found"}
    for path in ("", "/wait", "/events", "/versions", "/metadata", "/lease"):
        said = await api.get(f"{at(machine)}{path}")
        assert (said.status, said.body) == (404, {"error": "machine not found"})


async def test_lists_are_filtered(api: Api) -> None:
    first = await api.running(region="lhr", config={"metadata": {"role": "a", "team/env": "x"}})
    second = await api.stopped(region="nrt", config={"metadata": {"role": "b"}}, lease_ttl=60)
    third = await api.stopped(region="nrt")
    await api.ask("DELETE", at(third))
    await api.reach(third, "destroyed")

    async def ids(query: str) -> list[str]:
        return [machine["id"] for machine in (await api.get(f"{MACHINES}?{query}")).body]

    assert await ids("") == [first["id"], second["id"]]
    assert await ids("include_deleted=true") == [first["id"], second["id"], third["id"]]
    assert await ids("state=") == [first["id"], second["id"]]
    assert await ids("state=started,suspended") == [first["id"]]
    assert await ids("include_deleted=true&state=destroyed") == [third["id"]]
    assert await ids("region=nrt") == [second["id"]]
    assert await ids("metadata.role=b") == [second["id"]]
    assert await ids("metadata.team%2Fenv=x") == [first["id"]]
    assert await ids("metadata.role=a&region=nrt") == []


async def test_a_summary_leaves_the_details_out(api: Api) -> None:
    await api.machine(lease_ttl=60)
    summary = (await api.get(f"{MACHINES}?summary=true&include_leases=true")).body[0]
    assert not {"config", "events", "checks"} & summary.keys()
    assert summary["lease"].keys() == {"expires_at", "owner", "description"}
    assert "lease" not in (await api.get(MACHINES)).body[0]


async def test_update_replaces_the_version_and_restarts_what_runs(api: Api) -> None:
    machine = await api.running(config={"env": {"A": "1"}})
    said = await api.post(at(machine), {"config": {"image": "nginx:2"}, "current_version": machine["instance_id"]})
    assert (said.status, said.body["state"]) == (200, "replacing")
    assert said.body["instance_id"] > machine["instance_id"]
    assert "env" not in said.body["config"]
    assert (await api.wait(machine, "started", version=said.body["instance_id"])).status == 200
    found = await api.look(machine)
    assert kinds(found) == [
        ("start", "started", "flyd"),
        ("launch", "created", "user"),
        ("exit", "stopped", "flyd"),
        ("update", "replacing", "user"),
        ("start", "started", "flyd"),
        ("launch", "created", "user"),
    ]
    versions = (await api.get(f"{at(machine)}/versions")).body
    assert [version["version"] for version in versions] == [found["instance_id"], machine["instance_id"]]
    assert versions[1]["user_config"]["env"] == {"A": "1"}


async def test_update_of_what_is_stopped_leaves_it_stopped(api: Api) -> None:
    machine = await api.stopped()
    assert (await api.post(at(machine), NGINX)).status == 200
    replacing = await api.act(machine, "start")
    assert replacing.error == "failed_precondition: machine getting replaced, refusing to start"
    assert (await api.post(at(machine), NGINX)).error.startswith("aborted: ")
    await asyncio.sleep(10)
    assert (await api.look(machine))["state"] == "stopped"


async def test_update_with_skip_launch_stops_what_runs(api: Api) -> None:
    machine = await api.running()
    await api.post(at(machine), {**NGINX, "skip_launch": True})
    await asyncio.sleep(10)
    assert (await api.look(machine))["state"] == "stopped"


@pytest.mark.parametrize(("skip_launch", "state"), [(False, "started"), (True, "stopped")])
async def test_update_of_what_is_created_keeps_its_purpose(api: Api, skip_launch: bool, state: str) -> None:  # noqa: FBT001
    machine = await api.machine(skip_launch=skip_launch)
    await api.post(at(machine), NGINX)
    await asyncio.sleep(10)
    assert (await api.look(machine))["state"] == state


async def test_update_from_an_old_version_is_aborted(api: Api) -> None:
    machine = await api.running()
    said = await api.post(at(machine), {**NGINX, "current_version": "01OLD"})
    assert (said.status, said.error) == (409, "aborted: machine update failed due to concurrent update")
    assert (await api.post(at(machine), {"config": {}})).status == 400


async def test_delete_needs_a_stopped_machine_or_force(api: Api) -> None:
    machine = await api.running()
    said = await api.ask("DELETE", f"{at(machine)}?kill=false")
    text = "failed_precondition: unable to destroy machine, not currently stopped"
    assert (said.status, said.body) == (412, {"error": text})
    for _ in range(2):
        assert (await api.ask("DELETE", f"{at(machine)}?force=true")).body == {"ok": True}
    await api.reach(machine, "destroyed")
    found = await api.look(machine)
    assert found["state"] == "destroyed"
    assert [kind for kind, _, _ in kinds(found)][:3] == ["destroy", "destroy", "exit"]
    gone = await api.ask("DELETE", f"{at(machine)}?force=true")
    assert (gone.status, gone.body) == (404, {"error": "machine not found"})


async def test_events_are_limited(api: Api) -> None:
    machine = await api.running()
    for _ in range(15):
        await api.act(machine, "restart")
        await api.reach(machine, "started")
    assert len((await api.look(machine))["events"]) == 20
    assert len((await api.get(f"{at(machine)}/events")).body) == 20
    assert len((await api.get(f"{at(machine)}/events?limit=3")).body) == 3
    assert len((await api.get(f"{at(machine)}/events?limit=50")).body) == 47
    for bad in ("51", "-1", "many"):
        assert (await api.get(f"{at(machine)}/events?limit={bad}")).status == 400


async def test_metadata_is_written_without_a_new_version(api: Api) -> None:
    machine = await api.running(config={"metadata": {"a": "1", "b": "2"}}, lease_ttl=60)
    path = f"{at(machine)}/metadata"
    assert (await api.post(f"{path}/team%2Fenv", {"value": "x"})).status == 204
    assert (await api.get(f"{path}/team%2Fenv")).body == {"value": "x"}
    assert (await api.ask("DELETE", f"{path}/a")).status == 204
    assert (await api.ask("DELETE", f"{path}/a")).status == 204
    assert (await api.get(f"{path}/a")).status == 404
    for method in ("PUT", "PATCH"):
        changes = {"metadata": {"b": None, "c": "", method: "y"}, "machine_version": machine["instance_id"]}
        assert (await api.ask(method, path, json=changes)).status == 204
    assert (await api.get(path)).body == {"team/env": "x", "PUT": "y", "PATCH": "y"}
    found = await api.look(machine)
    assert (found["instance_id"], found["state"]) == (machine["instance_id"], "started")


async def test_metadata_that_cannot_be_written_is_refused(api: Api) -> None:
    machine = await api.running()
    path = f"{at(machine)}/metadata"
    assert (await api.get(path)).body == {}
    stale = await api.ask("PUT", path, json={"metadata": {"a": "1"}, "machine_version": "01OLD"})
    assert (stale.status, stale.error) == (412, "failed_precondition: machine version 01OLD is not current")
    assert (await api.ask("PATCH", path, json={"metadata": {"a": 1}})).status == 400
    assert (await api.ask("PATCH", path, json={})).status == 400
    assert (await api.post(f"{path}/a", {"value": 3})).status == 400
    await api.ask("DELETE", f"{at(machine)}?force=1")
    await api.reach(machine, "destroyed")
    assert (await api.post(f"{path}/a", {"value": "3"})).status == 404


async def test_containers_are_shown_in_the_state_of_their_machine(api: Api) -> None:
    machine = await api.running(config={"containers": [{"name": "app", "image": "nginx"}]})
    assert (await api.look(machine))["containers"] == [{"name": "app", "state": "started"}]


async def test_each_change_of_a_machine_is_seen_by_the_next_read(api: Api) -> None:
    """The text of a machine is kept until it changes; a read with leases makes it anew."""
    checked = {"checks": {"up": {"type": "tcp", "port": 80, "interval": "1s"}}}
    machine = await api.running(config=checked)
    path, seen = at(machine), []

    async def look() -> None:
        kept = await api.get(path)
        assert kept.body == (await api.get(f"{path}?include_leases=true")).body
        assert [kept.body] == (await api.get("/v1/apps/web/machines?include_deleted=true")).body
        seen.append(kept.body)

    await look()
    await asyncio.sleep(10)
    await look()
    await api.post(f"{path}/metadata/a", {"value": "1"})
    await look()
    await api.post(f"{path}/metadata/a", {"value": "2"})
    await look()
    await api.act(machine, "cordon")
    await look()
    api.emulator.set_host_status(machine["id"], "unreachable")
    await look()
    api.emulator.set_host_status(machine["id"], "ok")
    await look()
    await api.post(path, {"config": {"image": "nginx:2"}})
    await look()
    await asyncio.sleep(10)
    await look()
    await api.ask("DELETE", f"{path}?force=true")
    await look()
    assert len({json.dumps(each) for each in seen}) == len(seen) - 1, "only the host that is back changes nothing"


async def test_a_machine_is_shown_as_it_is_after_each_change(api: Api) -> None:
    config = {"checks": {"alive": {"type": "tcp", "port": 80, "interval": "15s"}}, "env": {"A": 'é "quoted"\n'}}
    machine = await api.machine(name='a "b"\\', config=config)
    other = {"config": {"image": "nginx:2", "containers": [{"name": "é"}]}}

    async def is_current() -> None:
        async with api.session.get(at(machine)) as reply:
            text = await reply.text()
        # Leases are shown in a text that is not kept.
        listed = await api.get(f"{MACHINES}?include_leases=true&include_deleted=true")
        assert [json.loads(text)] == listed.body
        assert json.dumps(json.loads(text)) == text

    async def changed_host(status: str) -> None:
        api.emulator.set_host_status(machine["id"], status)

    for seconds in (0, 0.5, 1, 5, 20):
        await asyncio.sleep(seconds)
        await is_current()
    for change in (
        lambda: api.act(machine, "cordon"),
        lambda: api.act(machine, "metadata/tier", {"value": "gold"}),
        lambda: api.post(at(machine), other),
        lambda: api.reach(machine, "started"),
        lambda: api.act(machine, "stop"),
        lambda: api.reach(machine, "stopped"),
        lambda: changed_host("unreachable"),
        lambda: changed_host("ok"),
        lambda: api.ask("DELETE", at(machine)),
        lambda: api.reach(machine, "destroyed"),
    ):
        await change()
        await is_current()
