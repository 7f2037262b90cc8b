import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from flyasync.api.client import FlyClient
from flyasync.api.machines.poller import Detail, survey
from flyasync.api.machines.wait import Waits, most_pollers, most_readers
from flyasync.emulator import Emulator, Fault
from flyasync.errors import (
    BadRequest,
    FlyError,
    Forbidden,
    NotFound,
    RateLimited,
    ServerFault,
    TimedOut,
    Unreadable,
    WaitFailed,
)
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine
from flyasync.models.machine_results import WaitResult
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.session import Timeouts
from tests.api.client_on_emulator import NGINX, asked, client, count, now, running, scripted, stopped
from tests.api.machines.machine_values import a_machine, an_exit

DIRECT = 32  # waits of one app that poll
MANY = DIRECT + 8
NO_LIMITS = Limits(default=Rate(per_second=1e6, burst=1_000_000), operations={}, totals={})
NO_RESTART = structure({"image": "nginx", "restart": {"policy": "no"}}, MachineConfig)
CHECKED_AS_JSON = {"image": "nginx", "checks": {"alive": {"type": "tcp", "port": 80}}}
THERE = {"id": "m1", "name": "m1", "state": "started", "region": "iad"}
CHECKED = structure(CHECKED_AS_JSON, MachineConfig)


@pytest_asyncio.fixture(autouse=True)
async def nothing_left_behind(fly: FlyClient) -> AsyncIterator[None]:
    yield
    assert fly.machines._waits._pollers == {}


Company = Callable[[FlyClient], Awaitable[None]]


@pytest_asyncio.fixture
async def crowd() -> AsyncIterator[Company]:
    """So many waits in the app that all others are served by lists."""
    waits: list[asyncio.Task[str]] = []

    async def gather(fly: FlyClient) -> None:
        machine = await stopped(fly, name="crowd")
        waiting = {"state": "suspended", "timeout": 1e6}
        ask: Any = fly.machines.wait
        waits.extend(asyncio.create_task(ask("web", machine.id, **waiting)) for _ in range(DIRECT))
        await asyncio.sleep(0)

    yield gather
    await dissolve(waits)


async def alone(_: FlyClient) -> None:
    """Wait by long polls."""


@pytest.fixture(params=["by polls", "by looks"])
def company(request: pytest.FixtureRequest, crowd: Company) -> Company:
    return alone if request.param == "by polls" else crowd


# What a wait gives, in either way


async def test_a_wait_outlasts_the_sixty_seconds_of_one_poll(fly: FlyClient, emulator: Emulator, app: str) -> None:
    machine = await stopped(fly)

    async def late() -> None:
        await asyncio.sleep(200)
        await fly.machines.start(app, machine.id)

    starting = asyncio.create_task(late())
    assert await fly.machines.wait(app, machine.id) == "started"
    await starting
    assert 200 < now() < 210
    assert count(emulator, "waitMachine") - 1 == 7
    assert emulator.refused_by_limit() == {}


async def test_a_wait_gives_the_state_reached(fly: FlyClient, app: str, company: Company) -> None:
    machine = await stopped(fly)
    await company(fly)
    assert await fly.machines.wait(app, machine.id, state="stopped") == "stopped"
    assert await fly.machines.wait(app, machine.id, state="settled") == "stopped"
    await fly.machines.start(app, machine.id)
    assert await fly.machines.wait(app, machine.id, state="settled", timeout=30) == "started"


async def test_a_machine_that_is_just_made_is_not_settled(fly: FlyClient, app: str, company: Company) -> None:
    await company(fly)
    machine = await fly.machines.create(app, NGINX, skip_launch=True)
    assert await fly.machines.wait(app, machine.id, state="settled", timeout=30) == "stopped"


async def test_destroyed_is_reached_by_state_or_by_absence(
    fly: FlyClient, emulator: Emulator, app: str, company: Company
) -> None:
    machine = await stopped(fly)
    await company(fly)
    await fly.machines.delete(app, machine.id)
    wait = fly.machines.wait(app, machine.id, state="destroyed", version=machine.instance_id)
    assert await wait == "destroyed"
    assert await fly.machines.wait(app, machine.id, state="destroyed") == "destroyed"
    del emulator.world.machines[machine.id]
    assert await fly.machines.wait(app, machine.id, state="destroyed") == "destroyed"
    assert await fly.machines.wait(app, "0123456789abcd", state="destroyed") == "destroyed"


async def test_an_old_version_does_not_keep_a_wait_for_the_end_from_ending(
    fly: FlyClient, app: str, company: Company
) -> None:
    machine = await stopped(fly)
    await fly.machines.update(app, machine.id, NGINX)
    await fly.machines.wait(app, machine.id, state="stopped")
    await company(fly)
    await fly.machines.delete(app, machine.id)
    wait = fly.machines.wait(app, machine.id, state="destroyed", version=machine.instance_id, timeout=30)
    assert await wait == "destroyed"


async def test_a_new_version_is_waited_for_and_no_other_counts(fly: FlyClient, app: str, company: Company) -> None:
    machine = await running(fly)
    await company(fly)
    updated = await fly.machines.update(app, machine.id, NGINX)
    before = now()
    assert await fly.machines.wait(app, machine.id, version=updated.instance_id, timeout=30) == "started"
    assert now() > before
    assert (await fly.machines.get(app, machine.id)).state == "started"


