"""A mount that names its volume gets a free one of its region, once, whatever is lost."""

import asyncio
from typing import Any

import pytest
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.api.machines.named_volumes import region_codes
from flyasync.emulator import Emulator, Fault
from flyasync.errors import InvalidInput, NoCapacity, NoFreeVolume, VolumeInUse
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.machine import Machine
from tests.api.client_on_emulator import NGINX, client, count

DATA = evolve(NGINX, mounts=[Mount(volume="data", path="/data")])
HOST_FULL = {"error": "insufficient resources to create new machine", "status": "volume_placement_capacity"}


async def made(fly: FlyClient, *regions: str, name: str = "data") -> list[str]:
    return sorted([(await fly.volumes.create("web", name=name, region=region)).id for region in regions])


def volume_of(machine: Machine) -> str | None:
    assert machine.config
    (mount,) = machine.config.mounts or ()
    assert mount.path == "/data"
    return mount.volume


async def holders(fly: FlyClient) -> dict[str, str | None]:
    return {each.id: each.attached_machine_id for each in await fly.volumes.list("web")}


@pytest.mark.parametrize("config", [DATA, evolve(NGINX, mounts=[Mount(name="data", path="/data")])])
async def test_a_free_volume_of_the_name_in_the_region_is_mounted(
    fly: FlyClient, app: str, config: MachineConfig
) -> None:
    await made(fly, "iad", name="other")
    (there,) = await made(fly, "lhr")
    machine = await fly.machines.create_once(app, config, name="one", launch="v1", region="lhr")
    assert (volume_of(machine), machine.region) == (there, "lhr")
    assert (await holders(fly))[there] == machine.id


async def test_the_same_call_again_gets_the_same_machine_and_takes_no_other_volume(fly: FlyClient, app: str) -> None:
    (first,) = await made(fly, "iad")
    machine = await fly.machines.create_once(app, DATA, name="one", launch="v1", region="iad")
    # 1. None is free any more. 2. One is free.
    for _ in range(2):
        again = await fly.machines.create_once(app, DATA, name="one", launch="v1", region="iad")
        assert (again.id, volume_of(again)) == (machine.id, first)
        await made(fly, "iad")
    assert list((await holders(fly)).values()).count(None) == 2


async def test_the_plain_create_refuses_a_name_and_says_what_to_do_instead(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    with pytest.raises(InvalidInput, match=r"'data' is the name of a volume.*create_once.*take a free volume"):
        await fly.machines.create(app, DATA, region="iad")
    assert count(emulator, "createMachine") == 0


@pytest.mark.parametrize("clients", [1, 2])
async def test_two_creates_at_once_never_get_the_same_volume(emulator: Emulator, app: str, clients: int) -> None:
    async with client(emulator) as one, client(emulator) as two:
        there = await made(one, *["iad"] * 6)
        flies = [one, two][:clients]
        machines = await asyncio.gather(
            *(
                flies[number % clients].machines.create_once(app, DATA, name=f"m{number}", launch="v1", region="iad")
                for number in range(6)
            )
        )
        assert sorted(str(volume_of(machine)) for machine in machines) == there
        assert await holders(one) == {volume_of(machine): machine.id for machine in machines}
        if clients == 1:
            assert count(emulator, "createMachine") == 6
        with pytest.raises(NoFreeVolume) as caught:
            await two.machines.create_once(app, DATA, name="late", launch="v1", region="iad")
        assert (caught.value.held, caught.value.may_have_happened) == (6, False)
        assert len(emulator.world.machines) == 6


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "trouble",
    [
        {"does": "cut"},
        {"does": "cut_after"},
        {"does": "lose_answer"},
        {"does": "refuse", "status": 500},
        {"does": "refuse", "status": 503},
        {"does": "delay", "seconds": 8},
    ],
    ids=lambda trouble: " ".join(map(str, trouble.values())),
)
@pytest.mark.parametrize("is_stale", [False, True])
async def test_after_a_lost_response_no_second_volume_is_taken(
    emulator: Emulator, app: str, trouble: dict[str, Any], *, times: int, is_stale: bool
) -> None:
    async with client(emulator, timeout=5.0) as fly:
        there = await made(fly, "iad", "iad", "iad")
        emulator.faults.add(Fault(action="createMachine", times=times, **trouble))
        if is_stale:
            emulator.faults.add(Fault(does="stale", seconds=5, action="listMachines", times=99))
        machine = await fly.machines.create_once(app, DATA, name="one", launch="v1", region="iad")
        assert list(emulator.world.machines) == [machine.id]
        assert volume_of(machine) == there[0]
        assert await holders(fly) == {there[0]: machine.id, there[1]: None, there[2]: None}


