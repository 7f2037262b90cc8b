"""Failing deploys of the flight simulator end with the same report when they are run again from their recordings."""

import base64
import json
import zlib

import pytest

from benchmarks.replay import named, one, uncompressed


@pytest.mark.parametrize(
    "case",
    [
        "rolling/answers lost/2",
        "bluegreen/all flap/0",
        "canary/crashes/1",
        "immediate/region full/0",
        "rolling/cancelled/2",
    ],
)
def test_a_replay_is_the_same(case: str) -> None:
    result = one(named(case))
    assert result
    assert not result.reveals
    assert result.faults == []


def test_a_secret_in_a_compressed_body_is_found() -> None:
    body = base64.b64encode(zlib.compress(b'{"value": "hunter2hunter2"}')).decode()
    assert "hunter2hunter2" in uncompressed(json.dumps({"what": "exchange", "request_zlib": body}))
