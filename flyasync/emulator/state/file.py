"""The world in a SQLite file, in which each change is written before the response to its request is sent."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from itertools import takewhile
from pathlib import Path
from typing import Any

from attrs import evolve

from flyasync.emulator.core import ids
from flyasync.emulator.core.records import LogRecord
from flyasync.emulator.state.codec import WorldError, body
from flyasync.emulator.state.document import COLLECTIONS, FORMAT, STORED, VERSION, load
from flyasync.emulator.world.world import World

# Marks the file as ours, in the header that SQLite reserves for this: "fly!".
_APPLICATION = 0x666C7921
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, key));
CREATE TABLE IF NOT EXISTS lines (serial INTEGER PRIMARY KEY, app TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS lines_of_app ON lines (app, serial);
CREATE TABLE IF NOT EXISTS fields (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""
# The row keeps its position when it is written again, so that records are read in the order of their creation.
_WRITE_RECORD = "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body"
_WRITE_FIELD = "INSERT OR REPLACE INTO fields VALUES (?, ?)"
# The fields that are written when they have changed. The clock is written with any change: time passes in each request.
_WATCHED = tuple(name for name in STORED.keys() - COLLECTIONS.keys() - {"lines", "clock", "random", "logged"})


class StateFile:
    """The state of one world in a file, which no other process can open while this one has it open.

    The write-ahead log is not flushed to the disk at each change (`synchronous = NORMAL`): what a process has written
    survives its end by any signal, since the kernel has it. After a failure of the kernel or of the power, the last
    changes may be missing, but the file is consistent. The state of the random numbers is written at the end only:
    after a kill, new ones follow, so that no id is drawn twice.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._world: World | None = None
        # The hash of the JSON of each record as it is in the file, and copies of the fields.
        self._written: dict[tuple[str, str], int] = {}
        self._seen: dict[str, Any] = {}
        self._newest_line = 0
        self._starts = 1
        with self._explained():
            # The file contains secrets of the world.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(self._path, isolation_level=None, timeout=0, check_same_thread=False)
        try:
            with self._explained():
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"<StateFile {self._path}: {len(self._written)} records>"

    def read(self, blank: World) -> World:
        """Return the world of the file, with the options of `blank`; `blank` itself if the file is new."""
        with self._explained():
            rows = self._database.execute("SELECT name, body FROM fields").fetchall()
            if not rows:
                return blank
            found: dict[str, Any] = {name: json.loads(text) for name, text in rows}
            self._starts = found.pop("starts") + 1
            found |= {name: {} for name in (*COLLECTIONS, "lines")}
            for kind, key, text in self._database.execute("SELECT kind, key, body FROM records ORDER BY rowid"):
                found[kind][key] = json.loads(text)
            for app, text in self._database.execute("SELECT app, body FROM lines ORDER BY serial"):
                found["lines"].setdefault(app, []).append(json.loads(text))
        # A process that was killed has not written the state of its random numbers. Others follow, in each start.
        unused = ids.seeded(blank.seed, f"world, start {self._starts}")
        return load({"format": FORMAT, "version": VERSION, **found}, evolve(blank, random=unused))

    def save(self, world: World) -> None:
        """Write what has changed in a world since the last call, in one transaction; all of it for another world."""
        if world is not self._world:
            self._replace(world)
            return
        records = self._changed_records(world)
        plain = {name: value for name in _WATCHED if self._seen[name] != (value := _watched(world, name))}
        if records or plain or self._newest_line != world.logged:
            with self._explained(), self._transaction():
                self._write(world, records, plain)
            self._note(world, records, plain)
        for name in COLLECTIONS:
            getattr(world, name).touched.clear()

    def close(self) -> None:
        """Write the time of the world, and close the file; another emulator can then open it."""
        if self._world is not None:
            with self._explained(), self._transaction():
                self._write(self._world, {}, ("random",))
        self._database.close()

    def _changed_records(self, world: World) -> dict[tuple[str, str], str | None]:
        """Return the JSON of each record that differs from the file, None for one that has been removed."""
        found: dict[tuple[str, str], str | None] = {}
        for name, kind in COLLECTIONS.items():
            records = getattr(world, name)
            for key in tuple(records.touched):
                text = body(records[key], kind) if key in records else None
                if self._written.get((name, key)) != (None if text is None else hash(text)):
                    found[name, key] = text
        return found

    def _write(self, world: World, records: Mapping[tuple[str, str], str | None], plain: Iterable[str]) -> None:
        execute = self._database.execute
        for (name, key), text in records.items():
            if text is None:
                execute("DELETE FROM records WHERE kind = ? AND key = ?", (name, key))
            else:
                execute(_WRITE_RECORD, (name, key, text))
        for app in world.apps.touched:  # type: ignore[attr-defined]
            lines = world.lines.get(app, ())
            # The oldest lines may have been dropped, or belong to a deleted app of this name.
            if not lines or len(lines) == lines.maxlen:
                oldest = lines[0].serial if lines else world.logged + 1
                execute("DELETE FROM lines WHERE app = ? AND serial < ?", (app, oldest))
            for line in takewhile(lambda line: line.serial > self._newest_line, reversed(lines)):
                execute("INSERT INTO lines VALUES (?, ?, ?)", (line.serial, app, body(line, LogRecord)))
        for name in (*plain, "clock", "logged"):
            execute(_WRITE_FIELD, (name, _text(world, name)))

    def _note(self, world: World, records: Mapping[tuple[str, str], str | None], plain: Mapping[str, Any]) -> None:
        for place, text in records.items():
            if text is None:
                del self._written[place]
            else:
                self._written[place] = hash(text)
        self._seen |= deepcopy(dict(plain))
        self._newest_line = world.logged

    def _replace(self, world: World) -> None:
        records = {
            (name, key): body(record, kind)
            for name, kind in COLLECTIONS.items()
            for key, record in getattr(world, name).items()
        }
        with self._explained(), self._transaction():
            self._database.execute("DELETE FROM records")
            self._database.execute("DELETE FROM lines")
            self._database.execute("DELETE FROM fields")
            self._database.executemany(
                "INSERT INTO records VALUES (?, ?, ?)", ((*place, text) for place, text in records.items())
            )
            self._database.executemany(
                "INSERT INTO lines VALUES (?, ?, ?)",
                ((line.serial, app, body(line, LogRecord)) for app, lines in world.lines.items() for line in lines),
            )
            # Without the random numbers: their state, which each change alters, is expensive to write.
            fields = ((name, _text(world, name)) for name in (*_WATCHED, "clock", "logged"))
            self._database.executemany(_WRITE_FIELD, [*fields, ("starts", str(self._starts))])
        self._world, self._written, self._seen = world, {}, {}
        self._note(world, records, {name: _watched(world, name) for name in _WATCHED})

    def _prepare(self) -> None:
        execute = self._database.execute
        # The lock is held until the connection is closed or the process ends.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        (application,), (version,) = (
            execute("PRAGMA application_id").fetchone(),
            execute("PRAGMA user_version").fetchone(),
        )
        is_new = not execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not is_new and application != _APPLICATION:
            raise WorldError(f"{self._path} is not a state file of the emulator: name another file")
        if not is_new and version != VERSION:
            raise WorldError(
                f"{self._path} has version {version} of the format, but this flyasync reads version {VERSION}: "
                "name another file"
            )
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            execute(f"PRAGMA application_id = {_APPLICATION}")
            execute(f"PRAGMA user_version = {VERSION}")
            for statement in _SCHEMA.split(";"):
                execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            # A full disk may have ended the transaction already.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorldError(f"cannot write the state file {self._path}: {os.strerror(error.errno or 0)}") from None
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise WorldError(f"{self._path} is in use by another emulator: stop it, or name another file") from None
            raise WorldError(f"cannot write the state file {self._path}: {error}") from None
        except sqlite3.DatabaseError:
            raise WorldError(f"{self._path} is not a state file of the emulator: name another file") from None


def _text(world: World, name: str) -> str:
    return body(getattr(world, name), STORED[name].type)


def _watched(world: World, name: str) -> Any:
    # The random numbers of faults are drawn only when a count changes.
    return world.faults.state.active if name == "faults" else getattr(world, name)
