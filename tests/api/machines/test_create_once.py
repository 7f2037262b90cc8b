import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import CREATION, LAUNCH, CreateOnce, CreateOptions, Creation
from flyasync.api.machines.named_volumes import NamedVolumes
from flyasync.emulator import Emulator, Fault
from flyasync.errors import (
    BadRequest,
    ClientClosed,
    ConnectionLost,
    FlyError,
    Forbidden,
    NameTaken,
    NoCapacity,
    NoReplyInTime,
    NotFound,
    RateLimited,
    ServerFault,
)
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine
from flyasync.models.volume import Volume
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.request import Flight
from flyasync.transport.retries import RetryPolicy
from tests.api.client_on_emulator import NGINX, client, count, now

UNLIMITED = Limits(default=Rate(per_second=1e6, burst=1_000_000), operations={}, totals={})


@pytest_asyncio.fixture
async def quick(emulator: Emulator, app: str) -> AsyncIterator[FlyClient]:
    """A client that does not wait long for an answer."""
    async with client(emulator, timeout=5.0) as quick:
        yield quick


def a_creation(name: str = "one", launch: str = "v1", **more: Any) -> Creation:
    return Creation(app="web", config=NGINX, name=name, launch=launch, **more)


def made_in(emulator: Emulator) -> list[str]:
    return sorted(machine.name for machine in emulator.world.machines.values())


# Exactly once


async def test_a_machine_is_created_with_its_name_its_launch_and_its_options(fly: FlyClient, app: str) -> None:
    config = evolve(NGINX, metadata={"role": "web"})
    options: CreateOptions = {"region": "lhr", "skip_launch": True}
    creation = Creation(app=app, config=config, name="one", launch="v1", options=options)
    machine = await fly.machines.once.create(creation)
    assert (machine.name, machine.region) == ("one", "lhr")
    assert machine.metadata == {"role": "web", LAUNCH: "v1", CREATION: creation.id}
    assert (creation.machine, creation.adopted, creation.may_have_happened) == (machine, False, False)
    assert config.metadata == {"role": "web"}


TROUBLE: list[dict[str, Any]] = [
    {"does": "cut"},
    {"does": "cut_after"},
    {"does": "lose_answer"},
    *({"does": "refuse", "status": status} for status in (408, 429, 500, 502, 503, 504)),
    {"does": "delay", "seconds": 3},
    {"does": "delay", "seconds": 8},
    {"does": "refuse", "status": 400, "body": {"error": "MANIFEST_UNKNOWN"}},
    {"does": "refuse", "status": 412, "body": {"error": "volume already claimed by machine "}},
]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: " ".join(map(str, trouble.values())))
async def test_a_machine_is_created_exactly_once_whatever_happens(
    quick: FlyClient, emulator: Emulator, app: str, trouble: dict[str, Any], times: int
) -> None:
    emulator.faults.add(Fault(action="createMachine", times=times, **trouble))
    machine = await quick.machines.create_once(app, NGINX, name="one", launch="v1")
    assert list(emulator.world.machines) == [machine.id]
    assert machine.metadata[LAUNCH] == "v1"
    assert emulator.refused_by_limit() == {}


@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: " ".join(map(str, trouble.values())))
async def test_trouble_with_the_look_up_is_survived_too(
    quick: FlyClient, emulator: Emulator, app: str, trouble: dict[str, Any]
) -> None:
    emulator.faults.add(
        Fault(does="cut_after", action="createMachine", times=1), Fault(action="*Machine*", times=8, **trouble)
    )
    machine = await quick.machines.create_once(app, NGINX, name="one", launch="v1")
    assert list(emulator.world.machines) == [machine.id]


