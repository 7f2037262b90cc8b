"""What the proxy would answer: by addresses, services, checks, cordons, autostart and limits."""

import asyncio
from typing import Any

import pytest

from flyasync.emulator import Emulator, Fault, PortReach
from tests.emulator.driver import Api, at, serving

HTTP = {"port": 80, "handlers": ["http"]}
HTTPS = {"port": 443, "handlers": ["tls", "http"]}
POSTGRES = {"port": 5432, "handlers": ["pg_tls"]}


def service(*ports: Any, **more: Any) -> dict[str, Any]:
    return {"services": [{"protocol": "tcp", "internal_port": 8080, "ports": ports or (HTTP, HTTPS), **more}]}


async def allocate(api: Api, *kinds: str) -> None:
    for kind in kinds:
        assert (await api.post("/v1/apps/web/ip_assignments", {"type": kind})).status == 200


def codes(api: Api, **options: Any) -> dict[tuple[int | None, str | None], str]:
    return {(each.port, each.address_type): each.code for each in api.emulator.reach("web", **options)}


def only(api: Api, **options: Any) -> PortReach:
    (found,) = api.emulator.reach("web", **options)
    return found


async def test_an_app_without_an_address_or_without_a_service_is_unreachable(api: Api) -> None:
    assert only(api).code == "no_service"
    machine = await api.running(config={"checks": {"up": {"type": "tcp", "port": 80}}})
    assert (only(api).code, only(api).port) == ("no_service", None)
    await api.ask("DELETE", at(machine), params={"force": "true"})
    await api.running(config=service())
    assert codes(api) == {(80, None): "no_address", (443, None): "no_address"}
    await allocate(api, "egress-pair")
    assert codes(api) == {(80, None): "no_address", (443, None): "no_address"}
    await allocate(api, "shared_v4")
    assert codes(api) == {(80, "shared_v4"): "served", (443, "shared_v4"): "served"}


async def test_the_route_shows_each_port_with_the_reason(api: Api) -> None:
    machine = await api.running(config=service(HTTPS))
    await allocate(api, "v6")
    said = await api.get("/_emulator/reach?app=web", headers={"Authorization": ""})
    assert said.status == 200
    (row,) = said.body["ports"]
    assert (row["port"], row["protocol"], row["internal_port"]) == (443, "tcp", 8080)
    assert row["handlers"] == ["tls", "http"]
    assert (row["code"], row["status"], row["reachable"], row["machines"]) == ("served", 200, True, [machine["id"]])
    assert row["reason"] == "a machine is started, not cordoned, and passes the checks of the service"
    assert row["address"].startswith("2a09:")
    for query, status in (("app=none", 404), ("", 400), ("app=web&load=x", 400), ("app=web&load=0", 400)):
        assert (await api.get(f"/_emulator/reach?{query}")).status == status
    with pytest.raises(ValueError, match="load is -1, but must be 1 or more"):
        api.emulator.reach("web", load=-1)
    with pytest.raises(ValueError, match="there is no app 'none'"):
        api.emulator.reach("none")


async def test_what_each_address_can_serve(api: Api) -> None:
    udp = {"protocol": "udp", "internal_port": 53, "ports": [{"port": 53}]}
    await api.running(config={"services": [*service(HTTPS, POSTGRES, {"port": 80})["services"], udp]})
    await allocate(api, "shared_v4", "v4", "v6", "private_v6")
    wrong = {key for key, code in codes(api).items() if code == "wrong_address"}
    assert wrong == {
        (5432, "shared_v4"), (80, "shared_v4"), (53, "shared_v4"), (53, "v6"), (53, "private_v6"),
    }  # fmt: skip
    assert {code for key, code in codes(api).items() if key not in wrong} == {"served"}


async def test_https_may_be_forced(api: Api) -> None:
    await api.running(config=service({**HTTP, "force_https": True}, HTTPS))
    await allocate(api, "v6", "private_v6")
    found = {(each.port, each.address_type): each for each in api.emulator.reach("web")}
    assert {key: each.code for key, each in found.items()} == {
        (80, "v6"): "redirect", (443, "v6"): "served", (80, "private_v6"): "redirect", (443, "private_v6"): "served",
    }  # fmt: skip
    assert found[80, "v6"].status == 301
    assert "there is no certificate" in found[80, "private_v6"].reason


@pytest.mark.parametrize(("autostart", "code"), [(True, "starts_machine"), (False, "stopped")])
async def test_a_stopped_machine(api: Api, autostart: bool, code: str) -> None:  # noqa: FBT001
    await allocate(api, "v6")
    machine = await api.running(config=service(HTTPS, autostart=autostart, autostop="stop"))
    assert only(api).code == "served"
    assert ("stays stopped" in only(api).reason) is not autostart
    await api.act(machine, "stop")
    await api.reach(machine, "stopped")
    assert (only(api).code, only(api).status) == (code, 200 if autostart else 503)
    await api.act(machine, "cordon")
    assert only(api).code == "cordoned"


async def test_checks_cordons_and_hosts(api: Api) -> None:
    await allocate(api, "v6")
    check = {"type": "tcp", "interval": "5s"}
    machine = await api.machine(config={**service(HTTPS, checks=[check]), "checks": {"other": {"port": 1, **check}}})
    seen = [only(api).code]
    await api.reach(machine, "started")
    seen.append(only(api).code)
    await asyncio.sleep(6)
    seen.append(only(api).code)
    await api.act(machine, "cordon")
    seen.append(only(api).code)
    await api.act(machine, "uncordon")
    api.emulator.set_host_status(machine["id"], "unreachable")
    seen.append(only(api).code)
    assert seen == ["starting", "checks_failing", "served", "cordoned", "host_unreachable"]


