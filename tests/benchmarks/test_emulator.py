"""That the emulator's own cost is measured beside a handler that returns the same, at the smallest size."""

from pathlib import Path

from benchmarks import emulator
from benchmarks.emulator import BARE, DUMPS, EMULATOR, FLOOR, GOALS, USUAL, measure
from benchmarks.parts.emulator_servers import bare, floor, request
from benchmarks.shared.table import Spread


def test_each_operation_has_the_figures_of_each_server_and_its_goal() -> None:
    tables = list(measure(tiny=True))
    assert [table.title.partition(": ")[2] for table in tables] == [
        "get a machine",
        "get a machine for the first time since it changed",
        "list 3 machines",
        "create a machine",
        "wait",
    ]
    for operation, table in zip(USUAL, tables, strict=True):
        beside = [FLOOR] if operation == "get" else []
        assert [row.name for row in table.rows] == [EMULATOR, BARE, *beside, DUMPS]
        ours, handler, *_, dumps = table.rows
        assert ours.figures.keys() == set(table.columns)
        assert all(isinstance(figure, Spread) and figure.low > 0 for figure in ours.figures.values())
        assert handler.figures["x bare"] == dumps.figures["x json.dumps"] == Spread(1, 1, 1)
        assert [*ours.goals] == GOALS.get(operation, [])
    texts = {operation: [goal.text for goal in goals] for operation, goals in GOALS.items()}
    assert texts == {"get": ["x bare <= 1.6"], "list": ["x json.dumps <= 1.2"]}


def test_a_server_in_a_process_of_its_own_returns_what_it_was_told_and_tells_its_cpu_time() -> None:
    bodies = dict.fromkeys(USUAL, b"[]") | {"list": b"[1, 2]" * 100_000}
    with bare(bodies) as server:
        paths = ["/apps/web/machines", "/apps/web/machines/1", "/apps/web/machines"]
        assert [*server.exchange(request("GET", path) for path in paths)] == [
            bodies["list"],
            b"[]",
            bodies["list"],
        ]
        assert server.cpu() > 0
    assert not Path(f"/proc/{server.pid}").exists()


def test_the_indispensable_steps_return_the_text_of_a_machine() -> None:
    with floor(["/apps/web/machines/1", "/apps/web/machines/2"], b"{}") as server:
        assert [*server.exchange([request("GET", "/apps/web/machines/2")])] == [b"{}"]


def test_a_machine_of_the_benchmark_has_checks_and_no_volume() -> None:
    assert "mounts" not in emulator.CONFIG
    assert emulator.CONFIG["checks"]