async def test_a_lost_answer_is_made_good_by_looking_and_not_by_another_create(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    emulator.faults.add(Fault(does="cut_after", action="createMachine", times=1))
    creation = a_creation()
    await fly.machines.once.create(creation)
    assert (creation.adopted, creation.may_have_happened) == (False, False)  # found, and made by this very creation
    assert (count(emulator, "createMachine"), count(emulator, "listMachines")) == (1, 1)


async def test_asking_again_gives_the_same_machine(fly: FlyClient, emulator: Emulator, app: str) -> None:
    first = await fly.machines.create_once(app, NGINX, name="one", launch="v1")
    creation = a_creation()
    again = await fly.machines.once.create(creation)
    assert (again.id, creation.adopted) == (first.id, True)
    assert len(emulator.world.machines) == 1


async def test_two_who_ask_at_once_get_the_same_machine(fly: FlyClient, emulator: Emulator, app: str) -> None:
    async with client(emulator) as other:
        asks = [one.machines.create_once(app, NGINX, name="one", launch="v1") for one in (fly, other)]
        first, second = await asyncio.gather(*asks)
    assert first.id == second.id
    assert len(emulator.world.machines) == 1


async def test_a_name_of_another_launch_is_taken_with_the_way_out(fly: FlyClient, emulator: Emulator, app: str) -> None:
    first = await fly.machines.create_once(app, NGINX, name="one", launch="v1")
    creation = a_creation(launch="v2")
    with pytest.raises(NameTaken, match="belongs to another launch: choose another name than 'one'") as caught:
        await fly.machines.once.create(creation)
    assert (caught.value.existing_id, caught.value.may_have_happened) == (first.id, False)
    assert (creation.machine, creation.may_have_happened) == (None, False)
    assert count(emulator, "createMachine") == 2


async def test_a_machine_that_nobody_launched_has_its_name_to_itself(fly: FlyClient, app: str) -> None:
    await fly.machines.create(app, NGINX, name="one")
    with pytest.raises(NameTaken, match="another launch"):
        await fly.machines.create_once(app, NGINX, name="one", launch="v1")


async def test_a_machine_on_its_way_out_is_not_adopted(fly: FlyClient, emulator: Emulator, app: str) -> None:
    first = await fly.machines.create_once(app, NGINX, name="one", launch="v1")
    await fly.machines.delete(app, first.id, force=True)
    second = await fly.machines.create_once(app, NGINX, name="one", launch="v1")
    assert second.id != first.id
    assert {machine.state for machine in emulator.world.machines.values()} <= {"destroying", "destroyed", "created"}


@pytest.mark.parametrize("kind", [NoCapacity, BadRequest, Forbidden])
async def test_a_clear_refusal_is_not_repeated(
    fly: FlyClient, emulator: Emulator, app: str, kind: type[FlyError]
) -> None:
    status = {NoCapacity: 422, BadRequest: 400, Forbidden: 403}[kind]
    body = {"error": "no", **({"status": "insufficient_capacity"} if kind is NoCapacity else {})}
    emulator.faults.add(Fault(does="refuse", action="createMachine", status=status, body=body))
    creation = a_creation()
    with pytest.raises(kind) as caught:
        await fly.machines.once.create(creation)
    assert not caught.value.may_have_happened
    assert not creation.may_have_happened
    assert count(emulator, "createMachine") == 1


async def test_a_refusal_after_a_lost_answer_stays_in_doubt(quick: FlyClient, emulator: Emulator, app: str) -> None:
    no_room = {"error": "could not find a candidate host", "status": "insufficient_capacity"}
    emulator.faults.add(
        Fault(does="cut", action="createMachine", times=1),
        Fault(does="refuse", action="createMachine", status=422, body=no_room),
    )
    creation = a_creation()
    with pytest.raises(NoCapacity) as caught:
        await quick.machines.once.create(creation)
    assert caught.value.may_have_happened
    assert creation.may_have_happened


async def test_trouble_without_an_end_comes_out_in_doubt(quick: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="refuse", action="createMachine", status=503))
    creation = a_creation()
    with pytest.raises(ServerFault) as caught:
        await quick.machines.once.create(creation)
    assert caught.value.may_have_happened
    assert creation.may_have_happened
    assert creation.machine is None
    assert count(emulator, "createMachine") == 2 * RetryPolicy().attempts
    emulator.faults.clear()
    assert (await quick.machines.once.create(creation)).name == "one"
    assert not creation.may_have_happened


def a_bad_day(random: Random) -> list[Fault]:
    """About a third of all answers is lost or wrong, over and over."""
    kinds: list[dict[str, Any]] = [*TROUBLE[:3], *({"does": "refuse", "status": one} for one in (408, 429, 500, 503))]
    return [
        Fault(action=action, probability=0.3 * random.random(), **kind)
        for kind in random.sample(kinds, 3)
        for action in ("createMachine", "listMachines", "getMachine")
    ]


