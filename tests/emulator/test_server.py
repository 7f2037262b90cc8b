import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import asdict

from flyasync.emulator import Emulator, Fault
from tests.emulator.driver import Api, at, serving

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def a_day_at_work(api: Api) -> None:
    await api.app()
    machine = await api.running(region="lhr", config={"checks": {"up": {"type": "tcp", "port": 80}}})
    for _ in range(5):
        await api.act(machine, "stop")
    await api.reach(machine, "stopped")
    await api.ask("DELETE", at(machine))
    await api.reach(machine, "destroyed")


async def history(seed: int) -> tuple[Any, ...]:
    faults = [Fault(does="refuse", action="stopMachine", probability=0.5, body={"error": "x"})]
    async with serving(seed=seed, epoch=EPOCH, latency=(0.01, 0.2), faults=faults) as api:
        await a_day_at_work(api)
        listed = await api.get("/v1/apps/web/machines?include_deleted=true")
        return api.emulator.log, listed.body, listed.headers["fly-request-id"]


async def test_the_same_seed_gives_the_same_history() -> None:
    assert await history(7) == await history(7) != await history(8)


async def test_a_day_is_over_in_no_time_at_high_speed() -> None:
    async with serving(speed=100, limits=False) as api:
        before = asyncio.get_running_loop().time()
        await a_day_at_work(api)
        assert asyncio.get_running_loop().time() - before < 0.2


async def test_the_published_limits_are_kept_in_real_seconds() -> None:
    async with serving(speed=100) as api:
        await api.app()
        machine = await api.machine()
        reads = [(await api.get(at(machine))).status for _ in range(12)]
        stops = [(await api.act(machine, "cordon")).status for _ in range(5)]
        assert reads == [200] * 10 + [429] * 2
        assert stops == [200] * 3 + [429] * 2
        await asyncio.sleep(1)
        said = [await api.act(machine, "cordon") for _ in range(2)]
        assert [one.status for one in said] == [200, 429]
        assert said[1].body == {"error": "rate limit exceeded"}
        assert "Retry-After" not in said[1].headers
        assert api.emulator.counts()["cordonMachine", machine["id"]] == 7
        assert api.emulator.refused_by_limit() == {
            ("getMachine", machine["id"]): 2,
            ("cordonMachine", machine["id"]): 3,
        }


async def test_a_refusal_by_the_limits_may_say_how_long_to_wait() -> None:
    async with serving(retry_after=True) as api:
        said = [await api.get("/v1/apps/none") for _ in range(4)]
        assert [one.status for one in said] == [404, 404, 404, 429]
        assert said[3].headers["Retry-After"] == "1"


async def test_creates_count_for_the_app_and_apps_for_the_organization() -> None:
    async with serving() as api:
        for name in ("a", "b", "c"):
            await api.app(name)
        assert (await api.post("/v1/apps", {"name": "d", "org_slug": "personal"})).status == 429
        assert (await api.post("/v1/apps", {"name": "d", "org_slug": "other"})).status == 201
        body = {"config": {"image": "nginx"}}
        statuses = [(await api.post(f"/v1/apps/{app}/machines", body)).status for app in "aaaab"]
        assert statuses == [200, 200, 200, 429, 200]
        await api.get("/v1/platform/regions")
        assert ("getRegions", "-") in api.emulator.counts()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "invalid", "FlyV1 invalid", "bearer FlyV1 "])