@pytest.mark.parametrize("state", ["started", "stopped", "settled"])
async def test_a_version_that_was_replaced_is_hopeless(fly: FlyClient, app: str, company: Company, state: str) -> None:
    machine = await running(fly)
    await fly.machines.update(app, machine.id, NGINX)
    await fly.machines.wait(app, machine.id)
    await company(fly)
    before = now()
    with pytest.raises(WaitFailed, match="was replaced by") as caught:
        await fly.machines.wait(app, machine.id, state=state, version=machine.instance_id)
    assert caught.value.hopeless
    assert now() - before < 7


@pytest.mark.parametrize(
    ("fault", "said", "state"),
    [
        (Fault(does="fail", name="victim"), "it has failed", "failed"),
        (Fault(does="crash", name="victim", seconds=0, exit_code=3), "exit code 3", "stopped"),
        (Fault(does="crash", name="victim", seconds=0, exit_code=0), "exit code 0", "stopped"),
        (Fault(does="launch_fail", name="victim"), "it no longer exists", "destroyed"),
    ],
    ids=["failed", "crashed", "ended", "launch failed"],
)
async def test_a_machine_that_cannot_get_there_is_noticed_within_seconds(
    fly: FlyClient, emulator: Emulator, app: str, company: Company, *, fault: Fault, said: str, state: str
) -> None:
    emulator.faults.add(fault)
    await company(fly)
    machine = await fly.machines.create(app, NO_RESTART, name="victim", skip_launch=state != "destroyed")
    if state != "destroyed":
        await fly.machines.wait(app, machine.id, state="stopped")
        await fly.machines.start(app, machine.id)
        await asyncio.sleep(5)
    before = now()
    with pytest.raises(WaitFailed, match=said) as caught:
        await fly.machines.wait(app, machine.id)
    error = caught.value
    assert error.hopeless
    assert error.state in {state, "destroying", "launch_failed"}
    assert now() - before < 7
    assert f"fly.machines.events('web', '{machine.id}')" in str(error)
    assert f"flyasync machines events web {machine.id}" in error.for_command


async def test_polls_that_fail_at_once_do_not_make_the_next_ones_longer(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    emulator.faults.add(
        Fault(does="fail"),
        Fault(does="refuse", action="waitMachine", status=502, times=4),
        Fault(does="delay", action="getMachine", times=4),
    )
    machine = await fly.machines.create(app, NGINX)
    start = now()
    with pytest.raises(WaitFailed, match="it has failed"):
        await fly.machines.wait(app, machine.id)
    assert now() - start < 12


async def test_a_machine_that_was_destroyed_meanwhile_is_hopeless(fly: FlyClient, app: str, company: Company) -> None:
    machine = await stopped(fly)
    await company(fly)
    waiting = asyncio.create_task(fly.machines.wait(app, machine.id))
    await asyncio.sleep(2)
    await fly.machines.delete(app, machine.id)
    with pytest.raises(WaitFailed, match="it no longer exists"):
        await waiting


async def test_a_stop_that_was_asked_for_is_no_crash(fly: FlyClient, app: str, company: Company) -> None:
    machine = await running(fly)
    await fly.machines.stop(app, machine.id)
    await fly.machines.wait(app, machine.id, state="stopped")
    await company(fly)
    waiting = asyncio.create_task(fly.machines.wait(app, machine.id))
    await asyncio.sleep(30)
    assert not waiting.done()
    await fly.machines.start(app, machine.id)
    assert await waiting == "started"


async def test_a_crash_before_the_last_start_is_forgiven(
    fly: FlyClient, emulator: Emulator, app: str, company: Company
) -> None:
    machine = await stopped(fly, NO_RESTART, name="victim")
    emulator.faults.add(Fault(does="crash", name="victim", times=1))
    await fly.machines.start(app, machine.id)
    await fly.machines.wait(app, machine.id, state="stopped", timeout=30)
    await asyncio.sleep(5)
    await company(fly)
    await fly.machines.start(app, machine.id)
    assert await fly.machines.wait(app, machine.id) == "started"


async def test_time_that_runs_out_is_not_hopeless_and_tells_the_last_state(
    fly: FlyClient, app: str, company: Company
) -> None:
    machine = await stopped(fly)
    await company(fly)
    before = now()
    with pytest.raises(WaitFailed, match="not within 7 s") as caught:
        await fly.machines.wait(app, machine.id, timeout=7)
    error = caught.value
    assert (error.state, error.wanted, error.hopeless) == ("stopped", "started", False)
    assert (error.app, error.machine_id, error.may_have_happened) == ("web", machine.id, False)
    assert now() - before == pytest.approx(7, abs=0.1)


async def test_a_wait_too_short_for_any_look_tells_the_state_nevertheless(fly: FlyClient, app: str) -> None:
    machine = await fly.machines.create(app, NGINX)
    with pytest.raises(WaitFailed, match="is starting, not suspended: it was not within 1 s"):
        await fly.machines.wait(app, machine.id, state="suspended", timeout=1)


async def test_a_machine_that_is_not_there_is_not_found_at_once(fly: FlyClient, app: str, company: Company) -> None:
    await company(fly)
    before = now()
    with pytest.raises(NotFound):
        await fly.machines.wait(app, "0123456789abcd")
    assert now() - before < 2


async def test_a_machine_that_was_just_created_may_be_unknown_for_a_while(
    fly: FlyClient, emulator: Emulator, app: str, company: Company
) -> None:
    await company(fly)
    machine = await stopped(fly)
    unknown: dict[str, Any] = {"status": 404, "body": {"error": "machine not found"}}
    for action in ("waitMachine", "getMachine", "listMachines"):
        emulator.faults.add(Fault(does="refuse", action=action, times=4, **unknown))
    assert await fly.machines.wait(app, machine.id, state="stopped", just_created=True) == "stopped"


async def test_a_machine_that_never_becomes_known_is_not_found_after_that_while(
    fly: FlyClient, app: str, company: Company
) -> None:
    await company(fly)
    before = now()
    with pytest.raises(NotFound):
        await fly.machines.wait(app, "0123456789abcd", just_created=True)
    assert now() - before == pytest.approx(30, abs=2)


TROUBLE = [
    *({"does": "refuse", "status": status} for status in (500, 502, 503, 504, 408, 429)),
    {"does": "refuse", "status": 429, "headers": {"Retry-After": "3600"}},
    {"does": "cut"},
    {"does": "cut_after"},
    {"does": "lose_answer"},
    {"does": "delay", "seconds": 20},
]


@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: " ".join(map(str, trouble.values())))
@pytest.mark.parametrize("action", ["*Machine*", "[lw]*Machine*"])
async def test_trouble_during_a_wait_is_survived(
    fly: FlyClient, emulator: Emulator, app: str, company: Company, *, trouble: dict[str, Any], action: str
) -> None:
    machine = await stopped(fly, name="victim")
    await company(fly)
    waiting = asyncio.create_task(fly.machines.wait(app, machine.id, timeout=900))
    emulator.faults.add(*(Fault(action=action, identifier=whom, **trouble) for whom in (app, machine.id)))
    await asyncio.sleep(45)
    emulator.faults.clear()
    await fly.machines.start(app, machine.id)
    assert await waiting == "started"


