"""A client with the settings of a recorded one."""

import json
from pathlib import Path

import pytest

from flyasync import FlyClient, InvalidInput, RetryPolicy, Timeouts
from flyasync.api.recorded import client_as_recorded


def test_it_pauses_and_gives_up_like_the_recorded_one(tmp_path: Path) -> None:
    policy, path = RetryPolicy(attempts=3, total=float("inf"), seed=7), tmp_path / "r"
    first = FlyClient("a", base_url="http://127.0.0.1:1", retry=policy, timeout=Timeouts(reply=4.0), record=path)
    header = json.loads(path.read_text().splitlines()[0])
    assert first.recording
    first.recording.close()
    again = client_as_recorded(header, token="b", base_url="http://127.0.0.1:1")
    assert again._policy == RetryPolicy(attempts=3, seed=7)
    assert header["client"]["timeout"]["reply"] == 4.0


def test_a_seed_is_drawn_for_each_recording(tmp_path: Path) -> None:
    seeds = set()
    for name in "ab":
        client = FlyClient("a", base_url="http://127.0.0.1:1", record=tmp_path / name)
        assert client.recording
        client.recording.close()
        seeds.add(json.loads((tmp_path / name).read_text().splitlines()[0])["client"]["retry"]["seed"])
    assert len(seeds) == 2


def test_settings_of_a_later_version_are_refused() -> None:
    with pytest.raises(InvalidInput, match="settings that this version does not know"):
        client_as_recorded({"client": {"retry": {"patience": 3}}}, token="b", base_url="http://127.0.0.1:1")