async def test_a_request_without_a_good_token_is_not_authenticated(authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with serving(headers=headers) as api:
        said = await api.get("/v1/apps/web")
        assert (said.status, said.body) == (401, {"error": "Authenticate: token validation error"})


@pytest.mark.parametrize("authorization", ["Bearer x", "FlyV1 fm2_a,fm2_b", "x", "Bearer FlyV1 fm2_a"])
async def test_any_other_token_is_good(authorization: str) -> None:
    async with serving(headers={"Authorization": authorization}) as api:
        assert (await api.get("/v1/apps/web")).status == 404


async def test_tokens_are_kept_nowhere() -> None:
    async with serving(headers={"Authorization": "Bearer s3cr3t-token"}, limits=False) as api:
        await api.app()
        machine = await api.machine(lease_ttl=5)
        said = [await api.get("/_emulator/log"), await api.get(f"{at(machine)}/lease")]
        world = api.emulator.world
        kept = [[asdict(app) for app in world.apps.values()], [asdict(each) for each in world.machines.values()]]
        assert "s3cr3t" not in repr((said, api.emulator, api.emulator.log, world, kept))
        assert "s3cr3t" not in repr(api.emulator._opened()) + repr(api.emulator._opened().scheduler)


async def test_reprs_say_where_things_stand(api: Api) -> None:
    machine = await api.running(lease_ttl=60)
    api.emulator.faults.add(Fault(does="delay", action="getApp"))
    await api.get("/v1/apps/web")
    await api.act(machine, "stop", headers={"fly-machine-lease-nonce": machine["nonce"]})
    record = repr(api.emulator.world.machines[machine["id"]])
    assert record.startswith(f"<MachineRecord web/{machine['id']} ")
    assert re.search(r": stopping in iad, stopped at \d+\.\d\d s, leased until \d+\.\d\d s>$", record)
    assert re.search(r"<World at \d+\.\d\d s: 1 apps, 1 machines, due at \d+\.\d\d>", repr(api.emulator.world))
    assert repr(api.emulator.faults) == "<Faults delay 1 of 1>"
    opened = api.emulator._opened()
    assert repr(opened) == "<ApiMiddleware: 0 requests inside, 0 to be repeated, <Faults delay 1 of 1>>"
    assert repr(api.emulator) == f"<Emulator {api.emulator.url}: {opened!r}>"
    assert repr(opened.request_log) == "<RequestLog: 5 arrived, 5 ended, 0 limited>"
    assert repr(opened.scheduler).endswith(": 0 waiting, timer set>")
    assert repr(opened._limits) == "<OperationLimits: 0 buckets>"
    assert repr(Emulator()) == "<Emulator, not running>"


async def megabytes(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 1024**2


async def test_strange_requests_get_json_too(api: Api) -> None:
    said = [
        await api.get("/v1/nothing"),
        await api.ask("PUT", "/v1/apps"),
        await api.post("/v1/apps", data=megabytes(17)),
    ]
    assert [one.status for one in said] == [404, 405, 413]
    assert said[0].body == {"error": "not found"}
    assert [(entry.action, entry.status) for entry in api.emulator.log[-3:]] == [
        ("unknown", 404),
        ("unknown", 405),
        ("unknown", 413),
    ]


async def test_every_answer_has_its_own_request_id(api: Api) -> None:
    found = {(await api.get("/v1/apps/web")).headers["fly-request-id"] for _ in range(3)}
    assert len(found) == 3


async def test_a_thousand_long_polls_are_cheap_and_end_together() -> None:
    async with serving(limits=False, boot=(50, 50)) as api:
        await api.app()
        machine = await api.machine()
        said = await asyncio.gather(*(api.wait(machine, "started") for _ in range(1000)))
        assert {one.status for one in said} == {200}
        assert asyncio.get_running_loop().time() == pytest.approx(50, abs=0.1)


async def test_a_poll_vanishes_when_its_client_leaves(api: Api) -> None:
    machine = await api.machine()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await api.wait(machine, "stopped")
    await asyncio.sleep(0.1)
    assert api.emulator._opened()._inside == {}
    assert api.emulator._opened().scheduler._waiting == {}
    assert (api.emulator.log[-1].action, api.emulator.log[-1].status) == ("waitMachine", None)


async def test_stop_drops_what_hangs_at_once() -> None:
    emulator = Emulator(limits=False, faults=[Fault(does="lose_answer", action="getApp")])
    async with emulator, aiohttp.ClientSession(emulator.url, headers={"Authorization": "x"}) as session:
        api = Api(emulator, session)
        await api.app()
        machine = await api.machine()
        hanging = [
            asyncio.ensure_future(api.wait(machine, "stopped")),
            asyncio.ensure_future(api.get("/v1/apps/web")),
        ]
        await asyncio.sleep(3)
        before = asyncio.get_running_loop().time()
        await emulator.stop()
        assert asyncio.get_running_loop().time() - before < 0.5
        said = await asyncio.gather(*hanging, return_exceptions=True)
    assert all(isinstance(one, aiohttp.ClientError) for one in said)
    assert emulator.counts()["getApp", "web"] == 1
    assert machine["id"] in emulator.world.machines
    await emulator.stop()


async def test_an_emulator_can_be_started_again() -> None:
    emulator = Emulator(port=0)
    await emulator.start()
    with pytest.raises(RuntimeError, match="already running"):
        await emulator.start()
    await emulator.stop()
    await emulator.start()
    assert emulator.environment()["FLY_FLAPS_BASE_URL"] == emulator.url
    await emulator.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.url


async def test_a_port_in_use_raises_os_error() -> None:
    async with Emulator() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="address"):
            await Emulator(port=port).start()


def test_before_the_start_there_is_no_world() -> None:
    with pytest.raises(RuntimeError, match="not been started"):
        _ = Emulator().world


@pytest.mark.parametrize(
    "options",
    [
        {"host": "example.com"},
        {"allow_hosts": ["http://emulator.test"]},
        {"allow_hosts": ["emulator.test:4280"]},
        {"allow_hosts": [""]},
        {"speed": 0},
        {"latency": (2, 1)},
        {"boot": (-1, 1)},
        {"capacity": {"atlantis": 1}},
        {"capacity": {"iad": -1}},
    ],
)
def test_nonsense_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Emulator(**options)


async def test_flyctl_is_kept_in_the_sandbox() -> None:
    async with Emulator() as emulator:
        environment = emulator.environment()
        folder = environment.pop("FLY_CONFIG_DIR")
        assert environment == {
            "FLY_FLAPS_BASE_URL": emulator.url,
            "FLY_ACCESS_TOKEN": emulator.token,
            "FLY_API_TOKEN": emulator.token,
            "FLY_API_HOSTNAME": emulator.url,
            "FLY_API_BASE_URL": emulator.url,
            "FLY_UIEX_BASE_URL": emulator.url,
            "FLY_REGISTRY_HOST": emulator.url.removeprefix("http://"),
            "FLY_SCANTRON": emulator.url,
            "FLY_TRACE_COLLECTOR_URL": "127.0.0.1",
            "FLY_METRICS_BASE_URL": emulator.url,
            "FLY_METRICS_TOKEN": emulator.token,
            "FLY_SEND_METRICS": "0",
            "FLY_SYNTHETICS_BASE_URL": emulator.url,
            "FLY_SYNTHETICS_AGENT": "0",
            "FLY_STATUSPAGE_UNRESOLVED_INCIDENTS_URL": f"{emulator.url}/_emulator/incidents",
            "FLY_NO_INCIDENTS_CHECK": "1",
            "FLY_NO_UPDATE_CHECK": "1",
        }
        assert mode_and_files(folder) == (0o700, [])
        assert emulator.environment()["FLY_CONFIG_DIR"] == folder
        async with Emulator() as other:
            assert other.environment()["FLY_CONFIG_DIR"] != folder
    with pytest.raises(FileNotFoundError):
        mode_and_files(folder)
    with pytest.raises(RuntimeError, match="not running"):
        emulator.environment()


async def test_with_tls_the_variables_name_the_authority() -> None:
    async with Emulator(tls=True) as emulator:
        environment = emulator.environment()
        assert emulator.url.startswith("https://127.0.0.1:")
        assert environment["FLY_FLAPS_BASE_URL"] == environment["FLY_UIEX_BASE_URL"] == emulator.url
        assert environment["FLY_REGISTRY_HOST"] == emulator.url.removeprefix("https://")
        names = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
        assert {environment[name] for name in names} == {str(emulator.ca_file)}
        assert len(ssl.create_default_context(cafile=environment["SSL_CERT_FILE"]).get_ca_certs()) == 1
    with pytest.raises(FileNotFoundError):
        ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])