@pytest.mark.parametrize("start", range(0, 200, 50))
async def test_on_any_bad_day_the_machines_wanted_are_there_and_no_others(start: int) -> None:
    names = [f"web-{number}" for number in range(5)]
    async with Emulator(limits=False) as emulator:
        for seed in range(start, start + 50):
            emulator.reset()
            async with client(emulator, timeout=2.0, limits=UNLIMITED) as fly:
                await fly.apps.create("web", org_slug="personal")
                emulator.faults.restart(a_bad_day(Random(seed)))
                made = await asyncio.gather(
                    *(fly.machines.create_once("web", NGINX, name=name, launch=str(seed)) for name in names)
                )
            assert made_in(emulator) == names, seed
            assert sorted(machine.id for machine in made) == sorted(emulator.world.machines), seed


# Cancelled


async def test_cancelled_in_line_nothing_is_sent(fly: FlyClient, emulator: Emulator, app: str) -> None:
    creations = [a_creation(f"one-{number}") for number in range(5)]
    asks = [asyncio.create_task(fly.machines.once.create(creation)) for creation in creations]
    await asyncio.sleep(0.5)
    asks[4].cancel()
    ended = await asyncio.gather(*asks, return_exceptions=True)
    assert isinstance(ended[4], asyncio.CancelledError)
    assert (creations[4].machine, creations[4].may_have_happened) == (None, False)
    assert made_in(emulator) == [f"one-{number}" for number in range(4)]


async def test_cancelled_while_a_refusal_clears_nothing_more_is_sent(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    emulator.faults.add(
        Fault(does="refuse", action="createMachine", status=400, body={"error": "MANIFEST_UNKNOWN"}, times=3)
    )
    creation = a_creation()
    ask = asyncio.create_task(fly.machines.once.create(creation))
    await asyncio.sleep(2)
    before = now()
    ask.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ask
    assert now() - before < 0.01
    assert (creation.machine, creation.may_have_happened) == (None, False)
    await asyncio.sleep(30)
    assert made_in(emulator) == []


async def test_an_urgent_create_goes_ahead_of_all_that_wait(fly: FlyClient, emulator: Emulator, app: str) -> None:
    waiting = [asyncio.create_task(fly.machines.once.create(a_creation(f"one-{number}"))) for number in range(6)]
    await asyncio.sleep(0.5)
    await fly.machines.once.create(a_creation("urgent", is_urgent=True))
    assert len(emulator.world.machines) <= 5
    await asyncio.gather(*waiting)
    assert len(emulator.world.machines) == 7


async def test_a_creation_is_notified_each_time_that_a_request_leaves(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    emulator.faults.add(Fault(does="cut", action="createMachine", times=1))
    left: list[float] = []
    await fly.machines.once.create(a_creation(on_leave=lambda: left.append(now())))
    assert len(left) == count(emulator, "createMachine") == 2


async def test_cancelled_under_way_the_answer_is_heard_first(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=4))
    creation = a_creation()
    ask = asyncio.create_task(fly.machines.once.create(creation))
    await asyncio.sleep(1)
    ask.cancel()
    await asyncio.sleep(1)
    assert not ask.done()
    with pytest.raises(asyncio.CancelledError):
        await ask
    assert creation.machine is not None
    assert list(emulator.world.machines) == [creation.machine.id]
    assert not creation.may_have_happened
    assert now() == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize(
    ("status", "in_doubt"),
    [(400, False), (503, True)],
)
async def test_cancelled_under_way_a_refusal_is_heard_too(
    fly: FlyClient, emulator: Emulator, app: str, status: int, *, in_doubt: bool
) -> None:
    emulator.faults.add(
        Fault(does="delay", action="createMachine", seconds=4),
        Fault(does="refuse", action="createMachine", status=status, body={"error": "no"}),
    )
    creation = a_creation()
    ask = asyncio.create_task(fly.machines.once.create(creation))
    await asyncio.sleep(1)
    ask.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ask
    assert (creation.machine, creation.may_have_happened) == (None, in_doubt)


async def test_cancelled_twice_the_create_is_cut_and_in_doubt(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="lose_answer", action="createMachine"))
    creation = a_creation()
    ask = asyncio.create_task(fly.machines.once.create(creation))
    await asyncio.sleep(1)
    for _ in range(2):
        ask.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await ask
    assert now() < 2
    assert (creation.machine, creation.may_have_happened) == (None, True)
    emulator.faults.clear()
    again = a_creation()
    await fly.machines.once.create(again)
    assert again.adopted
    assert len(emulator.world.machines) == 1


