import asyncio
import subprocess
import sys
from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault
from flyasync.errors import ClientClosed, InvalidInput, MissingToken, NoReplyInTime, Unreadable
from flyasync.transport.events import Attempt, ClientEvent
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.session import Timeouts
from tests.api.client_on_emulator import NGINX, Ask, asked, client, count, now, running

SECRET = "fm2_s3cret"


def test_a_client_shows_its_url_and_never_its_token() -> None:
    fly = FlyClient(SECRET)
    assert repr(fly) == "FlyClient(base_url='https://api.machines.dev')"
    for resource in (fly.apps, fly.machines, fly.leases, fly.volumes, fly.platform, fly.machines.once):
        assert SECRET not in repr(resource)


def test_a_resource_is_imported_when_it_is_first_asked_for_and_stays_the_same() -> None:
    program = (
        "import sys\n"
        "from flyasync import FlyClient\n"
        "fly = FlyClient('fm2_x')\n"
        "heavy = {'flyasync.api.machines.machines', 'flyasync.api.postgres', 'flyasync.models.postgres'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "assert fly.machines is fly.machines\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]\n['flyasync.api.machines.machines']\n"


@pytest.mark.parametrize("name", ["FLY_ACCESS_TOKEN", "FLY_API_TOKEN"])
async def test_token_and_url_come_from_the_environment(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, emulator.token)
    monkeypatch.setenv("FLY_FLAPS_BASE_URL", emulator.url)
    async with FlyClient() as fly:
        assert fly.base_url == emulator.url
        assert await fly.apps.list("personal") == ()


