"""One budget for the processes of one host: buckets in locked files.

The kernel releases the lock of a process that dies. The clock is that of the event loops, which is the same for all
processes of a host: the monotonic one. It starts anew after a restart of the host, which a bucket notices.
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
"""Files among which the buckets are spread, so that processes seldom wait for each other's lock."""
NAP = 0.0005
"""Seconds between two tries for a lock that another process holds; it holds it for some microseconds."""
LATELY = 60 * SECOND
"""How long a worker counts after it was seen last."""
WORKERS: Final = "workers"
VERSION: Final = 1
"""Of what is in the files; of another version they begin anew."""


class FileStore:
    """Buckets in the files of one directory; every process that shares them has to be allowed to write there.

    Files have the mode of their directory. Buckets that are full are left out whenever their file is written. A file
    that cannot be read, such as one that was cut off by a full disk, begins anew, with every bucket empty.
    """

    def __init__(self, directory: Path | None = None) -> None:
        # What can never work is refused at once; a directory that does not exist yet is made when it is used.
        if directory and directory.exists() and not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
            raise InvalidInput(
                f"{directory} is no directory that this user may write to: name another one for the limits"
            )
        self._directory = directory or _own_directory()
        self._id = uuid4().hex[:8]
        self.name = f"the files in {self._directory}"

    def __repr__(self) -> str:
        return f"<FileStore {self._directory}, worker {self._worker}>"

    @property
    def _worker(self) -> str:
        return f"{os.getpid()}-{self._id}"  # a client that was made before a fork is another one in each process

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Ask for one permit; raises OSError when the files cannot be used."""
        async with self._shard(key) as shard:
            bucket = shard.bucket(key, rate)
            bucket, wait = take(bucket, self._worker, shard.now, interval=rate.interval, room=rate.room)
            shard.keep(key, bucket)
        return StoreReply(wait=wait / SECOND, paused=bucket.paused(room=rate.room) / SECOND)

    async def pause(self, key: str, rate: Rate, seconds: float) -> None:
        """Grant nothing for `seconds`; raises OSError when the files cannot be used."""
        async with self._shard(key) as shard:
            bucket = shard.bucket(key, rate)
            length = round(seconds * SECOND)
            shard.keep(key, pause(bucket, shard.now, room=rate.room, length=length))

    async def charge(self, key: str, rate: Rate, requests: int) -> None:
        """Count requests that were sent without asking; raises OSError when the files cannot be used."""
        async with self._shard(key) as shard:
            bucket = shard.bucket(key, rate)
            shard.keep(key, charge(bucket, shard.now, interval=rate.interval, room=rate.room, requests=requests))

    async def census(self) -> Census:
        """Count the workers, and be counted; raises OSError when the files cannot be used."""
        async with self._locked(WORKERS) as file:
            now = _now()
            seen = {worker: at for worker, at in _workers(file).items() if now - LATELY <= at <= now}
            seen[self._worker] = now
            _write(file, seen)
        return Census(workers=len(seen), rank=sorted(seen).index(self._worker), clock=now)

    async def close(self) -> None:
        """Leave the workers; one that cannot leave stops counting by itself."""
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
        """Open a file and lock it, without ever blocking the loop."""
        path = self._directory / name
        while True:
            try:
                file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o600)
                os.fchmod(file, self._directory.stat().st_mode & 0o666)
            try:
                # 1. Another process holds the lock. It sets no event here when it releases it, so this tries again.
                while not _lock(file):  # noqa: ASYNC110 - see above
                    await asyncio.sleep(NAP)
                # 2. The file was deleted while this waited, as by a cleaner of /tmp: what is there now is another one.
                if not os.fstat(file).st_nlink:
                    continue
                # 3. It is locked.
                yield file
                return
            finally:
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a fork holds it open
                os.close(file)


@define
class _Shard:
    """The buckets of one file, while it is locked."""

    now: int
    born: int
    buckets: dict[str, State]

    @classmethod
    def of(cls, content: Mapping[str, Any], now: int) -> Self:
        """Read what is in the file; one that cannot be understood begins anew."""
        buckets = {}
        try:
            if content["version"] != VERSION:
                return cls(now, now, {})
            for key, (full_at, at, *queue) in content["buckets"].items():
                places = tuple(Reservation(str(worker), int(due)) for worker, due in queue)
                buckets[key] = State(full_at=int(full_at), at=int(at), queue=places)
            return cls(now, min(int(content["born"]), now), buckets)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls(now, now, {})

    def bucket(self, key: str, rate: Rate) -> State:
        unseen = State.unseen(self.now, born=self.born, room=rate.room)
        return self.buckets.get(key, unseen)

    def keep(self, key: str, bucket: State) -> None:
        self.buckets[key] = bucket

    def content(self) -> dict[str, Any]:
        """Return what to write: the buckets that are not full."""
        buckets = {
            key: [state.full_at, state.at, *((place.worker, place.due) for place in state.queue)]
            for key, state in self.buckets.items()
            if not state.is_at_rest(self.now)
        }
        return {"version": VERSION, "born": self.born, "buckets": buckets}


def _workers(file: int) -> dict[str, int]:
    """Read which workers were seen, and when."""
    return {worker: at for worker, at in _read(file).items() if isinstance(at, int)}


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> dict[str, Any]:
    """Read the first line: what follows is the rest of a longer one that a killed process did not get to cut off."""
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
    """Return this user's own directory, after checking that no other user can have put it there."""
    directory = Path(tempfile.gettempdir()) / f"flyasync-limits-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise InvalidInput(f"{directory} is not this user's alone: remove it, or name another one as file:DIRECTORY")
    return directory


def _now() -> int:
    return round(asyncio.get_running_loop().time() * SECOND)
