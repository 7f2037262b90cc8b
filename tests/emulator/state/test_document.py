import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from attrs import fields, has, resolve_types

from flyasync.emulator import Emulator, Fault, Output
from flyasync.emulator.core import records
from flyasync.emulator.core.state_schedule import StateSchedule
from flyasync.emulator.state import document
from flyasync.emulator.state.codec import WorldError, from_json, to_json
from flyasync.emulator.world.world import World
from tests.emulator.driver import Api, running, serving
from tests.emulator.state.worlds import afterwards, as_text, everything

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"limits": False, "boot": (1, 3), "epoch": EPOCH}
HEAD = {"format": "flyasync-emulator-world", "version": 1}


def test_the_document_has_a_key_for_each_field_of_the_world_that_is_no_option() -> None:
    """A new field is part of the state, and documented; if it is an option, `_OPTIONS` names it."""
    assert [*document.dump(World())] == [
        "format", "version", "epoch", "capacity", "faults", "clock", "apps", "machines", "volumes", "clusters", "orgs",
        "limited_tokens", "lines", "images", "image_known_at", "commands", "processes", "error_regions", "random",
        "logged",
    ]  # fmt: skip
    assert document.COLLECTIONS.keys() == {"apps", "machines", "volumes", "clusters", "orgs", "limited_tokens"}
    page = Path("docs/pages/emulator.md").read_text()
    assert [name for name in document.dump(World()) if f"`{name}`" not in page] == []


def test_every_record_belongs_to_the_document() -> None:
    """A new type of record is reached from a field of the world, or its changes would be lost."""
    kinds = {
        one
        for one in vars(records).values()
        if isinstance(one, type) and has(one) and one.__module__ == records.__name__
    }
    reached: set[Any] = set()
    left: list[Any] = [each.type for each in document.STORED.values()]
    while left:
        kind = left.pop()
        left += get_args(kind)
        if isinstance(kind, type) and has(kind) and kind not in reached:
            reached.add(kind)
            left += [each.type for each in fields(resolve_types(kind))]
    assert kinds - reached == set()
    assert StateSchedule in reached


async def test_a_world_that_is_loaded_is_equal_and_behaves_alike() -> None:
    async with serving(seed=7, **OPTIONS) as api, serving(seed=8, **OPTIONS) as other:
        await everything(api)
        dumped = await api.get("/_emulator/world")
        # The second emulator has another clock, which continues from that of the first.
        assert (await other.post("/_emulator/world", dumped.body)).status == 204
        again = await other.get("/_emulator/world")
        assert as_text(again.body | {"clock": 0}) == as_text(dumped.body | {"clock": 0})
        assert again.body["clock"] == pytest.approx(dumped.body["clock"], abs=0.01)
    with_pending = dumped.body["machines"].values()
    assert {each["state"] for each in with_pending} >= {"created", "stopping", "started"}
    assert sum(each["next_transition"] is not None for each in with_pending) >= 2


async def test_what_follows_is_the_same_in_both_worlds() -> None:
    # The second world runs microseconds behind the first: with this seed, no time is rounded to another millisecond.
    async with serving(seed=9, **OPTIONS) as api:
        await everything(api)
        dumped = api.emulator.dump()
        original = await afterwards(api)
    async with running(Emulator.from_world(json.loads(json.dumps(dumped)), **OPTIONS)) as api:
        assert await afterwards(api) == original


async def test_a_wait_in_progress_goes_on_in_the_world_that_is_loaded(api: Api) -> None:
    machine = await api.machine()
    dumped = (await api.get("/_emulator/world")).body
    waits = [asyncio.ensure_future(api.wait(machine, state)) for state in ("started", "stopped")]
    await asyncio.sleep(0.5)
    assert (await api.post("/_emulator/world", dumped)).status == 204
    assert (await waits[0]).body["state"] == "started"
    await api.act(machine, "stop")
    assert (await waits[1]).status == 200


async def test_a_wait_ends_with_404_if_the_machine_is_not_in_the_world_that_is_loaded(api: Api) -> None:
    empty = (await api.get("/_emulator/world")).body
    wait = asyncio.ensure_future(api.wait(await api.machine(), "stopped"))
    await asyncio.sleep(2)
    api.emulator.load(empty)
    assert (await wait).status == 404


async def test_a_lease_expires_when_its_time_has_passed_in_both_worlds_together(api: Api) -> None:
    machine = await api.machine(lease_ttl=10)
    await asyncio.sleep(6)
    api.emulator.load(api.emulator.dump())
    assert (await api.act(machine, "cordon")).status == 409
    await asyncio.sleep(5)
    assert (await api.act(machine, "cordon")).status == 200


