import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from flyasync.emulator.world import apps, leases, machines
from flyasync.emulator.world.machines import NewMachine
from flyasync.emulator.world.transitions import advance
from flyasync.emulator.world.world import World
from tests.emulator.driver import Api, at, serving

NONCE = "fly-machine-lease-nonce"
NGINX = {"config": {"image": "nginx"}}


def with_nonce(lease: dict[str, Any]) -> dict[str, str]:
    return {NONCE: lease["nonce"]}


async def lease(api: Api, machine: dict[str, Any], **options: Any) -> dict[str, Any]:
    said = await api.act(machine, "lease", **options)
    assert said.body["status"] == "success", said
    found = said.body["data"]
    assert isinstance(found, dict)
    return found


async def test_a_lease_comes_in_its_envelope(api: Api) -> None:
    machine = await api.machine()
    said = await api.act(machine, "lease", {"ttl": 30, "description": "deploy"})
    assert said.status == 201
    data = said.body["data"]
    assert data.keys() == {"nonce", "expires_at", "owner", "description", "version"}
    assert (data["description"], data["version"]) == ("deploy", machine["instance_id"])
    assert (await api.get(f"{at(machine)}/lease")).body == said.body


async def test_a_refresh_shows_the_version_of_now(api: Api) -> None:
    machine = await api.running()
    held = await lease(api, machine)
    updated = await api.post(at(machine), NGINX, headers=with_nonce(held))
    assert held["version"] == machine["instance_id"] != updated.body["instance_id"]
    again = await lease(api, machine, headers=with_nonce(held))
    assert again["version"] == updated.body["instance_id"]


def test_a_lease_is_over_at_the_second_it_expires() -> None:
    world = World()
    apps.create(world, "web", org_slug="personal", network="")
    machine = machines.create(world, "web", NewMachine(config={"image": "nginx"}))
    held = leases.grant(world, machine, ttl=5, owner="a")
    advance(world, 4.999)
    assert leases.current(world, machine) is held
    advance(world, 5)
    assert leases.current(world, machine) is None


async def test_reads_do_not_show_the_nonce(api: Api) -> None:
    """A client that saw it would regard the lease of another client as its own."""
    machine = await api.machine(lease_ttl=60)
    nonce = machine["nonce"]
    paths = (at(machine), "/v1/apps/web/machines", "/v1/orgs/personal/machines", f"{at(machine)}/versions")
    for path in paths:
        for query in ("", "?include_leases=true", "?summary=true"):
            assert nonce not in str((await api.get(path + query)).body)
    updated = await api.post(at(machine), {"config": {"image": "nginx:2"}}, headers={NONCE: nonce})
    assert nonce not in str(updated.body)
    assert (await api.get(f"{at(machine)}/lease")).body["data"]["nonce"] == nonce


@pytest.mark.parametrize(("query", "body", "seconds"), [("?ttl=13", None, 13), ("", {"ttl": 40}, 40), ("", None, 30)])
async def test_the_ttl_may_stand_in_the_query_or_in_the_body(query: str, body: Any, seconds: int) -> None:
    async with serving(epoch=datetime(2026, 1, 1, tzinfo=UTC)) as api:
        await api.app()
        machine = await api.machine()
        said = await api.post(f"{at(machine)}/lease{query}", body)
        assert said.body["data"]["expires_at"] == 1767225600 + seconds
        await asyncio.sleep(seconds + 0.01)
        gone = await api.get(f"{at(machine)}/lease")
        assert (gone.status, gone.body["message"]) == (404, "lease not found")
        assert (await api.get(f"{at(machine)}?include_leases=true")).body.keys() & {"nonce", "lease"} == set()


async def test_a_refresh_keeps_the_nonce(api: Api) -> None:
    machine = await api.machine()
    first = await lease(api, machine, json={"ttl": 10})
    await asyncio.sleep(8)
    again = await lease(api, machine, json={"ttl": 10}, headers=with_nonce(first))
    assert again["nonce"] == first["nonce"]
    await asyncio.sleep(8)
    assert (await api.get(f"{at(machine)}/lease")).status == 200
    await asyncio.sleep(3)
    late = await api.act(machine, "lease", headers=with_nonce(first))
    assert (late.status, late.body["status"]) == (404, "error")


