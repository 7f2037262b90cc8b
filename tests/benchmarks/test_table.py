"""A table says what was measured, what it was to be, and whether it is."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, OTHERS, main
from benchmarks.shared.picture import draw
from benchmarks.shared.table import Figure, Goal, Plot, Row, Spread, Table, show
from benchmarks.shared.timing import alternate, alternate_tasks, compared

COLUMNS = {"machines": ",", "ms": ".1f", "whose": ""}


def a_row(name: str, machines: int, ms: Spread | None, *goals: Goal) -> Row:
    return Row(name=name, figures={"machines": machines, "ms": ms, "whose": "[ours]"}, goals=goals)


def a_table(*rows: Row, plot: Plot | None = None) -> Table:
    return Table(title="How long [it takes]", subject="what", columns=COLUMNS, rows=rows, notes=["a note"], plot=plot)


def test_a_spread_is_the_least_the_middle_and_the_most() -> None:
    assert Spread.of([3, 1, 2, 10]) == Spread(1, 2.5, 10)
    assert f"{Spread.of([1, 2, 3]):.1f}" == "1.0 2.0 3.0"


@pytest.mark.parametrize(
    ("goal", "figure", "is_met"),
    [
        (Goal("ms <= 2"), Spread(1, 2, 9), True),
        (Goal("ms <= 2"), Spread(1, 2.1, 9), False),
        (Goal("ms <= 2"), 2, True),
        (Goal("ms >= 2"), 1.9, False),
        (Goal("ms <= 2"), None, False),
        (Goal("ms <= 2"), "not measured", False),
    ],
)
def test_a_goal_is_judged_by_the_median_and_nothing_measured_meets_none(
    goal: Goal, figure: Figure, *, is_met: bool
) -> None:
    assert goal.is_met(figure) is is_met


@pytest.mark.parametrize("text", ["ms", "ms < 2", "ms <= two", "<= 2", "ms <= 2 "])
def test_a_goal_is_a_column_a_sign_and_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="must match regex"):
        Goal(text)


def test_a_table_shows_goals_beside_figures_and_why_one_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    missed = Goal("ms <= 1", "it has [more] to do")
    show(a_table(a_row("fast", 1000, Spread(1, 2, 3), Goal("ms <= 2")), a_row("slow", 1, None, missed)))
    output = capsys.readouterr().out
    assert "How long [it takes]" in output
    assert "ms <= 2: met" in output
    assert "1,000" in output
    assert "1.0 2.0 3.0" in output
    assert "[ours]" in output
    assert "missed ms <= 1 by slow: it has [more] to do" in output
    assert "a note" in output


def test_a_reason_for_several_misses_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    missed = Goal("ms <= 1", "it has more to do")
    show(a_table(a_row("slow", 1, Spread(1, 2, 3), missed), a_row("slower", 1, Spread(2, 3, 4), missed)))
    assert "missed ms <= 1 by slow, slower: it has more to do" in capsys.readouterr().out


def test_a_miss_without_a_reason_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show(a_table(a_row("slow", 1, Spread(1, 2, 3), Goal("ms <= 1"))))
    assert "no reason is known" in capsys.readouterr().out


def test_a_table_is_plain_json() -> None:
    goals = (Goal("ms <= 1", "too much"), Goal("machines >= 1", "never said"))
    table = json.loads(json.dumps(a_table(a_row("slow", 1, Spread(1, 2, 3), *goals)).as_json()))
    (row,) = table["rows"]
    assert row["what"] == "slow"
    assert row["ms"] == {"min": 1, "median": 2, "max": 3}
    assert row["goals"] == [
        {"figure": "ms", "goal": "<= 1", "met": False, "why": "too much"},
        {"figure": "machines", "goal": ">= 1", "met": True},
    ]
    assert table["notes"] == ["a note"]


def test_a_plot_has_a_line_for_each_series(tmp_path: Path) -> None:
    plot = Plot(
        title="Growth",
        along="machines",
        up="ms",
        column="ms",
    )
    rows = [a_row(name, 10**power, Spread(1, power + 1, 9)) for power in range(4) for name in ("ours", "theirs")]
    draw(a_table(*rows, a_row("nobody's", 1, None), plot=plot), tmp_path / "pictures" / "growth.svg")
    picture = (tmp_path / "pictures" / "growth.svg").read_text()
    assert "ours" in picture
    assert "theirs" in picture
    assert "nobody" not in picture
    assert "<script" not in picture


def test_subjects_take_turns_and_the_first_round_is_for_warming_up() -> None:
    order: list[str] = []
    taken = alternate({"one": lambda: order.append("one"), "two": lambda: order.append("two")}, rounds=2)
    assert order == ["one", "two", "two", "one", "one", "two"]
    assert {name: len(seconds) for name, seconds in taken.items()} == {"one": 2, "two": 2}


async def test_tasks_take_turns_as_well() -> None:
    order: list[str] = []

    async def one() -> None:
        order.append("one")

    async def two() -> None:
        order.append("two")

    taken = await alternate_tasks({"one": one, "two": two}, rounds=1)
    assert order == ["one", "two", "two", "one"]
    assert all(seconds >= 0 for each in taken.values() for seconds in each)


def test_a_ratio_is_taken_round_by_round() -> None:
    taken = {"ours": [1.0, 4.0, 9.0], "raw": [1.0, 2.0, 3.0]}
    assert compared(taken, "s", 2, {"x raw": "raw"}) == {
        "ours": {"s": Spread(0.5, 2, 4.5), "x raw": Spread(1, 2, 3)},
        "raw": {"s": Spread(0.5, 1, 1.5), "x raw": Spread(1, 1, 1)},
    }


def test_what_there_is_not_cannot_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["speed"])
    assert exit_.value.code == 2
    assert "there is no benchmark 'speed'" in (error := capsys.readouterr().err)
    assert all(name in error for name in NAMES)


def test_the_help_names_each_benchmark_and_its_page_says_how_it_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    named = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert named >= {*NAMES, *OTHERS}
    for name in OTHERS:
        page = Path(f"benchmarks/{name}.py")
        text = (page if page.exists() else page.with_suffix("") / "__main__.py").read_text()
        assert f"-m benchmarks.{name}" in text.split('"""')[1]
