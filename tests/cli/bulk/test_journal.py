"""A run goes on from its journal, whatever ended it: nothing is made twice, and nothing done is done again."""

import asyncio
import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from flyasync.cli.bulk.journal import AppHistory, BulkHistory, BulkJournalFile, read_history
from flyasync.emulator import Fault
from flyasync.errors import InvalidInput
from tests.cli.bulk.driver import Street, names, street, table

API = "https://api.machines.dev"


def lines(shops: Street) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shops.journal.read_text().splitlines()]


def ends(shops: Street) -> dict[str, bool]:
    return {line["app"]: line["ok"] for line in lines(shops) if line.get("what") == "ended"}


def everywhere(count: int, image: str = "nginx") -> dict[str, list[str]]:
    return {name: [f"{image} in iad"] for name in names(count)}


def test_a_journal_tells_the_launch_and_what_became_of_each_app(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 2) as shops:
        assert shops.journaled(table(3), "--launch", "v7").exit_code == 1
        head, *told = lines(shops)
    assert (head["bulk"], head["launch"]) == (1, "v7")
    assert [line["app"] for line in told if line["what"] == "began"] == list(names(3))
    (failed,) = (line for line in told if line.get("ok") is False)
    assert failed["app"] == "shop-2"
    assert "app not found" in failed["why"]
    assert stat.S_IMODE(shops.journal.stat().st_mode) == 0o600


def test_what_is_done_is_left_out_and_what_failed_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = Fault(does="refuse", action="createMachine", identifier="shop-1", times=1, status=422, body={"error": "no"})
    with street(monkeypatch, tmp_path, 3, faults=[full]) as shops:
        assert shops.journaled(table(3)).exit_code == 1
        changes = shops.changes()
        again = shops.journaled(table(3))
        assert again.exit_code == 0, again.output
        assert shops.changes() == changes + 1
        assert shops.machines() == everywhere(3)
        assert "1 app to deploy, 20 at once" in again.stdout
        assert "ok: 3 of 3 apps done (2 before), 0 failed" in again.stdout
        assert shops.journaled(table(3)).exit_code == 0
        assert shops.changes() == changes + 1


def test_a_launch_is_the_same_in_each_run_of_a_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        shops.journaled(table(1), "--launch", "v7")
        assert "launch v7" in shops.journaled(table(2)).stdout
        other = shops.journaled(table(2), "--launch", "v8")
    assert other.exit_code == 2
    assert "is of launch 'v7': leave out --launch" in other.stderr


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_in_order_and_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, exit_code: int
) -> None:
    with street(monkeypatch, tmp_path, 9, boot=(10, 10)) as shops:
        cut = shops.journaled(table(9), "--apps-in-flight", "3", drive=shops.interrupted(15, number=number))
        assert cut.exit_code == exit_code
        assert "stopping: no further app is started" in cut.stderr
        assert "interrupted: 3 of 9 apps done, 0 failed, 6 left" in cut.stdout
        assert "in progress when the run was interrupted: 3 apps; their machines keep running" in cut.stdout
        assert f"the same command again, with --journal {shops.journal}" in cut.stdout
        assert len(ends(shops)) == 3
        assert shops.journaled(table(9), "--apps-in-flight", "3").exit_code == 0
        assert shops.machines() == everywhere(9)
        assert len(shops.emulator.world.machines) == 9


def test_a_second_signal_cuts_it_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = Fault(does="delay", action="listMachines", after=3, seconds=25)
    with street(monkeypatch, tmp_path, 3, boot=(60, 60), faults=[slow]) as shops:
        loop_time = shops.drive(seconds())
        cut = shops.journaled(table(3), drive=shops.interrupted(5, 6))
        assert shops.drive(seconds()) - loop_time < 15
    assert cut.exit_code == 130
    assert "stopping at once" in cut.stderr


async def seconds() -> float:
    return asyncio.get_running_loop().time()


