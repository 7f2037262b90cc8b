"""How many machines of a region a strategy means."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from flyasync import InvalidInput
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Share


@pytest.mark.parametrize(
    ("given_", "amount"),
    [(1, 1), (3, 3), ("2", 2), (0.33, 0.33), ("33%", 0.33), ("0.5", 0.5), (".5", 0.5), (1.0, 1.0), ("100%", 1.0)],
)
def test_a_share_is_read(given_: Any, amount: float) -> None:
    assert Share.of(given_, "x") == Share(amount)
    assert type(Share.of(given_, "x").amount) is type(amount)
    assert Share.of(Share(amount), "x") == Share(amount)


@pytest.mark.parametrize(
    "given_", [0, -1, 0.0, 1.1, True, None, "", "0", "0%", "101%", "-1", "half", "1e1", float("nan")]
)
def test_what_is_no_share_is_refused_by_its_name(given_: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"max_unavailable is .*, but must be a number of machines from 1, or a share"
    ):
        Share.of(given_, "max_unavailable")


@pytest.mark.parametrize(
    ("amount", "machines", "most"),
    [
        (0.33, 3, 1),
        (0.33, 6, 1),
        (0.33, 7, 2),
        (0.33, 1, 1),
        (0.33, 0, 1),
        (0.1, 30, 3),
        (1.0, 4, 4),
        (2, 1, 2),
        (2, 9, 2),
    ],
)
def test_a_share_is_rounded_down_and_never_none(amount: float, machines: int, most: int) -> None:
    assert Share(amount).at_most(machines) == most


@given(st.floats(0.01, 1.0), st.integers(1, 1000))
def test_a_share_is_never_more_than_it_says_but_one(amount: float, machines: int) -> None:
    most = Share(amount).at_most(machines)
    assert 1 <= most <= machines
    assert most == 1 or most <= amount * machines + 1e-6


def test_a_share_says_itself_in_words() -> None:
    assert [str(Share(amount)) for amount in (2, 0.33, 1.0)] == ["2", "33%", "100%"]


def test_what_is_not_said_is_careful() -> None:
    assert Rolling().max_unavailable == Canary().max_unavailable == Share(0.33)
    assert (Canary().machines, Canary().soak) == (Share(1), 60.0)
    assert BlueGreen().drain == 10.0


@pytest.mark.parametrize("make", [lambda: Canary(soak=-1), lambda: BlueGreen(drain=-0.1)])
def test_no_time_is_below_none(make: Any) -> None:
    with pytest.raises(InvalidInput, match=r"(soak|drain) is -[\d.]+, but must be a number of seconds from 0"):
        make()
