import ipaddress
from urllib.parse import quote

import pytest

from tests.emulator.driver import Api

IPS = "/v1/apps/web/ip_assignments"


@pytest.mark.parametrize(
    ("kind", "version", "region"),
    [("v4", 4, "global"), ("v6", 6, "global"), ("shared_v4", 4, "global"), ("private_v6", 6, "global")],
)
async def test_an_address_is_assigned_and_released(api: Api, kind: str, version: int, region: str) -> None:
    asked = {"type": kind, "region": "", "org_slug": "", "network": "", "service_name": "web"}
    said = await api.post(IPS, asked)
    assert (said.status, said.body["region"], said.body["service_name"]) == (200, region, "web")
    assert ipaddress.ip_address(said.body["ip"]).version == version
    assert said.body["shared"] is (kind == "shared_v4")
    (row,) = (await api.get(IPS)).body["ips"]
    assert (row["ip"], row["type"]) == (said.body["ip"], kind)
    path = f"{IPS}/{quote(row['ip'], safe='')}"
    assert (await api.ask("DELETE", path)).status == 204
    gone = await api.ask("DELETE", path)
    assert (gone.status, gone.error) == (404, "ip assignment not found")


@pytest.mark.parametrize("kind", ["egress-pair", "egress_pair"])
async def test_a_pair_for_egress_has_two_addresses(api: Api, kind: str) -> None:
    said = (await api.post(IPS, {"type": kind, "region": "lhr"})).body
    assert (said["ip"], said["egress"], said["region"]) == (None, True, "lhr")
    rows = {row["ip"]: row for row in (await api.get(IPS)).body["ips"]}
    assert rows.keys() == {said["ip_pair"]["v4"], said["ip_pair"]["v6"]}
    assert rows[said["ip_pair"]["v4"]]["type"] == "egress_v4"
    assert rows[said["ip_pair"]["v6"]]["type"] == "egress_v6"


@pytest.mark.parametrize(("kind", "version"), [("egress_v4", 4), ("egress_v6", 6)])
async def test_an_egress_address_can_be_of_one_version(api: Api, kind: str, version: int) -> None:
    said = (await api.post(IPS, {"type": kind, "region": "lhr"})).body
    assert (ipaddress.ip_address(said["ip"]).version, said["egress"], "ip_pair" in said) == (version, True, False)


async def test_only_a_flycast_address_has_a_network(api: Api) -> None:
    asked = {"type": "private_v6", "network": "other", "org_slug": "acme"}
    assert (await api.post(IPS, asked)).body["network"] == {"name": "other", "org_slug": "acme"}
    assert (await api.post(IPS, {"type": "private_v6"})).body["network"] == {"name": "", "org_slug": "personal"}
    assert (await api.post(IPS, {"type": "v6", "network": "other"})).body["network"] is None
    await api.post("/v1/apps", {"name": "apart", "org_slug": "personal", "network": "own"})
    own = await api.post("/v1/apps/apart/ip_assignments", {"type": "private_v6"})
    assert own.body["network"] == {"name": "own", "org_slug": "personal"}
    (shown,) = (await api.get("/v1/apps/apart/ip_assignments")).body["ips"]
    assert shown["network"] == own.body["network"]


async def test_an_app_has_one_shared_address(api: Api) -> None:
    said = [(await api.post(IPS, {"type": "shared_v4"})).body for _ in range(2)]
    assert said[0] == said[1]


async def test_a_private_address_is_in_the_private_network(api: Api) -> None:
    assert (await api.post(IPS, {"type": "private_v6"})).body["ip"].startswith("fdaa:")


async def test_an_address_must_make_sense(api: Api) -> None:
    assert (await api.post(IPS, {"type": "v5"})).error == "invalid type: 'v5'"
    assert (await api.post(IPS, {"type": "v4", "region": "moon"})).error == "unknown region 'moon'"