def test_without_a_journal_the_launch_is_named_to_go_on_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 4, boot=(10, 10)) as shops:
        cut = shops.bulk(table(4), "--apps-in-flight", "2", "--launch", "v7", drive=shops.interrupted(15))
        assert "to continue: the same command with --launch v7" in cut.stdout
        assert shops.bulk(table(4), "--launch", "v7").exit_code == 0
        assert shops.machines() == everywhere(4)


@pytest.mark.parametrize("cut", [1, 3, 40, 200])
def test_a_journal_that_was_cut_off_anywhere_is_gone_on_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut: int
) -> None:
    with street(monkeypatch, tmp_path, 3) as shops:
        shops.journaled(table(3), "--launch", "v7")
        os.truncate(shops.journal, shops.journal.stat().st_size - cut)
        assert shops.journaled(table(3)).exit_code == 0
        assert shops.machines() == everywhere(3)
        assert len(shops.emulator.world.machines) == 3


# Rows that have changed


def test_a_row_with_other_regions_is_deployed_again_under_the_same_launch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 2) as shops:
        shops.journaled(table(2))
        again = shops.journaled(table(2).replace("shop-1,nginx,iad", 'shop-1,nginx,"iad,lhr"'))
        assert again.exit_code == 0
        assert shops.machines() == {"shop-0": ["nginx in iad"], "shop-1": ["nginx in iad", "nginx in lhr"]}
    assert "changed since the journal was written, to be deployed again: shop-1\n" in again.stderr
    assert "another config" not in again.stdout


def test_a_row_with_another_config_has_a_launch_of_its_own_and_its_old_one_when_it_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 2) as shops:
        shops.journaled(table(2), "--launch", "v7")
        again = shops.journaled(table(2).replace("shop-1,nginx", "shop-1,nginx:2"))
        assert again.exit_code == 0
        assert shops.machines()["shop-1"] == ["nginx in iad", "nginx:2 in iad"]
        assert "new config, so deployed under a new launch: shop-1 (v7-2)\n" in again.stdout
        assert "still exist; to destroy them: flyasync destroy shop-1 --launch v7\n" in again.stdout
        assert [line["launch"] for line in lines(shops) if line.get("what") == "began"] == ["v7", "v7", "v7-2"]
        before = len(shops.emulator.world.machines)
        assert shops.journaled(table(2)).exit_code == 0
        assert len(shops.emulator.world.machines) == before


def test_a_config_that_has_come_back_is_the_last_one_from_then_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        for image in ("nginx:1", "nginx:2", "nginx:1"):
            shops.journaled(table(1, image=image), "--launch", "v7")
        grown = table(1, image="nginx:1").replace(",iad", ',"iad,lhr"')
        said = shops.journaled(grown)
        assert said.exit_code == 0, said.output
        assert "another config" not in said.stdout
        assert "what was made before" not in said.stdout
        launches = [line["launch"] for line in lines(shops) if line.get("what") == "began"]
    assert launches == ["v7", "v7-2", "v7", "v7"]


def test_the_launches_that_only_added_are_named_when_a_strategy_follows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rolling = ("--strategy", "rolling", "--smoke-check", "0")
    gone = "machines of an earlier launch still exist; to destroy them: flyasync destroy "
    with street(monkeypatch, tmp_path, 1) as shops:
        for image in ("nginx:1", "nginx:2"):
            assert shops.journaled(table(1, image=image), "--launch", "v7").exit_code == 0
        followed = shops.journaled(table(1, image="nginx:3"), *rolling)
        assert f"{gone}shop-0 --launch v7, shop-0 --launch v7-2\n" in followed.stdout
        assert shops.machines() == {"shop-0": ["nginx:1 in iad", "nginx:2 in iad", "nginx:3 in iad"]}
        again = shops.journaled(table(1, image="nginx:3").replace(",iad", ",lhr"), *rolling)
        assert again.exit_code == 0, again.output
        assert gone not in again.stdout
        added = shops.journaled(table(1, image="nginx:4"))
        assert f"{gone}shop-0 --launch v7-3\n" in added.stdout


