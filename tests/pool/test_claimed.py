"""Commands and files in a claimed machine."""

import asyncio

import pytest

from flyasync.emulator import Emulator
from flyasync.errors import FileNotCopied, InvalidInput
from tests.pool.conftest import MakePool


@pytest.mark.parametrize("size", [0, 1, 48 * 1024, 48 * 1024 + 1, 200_000])
async def test_a_file_is_copied_into_the_machine_and_out_of_it(make_pool: MakePool, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    async with make_pool().acquire("user-7") as machine:
        await machine.write_file("/tmp/a b'c", content)
        assert await machine.read_file("/tmp/a b'c") == content


async def test_a_file_is_replaced_when_it_is_complete(emulator: Emulator, make_pool: MakePool) -> None:
    async with make_pool().acquire("user-7") as machine:
        await machine.write_file("/data", b"old")
        writing = asyncio.create_task(machine.write_file("/data", b"new" * 100_000))
        await asyncio.sleep(2)
        assert emulator.world.machines[machine.id].files["/data"] == b"old"
        await writing
        assert emulator.world.machines[machine.id].files == {"/data": b"new" * 100_000}


async def test_a_file_takes_a_request_for_each_48_kib_at_one_a_second(emulator: Emulator, make_pool: MakePool) -> None:
    async with make_pool().acquire("user-7") as machine:
        began = asyncio.get_running_loop().time()
        await machine.write_file("/data", bytes(480 * 1024))
        assert emulator.counts()["execMachine", machine.id] == 11
        assert 8 < asyncio.get_running_loop().time() - began < 10


async def test_a_missing_file_is_an_error(make_pool: MakePool) -> None:
    async with make_pool().acquire("user-7") as machine:
        with pytest.raises(FileNotCopied):
            await machine.read_file("/none")


async def test_a_file_that_is_too_large_is_refused_before_any_request(emulator: Emulator, make_pool: MakePool) -> None:
    async with make_pool().acquire("user-7") as machine:
        with pytest.raises(InvalidInput, match="at most 16777216"):
            await machine.write_file("/data", bytes(16 * 1024 * 1024 + 1))
        assert emulator.counts()["execMachine", machine.id] == 0


async def test_a_command_runs_in_the_machine(make_pool: MakePool) -> None:
    async with make_pool().acquire("user-7") as machine:
        result = await machine.exec(["echo", "hello"], timeout=5)
        assert (result.exit_code, result.stdout) == (0, "hello\n")
        assert machine.private_url(8080).startswith("http://[fdaa:")
