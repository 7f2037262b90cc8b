"""Runs over many apps as processes of their own: killed in the middle, and on the workers of a dask cluster.

In real time: what other processes do is invisible to the virtual clock.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from flyasync.cli.bulk.executor import open_executor
from flyasync.cli.shared.exit_codes import CommandFailed
from flyasync.emulator import Emulator, Fault
from flyasync.emulator.world.apps import create
from flyasync.models.machine import GONE
from tests.cli.bulk.driver import names, table
from tests.cli.driver import flyasync, tags

PATIENCE = 60.0
"""Real seconds after which a test gives up: far more than any of them takes."""


def in_real_time(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await work

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(bounded())


@frozen
class Town:
    """An emulator with shops in it, and command lines that go there as processes."""

    emulator: Emulator
    path: Path

    async def begin(self, *args: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flyasync", "bulk", str(self.path / "shops.jsonl"), *args),
            env={**os.environ, **self.emulator.environment()},
            stdout=PIPE,
            stderr=PIPE,
        )

    async def bulk(self, *args: str) -> tuple[int | None, str]:
        process = await self.begin(*args)
        out, err = await process.communicate()
        return process.returncode, (out + err).decode()

    def write(self, rows: list[dict[str, Any]]) -> None:
        (self.path / "shops.jsonl").write_text("\n".join(map(json.dumps, rows)))

    async def until_made(self, machines: int) -> None:
        reached = asyncio.Event()
        made = self.emulator.world.machines
        forget = self.emulator.on_change(lambda _: reached.set() if len(made) >= machines else None)
        await reached.wait()
        forget()

    def machines(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in self.emulator.world.apps}
        for machine in self.emulator.world.machines.values():
            if machine.state not in GONE:
                found[machine.app].append(f"{tags(machine.config['image'])} in {machine.region}")
        return {app: sorted(those) for app, those in found.items()}


@asynccontextmanager
async def town(path: Path, count: int, **options: Any) -> AsyncIterator[Town]:
    async with Emulator(**options) as emulator:
        for name in names(count):
            create(emulator.world, name, org_slug="personal", network="")
        yield Town(emulator, path)


def desired(count: int) -> list[dict[str, Any]]:
    return [
        {"app": name, "image": f"nginx:{number}", "regions": ["iad", "lhr"][: 1 + number % 2], "require": "all"}
        for number, name in enumerate(names(count))
    ]


def as_asked(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {row["app"]: [f"{row['image']} in {region}" for region in row["regions"]] for row in rows}


def test_a_run_that_is_killed_in_the_middle_goes_on_from_its_journal(tmp_path: Path) -> None:
    async def work() -> None:
        lost = Fault(does="cut_after", action="createMachine", probability=0.2)
        async with town(tmp_path, 14, speed=20, latency=(0.0, 0.1), faults=[lost]) as shops:
            shops.write(desired(14))
            args = ("--journal", str(tmp_path / "run.jsonl"), "--apps-in-flight", "3")
            for machines in (4, 9):
                process = await shops.begin(*args)
                await shops.until_made(machines)
                process.send_signal(signal.SIGKILL)
                await process.communicate()
            assert len(shops.emulator.world.machines) < 21
            code, said = await shops.bulk(*args)
            assert code == 0, said
            assert "; already done: " in said
            assert shops.machines() == as_asked(desired(14))
            assert len(shops.emulator.world.machines) == 21

    in_real_time(work())


# On a dask cluster

CLUSTER = """
import sys
from distributed import LocalCluster

with LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1, processes=False, protocol="tcp://",
                  host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
    print(cluster.scheduler_address, flush=True)
    input()
"""


@asynccontextmanager
async def cluster(emulator: Emulator, *, workers: int = 2) -> AsyncIterator[str]:
    """Run a scheduler and some workers in a process of their own; give the scheduler's address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLUSTER, str(workers)),
        env={**os.environ, **emulator.environment()},
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        await process.communicate(b"\n")


def test_the_workers_of_a_dask_cluster_deploy_and_create_what_is_missing(tmp_path: Path) -> None:
    async def work() -> None:
        async with town(tmp_path, 6, speed=20) as shops, cluster(shops.emulator) as address:
            shops.write(desired(8))
            args = ("--executor", address.replace("tcp", "dask"), "--journal", str(tmp_path / "run.jsonl"))
            code, said = await shops.bulk(*args)
            assert code == 1, said
            assert "6 of 8 apps done, 2 failed" in said
            code, said = await shops.bulk(*args, "--create-app", "personal")
            assert code == 0, said
            assert "8 of 8 apps done (6 before)" in said
            assert shops.machines() == as_asked(desired(8))
            assert len(shops.emulator.world.machines) == 12

    in_real_time(work())


def test_a_cluster_without_workers_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        told: list[str] = []
        async with (
            town(tmp_path, 0) as shops,
            cluster(shops.emulator, workers=0) as address,
            open_executor(address, told.append),
        ):
            assert told == [f"no worker is connected to {address} yet; the apps wait for one"]

    in_real_time(work())


def test_an_address_where_no_scheduler_is_ends_the_run_in_bounded_time(unused_tcp_port: int) -> None:
    async def work() -> None:
        text = r"no dask scheduler responds at tcp://.* within 0\.3 s: start one with"
        with pytest.raises(CommandFailed, match=text):
            async with open_executor(f"tcp://127.0.0.1:{unused_tcp_port}", print, patience=0.3):
                pass

    in_real_time(work())


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "flyasync.deploy.many.dask_executor", raising=False)
    monkeypatch.delattr("flyasync.deploy.many.dask_executor", raising=False)
    monkeypatch.setenv("FLY_API_TOKEN", "x")
    file = tmp_path / "shops.csv"
    file.write_text(table(2))
    result = flyasync("bulk", str(file), "--executor", "dask://127.0.0.1:8786")
    assert result.exit_code == 1
    assert "pip install 'flyasync[dask]'" in result.stderr