async def test_the_limits_go_on_after_a_load() -> None:
    async with serving() as api:
        await api.app()
        assert [(await api.get("/v1/apps/web")).status for _ in range(4)] == [200, 200, 200, 429]
        api.emulator.load(api.emulator.dump())
        assert (await api.get("/v1/apps/web")).status == 429
        await asyncio.sleep(1)
        assert (await api.get("/v1/apps/web")).status == 200


async def test_an_emulator_of_a_world_starts_and_starts_over_with_it(api: Api, tmp_path: Path) -> None:
    machine = await api.running()
    api.emulator.set_capacity("iad", 5)
    file = tmp_path / "world.json"
    file.write_text(json.dumps(api.emulator.dump()))
    crash = Fault(does="crash")
    emulator = Emulator.from_world(file, limits=False, capacity={"lhr": 0}, commands={"a": Output()}, faults=[crash])
    async with running(emulator) as other:
        for _ in range(2):
            assert (await other.look(machine))["state"] == "started"
            assert other.emulator.world.capacity == {"iad": 5, "lhr": 0}
            assert [*other.emulator.commands] == ["a"]
            assert [*other.emulator.faults] == [crash]
            await other.ask("DELETE", "/v1/apps/web")
            other.emulator.reset()


@pytest.mark.parametrize(
    ("world", "problem"),
    [
        ([], "this is not a world"),
        ({"version": 1}, "this is not a world"),
        (HEAD | {"version": 2}, "has version 2 of the format; this flyasync reads version 1"),
        (HEAD | {"apes": {}}, "a world has no key 'apes'; its keys are epoch, capacity"),
        (HEAD | {"clock": "s3cr3t"}, "clock: expected a number, got a string"),
        (HEAD | {"machines": []}, "machines: expected"),
        (HEAD | {"apps": {"web": {"name": 1}}}, "apps['web']"),
        (HEAD | {"apps": {"web": {"nam": "web"}}}, "apps['web']"),
        (HEAD | {"capacity": {"iad": -1}}, "capacity: iad is -1, but must be 0 or more"),
        (HEAD | {"random": "s3cr3t"}, "random: "),
        (HEAD | {"faults": {"random": "", "active": [{"fault": {"does": "dance"}}]}}, "faults"),
    ],
)
async def test_any_other_json_is_refused_and_changes_nothing(api: Api, world: Any, problem: str) -> None:
    before = api.emulator.dump()
    said = await api.post("/_emulator/world", world)
    assert said.status == 400
    assert problem in said.error
    assert "s3cr3t" not in said.error
    assert api.emulator.dump() | {"clock": 0} == before | {"clock": 0}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"app": "other"}, "there is no app 'other'"),
        ({"id": "other"}, "its key and its id differ"),
        ({"state": "dancing"}, "there is no state 'dancing'"),
        ({"config": {"image": "nginx", "mounts": [{"volume": "vol_x", "path": "/a"}]}}, "there is no volume 'vol_x'"),
        ({"config": {"image": ""}}, "config.image is required"),
        ({"config": 1}, "config"),
    ],
)
async def test_a_machine_that_cannot_be_is_refused(api: Api, change: Any, problem: str) -> None:
    machine = await api.machine()
    world = api.emulator.dump()
    world["machines"][machine["id"]] |= change
    with pytest.raises(WorldError, match=machine["id"]) as raised:
        api.emulator.load(world)
    assert problem in str(raised.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    file.write_text("{")
    with pytest.raises(ValueError, match=r"world\.json is not JSON"):
        Emulator.from_world(file)
    with pytest.raises(FileNotFoundError):
        Emulator.from_world(tmp_path / "other.json")


def test_bounds_of_deques_are_kept() -> None:
    world = World()
    record = records.MachineRecord(
        id="a", app="web", name="a", region="iad", config={}, digest="", instance_id="", private_ip="",
        created_at=0, updated_at=0, boot_seconds=1,
    )  # fmt: skip
    found = from_json(to_json(record, records.MachineRecord), records.MachineRecord, path="a")
    assert (found.events.maxlen, found.reached.maxlen) == (50, 200)
    world.apps["web"] = records.AppRecord(name="web", id="", number=1, org_slug="personal", network="", created_at=0)
    world.log("web", "hello")
    assert document.load(document.dump(world), World()).lines["web"].maxlen == 10_000
