import re
from io import StringIO

import pytest
from attrs import evolve
from rich.console import Console

from flyasync import MachineConfig
from flyasync.cli.deploy.job import DeployJob
from flyasync.cli.deploy.lines import JSONLines, Lines
from flyasync.cli.deploy.live import LiveRows, Screen
from flyasync.cli.deploy.machine_rows import MachineRows
from flyasync.cli.deploy.next_steps import Invocation
from flyasync.cli.deploy.rehearsal import Rehearsal
from flyasync.cli.deploy.run import display_for, run_deploy
from flyasync.cli.shared.ticker import refreshing
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.plan.plan import AwaitStarted, Create, Lane, Plan, Stage, Track
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.events import Finished, Planned, Progress
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Result
from flyasync.emulator import Fault
from tests.cli.driver import Terminal, account, deploy_job, tags

WHY = 'lhr has no room (region): "could not find a candidate host" (HTTP 422 insufficient_capacity, request 01K)'


@pytest.fixture(autouse=True)
def a_plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "40")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def planned(*regions: str) -> Planned:
    steps = (Create(cause="none there", config=MachineConfig(image="nginx")), AwaitStarted(cause="timeout 300 s"))
    lanes = (
        Lane(
            region=region,
            tracks=(Track(machine=DesiredMachine(name=f"v1-{region}-1", region=region, number=1), steps=steps),),
        )
        for region in regions
    )
    return Planned(
        at=0.0, plan=Plan(app="web", launch="v1", image="nginx", fallback="skip", stages=(Stage(lanes=tuple(lanes)),))
    )


def came(asked: str, phase: Phase, *, region: str | None = None, at: float = 1.0, why: str | None = None) -> Progress:
    is_there = phase in {Phase.CREATED, Phase.STARTING, Phase.STARTED}
    machine_id = "09f0ce67792f49" if is_there else None
    name = f"v1-{asked}-1"
    return Progress(
        at=at, name=name, asked=asked, region=region or asked, phase=phase, machine_id=machine_id, detail=why
    )


def drawn(*told: Progress, width: int = 120, height: int = 40, encoding: str = "utf-8") -> list[str]:
    rows = MachineRows.of(planned("iad", "lhr", "nrt", "syd"))
    for event in told:
        rows.record(event)
    stream = Terminal(encoding)
    Console(file=stream, width=width, height=height, color_system=None).print(LiveRows(rows, 2.0))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


BUSY = (
    came("iad", Phase.CREATING, at=0.0),
    came("iad", Phase.STARTED, at=1.5),
    came("lhr", Phase.CREATING, at=0.0),
    came("lhr", Phase.MOVING, region="cdg", why=WHY),
    came("nrt", Phase.CREATING, at=0.0),
    came("nrt", Phase.SKIPPED, why=WHY.replace("lhr", "nrt")),
)


async def test_each_machine_has_a_line_with_its_region_first() -> None:
    head, iad, lhr, nrt, syd = drawn(*BUSY)
    assert head == "web  1 of 4 ready  2.0 s  launch v1 of nginx"
    assert iad.split() == ["✓", "iad-1", "started", "1.5", "s", "09f0ce67792f49"]
    assert re.match(r"  [⠋-⠿]  lhr-1 → cdg  moving +2\.0 s +lhr has no room .*…$", lhr)
    assert re.match(r"  ✗  nrt-1 +skipped  1\.0 s +nrt has no room", nrt)
    assert syd.split() == ["·", "syd-1", "waiting", "0.0", "s"]


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40])
async def test_no_line_is_wider_than_the_terminal_less_the_echo_of_ctrl_c(width: int) -> None:
    lines = drawn(*BUSY, width=width)
    assert len(lines) == 5
    assert max(map(len, lines)) <= width - 3


async def test_a_narrow_terminal_goes_without_ids() -> None:
    lines = drawn(*BUSY, width=60)
    assert not any("09f0ce67792f49" in line for line in lines)
    assert "lhr has no room" in lines[2]


async def test_signs_are_ascii_where_the_terminal_is() -> None:
    lines = drawn(*BUSY, encoding="ascii")
    assert all(map(str.isascii, lines))
    assert lines[1].startswith("  +  iad-1")
    assert "lhr-1 > cdg" in lines[2]


async def test_a_low_terminal_leaves_out_what_is_ready_then_what_waits() -> None:
    lines = drawn(*BUSY, height=5)
    assert [line.split()[1] for line in lines[1:3]] == ["lhr-1", "nrt-1"]
    assert lines[3:] == ["  … 1 started, 1 waiting"]


async def test_the_rows_give_way_to_the_report() -> None:
    out = Terminal()
    async with refreshing(Screen(out, called=Invocation(is_local=True))) as screen:
        job = deploy_job("iad", "lhr", rehearsal=Rehearsal(capacity={"lhr": 0}))
        assert await run_deploy(job, screen) == 7
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "0 of 2 ready  0.1 s" in text, "its seconds run"
    assert "web: degraded: 1 of 2 machines run" in text
    assert "\x1b[1;33mweb: degraded: " in out.getvalue()
    assert text.rstrip().endswith("nothing was deployed to Fly.io")
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1, "the cursor is back"


