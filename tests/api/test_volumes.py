import asyncio
from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault
from flyasync.errors import BadRequest, NoCapacity, NotFound, Scope, ServerFault, VolumeInUse, WrongState
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.guest import Guest
from tests.api.client_on_emulator import NGINX, Ask, count, scripted, sent_by

VOLUME = {"id": "vol_1", "name": "data", "state": "created", "region": "iad"}
V1 = "/v1/apps/web/volumes/vol_1"

SENT: list[tuple[Ask, str, Any, Any]] = [
    (lambda fly: fly.volumes.list("web"), "GET /v1/apps/web/volumes", None, []),
    (lambda fly: fly.volumes.list("web", summary=True), "GET /v1/apps/web/volumes?summary=true", None, []),
    (
        lambda fly: fly.volumes.create("web", name="data", region="iad"),
        "POST /v1/apps/web/volumes",
        {"name": "data", "region": "iad"},
        VOLUME,
    ),
    (
        lambda fly: fly.volumes.create(
            "web",
            name="data",
            region="iad",
            size_gb=10,
            encrypted=False,
            fstype="ext4",
            require_unique_zone=False,
            unique_zone_app_wide=True,
            snapshot_id="vs_1",
            source_volume_id="vol_0",
            snapshot_retention=7,
            auto_backup_enabled=False,
            compute=Guest(cpus=2, memory_mb=1024),
            compute_image="nginx",
        ),
        "POST /v1/apps/web/volumes",
        {
            "name": "data",
            "region": "iad",
            "size_gb": 10,
            "encrypted": False,
            "fstype": "ext4",
            "require_unique_zone": False,
            "unique_zone_app_wide": True,
            "snapshot_id": "vs_1",
            "source_volume_id": "vol_0",
            "snapshot_retention": 7,
            "auto_backup_enabled": False,
            "compute": {"cpus": 2, "memory_mb": 1024},
            "compute_image": "nginx",
        },
        VOLUME,
    ),
    (lambda fly: fly.volumes.get("web", "vol_1"), f"GET {V1}", None, VOLUME),
    (
        lambda fly: fly.volumes.update("web", "vol_1", snapshot_retention=10, auto_backup_enabled=False),
        f"PUT {V1}",
        {"snapshot_retention": 10, "auto_backup_enabled": False},
        VOLUME,
    ),
    (lambda fly: fly.volumes.delete("web", "vol_1"), f"DELETE {V1}", None, VOLUME),
    (
        lambda fly: fly.volumes.extend("web", "vol_1", size_gb=20),
        f"PUT {V1}/extend",
        {"size_gb": 20},
        {"volume": VOLUME, "needs_restart": False},
    ),
]


@pytest.mark.parametrize(("ask", "line", "body", "answer"), SENT)
async def test_each_method_sends_what_the_api_documents(ask: Ask, line: str, body: Any, answer: Any) -> None:
    sent = await sent_by(ask, answer)
    assert (sent.line, sent.body) == (line, body)


async def test_a_volume_is_created_grown_changed_and_deleted(fly: FlyClient, app: str) -> None:
    made = await fly.volumes.create(app, name="data", region="lhr", size_gb=5, compute=Guest(cpus=1))
    assert (made.name, made.region, made.size_gb, made.is_free) == ("data", "lhr", 5, True)
    grown = await fly.volumes.extend(app, made.id, size_gb=8)
    assert (grown.volume.size_gb, grown.needs_restart) == (8, False)
    changed = await fly.volumes.update(app, made.id, snapshot_retention=30)
    assert (changed.snapshot_retention, changed.auto_backup_enabled) == (30, True)
    assert [one.id for one in await fly.volumes.list(app)] == [made.id]
    assert (await fly.volumes.delete(app, made.id)).state == "pending_destroy"
    assert (await fly.volumes.get(app, made.id)).state == "pending_destroy"


async def test_a_volume_cannot_shrink(fly: FlyClient, app: str) -> None:
    made = await fly.volumes.create(app, name="data", region="lhr", size_gb=5)
    with pytest.raises(BadRequest, match="only be extended"):
        await fly.volumes.extend(app, made.id, size_gb=4)


