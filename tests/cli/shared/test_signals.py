import asyncio
import signal

import click
import pytest

from flyasync.cli.shared.signals import run, until_signalled
from flyasync.testing import VirtualTimeLoop


async def work(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 7


async def test_work_that_nobody_interrupts_gives_its_code() -> None:
    assert await until_signalled(work(5), lambda _: None) == 7


async def test_each_signal_is_told_and_cancels_once_more() -> None:
    told: list[int] = []
    loop = asyncio.get_running_loop()

    async def stubborn() -> int:
        try:
            return await work(60)
        except asyncio.CancelledError:
            return await work(60)

    for delay in (1, 2):
        loop.call_later(delay, signal.raise_signal, signal.SIGINT)
    assert await until_signalled(stubborn(), told.append) == 130
    assert told == [1, 2]


async def test_work_that_ends_in_spite_of_a_signal_gives_its_code() -> None:
    async def done() -> int:
        try:
            return await work(60)
        except asyncio.CancelledError:
            return 3

    asyncio.get_running_loop().call_later(1, signal.raise_signal, signal.SIGTERM)
    assert await until_signalled(done(), lambda _: None) == 3


async def test_the_handlers_are_gone_afterwards() -> None:
    await until_signalled(work(1), lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


class LoopWithoutSignals(VirtualTimeLoop):
    def add_signal_handler(self, *_: object) -> None:
        raise NotImplementedError


def test_a_loop_that_takes_no_handlers_runs_the_work_nevertheless() -> None:
    with asyncio.Runner(loop_factory=LoopWithoutSignals) as runner:
        assert runner.run(until_signalled(work(5), lambda _: None)) == 7


async def test_a_hangup_is_heard() -> None:
    asyncio.get_running_loop().call_later(1, signal.raise_signal, signal.SIGHUP)
    assert await until_signalled(work(60), lambda _: None) == 129


async def test_a_hangup_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asyncio.get_running_loop().call_later(1, signal.raise_signal, signal.SIGHUP)
    assert await until_signalled(work(5), lambda _: None) == 7


@pytest.mark.parametrize("again", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_after_the_end_leaves_with_the_code_of_the_first(again: int) -> None:
    left: list[int] = []
    asyncio.get_running_loop().call_later(1, signal.raise_signal, signal.SIGINT)
    assert await until_signalled(work(60), lambda _: None, left.append) == 130
    signal.raise_signal(again)
    assert left == [130]


async def test_the_code_is_that_of_the_first_of_several_signals() -> None:
    left: list[int] = []
    loop = asyncio.get_running_loop()

    async def stubborn() -> int:
        try:
            return await work(60)
        except asyncio.CancelledError:
            return await work(60)

    loop.call_later(1, signal.raise_signal, signal.SIGTERM)
    loop.call_later(2, signal.raise_signal, signal.SIGINT)
    assert await until_signalled(stubborn(), lambda _: None, left.append) == 143
    signal.raise_signal(signal.SIGHUP)
    assert left == [143]


async def test_a_cancellation_without_a_signal_goes_on() -> None:
    task = asyncio.ensure_future(until_signalled(work(60), lambda _: None))
    asyncio.get_running_loop().call_later(1, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_command_runs_by_what_click_is_given_in_place_of_asyncio_run() -> None:
    with (
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
        click.Context(click.Command("x"), obj=runner.run) as ctx,
    ):
        assert run(work(3600)) == 7
        assert run(work(3600), ctx) == 7
    with click.Context(click.Command("x")):
        assert run(work(0)) == 7