async def test_a_volume_that_another_client_has_just_taken_is_passed_over(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    first, second = await made(fly, "iad", "iad")
    await asyncio.sleep(30)
    theirs = evolve(NGINX, mounts=[Mount(volume=first, path="/data")])
    await fly.machines.create(app, theirs, name="theirs", region="iad")
    emulator.faults.add(Fault(does="stale", seconds=10, action="listVolumes", times=99))
    machine = await fly.machines.create_once(app, DATA, name="one", launch="v1", region="iad")
    assert volume_of(machine) == second
    # Then no other is left, and the machine that has it is not ours.
    with pytest.raises(NoFreeVolume, match="all 2 are taken"):
        await fly.machines.create_once(app, DATA, name="two", launch="v1", region="iad")
    assert len(emulator.world.machines) == 2


async def test_a_volume_stated_by_its_id_is_never_another(fly: FlyClient, app: str) -> None:
    first, _ = await made(fly, "iad", "iad")
    by_id = evolve(NGINX, mounts=[Mount(volume=first, path="/data", name="data")])
    await fly.machines.create_once(app, by_id, name="one", launch="v1", region="iad")
    with pytest.raises(VolumeInUse):
        await fly.machines.create_once(app, by_id, name="two", launch="v1", region="iad")


async def test_a_volume_on_a_full_host_is_passed_over(fly: FlyClient, emulator: Emulator, app: str) -> None:
    first, second = await made(fly, "iad", "iad")
    full = Fault(does="refuse", action="createMachine", status=412, body=HOST_FULL, times=1)
    emulator.faults.add(full)
    machine = await fly.machines.create_once(app, DATA, name="one", launch="v1", region="iad")
    assert volume_of(machine) == second
    emulator.faults.add(evolve(full, times=9))
    with pytest.raises(NoCapacity):
        await fly.machines.create_once(app, DATA, name="two", launch="v1", region="iad")
    # A volume that was passed over can be had by a later call.
    emulator.faults.clear()
    assert volume_of(await fly.machines.create_once(app, DATA, name="two", launch="v1", region="iad")) == first


async def test_of_several_regions_the_first_with_a_free_volume_is_used(fly: FlyClient, app: str) -> None:
    (lhr,) = await made(fly, "lhr")
    for region in (["iad", "lhr"], "iad,lhr"):
        machine = await fly.machines.create_once(app, DATA, name="one", launch="v1", region=region)
        assert (machine.region, volume_of(machine)) == ("lhr", lhr)
    with pytest.raises(NoFreeVolume, match="no free volume data in iad: there is none") as caught:
        await fly.machines.create_once(app, DATA, name="two", launch="v1", region="iad")
    assert caught.value.free == ()
    await made(fly, "nrt")
    with pytest.raises(NoFreeVolume, match="in lhr: the only one is taken, but there are free ones in nrt"):
        await fly.machines.create_once(app, DATA, name="two", launch="v1", region="lhr")


async def test_without_a_region_the_volumes_decide_it_if_they_can(fly: FlyClient, app: str) -> None:
    with pytest.raises(NoFreeVolume, match="web has no free volume data: there is none"):
        await fly.machines.create_once(app, DATA, name="one", launch="v1")
    await made(fly, "lhr")
    assert (await fly.machines.create_once(app, DATA, name="one", launch="v1")).region == "lhr"
    await made(fly, "iad", "nrt")
    with pytest.raises(InvalidInput, match=r"free volumes data in iad and nrt.*pass region="):
        await fly.machines.create_once(app, DATA, name="two", launch="v1")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"region": "eu"}, "'eu' is not the code of one region"),
        ({"region": "any"}, "'any' is not the code of one region"),
        ({"region": ["iad", "usa"]}, "'usa' is not the code of one region"),
        ({"config": evolve(DATA, image="")}, "'' is not an image"),
        ({"config": evolve(DATA, mounts=[Mount(volume="my-data", path="/data")])}, "'my-data' is not the id"),
    ],
)
async def test_what_cannot_be_is_refused_before_any_request(
    fly: FlyClient, emulator: Emulator, app: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        await fly.machines.create_once(
            app, options.pop("config", DATA), name="one", launch="v1", **{"region": "iad", **options}
        )
    assert count(emulator, "listVolumes") == count(emulator, "createMachine") == 0


def test_the_codes_of_regions() -> None:
    assert region_codes("data", None) == ()
    assert region_codes("data", " iad , lhr") == ("iad", "lhr")