async def test_while_the_api_wants_no_polls_the_machine_is_looked_at(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    machine = await stopped(fly)
    emulator.faults.add(
        Fault(does="refuse", action="waitMachine", status=429, headers={"Retry-After": "3600"}, times=1)
    )
    waiting = asyncio.create_task(fly.machines.wait(app, machine.id))
    await asyncio.sleep(10)
    before = now()
    await fly.machines.start(app, machine.id)
    assert await waiting == "started"
    assert now() - before < 5
    assert count(emulator, "waitMachine") == 2, (
        "one for the machine that has just been stopped, and one that was refused"
    )


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_that_will_not_pass_ends_all_waits_soon(
    fly: FlyClient, emulator: Emulator, app: str, status: int
) -> None:
    made = await asyncio.gather(*(stopped(fly) for _ in range(MANY)))
    waits = [asyncio.create_task(fly.machines.wait(app, machine.id)) for machine in made]
    await asyncio.sleep(20)
    emulator.faults.add(Fault(does="refuse", status=status, body={"error": "unauthorized"}))
    before = now()
    ended = await asyncio.gather(*waits, return_exceptions=True)
    assert {type(error).__name__ for error in ended} == {"Unauthorized" if status == 401 else "Forbidden"}
    assert now() - before < 65


async def test_an_app_that_goes_takes_its_waits_with_it(fly: FlyClient, app: str) -> None:
    made = await asyncio.gather(*(stopped(fly) for _ in range(MANY)))
    waits = [asyncio.create_task(fly.machines.wait(app, machine.id)) for machine in made]
    ends = [asyncio.create_task(fly.machines.wait(app, machine.id, state="destroyed")) for machine in made]
    await asyncio.sleep(10)
    await fly.apps.delete(app)
    before = now()
    assert {type(error) for error in await asyncio.gather(*waits, return_exceptions=True)} == {NotFound}
    assert set(await asyncio.gather(*ends)) == {"destroyed"}
    assert now() - before < 65


NOT_ON_ITS_WAY = "invalid_argument: machine is not transitioning to started"
NO_VERSION = "instance_id required when waiting for stopped machine"
A_VERSION = "01KDVDNA1YZW8WMPGK273Q8R3Y"


def refused_poll(text: str = NOT_ON_ITS_WAY, status: int = 400, **more: Any) -> Fault:
    return Fault(does="refuse", action="waitMachine", status=status, body={"error": text}, **more)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, NOT_ON_ITS_WAY),
        (409, "aborted: machine still attempting to start"),
        (412, "failed_precondition: machine is not transitioning"),
        (422, NOT_ON_ITS_WAY),
    ],
)
async def test_a_poll_that_is_refused_has_the_machine_looked_at_and_the_wait_goes_on(
    fly: FlyClient, emulator: Emulator, app: str, status: int, text: str
) -> None:
    machine = await fly.machines.create(app, NGINX)
    emulator.faults.add(refused_poll(text, status, times=3))
    assert await fly.machines.wait(app, machine.id) == "started"
    assert count(emulator, "getMachine") >= 1