async def test_cancelled_between_two_tries_the_doubt_stays(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(
        Fault(does="refuse", action="createMachine", status=503),
        Fault(does="delay", action="listMachines", seconds=5),
    )
    creation = a_creation()
    ask = asyncio.create_task(fly.machines.once.create(creation))
    await asyncio.sleep(3)
    ask.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ask
    assert (creation.machine, creation.may_have_happened) == (None, True)


async def test_a_deadline_around_it_tells_what_is_there(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=4))
    creation = a_creation()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await fly.machines.once.create(creation)
    assert creation.machine is not None


async def test_closing_the_client_during_a_create_is_in_doubt(emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="lose_answer", action="createMachine"))
    creation = a_creation()
    async with client(emulator) as fly:
        ask = asyncio.create_task(fly.machines.once.create(creation))
        await asyncio.sleep(1)
    with pytest.raises(ClientClosed) as caught:
        await ask
    assert caught.value.may_have_happened
    assert creation.may_have_happened


# Small worlds, for what no emulator does


def a_machine(name: str = "one", *, launch: str | None = "v1", state: str = "started", **more: Any) -> Machine:
    config = {"image": "nginx", "metadata": {} if launch is None else {LAUNCH: launch}}
    return structure({"id": "m1", "name": name, "state": state, "region": "iad", "config": config, **more}, Machine)


Said = Machine | FlyError


class World:
    """An API told by hand: each list gives its answers in turn, the last one for ever."""

    def __init__(self, *, create: list[Said], get: list[Said] | None = None, lists: list[Any] | None = None) -> None:
        self.answers = {"create": list(create), "get": list(get or []), "list": list(lists or [()])}
        self.asked: Counter[str] = Counter()
        self.filters: list[Mapping[str, str] | None] = []
        self.listed = asyncio.Event()
        self.on_answer: Callable[[], object] = int
        self.once = CreateOnce(self.create, self.get, self.list_, RetryPolicy(), volumes=NamedVolumes(self.volumes))

    async def volumes(self, _: str) -> tuple[Volume, ...]:
        raise AssertionError("no config here names a volume")

    async def create(self, _: str, __: MachineConfig, *, name: str, flight: Flight, **options: Any) -> Machine:
        flight.is_out = True
        await asyncio.sleep(1)
        flight.is_out = False
        self.on_answer()
        assert (name, options) == ("one", {})
        return self._machine("create")

    async def get(self, _: str, machine_id: str) -> Machine:
        assert machine_id == "m1"
        return self._machine("get")

    async def list_(self, _: str, *, metadata: Mapping[str, str] | None = None) -> tuple[Machine, ...]:
        self.filters.append(metadata)
        self.listed.set()
        found: tuple[Machine, ...] = self._next("list")
        return found

    def _machine(self, kind: str) -> Machine:
        machine: Machine = self._next(kind)
        return machine

    def _next(self, kind: str) -> Any:
        self.asked[kind] += 1
        answers = self.answers[kind]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, FlyError):
            raise answer
        return answer


LOST = ConnectionLost("machines.create", "web", "gone")


def taken(existing_id: str | None = "m1") -> NameTaken:
    return NameTaken("machines.create", "web", "in use", status=409, existing_id=existing_id)


def not_found() -> NotFound:
    return NotFound("machines.get", "web/m1", "machine not found", status=404)


async def test_a_machine_that_lists_do_not_show_yet_is_found_by_its_name() -> None:
    world = World(create=[LOST, taken()], get=[not_found(), not_found(), a_machine()])
    creation = a_creation()
    assert await world.once.create(creation) == a_machine()
    assert (creation.adopted, creation.may_have_happened) == (True, False)
    assert world.asked == {"create": 4, "get": 3, "list": 3}


async def test_a_machine_that_never_becomes_visible_comes_out_in_doubt() -> None:
    world = World(create=[taken()], get=[not_found()])
    creation = a_creation()
    with pytest.raises(NameTaken) as caught:
        await world.once.create(creation)
    assert caught.value.may_have_happened
    assert creation.may_have_happened


async def test_a_holder_that_the_api_does_not_name_is_looked_for_in_the_whole_app() -> None:
    world = World(create=[taken(None)], lists=[(a_machine("two"), a_machine())])
    creation = a_creation()
    await world.once.create(creation)
    assert creation.adopted
    assert world.filters == [None]


async def test_a_holder_of_another_launch_is_told_apart_without_an_id_too() -> None:
    world = World(create=[taken(None)], lists=[(a_machine(launch="v0"),)])
    with pytest.raises(NameTaken, match="another launch"):
        await world.once.create(a_creation())


