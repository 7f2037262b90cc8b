"""The addresses of a first deploy: each allocated once, whatever is lost, and released again."""

import asyncio
from typing import Any

import pytest

from flyasync import Fault, FlyClient
from flyasync.deploy.run.addresses import AddressAllocator
from flyasync.errors import FlyError, Forbidden
from tests.deploy.conftest import total, world

ASSIGN = "createAppIPAssignment"


async def types(fly: FlyClient) -> list[str]:
    return sorted(each.type or "" for each in await fly.ip_assignments.list("web"))


async def test_a_first_deploy_allocates_one_of_each_type_and_releases_exactly_those() -> None:
    async with world(seed=1) as (_, fly):
        allocator = AddressAllocator(fly, "web")
        made = await allocator.allocate(("shared_v4", "v6"))
        assert await types(fly) == ["shared_v4", "v6"]
        assert {each.ip for each in made} == {each.ip for each in await fly.ip_assignments.list("web")}
        await fly.ip_assignments.create("web", type="private_v6")
        await allocator.release()
        assert await types(fly) == ["private_v6"]
        assert allocator.made == []
        await allocator.release()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "trouble",
    [
        {"does": "cut"},
        {"does": "cut_after"},
        {"does": "lose_answer"},
        {"does": "refuse", "status": 500},
        {"does": "refuse", "status": 504},
    ],
    ids=lambda trouble: " ".join(map(str, trouble.values())),
)
async def test_each_is_allocated_exactly_once_whatever_is_lost(trouble: dict[str, Any], times: int) -> None:
    async with world(seed=1, client={"timeout": 5.0}) as (emulator, fly):
        emulator.faults.add(Fault(action=ASSIGN, times=times, **trouble))
        made = await AddressAllocator(fly, "web").allocate(("v4", "v6"))
        assert await types(fly) == ["v4", "v6"]
        assert {each.ip for each in made} == {each.ip for each in await fly.ip_assignments.list("web")}


async def test_a_failure_leaves_a_record_of_what_was_allocated() -> None:
    async with world(seed=1) as (emulator, fly):
        allocator = AddressAllocator(fly, "web")
        await allocator.allocate(("v4",))
        emulator.faults.add(Fault(does="refuse", action=ASSIGN, status=403, body={"error": "billing"}))
        with pytest.raises(Forbidden, match="billing"):
            await allocator.allocate(("v6",))
        (address,) = allocator.made
        assert not str(address.ip).count(":")
        await allocator.release()
        assert await types(fly) == []


async def test_it_gives_up_after_five_requests_and_says_that_one_may_have_happened() -> None:
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(Fault(does="refuse", action=ASSIGN, status=500, times=99))
        with pytest.raises(FlyError) as caught:
            await AddressAllocator(fly, "web").allocate(("v4",))
        assert caught.value.may_have_happened
        assert total(emulator, ASSIGN) == 5


async def test_cancelled_it_knows_what_it_has_sent() -> None:
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(Fault(does="delay", action=ASSIGN, seconds=3))
        allocator = AddressAllocator(fly, "web")
        task = asyncio.ensure_future(allocator.allocate(("v4", "v6")))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (found,) = await fly.ip_assignments.list("web")
        assert [each.ip for each in allocator.made] == [found.ip]
        # An address that is gone already is no trouble.
        await fly.ip_assignments.delete("web", str(found.ip))
        await allocator.release()
        assert allocator.made == []


async def test_one_that_another_client_has_allocated_since_the_plan_is_used() -> None:
    async with world(seed=1) as (_, fly):
        await fly.ip_assignments.create("web", type="v6")
        allocator = AddressAllocator(fly, "web")
        (made,) = await allocator.allocate(("v4", "v6"))
        assert await types(fly) == ["v4", "v6"]
        await allocator.release_surplus()
        assert allocator.made == [made]


@pytest.mark.parametrize("is_older_first", [True, False])
async def test_of_two_that_allocate_at_once_the_later_one_releases_its_own(*, is_older_first: bool) -> None:
    async with world(seed=1) as (emulator, fly):
        await fly.ip_assignments.create("web", type="private_v6")
        # Both have listed the addresses before either allocates one.
        older, later = AddressAllocator(fly, "web"), AddressAllocator(fly, "web")
        emulator.faults.add(Fault(does="delay", action=ASSIGN, seconds=1, times=1))
        emulator.faults.add(Fault(does="delay", action=ASSIGN, seconds=2, times=1, after=1))
        await asyncio.gather(older.allocate(("v6",)), later.allocate(("v6",)))
        assert await types(fly) == ["private_v6", "v6", "v6"]
        for each in (older, later) if is_older_first else (later, older):
            await each.release_surplus()
        (kept,) = [each.ip for each in await fly.ip_assignments.list("web") if each.type == "v6"]
        assert [each.ip for each in (*older.made, *later.made)] == [kept]


async def test_the_surplus_stays_if_it_cannot_be_released_and_is_still_known() -> None:
    async with world(seed=1) as (emulator, fly):
        await fly.ip_assignments.create("web", type="v6")
        allocator = AddressAllocator(fly, "web")
        allocator.made.append(await fly.ip_assignments.create("web", type="v6"))
        emulator.faults.add(Fault(does="refuse", action="deleteAppIPAssignment", status=403))
        with pytest.raises(Forbidden):
            await allocator.release_surplus()
        assert len(allocator.made) == 1
