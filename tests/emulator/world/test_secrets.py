import asyncio
from typing import Any

import pytest

from tests.emulator.driver import Api, at, serving

SECRETS = "/v1/apps/web/secrets"
TOO_EARLY = "failed_precondition: min_secrets_version 1 is not yet available on this app"


async def names(api: Api) -> list[str]:
    return [secret["name"] for secret in (await api.get(SECRETS)).body["secrets"]]


async def test_every_write_is_a_new_version(api: Api) -> None:
    one = (await api.post(f"{SECRETS}/DB", {"value": "s3cret"})).body
    many = (await api.post(SECRETS, {"values": {"A": "1", "DB": None, "NEVER": None}})).body
    gone = (await api.ask("DELETE", f"{SECRETS}/A")).body
    assert [said["version"] for said in (one, many, gone)] == [said["Version"] for said in (one, many, gone)]
    assert [said["version"] for said in (one, many, gone)] == [1, 2, 3]
    assert [secret["name"] for secret in many["secrets"]] == ["A"]
    assert await names(api) == []


async def test_values_are_shown_only_when_asked_for(api: Api) -> None:
    said = (await api.post(f"{SECRETS}/DB", {"value": "s3cret"})).body
    assert "value" not in said
    assert (await api.get(f"{SECRETS}/DB?show_secrets=true")).body["value"] == "s3cret"
    assert (await api.get(f"{SECRETS}?show_secrets=1")).body["secrets"][0]["value"] == "s3cret"
    plain = (await api.get(f"{SECRETS}/DB")).body
    assert plain.keys() == {"name", "digest", "created_at", "updated_at"}


async def test_a_digest_shows_that_a_value_changed(api: Api) -> None:
    first = (await api.post(f"{SECRETS}/DB", {"value": "a"})).body
    await asyncio.sleep(1)
    second = (await api.post(f"{SECRETS}/DB", {"value": "b"})).body
    assert first["digest"] != second["digest"]
    assert second["created_at"] == first["created_at"] < second["updated_at"]


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    for method in ("GET", "DELETE"):
        said = await api.ask(method, f"{SECRETS}/NO")
        assert (said.status, said.error) == (404, "secret not found")
    assert (await api.get("/v1/apps/none/secrets")).error == "app not found"
    assert (await api.post(f"{SECRETS}/A", {})).error == "value is required"
    assert (await api.post(SECRETS, {"values": {"A": 1}})).status == 400


async def test_a_machine_is_not_started_with_an_older_set() -> None:
    async with serving(limits=False, secrets_lag=(5, 5)) as api:
        await api.app()
        machine = await api.machine()
        version = (await api.post(f"{SECRETS}/DB", {"value": "x"})).body["version"]
        wanted: dict[str, Any] = {"config": {"image": "nginx"}, "min_secrets_version": version, "skip_secrets": False}
        for path in ("/v1/apps/web/machines", at(machine)):
            said = await api.post(path, wanted)
            assert (said.status, said.error) == (412, TOO_EARLY)
        await asyncio.sleep(5)
        for path in ("/v1/apps/web/machines", at(machine)):
            assert (await api.post(path, wanted)).status == 200


@pytest.mark.parametrize("query", ["min_version=1", "version=1"])
async def test_a_reader_may_ask_for_a_version_too(query: str) -> None:
    async with serving(limits=False, secrets_lag=(5, 5)) as api:
        await api.app()
        await api.post(f"{SECRETS}/DB", {"value": "x"})
        assert (await api.get(f"{SECRETS}?{query}")).error == TOO_EARLY
        assert (await api.get(SECRETS)).status == 200
        await asyncio.sleep(5)
        assert (await api.get(f"{SECRETS}/DB?{query}")).status == 200


async def test_secrets_are_in_no_log_and_no_repr(api: Api) -> None:
    await api.post(f"{SECRETS}/DB", {"value": "s3cret-value"})
    await api.post("/v1/apps/web/secretkeys/k", {"type": "hs256", "value": "czNjcmV0LWtleQ=="})
    await api.post("/v1/apps/web/certificates/custom", {"hostname": "a.example.com", **PEM})
    world = api.emulator.world
    shown = repr((world, world.apps["web"], api.emulator.log, api.emulator.counts()))
    assert "s3cret" not in shown
    assert "czNjcmV0" not in shown
    assert "S3CRET" not in shown
    assert world.apps["web"].secrets.kept["DB"].value == "s3cret-value"


PEM = {
    "fullchain": "-----BEGIN CERTIFICATE-----\nS3CRET\n-----END CERTIFICATE-----",
    "private_key": "-----BEGIN PRIVATE KEY-----\nS3CRET\n-----END PRIVATE KEY-----",
}