async def test_polls_that_are_always_refused_are_no_obstacle(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(refused_poll())
    machine = await fly.machines.create(app, NGINX)
    assert await fly.machines.wait(app, machine.id, timeout=60) == "started"
    before = now()
    with pytest.raises(WaitFailed, match="not within 20 s") as caught:
        await fly.machines.wait(app, machine.id, state="suspended", timeout=20)
    assert not caught.value.hopeless
    assert now() - before == pytest.approx(20, abs=0.1)
    assert count(emulator, "waitMachine") < 40


async def test_a_refused_poll_shows_that_a_machine_has_failed(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(refused_poll(), Fault(does="fail"))
    machine = await fly.machines.create(app, NGINX)
    before = now()
    with pytest.raises(WaitFailed) as caught:
        await fly.machines.wait(app, machine.id)
    assert (caught.value.hopeless, caught.value.state) == (True, "failed")
    assert now() - before < 30


@pytest.mark.parametrize("asked", [{"state": "runing"}, {"version": "v2"}])
async def test_a_poll_that_is_refused_for_what_it_asked_ends_the_wait(
    fly: FlyClient, emulator: Emulator, app: str, asked: dict[str, Any]
) -> None:
    machine = await running(fly)
    emulator.faults.add(refused_poll("invalid_argument: no"))
    with pytest.raises(BadRequest):
        await fly.machines.wait(app, machine.id, **{"state": "stopped", **asked})
    assert emulator.log[-1].action == "waitMachine"


async def test_where_the_api_wants_a_version_the_present_one_is_named() -> None:
    present = {**THERE, "state": "stopping", "instance_id": A_VERSION}
    answer = {"ok": True, "state": "stopped"}
    async with scripted((400, {"error": NO_VERSION}), (200, present), (200, answer)) as (server, fly):
        assert await fly.machines.wait("web", "m1", state="stopped") == "stopped"
    polls = [sent.line for sent in server.heard if "/wait" in sent.line]
    assert [f"version={A_VERSION}" in poll for poll in polls] == [False, True]


async def test_one_404_does_not_make_a_machine_destroyed(fly: FlyClient, emulator: Emulator, app: str) -> None:
    machine = await running(fly)
    unknown = Fault(
        does="refuse", action="waitMachine", status=404, body={"error": f"invalid machine ID, '{machine.id}'"}, times=1
    )
    emulator.faults.add(unknown)
    with pytest.raises(WaitFailed, match="not within 10 s"):
        await fly.machines.wait(app, machine.id, state="destroyed", timeout=10)
    assert emulator.faults.hits(unknown) == 1


# How much it costs


async def test_up_to_32_waits_are_long_polls(fly: FlyClient, emulator: Emulator, app: str) -> None:
    made = await asyncio.gather(*(fly.machines.create(app, NGINX) for _ in range(DIRECT)))
    before = now()
    await asyncio.gather(*(fly.machines.wait(app, machine.id) for machine in made))
    assert now() - before <= 3
    assert count(emulator, "waitMachine") == DIRECT
    assert count(emulator, "listMachines") == 0


async def test_a_thousand_waits_on_one_app_take_one_list_a_second_and_few_connections() -> None:
    async with Emulator(seed=2, limits=False) as free, client(free) as fly, client(free, limits=NO_LIMITS) as other:
        await fly.apps.create("web", org_slug="personal")
        made = await asyncio.gather(*(other.machines.create("web", NGINX, skip_launch=True) for _ in range(200)))
        await asyncio.sleep(5)
        waits = [asyncio.create_task(fly.machines.wait("web", machine.id)) for machine in 5 * made]
        await asyncio.sleep(9.5)
        assert count(free, "listMachines") == 10
        assert count(free, "waitMachine") <= DIRECT * 2
        assert count(free, "getMachine") == DIRECT
        assert connections(fly) <= DIRECT + 4
        before = now()
        await fly.machines.get("web", made[-1].id)
        await fly.machines.cordon("web", made[-1].id)
        await asyncio.gather(*(other.machines.start("web", machine.id) for machine in made))
        assert now() - before < 0.1
        assert set(await asyncio.gather(*waits)) == {"started"}
        assert now() - before < 5


def connections(fly: FlyClient) -> int:
    session = fly._sender._session._client
    assert session is not None
    assert session.connector is not None
    return len(session.connector._acquired) + sum(map(len, session.connector._conns.values()))


async def test_many_waits_keep_the_published_limits(fly: FlyClient, emulator: Emulator, app: str) -> None:
    made = await asyncio.gather(*(stopped(fly) for _ in range(MANY)))
    waits = [asyncio.create_task(fly.machines.wait(app, machine.id)) for machine in made]
    for _ in range(20):
        await fly.machines.list(app)
    await asyncio.gather(*(fly.machines.start(app, machine.id) for machine in made))
    await asyncio.gather(*waits)
    assert emulator.refused_by_limit() == {}


async def test_waits_of_two_apps_are_independent(fly: FlyClient, emulator: Emulator, app: str) -> None:
    await fly.apps.create("api", org_slug="personal")
    busy = await stopped(fly)
    crowd = [asyncio.create_task(fly.machines.wait(app, busy.id)) for _ in range(MANY)]
    await asyncio.sleep(1)
    emulator.faults.add(Fault(does="refuse", action="listMachines", app=app))
    other = await fly.machines.create("api", NGINX)
    assert await fly.machines.wait("api", other.id) == "started"
    assert ("listMachines", "api") not in emulator.counts()
    emulator.faults.clear()
    await fly.machines.start(app, busy.id)
    assert set(await asyncio.gather(*crowd)) == {"started"}


# Who looks for all


async def test_cancelling_any_waiter_harms_nobody_else(fly: FlyClient, emulator: Emulator, app: str) -> None:
    machine = await stopped(fly)
    emulator.faults.add(Fault(does="delay", action="listMachines", seconds=0.7))
    waits = [asyncio.create_task(fly.machines.wait(app, machine.id)) for _ in range(DIRECT + 30)]
    for step in range(25):
        await asyncio.sleep(0.4)
        waits[DIRECT + step].cancel()
    await fly.machines.start(app, machine.id)
    ended = await asyncio.gather(*waits, return_exceptions=True)
    assert sum(isinstance(one, asyncio.CancelledError) for one in ended) == 25
    assert sum(one == "started" for one in ended) == DIRECT + 5


async def test_a_crash_loop_is_noticed_within_seconds(
    fly: FlyClient, emulator: Emulator, app: str, company: Company
) -> None:
    await company(fly)
    emulator.faults.add(Fault(does="crash", seconds=0.2, exit_code=3))
    config = structure({**CHECKED_AS_JSON, "restart": {"policy": "always"}}, MachineConfig)
    machine = await fly.machines.create(app, config)
    before = now()
    with pytest.raises(WaitFailed, match="exit code 3, after 2 restarts") as caught:
        await fly.machines.wait_healthy(app, machine.id)
    assert caught.value.hopeless
    assert now() - before < 12


async def test_a_machine_that_comes_up_after_a_restart_is_waited_for(
    fly: FlyClient, emulator: Emulator, app: str, company: Company
) -> None:
    await company(fly)
    emulator.faults.add(Fault(does="crash", seconds=0.2, exit_code=3, times=1))
    machine = await fly.machines.create(app, CHECKED)
    healthy = await fly.machines.wait_healthy(app, machine.id)
    assert healthy.exit_event is not None
    assert healthy.exit_event.exit_code == 3


# Small worlds, for what no emulator does


class World:
    """Machines as told by hand; what is asked is noted."""

    def __init__(self, *, seconds: float = 0.2, pollers: int = 800, readers: int = 16, **options: int) -> None:
        self.by_name: dict[str, Machine | FlyError] = {}
        self.listed: list[Machine] = []
        self.list_errors: list[FlyError] = []
        self.results: list[WaitResult | FlyError] = []
        self.has_results = asyncio.Event()
        self.named: list[str | None] = []
        self.asked: Counter[str] = Counter()
        self.under_way = self.most_at_once = 0
        self.waits = Waits(self.get, self.survey, self.poll, pollers=pollers, readers=readers, **options)
        self._seconds = seconds

    async def get(self, _: str, machine_id: str) -> Machine:
        self.asked[f"get {machine_id}"] += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(self._seconds)
        self.under_way -= 1
        found = self.by_name[machine_id]
        if isinstance(found, FlyError):
            raise found
        return found

    async def survey(self, app: str, *, detail: Detail) -> tuple[Machine, ...]:
        self.asked["list"] += 1
        self.asked[f"{detail} of {app}"] += 1
        shown = tuple(self.listed)  # as of now, not of when it arrives
        await asyncio.sleep(self._seconds)
        if self.list_errors:
            raise self.list_errors.pop(0)
        return shown

    async def poll(self, *_: str, version: str | None, **__: Any) -> WaitResult:
        self.asked["poll"] += 1
        self.named.append(version)
        await asyncio.sleep(self._seconds)
        if not self.results:
            await self.has_results.wait()
        result = self.results.pop(0)
        if isinstance(result, FlyError):
            raise result
        return result

    async def until(self, machine_id: str = "m1", wanted: str = "started", app: str = "web", **options: Any) -> str:
        chosen = {"version": None, "timeout": 300.0, "just_created": False, **options}
        return (await self.waits.until(app, machine_id, wanted, **chosen)).state

    def crowd(self) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.until("crowd")) for _ in range(DIRECT)]