async def test_a_volume_serves_one_machine_that_is_named_to_the_others(fly: FlyClient, app: str) -> None:
    made = await fly.volumes.create(app, name="data", region="lhr")
    config = MachineConfig(image="nginx", mounts=[Mount(volume=made.id, path="/data")])
    machine = await fly.machines.create(app, config, region="lhr")
    assert (await fly.volumes.get(app, made.id)).attached_machine_id == machine.id
    with pytest.raises(VolumeInUse) as caught:
        await fly.machines.create(app, config, region="lhr")
    assert caught.value.machine_id == machine.id
    with pytest.raises(VolumeInUse) as caught:
        await fly.volumes.delete(app, made.id)
    assert caught.value.machine_id == machine.id
    await fly.machines.delete(app, machine.id, force=True)
    await fly.machines.wait(app, machine.id, state="destroyed")
    await fly.volumes.delete(app, made.id)


RETIRED = "Region lhr is deprecated and cannot have new resources provisioned. Please consider using ams"


@pytest.mark.parametrize(
    ("status", "text"),
    [(400, "no capacity"), (409, "aborted: no capacity"), (400, RETIRED), (403, RETIRED), (422, RETIRED)],
)
async def test_a_full_region_says_so_in_either_form(
    fly: FlyClient, emulator: Emulator, app: str, status: int, text: str
) -> None:
    emulator.faults.add(Fault(does="refuse", action="createVolume", status=status, body={"error": text}))
    with pytest.raises(NoCapacity) as caught:
        await fly.volumes.create(app, name="data", region="lhr")
    assert caught.value.scope is Scope.REGION


VOLUME = {"id": "vol_1", "name": "data", "region": "iad"}
DELETED = {**VOLUME, "state": "pending_destroy"}


async def test_a_volume_that_was_deleted_though_the_answer_is_lost_is_read_as_far_as_it_can_be() -> None:
    gone = (404, {"error": "volume not found"})
    async with scripted((504, None), gone, (200, DELETED)) as (_, fly):
        assert (await fly.volumes.delete("web", "vol_1")).state == "pending_destroy"
    async with scripted((504, None), gone) as (server, fly):
        assert (await fly.volumes.delete("web", "vol_1")).state == "destroyed"
    assert [sent.line.split()[0] for sent in server.heard] == ["DELETE", "DELETE", "GET"]


async def test_the_full_host_of_a_volume_is_told_from_a_full_region(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    volume = await fly.volumes.create(app, name="data", region="lhr")
    emulator.set_capacity("lhr", 0)
    with pytest.raises(NoCapacity) as caught:
        await fly.machines.create(app, MachineConfig(image="nginx", mounts=[Mount(volume=volume.id, path="/data")]))
    assert caught.value.scope is Scope.VOLUME_HOST


async def test_an_unknown_volume_is_not_found(fly: FlyClient, app: str) -> None:
    with pytest.raises(NotFound):
        await fly.volumes.get(app, "vol_none")
    with pytest.raises(BadRequest, match="volume not found"):
        await fly.machines.create(app, MachineConfig(image=NGINX.image, mounts=[Mount(volume="vol_x", path="/d")]))


async def test_a_create_is_never_repeated_blind(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="refuse", action="createVolume", status=503, times=1))
    with pytest.raises(ServerFault) as caught:
        await fly.volumes.create(app, name="data", region="lhr")
    assert caught.value.may_have_happened
    assert count(emulator, "createVolume") == 1


async def test_a_snapshot_is_taken_one_at_a_time_and_restored(fly: FlyClient, app: str) -> None:
    volume = await fly.volumes.create(app, name="data", region="iad", size_gb=1)
    await fly.volumes.create_snapshot(app, volume.id)
    (pending,) = await fly.volumes.snapshots(app, volume.id)
    assert pending.status == "pending"
    with pytest.raises(WrongState, match="already scheduled"):
        await fly.volumes.create_snapshot(app, volume.id)
    await asyncio.sleep(600)
    (created,) = await fly.volumes.snapshots(app, volume.id)
    assert (created.id, created.status) == (pending.id, "created")
    restored = await fly.volumes.restore(app, created.id, name="again", region="lhr")
    assert (restored.name, restored.region) == ("again", "lhr")


async def test_a_fork_has_the_name_and_region_of_its_source_unless_it_is_told_others(fly: FlyClient, app: str) -> None:
    volume = await fly.volumes.create(app, name="data", region="lhr", size_gb=1)
    await asyncio.sleep(60)
    fork = await fly.volumes.fork(app, volume.id)
    assert fork.id != volume.id
    assert (fork.name, fork.region) == ("data", "lhr")
    other = await fly.volumes.fork(app, volume.id, name="other", region="iad")
    assert (other.name, other.region) == ("other", "iad")
