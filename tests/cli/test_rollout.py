import asyncio
import signal
from contextlib import nullcontext
from io import StringIO

import pytest

from flyasync.cli.deploy import shown
from flyasync.cli.display import JSONLines, Lines
from flyasync.cli.order import Order, Rehearsal
from flyasync.cli.rollout import roll_out
from flyasync.emulator import Fault
from flyasync.errors import Forbidden, NotFound
from tests.cli.driver import account, events, order


class Streams:
    def __init__(self) -> None:
        self.out, self.err = StringIO(), StringIO()
        self.lines = Lines(self.out, self.err)
        self.json = JSONLines(self.out, self.err)


@pytest.fixture
def streams() -> Streams:
    return Streams()


async def interrupted(wanted: Order, streams: Streams, *after: float, number: int = signal.SIGINT) -> int:
    for delay in after:
        asyncio.get_running_loop().call_later(delay, signal.raise_signal, number)
    return await shown(wanted, nullcontext(streams.lines))


async def test_it_deploys_to_the_account_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, streams: Streams
) -> None:
    async with account(monkeypatch) as emulator:
        assert await roll_out(order("iad"), streams.json) == 0
        assert [machine.name for machine in emulator.world.machines.values()] == ["v1-iad-1"]
    assert "local" not in events(streams.out.getvalue())[-1]
    assert streams.err.getvalue() == ""


async def test_an_unknown_app_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    async with account(monkeypatch, apps=()):
        for is_dry in (False, True):
            with pytest.raises(NotFound, match="--create-app ORG"):
                await roll_out(order("iad", is_dry=is_dry), streams.lines)
    assert streams.out.getvalue() == ""


async def test_create_app_creates_it_once(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    async with account(monkeypatch, apps=()) as emulator:
        assert await roll_out(order("iad", org="personal"), streams.lines) == 0
        assert await roll_out(order("iad", org="personal"), streams.lines) == 0
        assert len(emulator.world.machines) == 1
    assert streams.err.getvalue() == "flyasync: created the app web in personal\n"


async def test_the_same_launch_again_says_what_it_adopts(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    async with account(monkeypatch):
        await roll_out(order("iad"), streams.json)
        assert await roll_out(order("iad", "lhr"), streams.lines) == 0
        await roll_out(order("iad"), streams.json)
    assert "create 1 of nginx, adopt 1 in iad, lhr" in streams.out.getvalue()
    assert '"step": "adopt"' in streams.out.getvalue()


async def test_an_app_that_somebody_made_meanwhile_is_fine(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    unseen = Fault(does="refuse", action="getApp", times=1, status=404, body={"error": "app not found"})
    async with account(monkeypatch, faults=[unseen]):
        assert await roll_out(order("iad", org="personal"), streams.lines) == 0
    assert streams.err.getvalue() == ""


async def test_an_app_of_somebody_else_is_an_error(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    theirs = Fault(does="refuse", action="getApp", status=403, body={"error": "unauthorized"})
    async with account(monkeypatch, faults=[theirs]):
        with pytest.raises(Forbidden):
            await roll_out(order("iad", org="personal"), streams.lines)


async def test_a_dry_run_changes_nothing_and_needs_no_app(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    async with account(monkeypatch, apps=()) as emulator:
        assert await roll_out(order("iad", org="personal", is_dry=True), streams.lines) == 0
        assert not emulator.world.apps
    assert "create it: iad has 0 of the 1 wanted" in streams.out.getvalue()
    assert streams.err.getvalue() == "flyasync: the app web would be created in personal\n"


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_it_in_order_and_tells_what_is_there(streams: Streams, number: int, exit_code: int) -> None:
    wanted = order("iad", "lhr", rehearsal=Rehearsal(boot=60))
    assert await interrupted(wanted, streams, 5, number=number) == exit_code
    said = streams.out.getvalue()
    assert "web: cancelled:" in said
    assert "v1-iad-1" in said[said.index("cancelled") :]
    assert "stopping: no further machine is created" in streams.err.getvalue()


async def test_a_second_ctrl_c_cuts_it_short(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    slow_look = Fault(does="delay", action="listMachines", after=1, seconds=25)
    async with account(monkeypatch, boot=(60, 60), faults=[slow_look]):
        began = asyncio.get_running_loop().time()
        assert await interrupted(order("iad"), streams, 5, 6) == 130
        assert asyncio.get_running_loop().time() - began < 15
    assert "the last look was cut short" in streams.out.getvalue()
    assert "cutting it short" in streams.err.getvalue()


async def test_ctrl_c_before_anything_began_says_so(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    slow = Fault(does="delay", action="listMachines", seconds=20)
    async with account(monkeypatch, faults=[slow]) as emulator:
        assert await interrupted(order("iad"), streams, 5) == 130
        assert not emulator.world.machines
    assert streams.out.getvalue() == ""
    assert "interrupted before any machine was asked for" in streams.err.getvalue()


async def test_a_cancellation_that_no_signal_asked_for_goes_on(streams: Streams) -> None:
    deploy = asyncio.ensure_future(shown(order("iad", rehearsal=Rehearsal(boot=60)), nullcontext(streams.lines)))
    asyncio.get_running_loop().call_later(5, deploy.cancel)
    with pytest.raises(asyncio.CancelledError):
        await deploy
    assert "web: cancelled:" in streams.out.getvalue()
