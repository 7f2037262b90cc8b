"""The events that an observer receives, and what the log writes of them."""

import logging
import subprocess
import sys
from typing import Any

import pytest

from flyasync.transport.events import Attempt, ClientEvent, Outlasting, Paused, log_event, notify


def an_attempt(error: str | None = None, status: int | None = 200) -> Attempt:
    return Attempt(
        operation="machines.start",
        identifier="m1",
        number=2,
        waited=0.5,
        seconds=0.25,
        status=status,
        request_id="01K4-yyz",
        error=error,
    )


@pytest.mark.parametrize(
    ("attempt", "level", "word"),
    [
        (an_attempt(), logging.DEBUG, "200"),
        (an_attempt("ServerFault", 503), logging.WARNING, "ServerFault"),
        (an_attempt("ConnectFailed", None), logging.WARNING, "ConnectFailed"),
    ],
)
def test_failures_are_warnings_and_the_rest_is_for_debugging(
    attempt: Attempt, level: int, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flyasync")
    log_event(attempt)
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == (
        f"machines.start m1: attempt 2: {word} after 0.250 s (queued for 0.500 s, request 01K4-yyz)"
    )


@pytest.mark.parametrize(
    ("pause", "level", "text"),
    [
        ({"seconds": 4.9}, logging.DEBUG, "machines.start m1 is paused for 4.9 s: this client received a 429"),
        (
            {"seconds": 5.0, "asked": 5.0},
            logging.WARNING,
            "machines.start m1 is paused for 5.0 s: this client received a 429",
        ),
        (
            {"seconds": 120.0, "asked": 3600.0},
            logging.WARNING,
            "machines.start m1 is paused for 120.0 s (Retry-After was 3600 s): this client received a 429",
        ),
        (
            {"seconds": 60.0, "identifier": None, "is_ours": False},
            logging.WARNING,
            "machines.start is paused for 60.0 s: another client that shares the limits received a 429",
        ),
    ],
)
def test_a_long_pause_is_a_warning(
    pause: dict[str, Any], level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flyasync")
    log_event(Paused(**{"operation": "machines.start", "identifier": "m1", **pause}))
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("flyasync.limits", level, text)


def test_a_refusal_that_is_outlasted_is_logged_as_readable_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flyasync")
    said: dict[str, Any] = {
        "error": "NotSettled",
        "message": "\x1b]0;title\x07still active",
        "pause": 1.0,
        "within": 30.0,
    }
    log_event(Outlasting(operation="machines.start", identifier="m1", times=1, **said))
    (record,) = caplog.records
    assert record.getMessage() == "machines.start m1: still active; retrying for up to 30 s"


def test_nothing_is_written_for_debugging_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flyasync")
    log_event(an_attempt())
    assert not caplog.records


def test_an_observer_that_fails_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: ClientEvent) -> None:
        raise RuntimeError(str(event))

    notify(broken, an_attempt())
    assert "on_event failed for Attempt" in caplog.text


UNHEARD = """
import sys
from flyasync import LimitsLost, log_event
{setting}
log_event(LimitsLost(backing="redis://cache", reason="no answer", workers=3))
"""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("", "flyasync: the limits shared by redis://cache are unavailable (no answer)"),
        ("import logging; logging.basicConfig(format='log: %(message)s')", "log: the limits shared by redis://cache"),
        ("import logging; logging.getLogger('flyasync').addHandler(logging.FileHandler('/dev/null'))", ""),
    ],
)
def test_lost_limits_go_to_stderr_where_no_handler_writes_them(setting: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNHEARD.format(setting=setting)], capture_output=True, text=True, check=True
    )
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)