def refused(kind: type[FlyError], status: int) -> Any:
    details: Any = {"status": status}
    return kind("machines.list", "web", "no", **details)


async def dissolve(tasks: list[asyncio.Task[str]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    others = world.crowd()
    await asyncio.sleep(1)
    yield world
    await dissolve(others)
    assert world.waits._pollers == {}


async def test_a_list_that_lacks_a_machine_proves_nothing(world: World) -> None:
    world.by_name["m1"] = a_machine("started")
    assert await world.until() == "started"
    assert world.asked["get m1"] == 1


async def test_a_list_that_shows_a_machine_lost_proves_nothing(world: World) -> None:
    world.listed = [a_machine("stopped", events=[an_exit(1, exit_code=1)])]
    world.by_name["m1"] = a_machine("started")
    assert await world.until() == "started"


async def test_a_list_that_shows_an_older_version_proves_nothing(world: World) -> None:
    world.listed = [a_machine("started", version="01A")]
    waiting = asyncio.create_task(world.until(version="01B"))
    await asyncio.sleep(5)
    assert not waiting.done()
    world.listed = [a_machine("started", version="01B")]
    assert await waiting == "started"


async def test_a_list_that_was_asked_for_before_the_wait_began_does_not_count(world: World) -> None:
    world.listed = [a_machine("started"), a_machine("starting", id_="m2")]
    early = asyncio.create_task(world.until("m2"))
    await asyncio.sleep(0.1)
    assert world.asked["list"] == 1
    world.listed = [a_machine("restarting"), a_machine("started", id_="m2")]
    late = asyncio.create_task(world.until("m1"))
    assert await early == "started"
    await asyncio.sleep(5)
    assert not late.done()
    world.listed = [a_machine("started")]
    assert await late == "started"


@pytest.mark.parametrize(
    "error", [refused(ServerFault, 503), refused(TimedOut, 408), refused(RateLimited, 429), refused(Forbidden, 403)]
)
async def test_a_leader_whose_list_fails_does_not_fail_the_others(world: World, error: FlyError) -> None:
    world.list_errors = [error]
    world.by_name["m1"] = a_machine("starting")
    world.listed = [a_machine("starting")]
    waits = [asyncio.create_task(world.until()) for _ in range(50)]
    await asyncio.sleep(4)
    assert not any(wait.done() for wait in waits)
    world.listed = [a_machine("started")]
    before = now()
    assert set(await asyncio.gather(*waits)) == {"started"}
    assert now() - before < 4


async def test_a_leader_that_is_cancelled_hands_the_look_on(world: World) -> None:
    world.listed = [a_machine("starting")]
    waits = [asyncio.create_task(world.until()) for _ in range(5)]
    await asyncio.sleep(0.1)
    assert world.asked["list"] == 1
    waits.pop(0).cancel()
    world.listed = [a_machine("started")]
    before = now()
    assert set(await asyncio.gather(*waits)) == {"started"}
    assert now() - before < 2


async def test_most_lists_are_summaries_and_every_fifth_shows_events(world: World) -> None:
    world.listed = [a_machine("starting")]
    waiting = asyncio.create_task(world.until())
    await asyncio.sleep(20)
    assert world.asked["states of web"] == pytest.approx(16, abs=1)
    assert world.asked["events of web"] == 4
    world.listed = [a_machine("stopped", events=[an_exit(1, exit_code=1)])]
    world.by_name["m1"] = world.listed[0]
    with pytest.raises(WaitFailed, match="exit code 1"):
        await waiting


async def test_a_list_shows_checks_while_anybody_waits_for_them(world: World) -> None:
    world.listed = [a_machine("starting")]
    waiting = asyncio.create_task(world.until(wanted="healthy"))
    await asyncio.sleep(10)
    assert world.asked["checks of web"] == pytest.approx(10, abs=1)
    world.listed = [a_machine("started")]
    assert await waiting == "started"
    await asyncio.sleep(10)
    assert world.asked["checks of web"] == pytest.approx(10, abs=3)


async def test_watches_do_not_show_events_all_in_the_same_second() -> None:
    world = World(direct=1)
    world.listed = [a_machine("starting"), a_machine("starting", id_="m2")]
    names = [f"app{number}" for number in range(5)]
    waits = [asyncio.create_task(world.until(id_, app=name)) for name in names for id_ in ("m1", "m2")]
    await asyncio.sleep(1.9)
    assert sum(world.asked[f"events of {name}"] for name in names) == 2
    assert sum(world.asked[f"states of {name}"] for name in names) == 8
    await dissolve(waits)


async def test_more_polls_than_there_is_room_for_are_not_held() -> None:
    world = World(pollers=3)
    world.listed = [a_machine("starting", id_=f"m{number}") for number in range(5)]
    world.by_name["m0"] = a_machine("starting")
    waits = [asyncio.create_task(world.until(f"m{number}", app=name)) for name in ("a", "b") for number in (1, 2)]
    waits.append(asyncio.create_task(world.until("m0", app="c")))
    await asyncio.sleep(9.9)
    assert world.asked["poll"] == 3
    assert world.asked["list"] == 10  # for the second one of b
    assert world.asked["get m0"] == pytest.approx(8, abs=1)  # the only one of its app
    await dissolve(waits)


@pytest.mark.parametrize(("places", "most"), [(1000, 800), (10, 8), (1, 1)])
def test_some_places_are_left_to_others_who_poll(places: int, most: int) -> None:
    assert most_pollers(places) == most


async def test_a_client_with_few_places_for_polls_holds_fewer_waits_by_them() -> None:
    async with Emulator(seed=1, boot=(8, 8)) as emulator:
        few = Timeouts(polls=5)
        async with FlyClient(emulator.token, base_url=emulator.url, timeout=few) as fly:
            await fly.apps.create("web", org_slug="personal")
            new = [await fly.machines.create("web", MachineConfig(image="nginx")) for _ in range(6)]
            waits = [fly.machines.wait("web", machine.id, state="started", timeout=60) for machine in new]
            assert set(await asyncio.gather(*waits)) == {"started"}
        polls = [entry for entry in emulator.log if entry.action == "waitMachine"]
    assert len({entry.identifier for entry in polls}) == 4


async def test_looks_leave_most_places_to_other_calls() -> None:
    world = World(pollers=1, readers=3)
    names = [f"m{number}" for number in range(20)]
    world.by_name = dict.fromkeys(names, a_machine("starting"))
    waits = [asyncio.create_task(world.until(name, app=name)) for name in names]
    await asyncio.sleep(9.9)
    assert world.most_at_once == 3
    assert sum(world.asked[f"get {name}"] for name in names) == pytest.approx(9.9 * 3 / 0.2, abs=40)
    await dissolve(waits)


@pytest.mark.parametrize(("places", "most"), [(64, 16), (8, 2), (1, 1)])
def test_a_quarter_of_the_places_is_for_looks(places: int, most: int) -> None:
    assert most_readers(places) == most


async def test_what_a_list_shows_hopeless_is_asked_after_even_where_a_poll_would_do_by_then() -> None:
    world = World()
    crowd = world.crowd()
    await asyncio.sleep(1)
    world.listed = [a_machine("starting")]
    world.by_name["m1"] = a_machine("failed")
    waiting = asyncio.create_task(world.until())
    await asyncio.sleep(1.5)
    await dissolve(crowd[:10])  # there are few enough now to poll
    world.listed = [a_machine("failed")]
    with pytest.raises(WaitFailed) as caught:
        await waiting
    await dissolve(crowd)
    assert caught.value.state == "failed"
    assert world.asked["get m1"] == 1
    assert now() < 10


async def test_who_finds_no_room_to_poll_does_so_later() -> None:
    world = World(pollers=1)
    world.by_name["m0"] = world.by_name["m1"] = a_machine("starting")
    first, second = (asyncio.create_task(world.until(name, app=name)) for name in ("m0", "m1"))
    await asyncio.sleep(5)
    await dissolve([first])
    await asyncio.sleep(5)
    assert world.asked["poll"] == 2
    world.results = [WaitResult(ok=True)]
    world.has_results.set()
    assert await second == "started"


@pytest.mark.parametrize(
    ("detail", "line", "keys"),
    [
        ("states", "GET /v1/apps/web/machines?summary=true", {"state", "events"}),
        ("events", "GET /v1/apps/web/machines", {"state", "events"}),
        ("checks", "GET /v1/apps/web/machines", {"state", "events", "config", "checks", "image_ref"}),
    ],
)
async def test_a_survey_reads_as_much_as_is_needed(detail: Detail, line: str, keys: set[str]) -> None:
    shown = {**THERE, "events": [], "config": {"image": "nginx"}, "checks": [], "image_ref": {"tag": "1"}}
    async with asked([shown]) as (recorder, fly):
        (machine,) = await survey(fly.machines._caller, "web", detail=detail)
    assert recorder.heard[0].line == line
    assert {key for key in shown if getattr(machine, key) is not None} == keys | THERE.keys()


@pytest.mark.parametrize("answer", [{"machines": []}, [[1]], ["id"], [None], 7])
async def test_a_survey_that_is_no_list_of_machines_is_unreadable(answer: Any) -> None:
    async with asked(answer) as (_, fly):
        with pytest.raises(Unreadable):
            await survey(fly.machines._caller, "web", detail="events")


async def test_waits_that_become_few_go_on_by_polls(world: World) -> None:
    world.listed = [a_machine("starting")]
    waiting = asyncio.create_task(world.until())
    await asyncio.sleep(3)
    polls = world.asked["poll"]
    await dissolve([task for task in asyncio.all_tasks() if task not in {waiting, asyncio.current_task()}])
    lists = world.asked["list"]
    await asyncio.sleep(10)
    assert world.asked["poll"] == polls + 1
    assert world.asked["list"] <= lists + 1
    world.results = [WaitResult(ok=True)]
    world.has_results.set()
    assert await waiting == "started"


@pytest.mark.parametrize(
    ("wanted", "answer", "state"),
    [
        ("started", WaitResult(ok=True), "started"),
        ("started", WaitResult(ok=True, state="started"), "started"),
        ("settled", WaitResult(ok=True), "failed"),
        ("settled", WaitResult(ok=True, state="stopped"), "stopped"),
    ],
)
async def test_an_answer_that_names_no_state_is_completed(wanted: str, answer: WaitResult, state: str) -> None:
    world = World()
    world.results = [answer]
    world.by_name["m1"] = a_machine("failed")
    assert await world.until(wanted=wanted) == state


async def test_an_answer_about_an_old_version_is_not_the_state_of_the_machine() -> None:
    world = World()
    world.results = [WaitResult(ok=True, state="replaced")]
    world.by_name["m1"] = a_machine("started", version="01B")
    with pytest.raises(WaitFailed, match="was replaced by 01B"):
        await world.until(wanted="settled", version="01A")


async def test_polls_name_the_version_once_one_without_is_refused_and_then_the_current_one() -> None:
    world = World()
    world.results = [refused(BadRequest, 400), refused(BadRequest, 400)]
    world.by_name["m1"] = a_machine("starting", version="01A")
    waiting = asyncio.create_task(world.until())
    await asyncio.sleep(1)
    world.by_name["m1"] = a_machine("starting", version="01B")
    await asyncio.sleep(3)
    assert world.named == [None, "01A", "01B"]
    await dissolve([waiting])


async def test_a_poll_that_is_refused_again_and_again_costs_a_poll_and_a_read_a_second() -> None:
    world = World()
    world.results = [refused(BadRequest, 400) for _ in range(100)]
    world.by_name["m1"] = a_machine("starting")
    waiting = asyncio.create_task(world.until())
    await asyncio.sleep(14)
    assert world.asked == {"poll": 10, "get m1": 10}  # each takes 0.2 s
    await dissolve([waiting])


async def test_after_a_429_no_poll_is_sent_until_the_api_wants_one() -> None:
    world = World()
    world.results = [RateLimited("machines.wait", "web/m1", "slow down", status=429, retry_after=20)]
    world.by_name["m1"] = a_machine("starting")
    waiting = asyncio.create_task(world.until())
    await asyncio.sleep(19)
    assert world.asked["poll"] == 1
    await asyncio.sleep(4)
    assert world.asked["poll"] == 2
    await dissolve([waiting])


async def test_a_wait_whose_time_is_up_takes_two_seconds_more_at_most() -> None:
    world = World(seconds=10)
    world.by_name["m1"] = a_machine("starting")
    with pytest.raises(WaitFailed) as caught:
        await world.until(timeout=1)
    assert caught.value.state == "unknown"
    assert now() == pytest.approx(3, abs=0.1)


async def test_trouble_with_reading_a_machine_costs_no_more_than_a_read_a_second() -> None:
    world = World(pollers=0)
    world.by_name["m1"] = refused(ServerFault, 503)
    waiting = asyncio.create_task(world.until())
    await asyncio.sleep(12)
    assert world.asked == {"get m1": 10}  # each takes 0.2 s
    await dissolve([waiting])


# Health


async def test_a_machine_is_not_healthy_until_as_many_checks_as_asked_for_have_reported() -> None:
    world = World()
    world.by_name["m1"] = a_machine("started")
    with pytest.raises(WaitFailed, match="0 of 2 checks have reported"):
        await world.until(wanted="healthy", checks=2, timeout=10)


async def test_a_machine_is_healthy_once_its_checks_pass(fly: FlyClient, app: str, company: Company) -> None:
    await company(fly)
    machine = await fly.machines.create(app, CHECKED)
    healthy = await fly.machines.wait_healthy(app, machine.id, just_created=True)
    assert healthy.state == "started"
    assert [check.status for check in healthy.reported_checks] == ["passing"]


async def test_a_machine_without_checks_is_healthy_once_it_runs(fly: FlyClient, app: str, company: Company) -> None:
    await company(fly)
    machine = await fly.machines.create(app, NGINX)
    assert (await fly.machines.wait_healthy(app, machine.id)).state == "started"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(does="checks_never_pass"),
        Fault(does="checks_turn_critical", seconds=0.1),
    ],
    ids=["never pass", "turn critical"],
)
async def test_a_machine_whose_checks_do_not_pass_is_not_healthy(
    fly: FlyClient, emulator: Emulator, app: str, company: Company, fault: Fault
) -> None:
    await company(fly)
    emulator.faults.add(fault)
    machine = await fly.machines.create(app, CHECKED)
    with pytest.raises(WaitFailed, match="is started, not healthy") as caught:
        await fly.machines.wait_healthy(app, machine.id, timeout=30)
    assert not caught.value.hopeless
    assert emulator.refused_by_limit() == {}