async def test_a_list_that_ignores_the_filter_is_not_believed() -> None:
    world = World(create=[LOST, taken()], get=[a_machine(launch="v0")], lists=[(a_machine(launch="v0"),)])
    creation = a_creation()
    with pytest.raises(NameTaken, match="another launch"):
        await world.once.create(creation)
    assert not creation.may_have_happened
    assert world.filters == [{LAUNCH: "v1"}]


async def test_a_machine_whose_host_is_silent_is_known_by_what_is_left_of_its_config() -> None:
    silent: dict[str, Any] = {"config": None, "host_status": "unreachable"}
    left = a_machine(incomplete_config={"metadata": {LAUNCH: "v1"}}, **silent)
    world = World(create=[taken()], get=[left])
    assert (await world.once.create(a_creation())).host_status == "unreachable"


async def test_a_dying_machine_is_waited_out() -> None:
    world = World(create=[taken(), taken(), a_machine()], get=[a_machine(state="destroying")])
    creation = a_creation()
    await world.once.create(creation)
    assert not creation.adopted


async def test_a_look_up_that_is_refused_leaves_the_doubt() -> None:
    forbidden = Forbidden("machines.get", "web/m1", "unauthorized", status=403)
    world = World(create=[LOST, taken()], get=[forbidden])
    creation = a_creation()
    with pytest.raises(Forbidden) as caught:
        await world.once.create(creation)
    assert caught.value.may_have_happened
    assert creation.may_have_happened


@pytest.mark.parametrize("second", [taken(), BadRequest("machines.create", "web", "no", status=400)])
async def test_cancelled_in_the_second_try_the_doubt_of_the_first_stays(second: FlyError) -> None:
    world = World(create=[LOST, second], get=[not_found()])
    creation = a_creation()
    ask = asyncio.create_task(world.once.create(creation))
    await asyncio.wait_for(world.listed.wait(), 60)
    await asyncio.sleep(0.5)
    ask.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ask
    assert creation.may_have_happened


async def test_cancelled_in_the_very_moment_of_the_answer_it_is_known() -> None:
    world = World(create=[a_machine()])
    creation = a_creation()
    ask = asyncio.create_task(world.once.create(creation))
    world.on_answer = ask.cancel
    with pytest.raises(asyncio.CancelledError):
        await ask
    assert creation.machine == a_machine()
    assert not creation.may_have_happened


async def test_a_lost_answer_that_takes_all_its_time_is_looked_after_too(
    quick: FlyClient, emulator: Emulator, app: str
) -> None:
    emulator.faults.add(Fault(does="lose_answer", action="createMachine", times=1))
    with pytest.raises(NoReplyInTime):
        await quick.machines.create(app, NGINX, name="one")
    assert made_in(emulator) == ["one"]


async def test_a_machine_that_another_deployer_made_is_adopted(fly: FlyClient, app: str) -> None:
    first, second = a_creation(), a_creation()
    await fly.machines.once.create(first)
    await fly.machines.once.create(second)
    assert (first.adopted, second.adopted) == (False, True)
    assert first.machine is not None
    assert second.machine is not None
    assert first.machine.id == second.machine.id


async def test_a_certain_no_in_doubt_is_not_asked_for_again(fly: FlyClient, emulator: Emulator, app: str) -> None:
    """The first create is cut before the work, the second finds the region full: only looks can tell more."""
    emulator.faults.add(Fault(does="cut", action="createMachine", times=1))
    emulator.set_capacity("iad", 0)
    creation = a_creation(options={"region": "iad"})
    with pytest.raises(NoCapacity) as caught:
        await fly.machines.once.create(creation)
    assert caught.value.may_have_happened
    assert count(emulator, "createMachine") == 2


async def test_looks_that_stay_rate_limited_end_it_in_doubt(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="cut_after", action="createMachine", times=1))
    emulator.faults.add(Fault(does="refuse", action="listMachines", status=429))
    creation, start = a_creation(), now()
    with pytest.raises(RateLimited):
        await fly.machines.once.create(creation)
    assert creation.may_have_happened
    assert now() - start < 200


async def test_cancelled_while_a_429_is_under_way_it_is_not_sent_again(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    emulator.faults.add(
        Fault(does="delay", action="createMachine", seconds=2),
        Fault(does="refuse", action="createMachine", status=429, headers={"Retry-After": "60"}, times=1),
    )
    creation = a_creation()
    task = asyncio.ensure_future(fly.machines.once.create(creation))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(120)
    assert count(emulator, "createMachine") == 1
    assert (creation.machine, creation.may_have_happened) == (None, False)
