"""The examples run as they stand, and so does each benchmark at its smallest."""

import runpy
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from flyasync.testing import run_virtual

ROOT = Path(__file__).parent.parent


def run(path: str, **arguments: Any) -> None:
    main: Coroutine[Any, Any, None] = runpy.run_path(str(ROOT / path))["main"](**arguments)
    run_virtual(main)


def test_deploy_to_regions_falls_back_where_there_is_no_room(capsys: pytest.CaptureFixture[str]) -> None:
    run("examples/deploy_to_regions.py")
    output = capsys.readouterr().out
    assert "3 of 3 machines run" in output
    assert "could not find a candidate host" in output


def test_a_bad_day_is_the_same_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    run("examples/rehearse_a_bad_day.py")
    first = capsys.readouterr().out
    run("examples/rehearse_a_bad_day.py")
    assert "2 of 3 machines run" in first
    assert timeless(first) == timeless(capsys.readouterr().out)


def timeless(output: str) -> list[str]:
    """Leave out what hangs on the calendar: request ids begin with the time."""
    return [line for line in output.splitlines() if "request 01" not in line]


def test_the_deploy_benchmark_shows_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    run("benchmarks/deploy.py", quick=True)
    output = capsys.readouterr().out
    assert "0 x 429" in output
    assert "30 wanted, 30 there, 0 extra" in output
