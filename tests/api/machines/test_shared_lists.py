import asyncio
from collections.abc import Mapping

import pytest
from attrs import define, field

from flyasync.api.machines.shared_lists import SharedLists
from flyasync.errors import ClientClosed
from flyasync.models.config import MachineConfig
from flyasync.models.machine import Machine
from tests.api.client_on_emulator import now


def machine(name: str, **metadata: str) -> Machine:
    config = MachineConfig(image="nginx", metadata=metadata)
    return Machine(id=name, name=name, state="started", region="iad", config=config)


FLEET = (machine("one", role="a", pool="p"), machine("two", role="b", pool="p"), machine("three"))


@define
class Lister:
    """Answers each list half a second after it was sent, and records the filters."""

    fails: bool = False
    filters: list[Mapping[str, str] | None] = field(factory=list)
    moments: list[float] = field(factory=list)

    async def __call__(
        self, _app: str, /, *, metadata: Mapping[str, str] | None, summary: bool | None, include_leases: bool | None
    ) -> tuple[Machine, ...]:
        assert summary is None
        assert include_leases is None
        self.filters.append(metadata)
        self.moments.append(now())
        await asyncio.sleep(0.5)
        if self.fails:
            raise ClientClosed("closed")
        return tuple(each for each in FLEET if (metadata or {}).items() <= each.metadata.items())


async def test_lookups_share_the_list_of_what_their_filters_have_in_common() -> None:
    lister = Lister()
    lists = SharedLists(lister)
    found = await asyncio.gather(*(lists.find("web", {"role": role, "pool": "p"}) for role in ("a", "b", "a")))
    assert [[each.name for each in one] for one in found] == [["one"], ["two"], ["one"]]
    assert lister.filters == [{"pool": "p"}]


async def test_one_lookup_is_filtered_by_the_api() -> None:
    lister = Lister()
    await SharedLists(lister).find("web", {"role": "a"})
    assert lister.filters == [{"role": "a"}]


async def test_a_list_that_is_under_way_or_a_second_old_serves_what_it_contains() -> None:
    lister = Lister()
    lists = SharedLists(lister)
    first = asyncio.create_task(lists.find("web", {"pool": "p"}))
    await asyncio.sleep(0.2)
    assert [each.name for each in await lists.find("web", {"pool": "p", "role": "b"})] == ["two"]
    await first
    await asyncio.sleep(0.9)
    assert len(await lists.find("web", {"pool": "p"})) == 2
    assert len(lister.filters) == 1


async def test_another_filter_needs_another_list_which_is_sent_a_second_after_the_last() -> None:
    lister = Lister()
    lists = SharedLists(lister)
    await lists.find("web", {"role": "a"})
    assert len(await lists.find("web")) == 3
    assert lister.filters == [{"role": "a"}, None]
    assert lister.moments[1] - lister.moments[0] == pytest.approx(1.5, abs=0.01)


async def test_each_app_has_lists_of_its_own_and_nothing_is_kept_of_an_app_that_is_idle() -> None:
    lister = Lister()
    lists = SharedLists(lister)
    await asyncio.gather(lists.find("web"), lists.find("api"))
    assert len(lister.filters) == 2
    await asyncio.sleep(1.1)
    assert not lists._batches


async def test_a_list_that_fails_fails_for_all_who_share_it_and_is_not_kept() -> None:
    lister = Lister(fails=True)
    lists = SharedLists(lister)
    results = await asyncio.gather(lists.find("web"), lists.find("web"), return_exceptions=True)
    assert [type(each) for each in results] == [ClientClosed, ClientClosed]
    lister.fails = False
    assert len(await lists.find("web")) == 3


async def test_a_lookup_that_is_cancelled_leaves_the_list_to_the_others() -> None:
    lister = Lister()
    lists = SharedLists(lister)
    hasty, patient = asyncio.create_task(lists.find("web")), asyncio.create_task(lists.find("web"))
    await asyncio.sleep(0.1)
    hasty.cancel()
    assert len(await patient) == 3
    assert len(lister.filters) == 1