def test_with_a_strategy_a_row_with_another_config_is_a_change_like_any_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rolling = ("--strategy", "rolling", "--smoke-check", "0")
    with street(monkeypatch, tmp_path, 1) as shops:
        for image in ("nginx:1", "nginx:2", "nginx:1"):
            assert shops.journaled(table(1, image=image), "--launch", "v7", *rolling).exit_code == 0
            assert shops.machines() == everywhere(1, image)
        launches = [line["launch"] for line in lines(shops) if line.get("what") == "began"]
    assert launches == ["v7", "v7-2", "v7-3"]


def test_a_default_that_has_changed_changes_the_rows_that_have_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "app,region,env.PLAN\nshop-0,iad,\nshop-1,iad,gold\n"
    with street(monkeypatch, tmp_path, 2) as shops:
        shops.journaled(text, "--image", "nginx", "--env", "PLAN=free")
        again = shops.journaled(text, "--image", "nginx", "--env", "PLAN=none")
    assert "changed since the journal was written, to be deployed again: shop-0\n" in again.stderr


def test_the_same_rows_as_json_lines_are_no_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        shops.journaled('app,image,region,env.A\nshop-0,nginx,"iad,lhr",1\n')
        line = {"app": "shop-0", "env": {"A": "1"}, "regions": ["iad", "lhr"], "image": "nginx"}
        assert "0 apps to deploy" in shops.journaled(json.dumps(line)).stdout


def test_a_dry_run_reads_the_journal_and_leaves_it_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 3) as shops:
        assert shops.journaled(table(3), "--dry-run").exit_code == 0
        assert not shops.journal.exists()
        shops.journaled(table(2), "--launch", "v7")
        written = shops.journal.read_bytes()
        text = table(3).replace("shop-1,nginx,iad", "shop-1,nginx,lhr")
        said = shops.journaled(text, "--dry-run").stdout
        assert shops.journal.read_bytes() == written
    assert "2 apps to deploy, 20 at once, launch v7" in said
    assert "already done, by the journal: 1 of 3" in said
    assert "changed since the journal was written, to be deployed again: 1\n" in said


# The file


def test_a_journal_is_written_by_one_run_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        journal = shops.drive(written(shops.journal))
        try:
            second = shops.journaled(table(1))
        finally:
            journal.close()
    assert second.exit_code == 2
    assert "is being written by another deploy" in second.stderr


async def written(path: Path) -> BulkJournalFile:
    journal = BulkJournalFile(path, "v7", API, print)
    journal.began("web", row="r1", config="c1", launch="v7", adds=False)
    return journal


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("app,image\n", "is not a journal, so nothing is written to it"),
        ('{"what": "planned"}\n', "is not a journal, so nothing is written to it"),
        ('{"bulk": 2}\n', "was written by another version of flyasync"),
        ('{"bulk": 1}\n', "is not a journal of flyasync bulk"),
        (
            '{"bulk": 1, "launch": "v7", "api": "http://127.0.0.1:1", "key": "k"}\n',
            "is of the API at http://127.0.0.1:1",
        ),
    ],
)
def test_what_is_no_such_journal_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, says: str
) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        shops.journal.touch(mode=0o600)
        shops.journal.write_text(text)
        refused = shops.journaled(table(1))
        assert refused.exit_code == 2
        assert says in refused.stderr
        assert shops.journal.read_text() == text
        assert not shops.emulator.world.machines


def test_a_line_that_is_none_is_told_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(f'{{"bulk": 1, "launch": "v7", "api": "{API}", "key": "k"}}\n{{"what": "ended"}}\n')
    with pytest.raises(InvalidInput, match="line 2: not a line of such a journal"):
        read_history(path, None, API)