async def test_only_the_checks_of_the_service_count(api: Api) -> None:
    await allocate(api, "v6")
    late = {"type": "tcp", "interval": "1m"}
    web = service(HTTPS, checks=[{"type": "tcp", "interval": "1s"}])["services"]
    other = service(POSTGRES, checks=[late])["services"]
    await api.running(config={"services": [*web, *other], "checks": {"slow": {**late, "port": 1}}})
    await asyncio.sleep(2)
    assert codes(api) == {(443, "v6"): "served", (5432, "v6"): "checks_failing"}


@pytest.mark.parametrize("checks", [[], [{"type": "tcp", "interval": "2s"}]])
async def test_a_process_that_does_not_listen_is_refused(api: Api, checks: list[Any]) -> None:
    await allocate(api, "v6")
    api.emulator.faults.add(Fault(does="not_listening", times=1))
    machine = await api.running(config=service(HTTPS, checks=checks))
    await asyncio.sleep(10)
    assert (only(api).code, only(api).status) == ("refused", 502)
    assert {row["status"] for row in (await api.look(machine))["checks"]} <= {"critical"}
    other = await api.running(config=service(HTTPS))
    assert (only(api).code, only(api).machines) == ("served", (other["id"],))


async def test_the_load_is_compared_with_the_limits(api: Api) -> None:
    await allocate(api, "v6")
    limits = {"concurrency": {"type": "requests", "soft_limit": 5, "hard_limit": 10}}
    up = [await api.running(config=service(HTTPS, autostart=True, **limits)) for _ in range(2)]
    assert (only(api, load=20).code, only(api, load=21).code) == ("served", "over_limit")
    assert only(api, load=21).status == 503
    await api.act(up[1], "stop")
    await api.reach(up[1], "stopped")
    assert only(api, load=5).reason.endswith("checks of the service")
    assert (only(api, load=11).code, only(api, load=11).machines) == ("served", (up[0]["id"],))
    assert "the proxy starts another one" in only(api, load=11).reason


async def test_ranges_of_ports_and_machines_of_several_groups(api: Api) -> None:
    await allocate(api, "v4")
    ranged = service({"start_port": 7000, "end_port": 7010})
    one, two = [await api.running(config=config) for config in (ranged, service(HTTPS))]
    found = {(each.port, each.end_port): each for each in api.emulator.reach("web")}
    assert {key: (each.machines, each.status) for key, each in found.items()} == {
        (443, None): ((two["id"],), 200),
        (7000, 7010): ((one["id"],), None),
    }


async def test_new_apps_may_get_addresses() -> None:
    async with serving(limits=False, addresses=["shared_v4", "v6"]) as api:
        await api.app()
        assert [row["type"] for row in (await api.get("/v1/apps/web/ip_assignments")).body["ips"]] == [
            "shared_v4",
            "v6",
        ]
        await api.running(config=service())
        assert set(codes(api).values()) == {"served"}
    with pytest.raises(ValueError, match="addresses: 'v5' must be one of v4, v6, shared_v4, private_v6"):
        Emulator(addresses=["v5"])


async def test_a_request_starts_a_machine_with_autostart_under_a_lease_of_the_proxy(api: Api) -> None:
    machine = await api.running(config=service(autostart=True))
    assert api.emulator.request("web") is None  # without an address, no request arrives
    await allocate(api, "v6")
    assert api.emulator.request("web") == machine["id"]
    await api.post(f"{at(machine)}/stop")
    await api.reach(machine, "stopped")
    assert api.emulator.request("web") is None  # just stopped: the host refuses a start
    await asyncio.sleep(2)
    assert api.emulator.request("web") == machine["id"]
    lease = (await api.get(f"{at(machine)}/lease")).body["data"]
    assert lease["owner"].endswith("@tokens.fly.io")
    assert len(lease["owner"].partition("@")[0]) == 36
    assert (await api.post(f"{at(machine)}/stop")).status == 409
    await api.reach(machine, "started")
    assert api.emulator.request("web") == machine["id"]
    await asyncio.sleep(10)
    assert (await api.get(f"{at(machine)}/lease")).status == 404


async def test_a_request_starts_no_machine_that_is_leased_or_has_no_autostart(api: Api) -> None:
    leased, stays = [await api.running(config=service(autostart=each)) for each in (True, False)]
    await allocate(api, "v6")
    for machine in (leased, stays):
        await api.post(f"{at(machine)}/stop")
        await api.reach(machine, "stopped")
    await asyncio.sleep(2)
    await api.post(f"{at(leased)}/lease", {"ttl": 60})
    assert api.emulator.request("web") is None
    await asyncio.sleep(60)
    said = await api.post("/_emulator/request?app=web", headers={"Authorization": ""})
    assert said.body == {"app": "web", "machine_id": leased["id"]}
    for query, status in (("app=none", 404), ("", 400)):
        assert (await api.post(f"/_emulator/request?{query}")).status == status
    with pytest.raises(ValueError, match="there is no app 'none'"):
        api.emulator.request("none")
