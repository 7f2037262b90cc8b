"""Buckets in locked files: what is in them, who may use them, and what a killed process leaves behind."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flyasync.errors import InvalidInput
from flyasync.transport.ratelimit.file import SHARDS, WORKERS, FileStore
from flyasync.transport.ratelimit.rates import Rate
from tests.transport.scripted import now

RATE = Rate(per_second=1, burst=3, spare=1)

HOLDER = """
import fcntl, os, sys
files = [os.open(os.path.join(sys.argv[1], name), os.O_RDWR) for name in os.listdir(sys.argv[1])]
for file in files:
    fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
FORKED = """
import asyncio, os, pathlib, sys
from flyasync.transport.ratelimit.file import FileStore

store = FileStore(pathlib.Path({directory!r}))
asyncio.run(store.census())
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
sys.exit(asyncio.run(store.census()).workers)
"""
CLOCK = "import asyncio\nprint(asyncio.new_event_loop().time())"


async def settled(directory: Path) -> FileStore:
    """Return a store that is old enough to know its bucket."""
    store = FileStore(directory)
    await store.take("key", RATE)
    await asyncio.sleep(60)
    return store


def shards(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.name != WORKERS)


async def test_a_new_store_begins_with_empty_buckets_for_it_may_have_forgotten_them(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    assert (await store.take("key", RATE)).wait == pytest.approx(1)
    await asyncio.sleep(60)
    assert [(await store.take("key", RATE)).wait for _ in range(2)] == [0, 0]


async def test_what_one_took_another_finds_taken(tmp_path: Path) -> None:
    one = await settled(tmp_path)
    other = FileStore(tmp_path)
    assert [(await store.take("key", RATE)).wait for store in (one, other)] == [0, 0]
    assert (await other.take("key", RATE)).wait == pytest.approx(1, abs=0.01)
    assert (await one.take("key", RATE)).wait == pytest.approx(2, abs=0.01), "behind the other"


async def test_two_processes_share_a_burst_though_one_could_take_it_before_the_other_gets_the_lock(
    tmp_path: Path,
) -> None:
    rate = Rate(per_second=1, burst=21, spare=1)
    one, other = FileStore(tmp_path), FileStore(tmp_path)
    await one.take("key", rate)
    await asyncio.sleep(60)
    for store in (one, other, one):  # both know that there is another
        await store.census()

    async def take_all(store: FileStore) -> int:
        granted = 0
        while not (await store.take("key", rate)).wait:
            granted += 1
        return granted

    shares = await asyncio.gather(take_all(one), take_all(other))
    assert sum(shares) == 20
    assert min(shares) >= 9


async def test_a_bucket_at_rest_is_left_out_when_its_file_is_written(tmp_path: Path) -> None:
    store = await settled(tmp_path)
    for number in range(1000):
        await store.take(f"key-{number}", RATE)
    assert len(shards(tmp_path)) == SHARDS
    await asyncio.sleep(60)
    for number in range(1000, 1500):
        await store.take(f"key-{number}", RATE)
    kept = [key for path in shards(tmp_path) for key in json.loads(path.read_text())["buckets"]]
    assert all(int(key.removeprefix("key-")) >= 1000 for key in kept)


@pytest.mark.parametrize("torn", ['{"version":1,"born":0,"buck', "", "[]\n", "null\n", '{"version":2,"born":"x"}\n'])
async def test_a_file_that_cannot_be_read_begins_anew_with_empty_buckets(tmp_path: Path, torn: str) -> None:
    store = await settled(tmp_path)
    (path,) = shards(tmp_path)
    path.write_text(torn)
    assert (await store.take("key", RATE)).wait == pytest.approx(1)


async def test_what_a_killed_process_did_not_cut_off_is_not_read(tmp_path: Path) -> None:
    store = await settled(tmp_path)
    assert [(await store.take("key", RATE)).wait for _ in range(2)] == [0, 0]
    (path,) = shards(tmp_path)
    path.write_text(path.read_text() + '0,1],"rest":"of a longer line"}\n')
    assert (await store.take("key", RATE)).wait == pytest.approx(1, abs=0.01)


async def test_files_that_were_cleaned_away_are_made_again_and_known_to_be_new(tmp_path: Path) -> None:
    directory = tmp_path / "limits"
    store = await settled(directory)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert (await store.take("key", RATE)).wait == pytest.approx(1)
    assert (await store.census()).workers == 1


async def test_one_that_waited_for_a_file_that_was_cleaned_away_takes_the_new_one(tmp_path: Path) -> None:
    store, other = await settled(tmp_path), FileStore(tmp_path)
    (path,) = shards(tmp_path)
    async with store._locked(path.name):
        waiting = asyncio.create_task(other.take("key", RATE))
        await asyncio.sleep(0.01)
        path.unlink()
    assert (await waiting).wait == pytest.approx(1)
    assert path.exists()


async def test_a_host_that_was_restarted_has_a_new_clock_and_buckets_go_on(tmp_path: Path) -> None:
    store = await settled(tmp_path)
    (path,) = shards(tmp_path)
    ahead = 10**12
    path.write_text(json.dumps({"version": 1, "born": ahead, "buckets": {"key": [ahead + 10**6, ahead]}}) + "\n")
    assert (await store.take("key", RATE)).wait == 0
    assert (await store.take("key", RATE)).wait == pytest.approx(1, abs=0.01)


def test_the_clock_is_the_same_in_all_processes_of_a_host() -> None:
    here = asyncio.new_event_loop()
    before = here.time()
    there = float(subprocess.run([sys.executable, "-c", CLOCK], capture_output=True, text=True, check=True).stdout)
    assert before <= there <= here.time()
    here.close()


async def test_a_process_that_is_killed_while_it_holds_the_lock_stops_no_other(tmp_path: Path) -> None:
    store = await settled(tmp_path)
    holder = subprocess.Popen(  # noqa: ASYNC220 - its only output is one line, and it is killed
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await store.take("key", RATE)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert (await store.take("key", RATE)).wait == 0


FORKS = """
import asyncio, os, pathlib, signal, sys
from flyasync.transport.ratelimit.file import FileStore

async def main():
    store = FileStore(pathlib.Path({directory!r}))
    async with store._locked("00"):
        child = os.fork()
        if not child:
            signal.pause()
    try:
        async with asyncio.timeout(2), FileStore(pathlib.Path({directory!r}))._locked("00"):
            return 0
    except TimeoutError:
        return 1
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

sys.exit(asyncio.run(main()))
"""


def test_a_fork_while_the_lock_is_held_does_not_keep_it(tmp_path: Path) -> None:
    code = FORKS.format(directory=str(tmp_path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_files_are_as_open_as_their_directory(tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o2770)
    await FileStore(directory).take("key", RATE)
    assert [stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()] == [0o660]
    await FileStore(tmp_path / "own").take("key", RATE)
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700


async def test_a_worker_counts_for_a_minute_after_it_was_seen(tmp_path: Path) -> None:
    one, other = FileStore(tmp_path), FileStore(tmp_path)
    assert (await one.census()).workers == 1
    second = await other.census()
    assert second.workers == 2
    assert {(await one.census()).rank, second.rank} == {0, 1}
    assert second.clock == round(now() * 1_000_000)
    await asyncio.sleep(61)
    assert (await one.census()).workers == 1


async def test_a_user_has_a_directory_of_his_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = FileStore()
    assert (await store.take("key", RATE)).wait == pytest.approx(1)
    (directory,) = tmp_path.iterdir()  # noqa: ASYNC240 - nothing else runs
    assert directory.name == f"flyasync-limits-{os.getuid()}"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("how", ["open to all", "a link"])
def test_a_directory_that_others_can_write_is_not_taken_for_his_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    directory = tmp_path / f"flyasync-limits-{os.getuid()}"
    if how == "a link":
        (tmp_path / "elsewhere").mkdir()
        directory.symlink_to(tmp_path / "elsewhere")
    else:
        directory.mkdir()
        directory.chmod(0o777)
    with pytest.raises(InvalidInput, match="belongs to another user, or others can write to it"):
        FileStore()


def test_a_client_that_was_made_before_a_fork_is_another_worker_in_each_process(tmp_path: Path) -> None:
    code = FORKED.format(directory=str(tmp_path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 2


@pytest.mark.parametrize("content", ["", "{", "[]\n", "not JSON\n", '{"version":2}\n', '{"version":1,"born":0}\n'])
async def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path, content: str) -> None:
    store = await settled(tmp_path)
    (path,) = shards(tmp_path)
    path.write_text(content)
    assert (await store.take("key", RATE)).wait == pytest.approx(1)
