"""Playback: the recorded answers in order, and the first difference."""

import json
from typing import Any

import pytest

from flyasync.emulator.core.faults import Fault
from flyasync.emulator.replay.playback import Answer, Playback, SentRequest
from flyasync.emulator.replay.recording import Exchange, RecordedDeploy, Recording

MACHINE = "/v1/apps/web/machines/148e21ea7e46e8"
HEADER = {"started": "2026-01-01T00:00:00+00:00"}


def exchange(number: int, at: float, path: str = MACHINE, method: str = "GET", **more: Any) -> Exchange:
    given = {"seconds": 0.5, "operation": "machines.get", "identifier": "web/m1", "status": 200, "response": number}
    return Exchange(number=number, at=at, path=path, method=method, **{**given, **more})


def playback(*exchanges: Exchange, ends: str | None = "closed", at: float = 0.0) -> Playback:
    deploy = RecordedDeploy(at=at, until=100.0, line={"app": "web", "launch": "v1", "kind": "deploy"})
    return Playback(Recording(source="r", header=HEADER, deploys=(deploy,), exchanges=exchanges, ends=ends), deploy, {})


def get(path: str = MACHINE, **more: Any) -> SentRequest:
    return SentRequest(method="GET", path=path, **more)


def body(answer: Answer | None) -> Any:
    assert answer is not None
    return json.loads(answer.body)


def test_requests_are_answered_in_order_at_the_recorded_times() -> None:
    played = playback(exchange(0, at=1.0), exchange(1, at=5.0))
    first, second = played.answer(get(), now=41.0), played.answer(get(), now=45.25)
    assert (body(first), first and first.seconds) == (0, 0.5)
    assert (body(second), second and second.seconds) == (1, 0.25)
    assert played.progress == (2, 2)
    assert played.divergence is None


def test_a_lost_response_is_lost_and_a_cut_one_is_held() -> None:
    lost = exchange(0, at=1.0, status=None, error="ConnectionLost")
    held = exchange(1, at=2.0, status=None, error="NoReplyInTime", is_cut=True)
    played = playback(lost, held)
    answers = [played.answer(get(), now=1.0), played.answer(get(), now=2.0)]
    assert [(each.status, each.is_held) for each in answers if each] == [(None, False), (None, True)]


def test_creates_are_numbered_by_the_name_of_their_machine() -> None:
    path = "/v1/apps/web/machines"
    a, b = (exchange(n, at=1.0, path=path, method="POST", request={"name": name}) for n, name in enumerate("ab"))
    played = playback(a, b)
    assert [
        body(played.answer(SentRequest(method="POST", path=path, body={"name": name}), now=1.0)) for name in "ba"
    ] == [1, 0]


def test_what_an_earlier_deploy_of_the_client_has_read_needs_no_request() -> None:
    played = playback(exchange(0, at=1.0, path="/v1/platform/regions"), exchange(1, at=10.0), at=9.0)
    regions = played.answer(get("/v1/platform/regions"), now=9.0)
    assert (body(regions), regions and regions.seconds) == (0, 0.0)
    assert played.progress == (0, 1)


@pytest.mark.parametrize(
    ("sent", "now", "ends", "where"),
    [
        (get("/v1/apps/web/volumes"), 3.0, "closed", "GET /v1/apps/web/volumes: not in the recording"),
        (get(), 3.0, "closed", f"GET {MACHINE}: sent 2 times, recorded 1 times"),
        (get(), 3.0, "bound", f"GET {MACHINE}: the recording reached its bound before this request"),
        (get(), 3.0, None, f"GET {MACHINE}: the recording was cut short before this request"),
    ],
)
def test_a_request_that_is_missing_is_where_they_diverge(
    sent: SentRequest, now: float, ends: str | None, where: str
) -> None:
    played = playback(exchange(0, at=1.0), ends=ends)
    assert played.answer(get(), now=1.0)
    assert played.answer(sent, now=now) is None
    assert str(played.divergence) == f"at 3.0 s: {where}"
    assert played.answer(get(), now=4.0) is None


def test_another_body_or_query_is_where_they_diverge() -> None:
    played = playback(exchange(0, at=1.0, query=(("state", "started"), ("timeout", "5"))))
    assert played.answer(get(query=(("state", "stopped"), ("timeout", "9"))), now=1.0) is None
    assert str(played.divergence) == f"at 0.0 s: GET {MACHINE}: state[0]: recorded 'started', sent 'stopped'"


def test_a_request_that_is_much_too_early_is_another_run() -> None:
    played = playback(exchange(0, at=1.0), exchange(1, at=20.0))
    assert played.answer(get(), now=1.0)
    assert played.answer(get(), now=2.0) is None
    assert str(played.divergence) == f"at 2.0 s: GET {MACHINE}: sent 18.0 s earlier than recorded"


@pytest.mark.parametrize(
    ("recorded", "faults"),
    [
        (exchange(0, at=1.0), [Fault(does="delay", seconds=0.5)]),
        (
            exchange(0, at=1.0, status=503, response={"error": "x"}),
            [Fault(does="delay", seconds=0.5), Fault(does="refuse", status=503, body={"error": "x"})],
        ),
        (exchange(0, at=1.0, status=404), [Fault(does="delay", seconds=0.5)]),
        (
            exchange(0, at=1.0, status=422, response={"status": "insufficient_capacity"}),
            [
                Fault(does="delay", seconds=0.5),
                Fault(does="refuse", status=422, body={"status": "insufficient_capacity"}),
            ],
        ),
        (
            exchange(0, at=1.0, status=None, error="ConnectionLost"),
            [Fault(does="delay", seconds=0.5), Fault(does="cut_after")],
        ),
        (exchange(0, at=1.0, status=None, error="NoReplyInTime", is_cut=True), [Fault(does="lose_answer")]),
    ],
)
def test_after_the_divergence_requests_fare_as_recorded(recorded: Exchange, faults: list[Fault]) -> None:
    assert playback(recorded).faults(get(), "app-iad-1") == faults


def test_a_machine_that_was_created_anew_is_known_by_its_name() -> None:
    view = {"id": "148e21ea7e46e8", "name": "app-iad-1", "state": "started", "region": "iad", "config": {"image": "x"}}
    played = playback(exchange(0, at=1.0, response=view))
    assert played.faults(get("/v1/apps/web/machines/99999999999999"), "app-iad-2") == []
    assert played.faults(get("/v1/apps/web/machines/99999999999999"), "app-iad-1") == [Fault(does="delay", seconds=0.5)]
