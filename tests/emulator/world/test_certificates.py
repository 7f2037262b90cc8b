import asyncio
from typing import Any

import pytest

from tests.emulator.driver import Api

CERTIFICATES = "/v1/apps/web/certificates"
ONE = f"{CERTIFICATES}/example.com"
CUSTOM = {
    "hostname": "example.com",
    "fullchain": "-----BEGIN CERTIFICATE-----",
    "private_key": "-----BEGIN PRIVATE KEY-----",
}


async def asked(api: Api, hostname: str = "example.com") -> dict[str, Any]:
    said = await api.post(f"{CERTIFICATES}/acme", {"hostname": hostname})
    assert said.status == 201, said
    assert isinstance(said.body, dict)
    return said.body


async def test_a_hostname_is_validated_after_a_while(api: Api) -> None:
    found = await asked(api)
    assert (found["status"], found["configured"], found["acme_requested"]) == ("pending_validation", False, True)
    assert found["certificates"][0]["status"] == "pending_validation"
    assert found["dns_requirements"]["cname"] == "web.fly.dev"
    assert (await api.post(f"{ONE}/check")).body["dns_records"]["a"] == []
    await asyncio.sleep(20)
    found = (await api.post(f"{ONE}/check")).body
    assert (found["status"], found["configured"]) == ("active", True)
    assert found["dns_records"]["a"] == found["dns_requirements"]["a"]
    (issued,) = found["certificates"]
    assert (issued["source"], issued["status"], issued["issued"][0]["type"]) == ("fly", "active", "ecdsa")


async def test_a_certificate_of_ones_own_waits_for_the_ownership(api: Api) -> None:
    said = await api.post(f"{CERTIFICATES}/custom", CUSTOM)
    assert (said.status, said.body["status"]) == (201, "pending_ownership")
    assert [one["source"] for one in said.body["certificates"]] == ["custom"]
    await asked(api)
    row = (await api.get(CERTIFICATES)).body["certificates"][0]
    assert (row["has_custom_certificate"], row["has_fly_certificate"], row["acme_requested"]) == (True, False, True)


async def test_certificates_go_one_by_one_or_with_their_hostname(api: Api) -> None:
    await asked(api)
    await api.post(f"{CERTIFICATES}/custom", CUSTOM)
    for kind, left in (("acme", ["custom"]), ("custom", [])):
        said = await api.ask("DELETE", f"{ONE}/{kind}")
        assert (said.status, [one["source"] for one in said.body["certificates"]]) == (200, left)
        assert (await api.ask("DELETE", f"{ONE}/{kind}")).status == 404
    assert (await api.get(ONE)).status == 200
    assert (await api.ask("DELETE", ONE)).status == 204
    said = await api.get(ONE)
    assert (said.status, said.error) == (404, "certificate not found")


async def test_hostnames_come_in_pages(api: Api) -> None:
    for number in range(5):
        await asked(api, f"{number}.example.com")
    await asked(api, "other.org")
    first = (await api.get(f"{CERTIFICATES}?filter=example&limit=3")).body
    assert ([one["hostname"][0] for one in first["certificates"]], first["total_count"]) == (["0", "1", "2"], 5)
    rest = (await api.get(CERTIFICATES, params={"filter": "example", "cursor": first["next_cursor"]})).body
    assert ([one["hostname"][0] for one in rest["certificates"]], rest["next_cursor"]) == (["3", "4"], "")
    assert (await api.get(f"{CERTIFICATES}?cursor=x")).error == "invalid cursor"
    assert (await api.get(f"{CERTIFICATES}?limit=0")).error == "invalid limit: 0"


@pytest.mark.parametrize(
    ("kind", "body", "status", "text"),
    [
        ("acme", {}, 400, "hostname is required"),
        ("acme", {"hostname": "no host"}, 422, "invalid hostname: 'no host'"),
        ("acme", {"hostname": "taken.org"}, 409, "aborted: a certificate for taken.org was requested already"),
        ("custom", CUSTOM | {"fullchain": "x"}, 422, "invalid fullchain: no PEM certificate found"),
        ("custom", CUSTOM | {"private_key": "x"}, 422, "invalid private_key: no PEM key found"),
    ],
)
async def test_a_request_must_make_sense(api: Api, kind: str, body: Any, status: int, text: str) -> None:
    await asked(api, "taken.org")
    said = await api.post(f"{CERTIFICATES}/{kind}", body)
    assert (said.status, said.error) == (status, text)
