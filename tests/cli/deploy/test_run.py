import asyncio
import signal
from collections.abc import Callable
from contextlib import nullcontext
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest

from flyasync.cli.deploy.job import DeployJob
from flyasync.cli.deploy.lines import JSONLines, Lines
from flyasync.cli.deploy.next_steps import Invocation
from flyasync.cli.deploy.rehearsal import Rehearsal
from flyasync.cli.deploy.run import display_for, run_deploy, run_until_signalled
from flyasync.cli.shared.client import PUBLIC_URL
from flyasync.cli.shared.streams import sturdy
from flyasync.emulator import Fault
from flyasync.errors import Forbidden, NotFound, ServerFault
from flyasync.transport import credentials
from tests.cli.driver import account, deploy_job, events, flyasync, served, tags


class Streams:
    def __init__(self) -> None:
        self.out, self.err = StringIO(), StringIO()
        self.lines = Lines(self.out, self.err)
        self.json = JSONLines(self.out, self.err)


@pytest.fixture
def streams() -> Streams:
    return Streams()


async def interrupted(job: DeployJob, streams: Streams, *after: float, number: int = signal.SIGINT) -> int:
    for delay in after:
        asyncio.get_running_loop().call_later(delay, signal.raise_signal, number)
    return await run_until_signalled(job, nullcontext(streams.lines))


async def test_it_deploys_to_the_account_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, streams: Streams
) -> None:
    async with account(monkeypatch) as emulator:
        assert await run_deploy(deploy_job("iad"), streams.json) == 0
        assert [machine.name for machine in emulator.world.machines.values()] == ["v1-iad-1"]
    assert "local" not in events(streams.out.getvalue())[-1]
    assert streams.err.getvalue() == ""


async def test_an_unknown_app_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    async with account(monkeypatch, apps=()):
        for is_dry in (False, True):
            with pytest.raises(NotFound, match=r"--create-app$"):
                await run_deploy(deploy_job("iad", is_dry=is_dry), streams.lines)
    assert streams.out.getvalue() == ""


