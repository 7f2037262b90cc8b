import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from flyasync.emulator import Emulator, Fault
from flyasync.emulator.core.operations import Operation, companions, operations
from flyasync.emulator.core.tracked import Tracked
from tests.emulator.core.test_operations import BODIES, QUERIES, held, one_of_everything, prepare
from tests.emulator.driver import running
from tests.emulator.state.worlds import everything, in_file, killed

ALL = [each for each in (*operations(), *companions()) if each.method != "GET" and each.action != "graphql"]
# Time passes in each request; the file has the time of the last change.
TIME = {"clock": 0}
# A process that is killed does not write the state of the random numbers.
DRAWN = TIME | {"random": ""}


def mode_and_files(folder: Path) -> list[tuple[int, str]]:
    return [(each.stat().st_mode & 0o777, each.name) for each in folder.iterdir()]


def emulator(path: Path, **options: Any) -> Emulator:
    return Emulator(limits=False, boot=(1, 1), state=path, **options)


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.action)
async def test_what_an_operation_changes_is_in_the_file_before_its_response(
    operation: Operation, tmp_path: Path
) -> None:
    path, action = tmp_path / "state", operation.action
    async with running(emulator(path)) as api:
        place = await one_of_everything(api)
        await prepare(api, place, action)
        url = place.path(operation.path, action) + QUERIES.get(action, "?force=true")
        body = place.bodies.get(action, BODIES.get(action))
        headers = {} if action == "createMachineLease" else held(place)
        said = await api.ask(operation.method, url, headers=headers, **({} if body is None else {"json": body}))
        assert said.status < 300, said
        found = in_file(path)
        assert api.emulator.dump() | DRAWN == found | DRAWN


