"""Processes of benchmarks are told and heard, what they said before a kill is not lost, and none is left behind."""

import asyncio
import signal
from pathlib import Path
from typing import Any

from benchmarks.shared.children import Child, spawned
from benchmarks.shared.served import served

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
TALKS = 'import os, time\nos.write(1, b\'["one", 1]\\n["two"]\\n["thr\')\ntime.sleep(60)'


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_process_is_asked_and_ends_with_its_block() -> None:
    async def asked() -> tuple[Any, int]:
        async with spawned("echo", "-c", ECHO) as child:
            return await child.ask({"a": [1, None]}), child.process.pid

    answer, pid = asyncio.run(asked())
    assert answer == {"a": [1, None]}
    assert not is_there(pid)


def test_what_a_process_said_before_it_was_killed_is_noted_and_half_a_line_is_not() -> None:
    async def killed() -> Child:
        async with spawned("talker", "-c", TALKS) as child:
            listening = asyncio.create_task(child.listen())
            while len(child.heard) < 2:  # noqa: ASYNC110 - another process, in real time
                await asyncio.sleep(0.01)
            await child.kill()
            await listening
        return child

    child = asyncio.run(killed())
    assert child.heard == [["one", 1], ["two"]]
    assert child.said("one") == [[1]]
    assert child.killed_at
    assert child.process.returncode == -signal.SIGKILL


def count(emulator: Any, more: int) -> int:
    return len(emulator.world.apps) + more


def test_a_function_is_called_in_the_process_of_the_emulator() -> None:
    async def asked() -> int:
        async with served() as emulator, emulator.client() as fly:
            await fly.apps.create("web", org_slug="personal")
            return await emulator.ask(count, 10)

    assert asyncio.run(asked()) == 11
