"""A recording: every exchange as a line, no secret in any, and an end that is stated."""

import asyncio
import base64
import json
import os
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flyasync.api.placeholders import Placeholders
from flyasync.errors import ConnectFailed, ConnectionLost, FlyError, InvalidInput, NoReplyInTime
from flyasync.transport.events import log_event
from flyasync.transport.ratelimit.buckets import Buckets
from flyasync.transport.ratelimit.rates import Limits
from flyasync.transport.recording import Recording
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.sender import Sender
from tests.transport.scripted import SECRET, ScriptedExchange, Step, a_request, a_response

LOST = ConnectionLost("machines.start", "m1", "the connection broke")
LATE = NoReplyInTime("machines.start", "m1", "no response in time")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def recorded(path: Path, *script: Step, max_bytes: int = 1 << 20, **request: Any) -> list[dict[str, Any]]:
    """Send one request, whose exchanges follow a script, and return the lines of its recording."""
    recording = Recording(path, Placeholders([SECRET]), max_bytes=max_bytes, facts={"client": {}})
    sender = Sender(
        ScriptedExchange(*script), Buckets(Limits()), RetryPolicy(attempts=2), log_event, recording=recording
    )
    with suppress(FlyError):
        await sender.send(a_request(**request))
    recording.close()
    return lines(path)


async def test_each_attempt_is_a_line(tmp_path: Path) -> None:
    response = a_response(200, {"ok": True}, fly_request_id="r1", server="x")
    first, lost, answered, end = await recorded(tmp_path / "r", LOST, response, body={"signal": "SIGTERM"})
    assert (first["format"], first["version"], first["client"]) == ("flyasync-recording", 1, {})
    assert lost == {
        "what": "exchange", "at": 0.0, "seconds": 0.0, "operation": "machines.start", "identifier": "m1", "attempt": 1,
        "method": "POST", "path": "/v1/apps/web/machines/m1/start", "request": {"signal": "SIGTERM"},
        "error": "ConnectionLost", "cut": False, "failure": {"message": "the connection broke", "advice": ""},
    }  # fmt: skip
    assert (answered["attempt"], answered["status"], answered["response"]) == (2, 200, {"ok": True})
    assert answered["headers"] == {"fly-request-id": "r1"}
    assert end == {"what": "end", "reason": "closed"}


async def test_a_connection_that_was_not_made_has_what_a_replay_raises(tmp_path: Path) -> None:
    text = f"Cannot connect to host {SECRET}"
    never = ConnectFailed("machines.start", "m1", text, advice="Check the proxy", is_temporary=False)
    _, line, *_ = await recorded(tmp_path / "r", never)
    assert line["failure"] == {
        "message": "Cannot connect to host redacted-1", "advice": "Check the proxy", "is_temporary": False,
    }  # fmt: skip


async def test_an_exchange_that_this_client_gave_up_is_cut(tmp_path: Path) -> None:
    _, late, *_ = await recorded(tmp_path / "r", LATE)
    assert (late["error"], late["cut"]) == ("NoReplyInTime", True)


async def test_only_the_owner_can_read_it_and_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("older")
    path.chmod(0o644)
    await recorded(path, a_response())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert lines(path)[0]["format"] == "flyasync-recording"


async def test_a_long_body_is_compressed_and_a_text_is_a_text(tmp_path: Path) -> None:
    body = {"machines": ["a machine"] * 100}
    _, packed, _ = await recorded(tmp_path / "r", a_response(200, body))
    assert json.loads(zlib.decompress(base64.b64decode(packed["response_zlib"]))) == body
    _, page, *_ = await recorded(tmp_path / "r", a_response(404, b"<h1>not found</h1>"))
    assert page["response_text"] == "<h1>not found</h1>"


async def test_no_token_and_no_secret_is_in_it(tmp_path: Path) -> None:
    body = {"config": {"env": {"PASSWORD": "hunter2hunter2"}}}
    refused = a_response(400, {"error": f"hunter2hunter2 and {SECRET}"})
    _, line, _ = await recorded(tmp_path / "r", refused, body=body)
    text = (tmp_path / "r").read_text()
    assert "hunter2" not in text
    assert SECRET not in text
    assert line["request"]["config"]["env"]["PASSWORD"] == "redacted-2"
    assert line["response"] == {"error": "redacted-2 and redacted-1"}


async def test_it_ends_at_its_bound_and_says_so(tmp_path: Path) -> None:
    found = await recorded(tmp_path / "r", LOST, a_response(), max_bytes=420)
    assert [each.get("what") for each in found] == [None, "exchange", "end"]
    assert found[-1] == {"what": "end", "reason": "bound"}


@pytest.mark.parametrize("bound", [0, -1, True, 1.5])
def test_the_bound_must_be_a_number_of_bytes(tmp_path: Path, bound: Any) -> None:
    with pytest.raises(InvalidInput, match="whole number of bytes"):
        Recording(tmp_path / "r", Placeholders(), max_bytes=bound, facts={})


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written: No such file or directory"):
        Recording(tmp_path / "none" / "r", Placeholders(), max_bytes=1000, facts={})


def test_two_clients_do_not_record_in_one_file(tmp_path: Path) -> None:
    first = Recording(tmp_path / "r", Placeholders(), max_bytes=1000, facts={})
    with pytest.raises(InvalidInput, match="is being written by another client: use another file"):
        Recording(tmp_path / "r", Placeholders(), max_bytes=1000, facts={})
    first.close()
    assert [line.get("what") for line in lines(tmp_path / "r")] == [None, "end"]
    Recording(tmp_path / "r", Placeholders(), max_bytes=1000, facts={}).close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_refused_at_once_also_outside_of_a_loop() -> None:
    with pytest.raises(InvalidInput, match="the recording /dev/full cannot be written: No space left on device"):
        Recording("/dev/full", Placeholders(), max_bytes=1000, facts={})


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system has no /dev/fd")
async def test_a_pipe_that_breaks_before_the_first_exchange_ends_the_recording_and_not_the_client() -> None:
    problems: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context["message"]))
    reader, writer = os.pipe()
    recording = Recording(f"/dev/fd/{writer}", Placeholders(), max_bytes=1000, facts={})
    os.close(reader)
    recording.close()
    os.close(writer)
    assert problems == [f"the recording /dev/fd/{writer} ends here and does not contain later exchanges"]


async def test_a_failure_of_the_recording_changes_nothing_for_the_call(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "r", Placeholders(), max_bytes=10_000, facts={})
    recording.close()
    sender = Sender(
        ScriptedExchange(a_response(200, {"ok": 1})), Buckets(Limits()), RetryPolicy(), log_event, recording=recording
    )
    assert await sender.send(a_request()) == {"ok": 1}
    assert lines(tmp_path / "r")[-1] == {"what": "end", "reason": "closed"}
