"""Reading recordings: the documented lines, and a clear refusal of everything else."""

import base64
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from flyasync.emulator.replay.recording import Recording, RecordingError, read_recording

HEADER = {"format": "flyasync-recording", "version": 1, "flyasync": "0.1.0", "started": "2026-01-01T00:00:00+00:00"}
LIST = {
    "what": "exchange", "at": 1.0, "seconds": 0.5, "operation": "machines.list", "identifier": "web", "attempt": 1,
    "method": "GET", "path": "/v1/apps/web/machines", "query": [["state", "started"]], "status": 200, "headers": {},
    "response": [],
}  # fmt: skip
END = {"what": "end", "reason": "closed"}


def read(path: Path, lines: Iterable[Any], *, tail: str = "") -> Recording:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return read_recording(path)


def test_an_exchange_is_read_with_its_times(tmp_path: Path) -> None:
    found = read(tmp_path / "r", [HEADER, LIST, END])
    [exchange] = found.exchanges
    assert (exchange.method, exchange.path, exchange.query) == ("GET", "/v1/apps/web/machines", (("state", "started"),))
    assert (exchange.end, exchange.is_success, exchange.response) == (1.5, True, [])
    assert (found.ends, found.header["flyasync"]) == ("closed", "0.1.0")


def test_exchanges_are_in_the_order_in_which_they_were_sent(tmp_path: Path) -> None:
    found = read(tmp_path / "r", [HEADER, {**LIST, "at": 5.0}, {**LIST, "at": 2.0}, END])
    assert [each.at for each in found.exchanges] == [2.0, 5.0]


def test_compressed_bodies_and_texts_are_read(tmp_path: Path) -> None:
    packed = base64.b64encode(zlib.compress(b'{"name": "web"}')).decode()
    lost = {key: value for key, value in LIST.items() if key not in {"response", "status"}}
    lines = [HEADER, {**lost, "request_zlib": packed, "status": 502, "response_text": "bad gateway"}]
    [exchange] = read(tmp_path / "r", lines).exchanges
    assert (exchange.request, exchange.response, exchange.is_text) == ({"name": "web"}, "bad gateway", True)


def test_each_deploy_has_its_own_report_and_cancellation(tmp_path: Path) -> None:
    deploy = {
        "what": "deploy",
        "at": 0.0,
        "kind": "deploy",
        "app": "web",
        "launch": "v1",
        "spec": {},
        "fingerprints": [],
    }
    lines = [
        HEADER,
        deploy,
        {**deploy, "app": "other"},
        {"what": "cancelled", "at": 3.0, "app": "web"},
        {"what": "report", "at": 4.0, "app": "web", "launch": "v1", "report": {"ok": False}},
        {**deploy, "at": 5.0, "launch": "v2"},
        {"what": "report", "at": 9.0, "app": "web", "launch": "v2", "report": {"ok": True}},
    ]
    first, other, second = read(tmp_path / "r", lines).deploys
    assert (first.name, first.until, first.cancelled_at, first.report) == ("web v1", 5.0, (3.0,), {"ok": False})
    assert (other.name, other.report) == ("other v1", None)
    assert (second.name, second.cancelled_at, second.report) == ("web v2", (), {"ok": True})


def test_an_incomplete_last_line_is_ignored_as_its_writer_was_killed(tmp_path: Path) -> None:
    found = read(tmp_path / "r", [HEADER, LIST], tail='{"what": "exch')
    assert (len(found.exchanges), found.ends) == (1, None)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "has no complete line, so it is not a recording"),
        ([{"what": "planned"}], "not a recording: flyasync deploy --record FILE writes one"),
        ([{**HEADER, "version": 2}], "version 2 of the format; this flyasync reads version 1"),
        ([HEADER, {"what": "exchange"}], "line 2: not a line of a recording: it lacks 'at'"),
        (["text"], "r: not a recording: flyasync deploy --record FILE writes one"),
        (
            [{"format": "flyasync-recording", "version": 1}],
            "the first line of the recording lacks flyasync and started",
        ),
        ([HEADER, {"what": "deploy", "at": 0.0}], "the line of a deploy lacks app, fingerprints, kind, launch, spec"),
        ([HEADER, LIST, "text"], "line 3: not a line of a recording"),
        ([HEADER, {**LIST, "response_zlib": "eHh4"}], "line 2: not a line of a recording"),
    ],
)
def test_any_other_file_is_refused_with_its_line(tmp_path: Path, lines: list[Any], problem: str) -> None:
    with pytest.raises(RecordingError, match=problem):
        read(tmp_path / "r", lines)
