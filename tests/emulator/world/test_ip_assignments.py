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


async def test_a_pair_for_egress_has_two_addresses(api: Api) -> None:
    said = (await api.post(IPS, {"type": "egress-pair", "region": "lhr"})).body
    assert (said["egress"], said["region"]) == (True, "lhr")
    rows = (await api.get(IPS)).body["ips"]
    assert {row["ip"] for row in rows} == {said["ip_pair"]["v4"], said["ip_pair"]["v6"]}


async def test_an_app_has_one_shared_address(api: Api) -> None:
    said = [(await api.post(IPS, {"type": "shared_v4"})).body for _ in range(2)]
    assert said[0] == said[1]


async def test_a_private_address_is_in_the_private_network(api: Api) -> None:
    assert (await api.post(IPS, {"type": "private_v6"})).body["ip"].startswith("fdaa:")


async def test_an_address_must_make_sense(api: Api) -> None:
    assert (await api.post(IPS, {"type": "v5"})).error == "invalid type: 'v5'"
    assert (await api.post(IPS, {"type": "v4", "region": "moon"})).error == "unknown region 'moon'"