async def test_the_environment_of_an_emulator_is_all_that_a_client_needs(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    async with FlyClient() as fly:
        await fly.platform.regions()


def test_a_client_without_a_token_says_where_it_looked() -> None:
    with pytest.raises(MissingToken, match=r"FLY_ACCESS_TOKEN.*FLY_API_TOKEN.*config\.yml"):
        FlyClient()


@pytest.mark.parametrize("url", ["http://api.machines.dev", "http://10.0.0.1:8080", "ftp://api.machines.dev"])
def test_a_url_that_would_show_the_token_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        FlyClient(SECRET, base_url=url)
    assert SECRET not in str(caught.value)


async def test_a_closed_client_refuses_and_sends_nothing(emulator: Emulator) -> None:
    async with client(emulator) as fly:
        await fly.platform.regions()
    with pytest.raises(ClientClosed) as caught:
        await fly.apps.get("web")
    assert not caught.value.may_have_happened
    await fly.aclose()
    assert count(emulator, "getApp") == 0


async def test_closing_lets_calls_finish_and_cuts_waits(emulator: Emulator, fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    emulator.faults.add(Fault(does="delay", action="cordonMachine", seconds=3))
    call = asyncio.create_task(fly.machines.cordon(app, machine.id))
    wait = asyncio.create_task(fly.machines.wait(app, machine.id, state="stopped"))
    await asyncio.sleep(1)
    await fly.aclose()
    await call
    with pytest.raises(ClientClosed) as caught:
        await wait
    assert not caught.value.may_have_happened
    assert emulator.world.machines[machine.id].is_cordoned


async def test_two_clients_share_a_loop_and_nothing_else(emulator: Emulator, app: str) -> None:
    async with client(emulator) as one, client(emulator) as other:
        machine = await running(one)
        await one.aclose()
        assert (await other.machines.get(app, machine.id)).state == "started"


@pytest.mark.parametrize("timeout", [2.0, Timeouts(connect=1, reply=2)])
async def test_a_call_is_bounded_in_time(emulator: Emulator, timeout: Any) -> None:
    emulator.faults.add(Fault(does="lose_answer", action="createVolume"))
    async with client(emulator, timeout=timeout) as fly:
        await fly.apps.create("web", org_slug="personal")
        before = now()
        with pytest.raises(NoReplyInTime) as caught:
            await fly.volumes.create("web", name="data", region="iad")
    assert now() - before == pytest.approx(2, abs=0.1)
    assert caught.value.may_have_happened


async def test_retries_and_limits_are_the_ones_given(emulator: Emulator) -> None:
    emulator.faults.add(Fault(does="refuse", action="getRegions", times=3))
    slow = Limits(default=Rate(per_second=0.1, burst=1))
    async with client(emulator, retry=RetryPolicy(attempts=4, base=0.01), limits=slow) as fly:
        await fly.platform.regions()
    assert count(emulator, "getRegions") == 4
    assert now() == pytest.approx(30, abs=0.2)


async def test_an_onlooker_hears_of_each_attempt(emulator: Emulator) -> None:
    emulator.faults.add(Fault(does="refuse", action="getRegions", times=1))
    heard: list[ClientEvent] = []
    async with client(emulator, on_event=heard.append) as fly:
        await fly.platform.regions()
    assert [(one.operation, one.number, one.status, one.error) for one in heard if isinstance(one, Attempt)] == [
        ("platform.regions", 1, 503, "ServerFault"),
        ("platform.regions", 2, 200, None),
    ]


async def test_a_burst_of_creates_and_gets_meets_no_429_whatever_the_network_does() -> None:
    async with Emulator(seed=3, latency=(0.02, 0.25)) as emulator, client(emulator) as fly:
        await fly.apps.create("web", org_slug="personal")
        made = await asyncio.gather(*(fly.machines.create("web", NGINX) for _ in range(100)))
        assert 97 <= now() <= 102
        await asyncio.gather(*(fly.machines.get("web", made[0].id) for _ in range(60)))
        await asyncio.gather(*(fly.machines.list("web") for _ in range(10)))
        assert emulator.refused_by_limit() == {}
        assert len(emulator.world.machines) == 100


async def test_machines_of_one_app_are_told_at_once_what_to_do(fly: FlyClient, emulator: Emulator, app: str) -> None:
    made = await asyncio.gather(*(fly.machines.create(app, NGINX) for _ in range(20)))
    await asyncio.gather(*(fly.machines.wait(app, machine.id) for machine in made))
    before = now()
    await asyncio.gather(*(fly.machines.cordon(app, machine.id) for machine in made))
    assert now() - before < 0.1
    assert emulator.refused_by_limit() == {}


async def test_graphql_and_logs_stay_beside_an_api_on_this_machine(fly: FlyClient, emulator: Emulator) -> None:
    assert fly.api_url == emulator.url
    assert FlyClient("token").api_url == "https://api.fly.io"
    assert FlyClient("token", api_url="https://api.example").api_url == "https://api.example"


async def test_a_closed_client_is_closed_to_graphql_and_logs_too(emulator: Emulator) -> None:
    fly = client(emulator)
    assert await fly.orgs.list()
    await fly.aclose()
    with pytest.raises(ClientClosed):
        await fly.orgs.list()
    with pytest.raises(ClientClosed):
        await anext(fly.logs.stream("web"))


@pytest.mark.parametrize("size", [0, -1, 1.5, "1 GiB", None, True, float("inf")])
def test_a_limit_of_answers_that_makes_no_sense_is_refused(size: Any) -> None:
    with pytest.raises(InvalidInput, match=r"max_answer is .*, but must be a whole number of bytes, 1 or more"):
        FlyClient("token", max_answer=size)


@pytest.mark.parametrize("ask", [lambda fly: fly.apps.get("web"), lambda fly: fly.graphql("{ a }")])
async def test_an_answer_that_is_too_long_is_not_read_to_its_end(ask: Ask) -> None:
    async with (
        asked({"data": {}, "name": "x" * 1000}) as (recorder, _),
        FlyClient("token", base_url=recorder.url, api_url=recorder.url, max_answer=1000) as fly,
    ):
        with pytest.raises(Unreadable, match=r"longer than 1000 bytes.*max_answer") as caught:
            await ask(fly)
    assert not caught.value.may_have_happened
    assert len(recorder.heard) == 1