async def test_create_app_creates_it_once(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    async with account(monkeypatch, apps=()) as emulator:
        assert await run_deploy(deploy_job("iad", org="personal"), streams.lines) == 0
        assert await run_deploy(deploy_job("iad", org="personal"), streams.lines) == 0
        assert len(emulator.world.machines) == 1
    assert "flyasync: created the app web in personal\n" in streams.err.getvalue()
    assert streams.err.getvalue().count("created") == 1


@pytest.mark.parametrize("words", ["--create-app {}", "{} --create-app", "{} --create-app=personal"])
def test_create_app_alone_means_the_default_organization(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    with served(monkeypatch, apps=()) as (emulator, drive):
        args = ("deploy", *words.format("shop").split(), "--image", "nginx", "--region", "iad")
        planned = flyasync(*args, "--dry-run", drive=drive)
        assert "the app shop would be created in personal" in planned.stderr
        result = flyasync(*args, drive=drive)
        assert result.exit_code == 0, result.output
        assert "created the app shop in personal" in result.stderr
        assert [(app.name, app.org_slug) for app in emulator.world.apps.values()] == [("shop", "personal")]


NO_ADDRESS = "web has no IP address, so its services are not reachable from outside; to allocate both kinds: "


@pytest.mark.parametrize("is_dry", [False, True])
@pytest.mark.parametrize("apps", [("web",), ()])
async def test_an_app_that_serves_without_an_address_is_told_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
    streams: Streams,
    is_dry: bool,  # noqa: FBT001 - a parameter of the test
    apps: tuple[str, ...],
) -> None:
    serving = DeployJob(builder=deploy_job("iad").builder.with_service(internal_port=80), org="personal", is_dry=is_dry)
    async with account(monkeypatch, apps=apps):
        assert await run_deploy(serving, streams.lines) == 0
    assert NO_ADDRESS + "flyasync ips allocate web --type shared_v4, and" in streams.out.getvalue()


async def test_a_rehearsal_of_an_app_that_is_there_misses_no_address(streams: Streams) -> None:
    serving = DeployJob(builder=deploy_job("iad").builder.with_service(internal_port=80), rehearsal=Rehearsal())
    assert await run_deploy(serving, streams.lines) == 0
    assert NO_ADDRESS not in streams.out.getvalue()


async def test_the_same_launch_again_says_what_it_adopts(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    async with account(monkeypatch):
        await run_deploy(deploy_job("iad"), streams.json)
        assert await run_deploy(deploy_job("iad", "lhr"), streams.lines) == 0
        await run_deploy(deploy_job("iad"), streams.json)
    assert "create 1 of nginx, adopt 1 in iad, lhr" in tags(streams.out.getvalue())
    assert '"step": "adopt"' in streams.out.getvalue()


async def test_an_app_that_somebody_made_meanwhile_is_fine(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    unseen = Fault(does="refuse", action="getApp", times=1, status=404, body={"error": "app not found"})
    async with account(monkeypatch, faults=[unseen]):
        assert await run_deploy(deploy_job("iad", org="personal"), streams.lines) == 0
    assert "created" not in streams.err.getvalue()


async def test_an_app_of_somebody_else_is_an_error(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    theirs = Fault(does="refuse", action="getApp", status=403, body={"error": "unauthorized"})
    async with account(monkeypatch, faults=[theirs]):
        with pytest.raises(Forbidden):
            await run_deploy(deploy_job("iad", org="personal"), streams.lines)


async def test_a_dry_run_changes_nothing_and_needs_no_app(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    async with account(monkeypatch, apps=()) as emulator:
        assert await run_deploy(deploy_job("iad", org="personal", is_dry=True), streams.lines) == 0
        assert not emulator.world.apps
    assert "create: iad has 0 of 1 desired" in streams.out.getvalue()
    assert "flyasync: the app web would be created in personal\n" in streams.err.getvalue()


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_a_signal_ends_it_in_order_and_tells_what_is_there(streams: Streams, number: int, exit_code: int) -> None:
    job = deploy_job("iad", "lhr", rehearsal=Rehearsal(boot=60))
    assert await interrupted(job, streams, 5, number=number) == exit_code
    said = streams.out.getvalue()
    assert "web: cancelled:" in said
    assert "v1-iad-1" in said[said.index("cancelled") :]
    assert "stopping: no further machine is created" in streams.err.getvalue()


async def test_a_second_ctrl_c_cuts_it_short(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    slow_look = Fault(does="delay", action="listMachines", after=1, seconds=25)
    async with account(monkeypatch, boot=(60, 60), faults=[slow_look]):
        began = asyncio.get_running_loop().time()
        assert await interrupted(deploy_job("iad"), streams, 5, 6) == 130
        assert asyncio.get_running_loop().time() - began < 15
    assert "the final check was interrupted" in streams.out.getvalue()
    assert "stopping at once" in streams.err.getvalue()


async def test_ctrl_c_before_anything_began_says_so(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    slow = Fault(does="delay", action="listMachines", seconds=20)
    async with account(monkeypatch, faults=[slow]) as emulator:
        assert await interrupted(deploy_job("iad"), streams, 5) == 130
        assert not emulator.world.machines
    assert streams.out.getvalue() == ""
    assert "interrupted before any change" in streams.err.getvalue()


async def test_a_cancellation_that_no_signal_asked_for_goes_on(streams: Streams) -> None:
    deploy = asyncio.ensure_future(
        run_until_signalled(deploy_job("iad", rehearsal=Rehearsal(boot=60)), nullcontext(streams.lines))
    )
    asyncio.get_running_loop().call_later(5, deploy.cancel)
    with pytest.raises(asyncio.CancelledError):
        await deploy
    assert "web: cancelled:" in streams.out.getvalue()


LOST = Fault(does="lose_answer", action="createApp")


async def test_a_lost_answer_to_create_app_is_resolved_by_looking(
    monkeypatch: pytest.MonkeyPatch, streams: Streams
) -> None:
    async with account(monkeypatch, apps=(), faults=[LOST]):
        assert await run_deploy(deploy_job("iad", org="personal"), streams.lines) == 0
    assert "created the app web in personal" in streams.err.getvalue()


async def test_an_app_that_shows_late_is_waited_for(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    late = Fault(does="refuse", action="getApp", times=3, status=404, body={"error": "app not found"})
    async with account(monkeypatch, apps=(), faults=[LOST, late]):
        assert await run_deploy(deploy_job("iad", org="personal"), streams.lines) == 0


@pytest.mark.parametrize("look", [404, 403])
async def test_a_create_app_that_did_not_happen_fails_with_its_own_error(
    monkeypatch: pytest.MonkeyPatch, streams: Streams, look: int
) -> None:
    lost = Fault(does="refuse", action="createApp", status=500)
    unseen = Fault(does="refuse", action="getApp", after=1, status=look, body={"error": "no"})
    async with account(monkeypatch, apps=(), faults=[lost, unseen]):
        with pytest.raises(ServerFault):
            await run_deploy(deploy_job("iad", org="personal"), streams.lines)


async def test_where_it_goes_is_told_unless_it_is_the_public_api(
    monkeypatch: pytest.MonkeyPatch, streams: Streams
) -> None:
    assert PUBLIC_URL == credentials.PUBLIC_URL
    async with account(monkeypatch) as emulator:
        url = emulator.url
        await run_deploy(deploy_job("iad"), streams.json)
        assert streams.err.getvalue() == ""
        await run_deploy(deploy_job("iad"), streams.lines)
    assert streams.err.getvalue() == f"flyasync: api: {url}\n"
    told = events("\n".join(line for line in streams.out.getvalue().splitlines() if line.startswith("{")))
    assert {event["api"] for event in told} == {url}


async def test_a_failed_report_says_how_to_take_away_what_is_left(
    monkeypatch: pytest.MonkeyPatch, streams: Streams
) -> None:
    async with account(monkeypatch, capacity={"lhr": 0}):
        assert await run_deploy(DeployJob(builder=deploy_job("iad", "lhr").builder.require("all")), streams.lines) == 3
    last = streams.out.getvalue().splitlines()[-1]
    assert last == "to destroy the machines of this launch: flyasync destroy web --launch v1"


async def test_a_deploy_that_is_cut_off_leaves_its_page_too(streams: Streams, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert await interrupted(deploy_job("iad", rehearsal=Rehearsal(boot=60), html=page), streams, 5) == 130
    assert "cancelled" in page.read_text()
    assert streams.err.getvalue().endswith(f"flyasync: the report as a page: {page}\n")


async def test_the_page_of_a_rehearsal_states_that_it_was_one(
    streams: Streams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed, real = tmp_path / "rehearsed.html", tmp_path / "real.html"
    assert await run_deploy(deploy_job("iad", rehearsal=Rehearsal(), html=rehearsed), streams.lines) == 0
    async with account(monkeypatch):
        assert await run_deploy(DeployJob(builder=deploy_job("iad").builder, html=real), streams.lines) == 0
    shown = "<p>Local rehearsal on an emulator: nothing is deployed to Fly.io.</p>"
    assert (shown in rehearsed.read_text(), "rehearsal" in real.read_text()) == (True, False)


async def test_a_page_that_cannot_be_written_any_more_is_told_and_changes_nothing_else(
    streams: Streams, tmp_path: Path
) -> None:
    page = tmp_path / "nowhere" / "report.html"
    assert await run_deploy(deploy_job("iad", rehearsal=Rehearsal(), html=page), streams.lines) == 0
    assert f"the page could not be written to {page}: No such file" in streams.err.getvalue()


def test_letters_that_an_output_has_not_do_not_break_it() -> None:
    out = BytesIO()
    stream = sturdy(TextIOWrapper(out, encoding="ascii"))
    stream.write("1 → 2\n")
    stream.flush()
    assert out.getvalue() == b"1 ? 2\n"


class Gone(StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


class GoneTerminal(Gone):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Gone, GoneTerminal])
async def test_a_closed_terminal_ends_a_deploy_in_order(
    monkeypatch: pytest.MonkeyPatch, stream: Callable[[], StringIO]
) -> None:
    async with account(monkeypatch, boot=(60, 60)) as emulator:
        asyncio.get_running_loop().call_later(5, signal.raise_signal, signal.SIGHUP)
        display = display_for(stream(), Gone(), as_json=False, called=Invocation())
        assert await run_until_signalled(deploy_job("iad"), display) == 129
        assert len(emulator.world.machines) == 1


async def test_output_that_nobody_reads_does_not_break_a_deploy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with account(monkeypatch):
        assert (
            await run_until_signalled(deploy_job("iad"), display_for(Gone(), Gone(), as_json=True, called=Invocation()))
            == 0
        )