async def test_checks_that_have_not_reported_are_not_passing(fly: FlyClient, app: str) -> None:
    machine = await running(fly, CHECKED)
    started = await fly.machines.get(app, machine.id)
    assert (started.state, started.reported_checks, started.is_healthy) == ("started", (), False)
    await fly.machines.wait_healthy(app, machine.id)


async def test_a_machine_that_crashes_never_becomes_healthy(
    fly: FlyClient, emulator: Emulator, app: str, company: Company
) -> None:
    await company(fly)
    emulator.faults.add(Fault(does="crash", seconds=0.2, exit_code=9))
    config = structure({"image": "nginx", "restart": {"policy": "no"}, "checks": {"a": {"type": "tcp"}}}, MachineConfig)
    machine = await fly.machines.create(app, config)
    before = now()
    with pytest.raises(WaitFailed, match="exit code 9") as caught:
        await fly.machines.wait_healthy(app, machine.id)
    assert caught.value.hopeless
    assert now() - before < 6


async def test_health_is_looked_at_by_one_list_when_many_wait(fly: FlyClient, emulator: Emulator, app: str) -> None:
    made = await asyncio.gather(*(fly.machines.create(app, CHECKED, skip_launch=True) for _ in range(MANY)))
    await asyncio.sleep(5)
    waits = [asyncio.create_task(fly.machines.wait_healthy(app, machine.id)) for machine in made]
    await asyncio.sleep(20)
    assert count(emulator, "listMachines") == pytest.approx(20, abs=2)
    assert count(emulator, "getMachine") <= MANY
    await asyncio.gather(*(fly.machines.start(app, machine.id) for machine in made))
    assert all(machine.is_healthy for machine in await asyncio.gather(*waits))
    assert emulator.refused_by_limit() == {}


async def test_the_repr_shows_who_waits_and_how(world: World) -> None:
    world.listed = [a_machine("starting")]
    waiting = asyncio.create_task(world.until())
    await asyncio.sleep(2.1)
    assert repr(world.waits) == (
        "<Waits: 32 of 800 polls, [<Poller web: 33 waits, 1 by list, listing, list 3 at 3.0 s>]>"
    )
    await dissolve([waiting])