async def test_a_restart_continues(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(emulator(path)) as api:
        await everything(api)
        machine = await api.machine(config={"auto_destroy": True, "init": {"exec": ["true"]}})
        stopped = api.emulator.dump()
    assert mode_and_files(tmp_path) == [(0o600, "state")]
    async with running(emulator(path)) as api:
        assert api.emulator.dump() | TIME == stopped | TIME
        await api.reach(machine, "started")
        await api.reach(machine, "destroyed")


async def test_a_killed_emulator_continues_from_its_last_change(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(emulator(path)) as api:
        await api.app()
        machine = await api.running(lease_ttl=60)
        before, after = api.emulator.dump(), in_file(path)
        assert after | DRAWN == before | DRAWN
    async with running(Emulator.from_world(after, limits=False)) as api:
        assert (await api.look(machine))["state"] == "started"


async def test_after_a_kill_no_id_is_drawn_twice(tmp_path: Path) -> None:
    path = tmp_path / "state"
    made: list[str] = []
    for start in range(3):
        async with running(emulator(path)) as api:
            if not start:
                await api.app()
            assert [*api.emulator.world.machines] == made
            made.append((await api.machine())["id"])
            path = killed(path)
    assert len(set(made)) == 3


async def test_changes_by_routes_and_methods_of_the_emulator_are_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(emulator(path, commands={}, faults=[Fault(does="cut", action="getApp", times=1)])) as api:
        await api.app()
        machine = await api.running()
        api.emulator.set_capacity("iad", 3)
        assert in_file(path)["capacity"] == {"iad": 3}
        api.emulator.set_host_status(machine["id"], "unreachable")
        assert in_file(path)["machines"][machine["id"]]["host_status"] == "unreachable"
        api.emulator.set_error_regions("lhr")
        assert in_file(path)["error_regions"] == ["lhr"]
        digest = api.emulator.push("nginx")
        assert digest in in_file(path)["images"]["digests"].values()
        await api.post("/_emulator/commands", {"command": "ls"})
        assert [*in_file(path)["commands"]] == ["ls"]
        await api.post("/_emulator/faults", {"does": "delay"})
        assert [each["fault"]["does"] for each in in_file(path)["faults"]["active"]] == ["cut", "delay"]
        api.emulator.write_log("web", "hello")
        assert in_file(path)["lines"]["web"][-1]["message"] == "hello"
    # The faults of the start are those of the file: they are not added again.
    async with running(
        emulator(path, capacity={"lhr": 1}, faults=[Fault(does="cut", action="getApp", times=1)])
    ) as api:
        assert api.emulator.world.capacity == {"iad": 3, "lhr": 1}
        assert [fault.does for fault in api.emulator.faults] == ["cut", "delay"]


async def test_a_reset_clears_the_file_and_a_load_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(emulator(path)) as api:
        await everything(api)
        full = api.emulator.dump()
        await api.post("/_emulator/reset")
        assert in_file(path)["apps"] == in_file(path)["lines"] == {}
        api.emulator.load(full)
        assert in_file(path) | DRAWN == api.emulator.dump() | DRAWN
        await api.app("other")
        assert [*in_file(path)["apps"]] == ["web", "other"]


async def test_only_changed_records_are_written(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(emulator(path)) as api:
        await api.app()
        machine = await api.running()
        assert api.emulator._source._file is not None
        written = api.emulator._source._file._database.total_changes
        await api.look(machine)
        await api.get("/v1/apps/web/machines")
        await api.get("/v1/orgs/personal/machines")
        assert api.emulator._source._file._database.total_changes == written
        await api.ask("PATCH", f"/v1/apps/web/machines/{machine['id']}/metadata", json={"metadata": {"a": "b"}})
        # The machine, the clock and the number of lines.
        assert api.emulator._source._file._database.total_changes == written + 3


def sqlite_file(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


async def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    text, database, other, newer = (tmp_path / name for name in ("text", "database", "other", "newer"))
    text.write_text("hello, this is my shopping list")
    sqlite_file(database, "CREATE TABLE shopping (item TEXT)")
    async with emulator(newer):
        pass
    sqlite_file(newer, "PRAGMA user_version = 2")
    for path, problem in (
        (text, "is not a state file of the emulator: name another file"),
        (database, "is not a state file of the emulator: name another file"),
        (newer, "has version 2 of the format, but this flyasync reads version 1: name another file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "state", "No such file or directory"),
        (Path("/proc/state"), "No such file or directory"),
    ):
        with pytest.raises(ValueError, match=re.escape(str(path))) as raised:
            await emulator(path).start()
        assert problem in str(raised.value)
    assert text.read_text() == "hello, this is my shopping list"
    async with emulator(other):
        with pytest.raises(ValueError, match="is in use by another emulator: stop it, or name another file"):
            await emulator(other).start()
    async with emulator(other):
        pass


async def test_a_file_with_a_world_is_not_replaced_by_another_one(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(emulator(path)) as api:
        await api.app()
        world = api.emulator.dump()
    with pytest.raises(ValueError, match="already has a world"):
        await Emulator.from_world(world, state=path).start()
    new = tmp_path / "new"
    async with Emulator.from_world(world, state=new):
        assert [*in_file(new)["apps"]] == ["web"]


async def test_old_log_lines_leave_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(emulator(path)) as api:
        await api.app()
        with api.emulator._present() as world:
            for number in range(10_002):
                world.log("web", str(number))
        assert len(in_file(path)["lines"]["web"]) == 10_000
        api.emulator.write_log("web", "last")
        assert [each["message"] for each in in_file(path)["lines"]["web"]][:1] == ["3"]
        await api.ask("DELETE", "/v1/apps/web")
        assert in_file(path)["lines"] == {}


async def test_what_cannot_be_written_is_no_success(tmp_path: Path) -> None:
    async with running(emulator(tmp_path / "state")) as api:
        await api.app()
        assert api.emulator._source._file is not None
        api.emulator._source._file._database.execute("PRAGMA query_only = 1")
        assert (await api.post("/v1/apps", {"name": "other", "org_slug": "personal"})).status == 500
        api.emulator._source._file._database.execute("PRAGMA query_only = 0")
        # It is written with the next change.
        await api.app("third")
        assert [*in_file(tmp_path / "state")["apps"]] == ["web", "other", "third"]


def test_what_an_iteration_ends_with_may_change() -> None:
    records = Tracked({"a": 1, "b": 2, "c": 3})
    assert list(records.values()) == [1, 2, 3]
    assert records.touched == set()
    assert next(one for one in records.values() if one == 2) == 2
    assert records.touched == {"b"}
