"""Whether a request is the recorded one: ids that are drawn anew may differ, and nothing else."""

from typing import Any

import pytest

from flyasync.emulator.replay.comparison import Ids, difference, in_response

MACHINE = "148e21ea7e46e8"


def compared(recorded: Any, sent: Any, **known: str) -> tuple[str | None, dict[str, str]]:
    learned: dict[str, str] = {}
    return difference(recorded, sent, Ids(known, frozenset({MACHINE})), learned), learned


def test_a_drawn_id_is_learned() -> None:
    found = compared({"description": "deploy v1 #0a1b2c3d"}, {"description": "deploy v1 #99887766"})
    assert found == (None, {"0a1b2c3d": "99887766"})


def test_an_id_that_is_known_has_one_meaning() -> None:
    assert compared("#0a1b2c3d", "#99887766", **{"0a1b2c3d": "99887766"}) == (None, {})
    assert compared("#0a1b2c3d", "#11111111", **{"0a1b2c3d": "99887766"})[0]


@pytest.mark.parametrize(
    ("recorded", "sent", "where"),
    [
        (
            {"config": {"image": "web:1"}},
            {"config": {"image": "web:2"}},
            "config.image: recorded 'web:1', sent 'web:2'",
        ),
        ({"ttl": 30}, {}, "ttl: recorded 30, sent nothing"),
        ([1, 2], [1], ": recorded [1, 2], sent [1]"),
        (
            {"replaces": MACHINE},
            {"replaces": "148e21ea7e46e9"},
            f"replaces: recorded '{MACHINE}', sent '148e21ea7e46e9'",
        ),
        (
            {"image": "web@sha256:aaaaaaaaaaaa"},
            {"image": "web@sha256:bbbbbbbbbbbb"},
            "image: recorded 'web@sha256:aaaaaaaaaaaa', sent 'web@sha256:bbbbbbbbbbbb'",
        ),
    ],
)
def test_any_other_difference_is_named(recorded: Any, sent: Any, where: str) -> None:
    assert compared(recorded, sent)[0] == where


def test_a_placeholder_stands_for_any_value() -> None:
    assert compared({"env": {"A": "redacted-1"}}, {"env": {"A": "x"}}) == (None, {})
    assert compared({"cmd": ["redacted-1", "redacted-2"]}, {"cmd": ["migrate"]}) == (None, {})
    assert compared("run redacted-1 now", "run me later")[0]


def test_a_response_gets_the_present_ids() -> None:
    ids = Ids({"0a1b2c3d": "99887766"}, frozenset())
    assert in_response({"data": ["#0a1b2c3d", 1, None]}, ids) == {"data": ["#99887766", 1, None]}