async def test_a_deploy_that_fails_leaves_the_terminal_as_it_was() -> None:
    out = Terminal()
    async with refreshing(Screen(out)) as screen:
        screen.note("created the app web in personal")
        screen.show(planned("iad"))
    assert out.getvalue().startswith("\x1b[33mcreated the app web in personal")
    assert out.getvalue().count("\x1b[?25h") == 1


async def test_a_dry_run_in_a_terminal_is_the_plan() -> None:
    out = Terminal()
    async with refreshing(Screen(out)) as screen:
        assert await run_deploy(deploy_job("iad", is_dry=True, rehearsal=Rehearsal()), screen) == 0
    assert tags(out.getvalue()).startswith("web, launch v1 adds: create 1 of nginx\n")


async def test_only_a_terminal_gets_rows() -> None:
    async with display_for(Terminal(), StringIO(), as_json=False, called=Invocation()) as display:
        assert isinstance(display, Screen)
    async with display_for(Terminal(), StringIO(), as_json=True, called=Invocation()) as display:
        assert isinstance(display, JSONLines)
    async with display_for(StringIO(), StringIO(), as_json=False, called=Invocation()) as display:
        assert isinstance(display, Lines)


async def test_the_screen_tells_the_stage_the_time_left_and_the_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Terminal()
    async with account(monkeypatch) as emulator:
        base = DeployBuilder("web").to_regions("iad", "lhr").rolling().with_image("nginx:1")
        assert await run_deploy(DeployJob(builder=base), Lines(StringIO(), StringIO())) == 0
        emulator.faults.add(Fault(does="crash", image="*nginx:2*", seconds=0.5))
        builder = base.with_image("nginx:2").with_launch("v2").roll_back_on_failure()
        async with refreshing(Screen(out)) as screen:
            assert await run_deploy(DeployJob(builder=builder), screen) == 4
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert re.search(r"web  0 of 2 done  \d+\.\d s  about \d+ s left  rolling, launch v2 of nginx:2", text)
    assert "stage 1 of 2: one machine first" in text
    assert re.search(r"app-iad-1 +watching", text)
    assert "rolling back: web, undo " in text
    assert re.search(r"web  0 of 1 done, 1 kept  \d+\.\d s  about \d+ s left  undo launch v2", text)
    assert "stage 1 of 1: restore machines" in text
    assert "rolled back:" in text
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 2, "the cursor is back"


async def test_a_plan_with_nothing_to_do_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    async with account(monkeypatch):
        job = DeployJob(builder=DeployBuilder("web").to_regions("iad").rolling().with_image("nginx:1"))
        assert await run_deploy(job, Lines(StringIO(), StringIO())) == 0
        async with refreshing(Screen(out)) as screen:
            assert await run_deploy(job, screen) == 0
    assert "0 of 0 done, 1 kept" in out.getvalue()


async def test_a_dry_run_in_a_terminal_colours_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    async with account(monkeypatch):
        base = DeployBuilder("web").to_regions("iad").rolling()
        assert await run_deploy(DeployJob(builder=base.with_image("nginx:1")), Lines(StringIO(), StringIO())) == 0
        async with refreshing(Screen(out)) as screen:
            assert await run_deploy(DeployJob(builder=base.with_image("nginx:2"), is_dry=True), screen) == 0
    assert re.search("\x1b\\[33m +~ image: ", out.getvalue())


async def test_a_report_is_coloured_by_what_it_means_not_by_its_words() -> None:
    results = (Result.RUNNING, Result.FAILED, Result.SKIPPED, Result.NOT_AWAITED)
    machines = tuple(
        MachineReport(name=f"failed-{number}", asked="iad", result=result, region="iad", id="148e")
        for number, result in enumerate(results)
    )
    report = DeployReport(
        app="web",
        launch="v2",
        image="nginx",
        require="all regions",
        needed=1,
        regions=(RegionReport(region="iad", asked=4, machines=machines),),
        seconds=1.0,
        strategy="rolling",
    )
    out = Terminal()
    Screen(out).show(Finished(at=1.0, report=report))
    Screen(out).show(Finished(at=1.0, report=evolve(report, require="one", needed=0, rollback=report)))
    text = out.getvalue()
    assert "\x1b[1;31mweb: failed: 1 of 4" in text
    for number, word in enumerate(
        ("\x1b[32mrunning\x1b[0m", "\x1b[31mfailed\x1b[0m", "\x1b[33mskipped\x1b[0m", "not awaited")
    ):
        assert f"    failed-{number}  {word} in iad" in text
    assert "\x1b[31mrolled back incompletely\x1b[0m" in text
    assert "\x1b[33mfor regions without room: the same command with --fallback nearest\x1b[0m" in text


@pytest.mark.parametrize("term", ["dumb", "DUMB", "unknown"])
async def test_a_dumb_terminal_shows_the_lines_of_a_pipe(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    shown = []
    for out in (Terminal(), StringIO()):
        job = deploy_job("iad", "lhr", rehearsal=Rehearsal(capacity={"lhr": 0}))
        async with display_for(out, StringIO(), as_json=False, called=Invocation(is_local=True)) as display:
            await run_deploy(job, display)
        shown.append(re.sub(r"request \w+", "request", out.getvalue()))
    terminal, pipe = shown
    assert terminal == pipe
    assert "iad  v1-iad-1  starting" in terminal
    assert "\x1b" not in terminal
