"""Runs `flyasync bulk` over an account with some shops in it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import pytest
from attrs import frozen
from click.testing import Result

from flyasync.cli.bulk.builders import Defaults, RowBuilders, checked_rows
from flyasync.cli.bulk.command import command
from flyasync.cli.bulk.job import BulkJob
from flyasync.cli.bulk.options import AT_ONCE, COLUMNS
from flyasync.cli.bulk.rows_file import read_rows
from flyasync.emulator import Emulator
from flyasync.models.machine import GONE
from tests.cli.driver import events, flyasync, served, tags

Drive = Callable[[Coroutine[Any, Any, Any]], Any]


def names(count: int) -> tuple[str, ...]:
    return tuple(f"shop-{number}" for number in range(count))


def table(count: int, *, image: str = "nginx", region: str = "iad") -> str:
    return "app,image,region\n" + "".join(f"{name},{image},{region}\n" for name in names(count))


def bulk_job(text: str, **options: Any) -> BulkJob:
    """Order what the rows of a file say, with nothing said for all of them."""
    ctx = click.Context(command)
    values = {name: each.process_value(ctx, None) for name, each in COLUMNS.items()}
    builders = RowBuilders(Defaults({**values, "fallback": ("skip",)}, frozenset()), ctx)
    rows = checked_rows("shops.csv", read_rows(BytesIO(text.encode()), tuple(COLUMNS)), builders)
    return BulkJob(**{"source": "shops.csv", "rows": rows, "builders": builders, "at_once": AT_ONCE, **options})


@frozen
class Street:
    """An account with shops, a directory for files, and command lines that go there."""

    emulator: Emulator
    drive: Drive
    path: Path

    @property
    def journal(self) -> Path:
        return self.path / "run.jsonl"

    def write(self, text: str, name: str = "shops.csv") -> str:
        file = self.path / name
        file.write_text(text)
        return str(file)

    def bulk(self, text: str, *args: str, drive: Drive | None = None) -> Result:
        return flyasync("bulk", self.write(text), *args, drive=drive or self.drive)

    def journaled(self, text: str, *args: str, drive: Drive | None = None) -> Result:
        return self.bulk(text, "--journal", str(self.journal), *args, drive=drive)

    def json(self, text: str, *args: str, exit_code: int = 0) -> list[dict[str, Any]]:
        result = self.bulk(text, "--json", *args)
        assert result.exit_code == exit_code, result.output
        return events(result.stdout)

    def interrupted(self, *after: float, number: int = signal.SIGINT) -> Drive:
        """Drive a command line that is sent signals so many seconds after its begin."""

        async def work(main: Coroutine[Any, Any, Any]) -> Any:
            for delay in after:
                asyncio.get_running_loop().call_later(delay, signal.raise_signal, number)
            return await main

        return lambda main: self.drive(work(main))

    def machines(self) -> dict[str, list[str]]:
        """Say what runs: image and region of each machine, by app."""
        found: dict[str, list[str]] = {name: [] for name in self.emulator.world.apps}
        for machine in self.emulator.world.machines.values():
            if machine.state not in GONE:
                found[machine.app].append(f"{tags(machine.config['image'])} in {machine.region}")
        return {app: sorted(machines) for app, machines in found.items()}

    def changes(self) -> int:
        return sum(entry.method != "GET" and entry.action != "graphql" for entry in self.emulator.log)


@contextmanager
def street(monkeypatch: pytest.MonkeyPatch, path: Path, count: int, **options: Any) -> Iterator[Street]:
    with served(monkeypatch, apps=names(count), **options) as (emulator, drive):
        yield Street(emulator, drive, path)
