"""Durations, autostop words and moments: every spelling read, none changed."""

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from flyasync.errors import InvalidInput
from flyasync.models.types import Autostop, Duration, Timestamp, autostop, duration, go_duration, timestamp


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("15s", 15.0),
        ("1m0s", 60.0),
        ("1m30s", 90.0),
        ("1h2m3.5s", 3723.5),
        ("300ms", 0.3),
        ("1µs", 1e-6),
        ("1μs", 1e-6),
        ("1us", 1e-6),
        ("7ns", 7e-9),
        ("-1.5h", -5400.0),
        ("+5s", 5.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("-0", 0.0),
        ("100m", 6000.0),
    ],
)
def test_go_durations_are_read(text: str, seconds: float) -> None:
    parsed = Duration.parse(text)
    assert parsed == seconds
    assert parsed.wire == text


@pytest.mark.parametrize(
    "text", ["", "5", "s", ".s", "1d", "1 s", "1m 30s", "--1s", "1s-", "soon", "٣s", "1.2.3s", "9999999h", "1s\n"]
)
def test_what_go_would_not_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not a (valid )?duration"):
        Duration.parse(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e10, True, None, [1]])
def test_what_is_no_length_of_time_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match=r"is not a (valid )?duration"):
        Duration(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (10, "10s"),
        (1.5, "1.5s"),
        (60, "1m0s"),
        (3723.5, "1h2m3.5s"),
        (3600, "1h0m0s"),
        (0.3, "300ms"),
        (0.0015, "1.5ms"),
        (1e-6, "1µs"),
        (7e-9, "7ns"),
        (1e-10, "0s"),
        (-90, "-1m30s"),
        (100, "1m40s"),
    ],
)
def test_durations_are_written_as_go_prints_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
    assert Duration(seconds).wire == text
    assert str(Duration(seconds)) == text


@given(st.integers(min_value=-(2**52), max_value=2**52))
def test_a_written_duration_reads_back(nanoseconds: int) -> None:
    once = Duration.from_wire(nanoseconds)
    assert round(Duration.parse(go_duration(once)) * 1e9) == round(once * 1e9)


def test_a_number_means_seconds_to_users_and_nanoseconds_on_the_wire() -> None:
    assert Duration(10) == 10.0
    assert Duration.from_wire(10_000_000_000) == 10.0
    assert Duration.from_wire(10_000_000_000).wire == 10_000_000_000


def test_a_duration_equals_and_hashes_as_its_seconds() -> None:
    assert Duration("60s") == Duration("1m0s") == 60.0
    assert len({Duration("60s"), Duration("1m"), 60.0}) == 1
    assert repr(Duration(90)) == "Duration('1m30s')"


@pytest.mark.parametrize("original", [Duration("60s"), Duration(5), Duration.from_wire(10**9)])
def test_copies_of_a_duration_keep_its_spelling(original: Duration) -> None:
    for copied in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert isinstance(copied, Duration)
        assert (copied, copied.wire) == (original, original.wire)


def test_users_may_write_seconds_text_or_nothing() -> None:
    assert duration(None) is None
    assert duration("1m30s") == 90.0
    assert duration(1.5) == 1.5
    kept = Duration("60s")
    assert duration(kept) is kept


@pytest.mark.parametrize(("wire", "word"), [(False, "off"), (True, "stop"), ("suspend", "suspend"), ("nap", "nap")])
def test_autostop_reads_words_and_booleans(*, wire: str | bool, word: str) -> None:
    read = Autostop(wire)
    assert read == word
    assert read.wire is wire or read.wire == wire
    assert type(read.wire) is type(wire)
    for copied in (copy.deepcopy(read), pickle.loads(pickle.dumps(read))):
        assert (copied, copied.wire) == (read, read.wire)


def test_autostop_from_users() -> None:
    assert autostop(None) is None
    assert autostop("stop") == Autostop(True)
    kept = Autostop(True)
    assert autostop(kept) is kept
    assert hash(kept) == hash("stop")
    assert repr(kept) == "Autostop('stop')"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-11-08T01:52:30Z", datetime(2023, 11, 8, 1, 52, 30, tzinfo=UTC)),
        ("2023-11-27T21:47:06.837Z", datetime(2023, 11, 27, 21, 47, 6, 837000, tzinfo=UTC)),
        ("2023-11-27T21:47:06.123456789Z", datetime(2023, 11, 27, 21, 47, 6, 123456, tzinfo=UTC)),
        ("2023-11-27T21:47:06", datetime(2023, 11, 27, 21, 47, 6, tzinfo=UTC)),
        (
            "2023-11-27T21:47:06+02:00",
            datetime(2023, 11, 27, 21, 47, 6, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
    ],
)
def test_moments_are_read_and_kept_as_written(text: str, moment: datetime | None) -> None:
    assert Timestamp(text).datetime == moment
    assert Timestamp(text) == text


def test_timestamps_from_users() -> None:
    kept = Timestamp("2023-11-08T01:52:30Z")
    assert timestamp(kept) is kept
    assert timestamp(None) is None
    assert isinstance(timestamp("2023-11-08T01:52:30Z"), Timestamp)