async def test_a_held_lease_is_refused_to_others() -> None:
    async with serving(epoch=datetime(2026, 1, 1, tzinfo=UTC), limits=False) as api:
        await api.app()
        machine = await api.machine()
        held = await lease(api, machine, json={"ttl": 60})
        start = f"machine ID {machine['id']} lease currently held by {held['owner']}, expires at "
        for headers in ({}, {NONCE: "wrong"}):
            said = await api.act(machine, "lease", headers=headers)
            assert said.status == 409
            assert said.body == {
                "status": "error",
                "message": f"{start}2026-01-01 00:01:00 +0000 UTC",
                "code": "invalid",
            }
            release = await api.ask("DELETE", f"{at(machine)}/lease", headers=headers)
            assert (release.status, release.body["code"]) == (409, "invalid")
        stop = await api.act(machine, "stop")
        assert (stop.status, stop.body) == (409, {"error": f"{start}2026-01-01T00:01:00.000Z"})


GUARDED = [
    ("POST", ""), ("POST", "/start"), ("POST", "/stop"), ("POST", "/restart"), ("POST", "/suspend"),
    ("POST", "/cordon"), ("POST", "/uncordon"), ("DELETE", "?force=true"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_a_lease_guards(api: Api, method: str, path: str) -> None:
    machine = await (api.stopped() if path == "/start" else api.running())
    held = await lease(api, machine, json={"ttl": 60})
    options = {} if path else {"json": NGINX}
    refused = await api.ask(method, f"{at(machine)}{path}", **options)
    assert refused.status == 409
    assert "lease currently held by" in refused.error
    assert (await api.ask(method, f"{at(machine)}{path}", headers=with_nonce(held), **options)).status == 200


async def test_a_lease_leaves_metadata_signals_and_reads_alone(api: Api) -> None:
    machine = await api.running(lease_ttl=60)
    assert (await api.post(f"{at(machine)}/metadata/a", {"value": "1"})).status == 204
    assert (await api.act(machine, "signal", {"signal": "SIGHUP"})).status == 200
    assert (await api.wait(machine, "started")).status == 200


async def test_anybody_may_read_the_nonce_and_give_the_lease_back(api: Api) -> None:
    machine = await api.machine(lease_ttl=60)
    found = (await api.get(f"{at(machine)}/lease")).body["data"]
    assert found["nonce"] == machine["nonce"]
    said = await api.ask("DELETE", f"{at(machine)}/lease", headers=with_nonce(found))
    assert said.body == {"status": "success", "data": {"ok": True}}
    assert (await api.ask("DELETE", f"{at(machine)}/lease", headers=with_nonce(found))).status == 404


async def test_owners_differ_by_token(api: Api) -> None:
    first, second = await api.machine(), await api.machine()
    mine = await lease(api, first)
    theirs = await lease(api, second, headers={"Authorization": "FlyV1 another"})
    assert mine["owner"] != theirs["owner"]
    assert mine["owner"].endswith("@tokens.fly.io")


async def test_a_lease_dies_with_its_machine(api: Api) -> None:
    machine = await api.machine(lease_ttl=600)
    await api.ask("DELETE", f"{at(machine)}?force=true", headers=with_nonce(machine))
    await api.reach(machine, "destroyed")
    assert "nonce" not in await api.look(machine)
    assert "lease" not in (await api.get(f"{at(machine)}?include_leases=true")).body
    said = await api.get(f"{at(machine)}/lease")
    assert (said.status, said.body) == (404, {"error": "machine not found"})


async def test_a_ttl_must_make_sense(api: Api) -> None:
    machine = await api.machine()
    assert (await api.post(f"{at(machine)}/lease?ttl=30s")).status == 400
    assert (await api.post(f"{at(machine)}/lease?ttl=-1")).status == 400
    assert (await api.act(machine, "lease", {"ttl": "30s"})).status == 400