async def test_without_tls_there_is_no_authority() -> None:
    async with Emulator() as emulator:
        assert emulator.ca_file is None
        assert emulator.ssl_context is None
        assert "SSL_CERT_FILE" not in emulator.environment()


def mode_and_files(folder: str) -> tuple[int, list[Path]]:
    return Path(folder).stat().st_mode & 0o777, list(Path(folder).iterdir())


async def test_the_epoch_is_the_time_of_the_json() -> None:
    async with serving(epoch=datetime(2026, 3, 1, 12)) as api:  # noqa: DTZ001 - no zone means UTC
        await api.app()
        await asyncio.sleep(2)
        machine = await api.machine()
        assert machine["created_at"] == "2026-03-01T12:00:02.000Z"
        assert machine["events"][0]["timestamp"] == 1772366402000


async def test_latency_is_spent_before_the_work() -> None:
    async with serving(latency=(2, 2), limits=False) as api:
        await api.app()
        assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.01)
        assert api.emulator.world.apps["web"].created_at == pytest.approx(2, abs=0.01)


async def test_reset_begins_again(api: Api) -> None:
    machine = await api.machine()
    poll = asyncio.ensure_future(api.wait(machine, "stopped"))
    await asyncio.sleep(5)
    api.emulator.set_capacity("iad", 0)
    api.emulator.reset()
    assert (await poll).status == 404
    assert api.emulator.world.apps == {}
    assert api.emulator.world.capacity == {}
    assert [entry.status for entry in api.emulator.log] == [404]
    await api.app()
    assert (await api.machine())["id"] == machine["id"]
