"""Scopes of anyio cancel at every await. Virtual time never passes while they do: a wait that they reach never ends."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

import anyio
import pytest

from flyasync.cancellation import AllEnded, cancelled_once, ended, finished, unscoped
from flyasync.testing import VirtualTimeLoop

Ts = TypeVarTuple("Ts")


class Cleanup:
    """Work that takes some seconds to clean up when it is cancelled."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    async def run(self) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await self.clean()
            raise

    async def clean(self) -> str:
        try:
            await asyncio.sleep(3)
        except asyncio.CancelledError:
            self.ends.append("cut")
            raise
        self.ends.append("clean")
        return "cleaned"


class CountingLoop(VirtualTimeLoop):
    """A loop that counts what it is to run in its next iteration, such as each delivery of a cancellation by anyio."""

    calls = 0

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.calls += 1
        return super().call_soon(callback, *args, context=context)


async def test_a_scope_cancels_a_function_once_and_waits_for_its_cleanup() -> None:
    work = Cleanup()
    with anyio.move_on_after(1) as scope:
        await cancelled_once(work.run)()
    assert scope.cancelled_caught
    assert work.ends == ["clean"]
    assert asyncio.get_running_loop().time() == pytest.approx(4, abs=0.1)


async def test_a_function_that_is_not_decorated_is_cut() -> None:
    work = Cleanup()
    with anyio.move_on_after(1):
        await work.run()
    assert work.ends == ["cut"]


async def test_cleanup_in_a_scope_that_is_cancelled_already() -> None:
    work = Cleanup()
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await asyncio.sleep(1)
        finally:
            assert await finished(work.clean()) == "cleaned"
    assert work.ends == ["clean"]


async def test_a_task_group_of_anyio_waits_for_the_cleanup_of_its_tasks() -> None:
    work = [Cleanup() for _ in range(3)]
    async with anyio.create_task_group() as group:
        for each in work:
            group.start_soon(cancelled_once(each.run))
        await asyncio.sleep(1)
        group.cancel_scope.cancel()
    assert [each.ends for each in work] == [["clean"]] * 3


@pytest.mark.parametrize(("times", "end"), [(1, "clean"), (2, "cut")])
@pytest.mark.parametrize("is_scoped", [False, True])
async def test_a_second_cancellation_of_the_task_cuts_the_cleanup_short(
    times: int, end: str, *, is_scoped: bool
) -> None:
    work = Cleanup()

    async def run() -> None:
        with anyio.CancelScope() if is_scoped else unscoped():
            await cancelled_once(work.run)()

    task = asyncio.create_task(run())
    await asyncio.sleep(1)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(1)
    await asyncio.wait([task])
    assert task.cancelled()
    assert work.ends == [end]


async def test_finished_is_cut_by_a_second_cancellation_only() -> None:
    work = Cleanup()
    task = asyncio.create_task(finished(work.clean()))
    for expected in ([], ["cut"]):
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.sleep(0.5)
        assert work.ends == expected
    assert task.cancelled()


@pytest.mark.parametrize("function", [cancelled_once, lambda run: run], ids=["decorated", "plain"])
async def test_the_result_and_the_error_are_passed_on(function: Any) -> None:
    async def work(value: int) -> int:
        if value:
            raise ValueError(value)
        return value

    assert await function(work)(0) == 0
    with pytest.raises(ValueError, match="7"):
        await function(work)(7)


async def test_an_error_of_the_cleanup_takes_the_place_of_the_cancellation() -> None:
    @cancelled_once
    async def fails() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            raise ValueError("not clean")

    with pytest.raises(ValueError, match="not clean"), anyio.move_on_after(1):
        await fails()


async def test_gather_passes_all_cancellations_of_a_scope_on_and_they_are_one() -> None:
    """The scope reaches the tasks of gather until they have ended, in every iteration of the loop: no timers here."""
    let_go, ends = asyncio.Event(), []

    async def work() -> None:
        try:
            await let_go.wait()
        except asyncio.CancelledError as first:
            cleaning = asyncio.ensure_future(clean())
            await ended(cleaning, first)
            ends.append(cleaning.result())
            raise

    async def clean() -> int:
        for _ in range(100):
            await asyncio.sleep(0)
        return 100

    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_later(1, scope.cancel)
        await asyncio.gather(work(), work())
    assert ends == [100, 100]


@pytest.mark.parametrize("use", [lambda work: cancelled_once(work.run)(), lambda work: finished(work.clean())])
def test_the_loop_does_not_spin_while_the_cleanup_runs(use: Callable[[Cleanup], Awaitable[Any]]) -> None:
    work = Cleanup()

    async def main() -> None:
        with anyio.move_on_after(1):
            await use(work)

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(main())
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        assert loop.calls < 60
    assert work.ends == ["clean"]


async def test_it_is_done_once_all_have_ended_and_keeps_none_that_has() -> None:
    goes_on, ended = asyncio.Event(), []

    async def one(name: str, wait: asyncio.Event | None) -> None:
        if wait:
            await wait.wait()
        ended.append(name)

    short = one("short", None)
    kept = weakref.ref(short)
    work = AllEnded([short, one("long", goes_on)])
    del short
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert kept() is None
    assert not work.done()
    goes_on.set()
    await work
    assert ended == ["short", "long"]


async def test_nothing_to_do_is_done() -> None:
    await AllEnded([])


async def test_an_error_is_raised_after_the_others_have_ended() -> None:
    ended = []

    async def fails() -> None:
        raise ZeroDivisionError

    async def works() -> None:
        await asyncio.sleep(1)
        ended.append(True)

    with pytest.raises(ZeroDivisionError):
        await AllEnded([fails(), works(), fails()])
    assert ended


async def test_one_that_cancels_itself_is_an_error() -> None:
    async def cancels() -> None:
        raise asyncio.CancelledError

    work = AllEnded([cancels()])
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not work.cancelled()


async def test_each_cancellation_reaches_all_that_run_and_is_raised_when_they_have_ended() -> None:
    heard: list[str] = []

    async def one(name: str) -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(100)
            heard.append(name)

    async def caller() -> None:
        try:
            await AllEnded([one("a"), one("b")])
        finally:
            heard.append("caller")

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel("once")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert heard == ["a", "b"]
    assert not task.done()
    task.cancel("twice")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["a", "b", "a", "b", "caller"]