async def test_a_journal_that_can_be_written_no_more_says_so_and_the_run_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    journal = BulkJournalFile(tmp_path / "run.jsonl", "v7", API, told.append)
    journal._file = Full(journal._file)  # type: ignore[assignment]
    for _ in range(2):
        journal.began("web", row="r1", config="c1", launch="v7", adds=False)
    journal.close()
    assert told == [f"the journal {tmp_path}/run.jsonl ends here and does not contain later results: No space left"]


class Full:
    """A file on a disk that is full."""

    def __init__(self, file: Any) -> None:
        self.close = file.close

    def write(self, _: str) -> int:
        raise OSError(28, "No space left")


async def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = BulkJournalFile(path, "v7", API, print)
    for app in ("a", "b", "c"):
        journal.began(app, row="r1", config="c1", launch="v7", adds=False)
    journal.ended("a", ok=True, why=None, seconds=1.5)
    journal.ended("b", ok=False, why="no room", seconds=1.5)
    journal.began("c", row="r2", config="c2", launch="v7-2", adds=False)
    journal.close()
    history = read_history(path, "v7", API)
    assert history is not None
    assert history.is_done("a", "r1")
    assert not history.is_done("a", "r2")
    assert not history.is_done("b", "r1")
    assert history.has_changed("c", "r1")
    assert history.apps["c"].launches == (("c1", "v7"), ("c2", "v7-2"))


def test_a_new_launch_is_numbered_beyond_all_that_were() -> None:
    history = BulkHistory(launch="v7", apps={"web": AppHistory("r", (("c1", "v7"), ("c5", "v7-5"), ("c2", "v7-2")))})
    assert history.launch_for("web", "c6", adds=True) == "v7-6"
    assert history.launch_for("web", "c1", adds=False) == "v7-6"
    assert history.launch_for("web", "c2", adds=False) == "v7-2"
    assert history.last_launch("web") == "v7-2"


def test_a_new_launch_has_room_for_its_number() -> None:
    history = BulkHistory(launch="v" * 40, apps={"web": AppHistory("r1", (("c1", "v" * 40),))})
    launch = history.launch_for("web", "c2", adds=True)
    assert launch == "v" * 36 + "-2"
    assert history.launch_for("web", "c1", adds=True) == "v" * 40
    assert history.launch_for("other", "c2", adds=True) == "v" * 40


