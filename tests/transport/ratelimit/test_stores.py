"""What keeps the buckets of a client, by the word for it."""

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from flyasync import FlyClient, Limits
from flyasync.errors import InvalidInput
from flyasync.transport.ratelimit.stores import VARIABLE, budget, find_store


def test_without_a_word_each_client_counts_by_itself() -> None:
    assert find_store(Limits()) is None
    assert find_store(Limits(shared="memory")) is None


def test_the_environment_says_it_for_everyone_and_a_word_here_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, f"file:{tmp_path}")
    store = find_store(Limits())
    assert store is not None
    assert store.name == f"the files in {tmp_path}"
    assert find_store(Limits(shared="memory")) is None


@pytest.mark.parametrize("word", ["file:{}", "file://{}"])
def test_a_directory_is_named_by_its_whole_path(tmp_path: Path, word: str) -> None:
    store = find_store(Limits(shared=word.format(tmp_path)))
    assert store is not None
    assert store.name == f"the files in {tmp_path}"
    with pytest.raises(InvalidInput, match="must contain an absolute path"):
        find_store(Limits(shared="file:limits"))


@pytest.mark.parametrize(
    "word",
    ["redsi://:secret@cache:6379", "http:u:secret@cache", "redis:/u:secret@cache", "shared", "fileserver", "File"],
)
def test_an_unknown_word_is_refused_with_those_that_are_known(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=r"shared is .* but must be memory, file") as caught:
        FlyClient("a token", limits=word)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv(VARIABLE, word)
    with pytest.raises(InvalidInput, match=f"{VARIABLE} is "):
        FlyClient("a token")


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(InvalidInput, match=r"pip install 'flyasync\[redis\]'"):
        find_store(Limits(shared="redis://cache:6379/0"))


def test_all_ways_to_the_api_are_one_budget_and_each_emulator_is_its_own() -> None:
    ways = [
        "https://api.machines.dev",
        "https://api.machines.dev:443",
        "http://_api.internal:4280",
        "unix:///.fly/api",
    ]
    assert {budget(way) for way in ways} == {"fly"}
    assert budget("http://127.0.0.1:4280") == "127.0.0.1:4280"
    assert budget("http://127.0.0.1") == budget("http://127.0.0.1:80") != budget("http://127.0.0.1:81")


def test_a_number_of_workers_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="workers"):
        Limits(workers=0)


def test_what_is_no_word_is_refused() -> None:
    wrong: Any = 3
    with pytest.raises(InvalidInput, match="limits is 3"):
        FlyClient("a token", limits=wrong)
    with pytest.raises(TypeError, match="shared"):
        Limits(shared=wrong)


def test_what_is_not_a_policy_or_a_timeout_is_refused_by_the_client() -> None:
    wrong: Any = 3
    with pytest.raises(InvalidInput, match=r"^retry is 3, but must be a RetryPolicy"):
        FlyClient("a token", retry=wrong)
    with pytest.raises(InvalidInput, match=r"^Timeouts\.reply is '30', but must be a number above 0$"):
        FlyClient("a token", timeout=cast("Any", "30"))


def test_a_blank_around_the_word_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, " memory \n")
    assert find_store(Limits()) is None


def test_what_is_no_directory_is_refused_before_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="is not a directory that this user can write to"):
        find_store(Limits(shared=f"file:{tmp_path / 'file'}"))
