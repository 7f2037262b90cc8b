"""One budget for the processes of one host: buckets in locked files.

The kernel releases the lock of a process that dies. The clock is the monotonic clock of the event loops, which all
processes of a host share. It restarts with the host, which a bucket detects.
"""

import asyncio
import json
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4
from zlib import crc32

from attrs import define

from flyasync.errors import InvalidInput
from flyasync.transport.ratelimit.gcra import Reservation, State, charge, pause, take
from flyasync.transport.ratelimit.rates import Rate
from flyasync.transport.ratelimit.shared import SECOND, Census, StoreReply

if sys.platform != "win32":
    import fcntl

SHARDS: Final = 64
"""The number of files among which the buckets are spread, so that processes rarely wait for each other's lock."""
NAP = 0.0005
"""Seconds between two attempts to acquire a lock, which other processes hold for some microseconds."""
LATELY = 60 * SECOND
"""How long a worker is counted after it was last seen."""
WORKERS: Final = "workers"
VERSION: Final = 1
"""The version of the file format; files of another version are discarded."""


class FileStore:
    """Buckets in the files of one directory, to which all processes that share them need write access.

    Files have the mode of their directory. Full buckets are dropped when their file is written. A file that cannot be
    read, for example one truncated by a full disk, is replaced by a new one, in which every bucket is empty.
    """

    def __init__(self, directory: Path | None = None) -> None:
        # An unusable directory is refused now; one that does not exist yet is created on first use.
        if directory and directory.exists() and not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
            raise InvalidInput(
                f"{directory} is not a directory that this user can write to: use another one for the limits"
            )
        self._directory = directory or _own_directory()
        self._id = uuid4().hex[:8]
        self._has_company = False
        self._released: dict[str, float] = {}
        self.name = f"the files in {self._directory}"

    def __repr__(self) -> str:
        return f"<FileStore {self._directory}, worker {self._worker}>"

    @property
    def _worker(self) -> str:
        return f"{os.getpid()}-{self._id}"  # after a fork, the client counts as a separate worker in each process

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Request one permit. Raises OSError if the files cannot be used."""
        async with self._shard(key) as shard:
            bucket = shard.bucket(key, rate)
            bucket, wait = take(bucket, self._worker, shard.now, interval=rate.interval, room=rate.room)
            shard.keep(key, bucket)
        return StoreReply(wait=wait / SECOND, paused=bucket.paused(room=rate.room) / SECOND)

    async def pause(self, key: str, rate: Rate, seconds: float) -> None:
        """Grant nothing for `seconds`. Raises OSError if the files cannot be used."""
        async with self._shard(key) as shard:
            bucket = shard.bucket(key, rate)
            length = round(seconds * SECOND)
            shard.keep(key, pause(bucket, shard.now, room=rate.room, length=length))

    async def charge(self, key: str, rate: Rate, requests: int) -> None:
        """Count requests that were sent without a permit. Raises OSError if the files cannot be used."""
        async with self._shard(key) as shard:
            bucket = shard.bucket(key, rate)
            shard.keep(key, charge(bucket, shard.now, interval=rate.interval, room=rate.room, requests=requests))

    async def census(self) -> Census:
        """Register this worker, and count all workers. Raises OSError if the files cannot be used."""
        async with self._locked(WORKERS) as file:
            now = _now()
            seen = {worker: at for worker, at in _workers(file).items() if now - LATELY <= at <= now}
            seen[self._worker] = now
            _write(file, seen)
        self._has_company = len(seen) > 1
        return Census(workers=len(seen), rank=sorted(seen).index(self._worker), clock=now)

    async def close(self) -> None:
        """Unregister this worker. If that fails, its registration expires."""
        with suppress(OSError):
            async with asyncio.timeout(NAP * 100), self._locked(WORKERS) as file:
                _write(file, {worker: at for worker, at in _workers(file).items() if worker != self._worker})

    @asynccontextmanager
    async def _shard(self, key: str) -> AsyncIterator["_Shard"]:
        async with self._locked(f"{crc32(key.encode()) % SHARDS:02}") as file:
            shard = _Shard.of(_read(file), _now())
            yield shard
            _write(file, shard.content())

    @asynccontextmanager
    async def _locked(self, name: str) -> AsyncIterator[int]:
        """Open a file and lock it, without blocking the event loop."""
        path, loop = self._directory / name, asyncio.get_running_loop()
        # Others can only poll for the lock. A process that takes it again at once would have a whole burst for itself.
        if self._has_company and (rest := self._released.get(name, 0.0) + NAP - loop.time()) > 0:
            await asyncio.sleep(rest)
        while True:
            try:
                file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o600)
                os.fchmod(file, self._directory.stat().st_mode & 0o666)
            try:
                # 1. Another process holds the lock. There is no notification of its release, so poll.
                while not _lock(file):  # noqa: ASYNC110 - see above
                    await asyncio.sleep(NAP)
                # 2. The file was deleted meanwhile, for example by a cleaner of /tmp: open the new one.
                if not os.fstat(file).st_nlink:
                    continue
                # 3. It is locked.
                yield file
                self._released[name] = loop.time()
                return
            finally:
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough if a forked process has it open
                os.close(file)


@define
class _Shard:
    """The buckets of one file, while it is locked."""

    now: int
    born: int
    buckets: dict[str, State]

    @classmethod
    def of(cls, content: Mapping[str, Any], now: int) -> Self:
        """Parse the content of a file; discard it if it is invalid."""
        buckets = {}
        try:
            if content["version"] != VERSION:
                return cls(now, now, {})
            for key, (full_at, at, *queue) in content["buckets"].items():
                reservations = tuple(Reservation(str(worker), int(due)) for worker, due in queue)
                buckets[key] = State(full_at=int(full_at), at=int(at), queue=reservations)
            return cls(now, min(int(content["born"]), now), buckets)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls(now, now, {})

    def bucket(self, key: str, rate: Rate) -> State:
        unseen = State.unseen(self.now, born=self.born, room=rate.room)
        return self.buckets.get(key, unseen)

    def keep(self, key: str, bucket: State) -> None:
        self.buckets[key] = bucket

    def content(self) -> dict[str, Any]:
        """Return the content to write: the buckets that are in use."""
        buckets = {
            key: [state.full_at, state.at, *((place.worker, place.due) for place in state.queue)]
            for key, state in self.buckets.items()
            if not state.is_idle(self.now)
        }
        return {"version": VERSION, "born": self.born, "buckets": buckets}


def _workers(file: int) -> dict[str, int]:
    """Return the workers that were seen, and when."""
    return {worker: at for worker, at in _read(file).items() if isinstance(at, int)}


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> dict[str, Any]:
    """Read the first line; the rest of the file, if any, is left over from a process that was killed while writing."""
    line, end, _ = os.pread(file, os.fstat(file).st_size, 0).partition(b"\n")
    try:
        content = json.loads(line) if end else {}
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}


def _write(file: int, content: Mapping[str, Any]) -> None:
    line = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    os.pwrite(file, line, 0)
    os.ftruncate(file, len(line))


def _own_directory() -> Path:
    """Return this user's own directory, after checking that no other user has created it or can write to it."""
    directory = Path(tempfile.gettempdir()) / f"flyasync-limits-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise InvalidInput(
            f"{directory} belongs to another user, or others can write to it: remove it, or use file:DIRECTORY"
        )
    return directory


def _now() -> int:
    return round(asyncio.get_running_loop().time() * SECOND)