class Disk:
    """Counts what is synced to the disk: the journal's file, and its directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = self.directories = 0
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.sync)

    def sync(self, descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.directories += 1
        else:
            self.files += 1
        self._fsync(descriptor)


async def test_a_line_is_in_the_system_at_once_and_on_the_disk_a_second_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, disk = tmp_path / "run.jsonl", Disk(monkeypatch)
    journal = BulkJournalFile(path, "v7", API, print)
    assert (disk.files, disk.directories) == (1, 1), "the launch must not be lost"
    for app in ("a", "b"):
        journal.began(app, row="r1", config="c1", launch="v7", adds=False)
        assert path.read_text().splitlines()[-1].startswith(f'{{"what": "began", "app": "{app}"')
    assert repr(journal) == f"<BulkJournalFile {path}: launch v7, not synced>"
    await asyncio.sleep(0.9)
    assert disk.files == 1
    await asyncio.sleep(0.2)
    assert disk.files == 2, "both lines share one wait"
    assert repr(journal) == f"<BulkJournalFile {path}: launch v7, synced>"
    journal.ended("a", ok=True, why=None, seconds=1.5)
    journal.close()
    assert disk.files == 3
    assert repr(journal) == f"<BulkJournalFile {path}: launch v7, ended>"
    journal.ended("b", ok=True, why=None, seconds=1.5)
    assert len(path.read_text().splitlines()) == 4


async def test_a_journal_without_room_is_closed(tmp_path: Path) -> None:
    journal = BulkJournalFile(tmp_path / "run.jsonl", "v7", API, lambda _: None)
    file = journal._file
    assert file is not None
    journal._file = Full(file)  # type: ignore[assignment]
    journal.ended("a", ok=True, why=None, seconds=1.5)
    assert file.closed
    assert journal._file is None


async def test_a_journal_that_is_refused_is_left_for_others(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    BulkJournalFile(path, "v7", API, print).close()
    with pytest.raises(InvalidInput, match="is of launch 'v7'"):
        BulkJournalFile(path, "v8", API, print)
    BulkJournalFile(path, None, API, print).close()


async def test_no_password_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = BulkJournalFile(path, "v7", API, print)
    journal.began("a", row="r1", config="c1", launch="v7", adds=False)
    journal.ended("a", ok=False, why="https://me:hunter2@registry.example/web was refused", seconds=1.5)
    journal.close()
    assert "registry.example" in path.read_text()
    assert "hunter2" not in path.read_text()


@pytest.mark.parametrize(
    ("line", "is_done", "added"),
    [
        ('{"what": "ended", "app": "a", "ok": true}', True, frozenset()),
        ('{"what": "ended", "app": "a", "ok": 1}', False, frozenset()),
        ('{"what": "began", "app": "a", "launch": "v8", "row": "r1", "config": "c2"}', False, frozenset()),
        ('{"what": "began", "app": "a", "launch": "v8", "row": "r1", "config": "c2", "adds": true}', False, {"v8"}),
        ('{"what": "began", "app": "a", "launch": "v8", "row": "r1", "config": "c2", "adds": 1}', False, frozenset()),
        ('{"what": "danced", "app": "a"}', False, frozenset()),
    ],
)
def test_a_journal_is_read_to_the_letter(tmp_path: Path, line: str, is_done: bool, added: set[str]) -> None:  # noqa: FBT001
    path = tmp_path / "run.jsonl"
    head = f'{{"bulk": 1, "launch": "v7", "api": "{API}", "key": "k"}}'
    began = '{"what": "began", "app": "a", "launch": "v7", "row": "r1", "config": "c1"}'
    path.write_text(f"{head}\n{began}\n{line}\n")
    history = read_history(path, None, API)
    assert history is not None
    assert history.is_done("a", "r1") is is_done
    assert history.apps["a"].added == added
    assert not history.has_changed("a", "r1")
    assert history.has_changed("a", "r2")
    assert not history.has_changed("b", "r1")


def test_the_launches_that_are_left_depend_on_what_a_deploy_does() -> None:
    launches = (("c1", "v7"), ("c2", "v7-2"), ("c3", "v7-3"))
    history = BulkHistory(launch="v7", apps={"web": AppHistory("r", launches, added=frozenset({"v7", "v7-3"}))})
    assert history.launches_left_by("web", "v7-4", adds=True) == ("v7-3",)
    assert history.launches_left_by("web", "v7-4", adds=False) == ("v7", "v7-3")
    assert history.launches_left_by("web", "v7", adds=False) == ("v7-3",)
    assert history.launches_left_by("web", "v7-3", adds=True) == ()
    assert history.launches_left_by("other", "v7", adds=True) == ()


def test_a_launch_that_comes_back_is_the_last_one() -> None:
    known = AppHistory("r1", ()).begun("r1", "c1", "v7", adds=True).begun("r2", "c2", "v7-2", adds=False)
    assert known == AppHistory("r2", (("c1", "v7"), ("c2", "v7-2")), added=frozenset({"v7"}))
    assert known.begun("r1", "c1", "v7", adds=False).launches == (("c2", "v7-2"), ("c1", "v7"))


def test_a_name_is_cut_without_a_dash_at_its_end() -> None:
    name = "v" * 35 + "-" + "w" * 4
    history = BulkHistory(launch=name, apps={"web": AppHistory("r1", (("c1", name),))})
    assert history.launch_for("web", "c2", adds=True) == "v" * 35 + "-2"
