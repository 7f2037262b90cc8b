"""A run in a terminal: its counts, its newest failures, and the table at its end."""

import re
from io import StringIO

import pytest
from rich.console import Console

from flyasync.cli.bulk.lines import BulkJSONLines, BulkLines
from flyasync.cli.bulk.live import NEWEST, BulkScreen
from flyasync.cli.bulk.results import AppNames, AppResult, BulkProgress
from flyasync.cli.bulk.run import display_for, run_until_signalled
from flyasync.cli.bulk.summary import BulkInvocation, BulkSummary
from flyasync.cli.deploy.next_steps import Invocation
from flyasync.cli.deploy.rehearsal import Rehearsal
from flyasync.cli.shared.ticker import refreshing
from tests.cli.bulk.driver import bulk_job, table
from tests.cli.bulk.test_results import failed
from tests.cli.driver import Terminal

RUN = BulkInvocation(source="shops.csv", launch="v7")


@pytest.fixture(autouse=True)
def a_plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "20")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def record(screen: BulkScreen, progress: BulkProgress, result: AppResult) -> None:
    progress.begin()
    progress.record(result)
    screen.show(result)


def picture(screen: BulkScreen, width: int = 100, height: int = 20) -> list[str]:
    """Draw what stands in the terminal now."""
    live = screen._live
    assert live is not None
    console = Console(file=Terminal(), width=width, height=height, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(live.get_renderable())
    return captured.get().splitlines()


async def test_the_counts_and_the_newest_failures_are_drawn() -> None:
    screen, progress = BulkScreen(Terminal()), BulkProgress(total=50, at_once=4, kept=10)
    screen.begin(RUN, progress)
    for number in range(NEWEST + 2):
        record(
            screen,
            progress,
            failed(f"shop-{number}", f"reason {number}, and so on and on, until the line is full " * 3),
        )
    head, counts, bar, *newest = picture(screen)
    assert head == "shops.csv  0.0 s  done before: 10  launch v7"
    assert counts.startswith(f"0 of 40 apps done, {NEWEST + 2} failed, 33 left, 0 in progress")
    assert set(bar.strip()) <= set("━╸╺ ")
    assert [line.split("  ")[0] for line in newest] == [f"✗ shop-{number}" for number in range(2, NEWEST + 2)]
    assert all(len(line) < 100 for line in newest)
    screen.close()


async def test_a_small_terminal_shows_fewer_failures() -> None:
    screen, progress = BulkScreen(Terminal()), BulkProgress(total=9, at_once=4)
    screen.begin(RUN, progress)
    for number in range(4):
        record(screen, progress, failed(f"shop-{number}", "why"))
    assert picture(screen, width=40, height=6)[3:] == ["✗ shop-2  why", "✗ shop-3  why"]
    assert len(picture(screen, height=4)) == 3
    screen.close()


async def test_the_end_is_a_table_in_place_of_the_drawing() -> None:
    out = Terminal()
    progress = BulkProgress(total=9, at_once=4)
    async with refreshing(BulkScreen(out)) as screen:
        screen.begin(RUN, progress)
        for number in range(4):
            record(screen, progress, failed(f"shop-{number}", f"no such image shop-{number}"))
        screen.note("stopping")
        screen.finish(
            BulkSummary(
                called=RUN, progress=progress, seconds=3.0, is_cut=True, renamed=AppNames(), abandoned=AppNames()
            )
        )
        assert screen._live is None
    said = out.getvalue()
    assert "stopping" in said
    ending = said[said.rindex("shops.csv: interrupted: 0 of 9 apps done") :]
    assert "no such image APP" in ending
    assert "shop-0, shop-1, shop-2 and 1 more" in ending
    assert "to continue: the same command with --launch v7" in ending


@pytest.mark.parametrize(("is_dry", "says"), [(False, "shops.csv: ok: 4 of 4 apps done"), (True, "machines: 4")])
async def test_a_whole_run_shows_in_a_terminal(*, is_dry: bool, says: str) -> None:
    out = Terminal()
    job = bulk_job(table(4), is_dry=is_dry, rehearsal=Rehearsal(boot=3))
    assert (
        await run_until_signalled(job, display_for(out, Terminal(), as_json=False, called=Invocation(is_local=True)))
        == 0
    )
    assert says in out.getvalue()


@pytest.mark.parametrize(
    ("stream", "as_json", "kind"),
    [(Terminal, False, BulkScreen), (Terminal, True, BulkJSONLines), (StringIO, False, BulkLines)],
)
async def test_each_kind_of_output_has_its_display(stream: type[StringIO], *, as_json: bool, kind: type) -> None:
    async with display_for(stream(), StringIO(), as_json=as_json, called=Invocation()) as display:
        assert isinstance(display, kind)


async def test_a_dumb_terminal_shows_the_lines_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown = []
    for out in (Terminal(), StringIO()):
        job = bulk_job(table(2), launch="v7", rehearsal=Rehearsal(capacity={"iad": 0}))
        await run_until_signalled(job, display_for(out, StringIO(), as_json=False, called=Invocation(is_local=True)))
        shown.append(re.sub(r"request \w+", "request", out.getvalue()))
    terminal, pipe = shown
    assert terminal == pipe
    assert "apps\twhy\twhich\n" in terminal
    assert "\x1b" not in terminal
