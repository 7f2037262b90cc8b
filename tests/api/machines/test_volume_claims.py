import pytest

from flyasync.errors import VolumeInUse
from tests.api.client_on_emulator import NGINX, Reply, now, scripted

MACHINE = {"id": "m1", "name": "n", "state": "created", "region": "iad"}
HOLDER = (412, {"error": "failed_precondition: volume already claimed by machine m2"})


@pytest.mark.parametrize("shown", [(404, {"error": "app not found"}), (200, {**MACHINE, "state": "destroyed"})])
async def test_the_claim_of_a_machine_that_is_gone_is_outlasted(shown: Reply) -> None:
    async with scripted(HOLDER, shown, HOLDER, HOLDER, (200, MACHINE)) as (server, fly):
        await fly.machines.create("web", NGINX)
    assert [sent.line.split()[0] for sent in server.heard] == ["POST", "GET", "POST", "POST", "POST"]


async def test_a_volume_that_a_machine_holds_is_refused_at_once() -> None:
    async with scripted(HOLDER, (200, {**MACHINE, "state": "stopped"})) as (server, fly):
        with pytest.raises(VolumeInUse) as caught:
            await fly.machines.create("web", NGINX)
    assert caught.value.machine_id == "m2"
    assert len(server.heard) == 2
    assert now() < 1


BOUND = (412, {"error": "failed_precondition: volume is currently bound to machine: m1"})
UNBOUND = (412, {"error": "failed_precondition: volume is currently bound to machine: "})
M1 = {"id": "m1", "name": "n", "region": "iad"}
VOLUME = {"id": "vol_1", "name": "data", "region": "iad"}
DELETED = {**VOLUME, "state": "pending_destroy"}
NO_MACHINE = (404, {"error": "machine not found"})


@pytest.mark.parametrize("shown", [[NO_MACHINE] * 2, [(200, {**M1, "state": "destroying"})]])
async def test_a_volume_whose_machine_is_gone_is_deleted_once_its_claim_clears(shown: list[Reply]) -> None:
    async with scripted(BOUND, *shown, BOUND, BOUND, (200, DELETED)) as (server, fly):
        assert (await fly.volumes.delete("web", "vol_1")).state == "pending_destroy"
    assert [sent.line.split()[0] for sent in server.heard].count("DELETE") == 4


async def test_a_claim_of_a_machine_that_is_gone_is_waited_for_after_a_lost_answer_too() -> None:
    async with scripted((504, None), BOUND, NO_MACHINE, NO_MACHINE, BOUND, (200, DELETED)) as (_, fly):
        assert (await fly.volumes.delete("web", "vol_1")).state == "pending_destroy"


async def test_a_claim_that_names_no_machine_is_waited_for() -> None:
    async with scripted(UNBOUND, UNBOUND, (200, DELETED)) as (server, fly):
        await fly.volumes.delete("web", "vol_1")
    assert len(server.heard) == 3


async def test_a_volume_of_a_machine_that_is_there_is_not_deleted() -> None:
    async with scripted(BOUND, (200, {**M1, "state": "stopped"})) as (server, fly):
        with pytest.raises(VolumeInUse):
            await fly.volumes.delete("web", "vol_1")
    assert len(server.heard) == 2
