"""What has to survive trouble does so at the smallest size of its benchmark, too."""

import asyncio

import pytest

from benchmarks import killed, rolling, sigkill
from flyasync.testing import run_virtual


def test_a_failing_check_in_a_rolling_update_leaves_nothing_odd(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_virtual(rolling.main(6, 2)) == 0
    output = capsys.readouterr().out
    assert "6 of 6 as at first" in output
    assert "429s: 0" in output


def test_a_command_killed_at_a_random_moment_is_taken_up_by_the_next_one() -> None:
    result = asyncio.run(sigkill.kill("rolling", seed=1, machines=3, speed=10))
    assert result.requests
    assert not result.wrong, result


@pytest.mark.parametrize(("name", "every"), [("first deploy", 7), ("group removed", 9)])
def test_an_app_of_three_groups_comes_out_the_same_after_a_kill(
    name: str, every: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [case for case in killed.changes() if case.name == name]
    assert killed.main(cases, every, map) == 0
    assert "came out the same" in capsys.readouterr().out
