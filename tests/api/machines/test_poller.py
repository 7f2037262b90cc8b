"""Which waiter lists for all, which ones sleep meanwhile, and which one takes over."""

import asyncio

import pytest
from attrs import Factory, define

from flyasync.api.machines.poller import Detail, Poller, Survey
from flyasync.errors import ServerFault
from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine
from tests.api.client_on_emulator import now


@define
class App:
    """An app whose machines are in the state told, as a list that takes a moment shows them."""

    state: str = "starting"
    looks: list[tuple[float, Detail]] = Factory(list)
    errors: list[Exception] = Factory(list)

    async def survey(self, _: str, *, detail: Detail) -> tuple[Machine, ...]:
        self.looks.append((round(now()), detail))
        shown = [{"id": f"m{number}", "name": "", "state": self.state, "region": "iad"} for number in range(5)]
        await asyncio.sleep(0.2)
        if self.errors:
            raise self.errors.pop()
        return structure(shown, tuple[Machine, ...])


def poller(survey: Survey, begun: int) -> Poller:
    return Poller("web", survey, asyncio.Semaphore(16), begun)


def is_started(machine: Machine) -> bool:
    return machine.state == "started"


def news(polled: Poller, machine_id: str) -> asyncio.Task[Machine | None]:
    return asyncio.create_task(polled.news(machine_id, is_started, needs_checks=False))


async def test_those_without_news_sleep_through_all_looks() -> None:
    app, asked = App(), list[str]()
    polled = poller(app.survey, 0)
    for _ in range(3):
        polled.join()

    def matters(machine: Machine) -> bool:
        asked.append(machine.id)
        return machine.id == "m1"

    tasks = [asyncio.create_task(polled.news(f"m{number}", matters, needs_checks=False)) for number in range(3)]
    await asyncio.sleep(2.5)
    assert [task.done() for task in tasks] == [False, True, False]
    assert sorted(asked) == ["m0", "m0", "m0", "m1", "m2", "m2", "m2"]
    assert [at for at, _ in app.looks] == [0, 1, 2]
    polled.leave(few=2)
    assert set(await asyncio.gather(tasks[0], tasks[2])) == {None}


@pytest.mark.parametrize("hops", range(4))
async def test_whoever_is_next_may_go_just_as_its_turn_to_look_comes(hops: int) -> None:
    app = App()
    polled = poller(app.survey, 0)
    tasks = [news(polled, f"m{number}") for number in range(4)]
    await asyncio.sleep(0.1)
    tasks[0].cancel()
    for _ in range(hops):
        await asyncio.sleep(0)
    tasks[1].cancel()
    app.state = "started"
    assert [machine and machine.id for machine in await asyncio.gather(*tasks[2:])] == ["m2", "m3"]
    assert now() < 2
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_trouble_is_the_lookers_own_and_another_one_looks() -> None:
    app = App(errors=[ServerFault("machines.list", "web", "no", status=503)])
    polled = poller(app.survey, 0)
    tasks = [news(polled, f"m{number}") for number in range(3)]
    await asyncio.sleep(0.5)
    assert isinstance(tasks[0].exception(), ServerFault)
    app.state = "started"
    told = await asyncio.gather(*tasks[1:])
    assert [machine and machine.state for machine in told] == ["started", "started"]
    assert [at for at, _ in app.looks] == [0, 1]


async def test_a_machine_that_the_list_lacks_is_told_to_be_so() -> None:
    assert await news(poller(App().survey, 0), "unknown") is None


@pytest.mark.parametrize("begun", range(5))
async def test_each_fifth_look_shows_events_wherever_the_count_begins(begun: int) -> None:
    app = App()
    waiting = news(poller(app.survey, begun), "m1")
    await asyncio.sleep(9.9)
    assert [detail for _, detail in app.looks].count("events") == 2
    assert app.looks[4 - begun][1] == "events"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_machine_that_stopped_is_explained_by_the_next_look_and_by_no_further_one() -> None:
    app = App()
    waiting = news(poller(app.survey, 0), "m1")
    await asyncio.sleep(1.5)
    app.state = "stopped"
    await asyncio.sleep(4)
    assert [detail for _, detail in app.looks] == ["states", "states", "states", "events", "events", "states"]
    app.state = "starting"
    await asyncio.sleep(1)
    app.state = "stopped"
    await asyncio.sleep(2)
    assert [detail for _, detail in app.looks][6:] == ["states", "states", "events"]
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_the_repr_shows_who_lists_and_when_it_did_last() -> None:
    app = App()
    polled = poller(app.survey, 3)
    assert repr(polled) == "<Poller web: 0 waits, 0 by list, no leader, nothing listed yet>"
    polled.join()
    waiting = news(polled, "m1")
    await asyncio.sleep(1.5)
    assert repr(polled) == "<Poller web: 1 waits, 1 by list, listing, list 5 at 1.0 s>"
    app.state = "started"
    await waiting
    assert repr(polled) == "<Poller web: 1 waits, 0 by list, no leader, list 6 at 2.0 s>"


async def test_a_list_waits_for_a_slot() -> None:
    app, slots = App(state="started"), asyncio.Semaphore(1)
    await slots.acquire()
    waiting = news(Poller("web", app.survey, slots, 0), "m1")
    await asyncio.sleep(3)
    assert app.looks == []
    slots.release()
    assert await waiting
