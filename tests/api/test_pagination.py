from collections import deque
from functools import partial
from typing import Any

import pytest
from attrs import define

from flyasync.api.client import FlyClient
from flyasync.api.pagination import Pages
from flyasync.emulator import Emulator
from flyasync.errors import IncompleteList, InvalidInput, Unreadable
from flyasync.models.volume import OrgVolumePage, Volume
from tests.api.client_on_emulator import NGINX, count


def page(*names: str, cursor: str | None = None, missing: tuple[str, ...] | None = None) -> OrgVolumePage:
    rows = [Volume(id=name, name=name, state="created", region="iad") for name in names]
    return OrgVolumePage(volumes=rows, next_cursor=cursor, error_regions=missing)


@define
class Book:
    pages: deque[OrgVolumePage]
    cursors: list[str | None]

    async def fetch(self, cursor: str | None) -> OrgVolumePage:
        self.cursors.append(cursor)
        return self.pages.popleft()


def book(*pages: OrgVolumePage, **options: Any) -> tuple[Book, Pages[Volume]]:
    made = Book(deque(pages), [])
    return made, Pages("volumes.list_org", "acme", made.fetch, **options)


async def ids(rows: Pages[Volume]) -> list[str]:
    return [row.id async for row in rows]


async def test_pages_are_fetched_as_they_are_read() -> None:
    read, rows = book(page("a", "b", cursor="2"), page("c"))
    assert read.cursors == []
    assert (await anext(rows)).id == "a"
    assert (await anext(rows)).id == "b"
    assert read.cursors == [None]
    assert await ids(rows) == ["c"]
    assert read.cursors == [None, "2"]


async def test_an_empty_page_is_not_the_end_while_there_is_a_cursor() -> None:
    _, rows = book(page(cursor="2"), page(cursor="3"), page("a", cursor=""))
    assert await ids(rows) == ["a"]


async def test_the_end_stays_the_end() -> None:
    _, rows = book(page("a"))
    assert await ids(rows) == ["a"]
    assert await ids(rows) == []


async def test_a_list_without_some_regions_gives_what_there_is_and_then_says_so() -> None:
    _, rows = book(page("a", cursor="2", missing=("sin",)), page("b", missing=("sin", "nrt")))
    assert [(await anext(rows)).id, (await anext(rows)).id] == ["a", "b"]
    with pytest.raises(IncompleteList, match="sin, nrt") as caught:
        await anext(rows)
    assert caught.value.error_regions == rows.error_regions == ("sin", "nrt")
    with pytest.raises(IncompleteList):
        await anext(rows)


async def test_whoever_wants_to_be_told_of_missing_regions_is_told_once_of_each() -> None:
    told: list[Any] = []
    _, rows = book(
        page("a", cursor="2", missing=("sin",)), page("b", missing=("sin", "nrt")), on_error_regions=told.append
    )
    assert await ids(rows) == ["a", "b"]
    assert told == [("sin",), ("nrt",)]


async def test_a_cursor_that_leads_nowhere_is_not_followed_for_ever() -> None:
    _, rows = book(page("a", cursor="2"), page("b", cursor="2"))
    with pytest.raises(Unreadable, match="back to the page"):
        await ids(rows)


async def test_the_machines_of_an_organization_come_from_all_its_apps(fly: FlyClient, emulator: Emulator) -> None:
    for name in ("web", "db"):
        await fly.apps.create(name, org_slug="personal")
        for _ in range(3):
            await fly.machines.create(name, NGINX)
    rows = fly.machines.list_org("personal", limit=2)
    found = [row async for row in rows]
    # One that boots meanwhile is listed again, as the API does it.
    assert sorted(str(name) for name, _ in {(row.app_name, row.id) for row in found}) == ["db"] * 3 + ["web"] * 3
    assert found[0].config
    assert found[0].config.image
    assert rows.last_updated_at
    assert count(emulator, "listMachinesOrg") >= 3


async def test_an_organization_with_a_region_that_cannot_be_read(fly: FlyClient, app: str, emulator: Emulator) -> None:
    await fly.machines.create(app, NGINX, region="iad")
    emulator.set_error_regions("iad")
    with pytest.raises(IncompleteList, match="iad"):
        [row async for row in fly.machines.list_org("personal")]


async def test_the_volumes_of_an_organization(fly: FlyClient, app: str) -> None:
    for name in ("a", "b", "c"):
        await fly.volumes.create(app, name=name, region="iad", size_gb=1)
    found = [row async for row in fly.volumes.list_org("personal", limit=1, region="iad")]
    assert [(row.name, row.app_name) for row in found] == [("a", app), ("b", app), ("c", app)]


class Listener:
    async def __call__(self, regions: Any) -> None: ...

    async def told(self, regions: Any) -> None: ...


@pytest.mark.parametrize("callback", [Listener(), Listener().told, partial(Listener.told, Listener())])
async def test_whoever_would_have_to_be_awaited_is_refused_at_once(callback: Any) -> None:
    with pytest.raises(InvalidInput, match="async function"):
        book(page("a"), on_error_regions=callback)


async def test_one_who_is_told_and_fails_makes_no_row_come_twice() -> None:
    def fail(regions: Any) -> None:
        raise ZeroDivisionError

    read, rows = book(page("a", cursor="2", missing=("sin",)), page("b"), on_error_regions=fail)
    with pytest.raises(ZeroDivisionError):
        await anext(rows)
    assert await ids(rows) == ["a", "b"]
    assert read.cursors == [None, "2"]


async def test_no_row_comes_twice_from_cursors_in_a_circle() -> None:
    read, rows = book(page("a", cursor="A"), page("b", cursor="B"), page("c", cursor="A"))
    assert [(await anext(rows)).id for _ in range(3)] == ["a", "b", "c"]
    for _ in range(2):
        with pytest.raises(Unreadable, match="back to the page"):
            await anext(rows)
    assert read.cursors == [None, "A", "B"]
