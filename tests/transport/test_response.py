"""What each reply means, as the API was seen to answer."""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings, strategies as st

from flyasync.errors import (
    AlreadyStarting,
    BadRequest,
    ClaimLingers,
    Conflict,
    Forbidden,
    ImageNotFound,
    LeaseHeld,
    NameTaken,
    NoCapacity,
    NotFound,
    NotSettled,
    RateLimited,
    Refused,
    Scope,
    SecretsNotReady,
    ServerFault,
    StaleVersion,
    TimedOut,
    Unauthorized,
    Unreadable,
    VolumeInUse,
    WrongState,
)
from flyasync.transport.request import Response
from flyasync.transport.response import read_response, retry_after
from tests.transport.scripted import a_request, a_response

UNIQUE = 'already_exists: unique machine name violation, machine ID 148e already exists with name "x"'
RESERVE = "aborted: could not reserve resource for machine: insufficient {} available to fulfill request"
EXISTING = "insufficient resources to create new machine with existing volume id 'vol_1'"
QUOTA = 'organization "X" is using 9 MB of memory in dfw which is over the allowed quota. please consider other regions'
RETIRED = "Region lhr is deprecated and cannot have new resources provisioned. Please consider using ams"
LEASED = "machine ID 148e lease currently held by {}, expires at 2026-01-01T00:00:00Z"
TOKEN_HOLDER = "0b9f-1@tokens.fly.io"
HOLDER = {"holder": "me@example.com", "expires_at": "2026-01-01T00:00:00Z"}


def refused(status: int, body: Any = None, **headers: str) -> Refused:
    with pytest.raises(Refused) as caught:
        read_response(a_request(), a_response(status, body, **headers))
    return caught.value


TEXTS: list[tuple[int, str, type[Refused], dict[str, Any]]] = [
    (400, "volume not found", BadRequest, {}),
    (400, "no capacity", NoCapacity, {"scope": Scope.REGION}),
    (400, "EOF", BadRequest, {}),
    (400, "deploys to this host are temporarily disabled", NoCapacity, {"scope": Scope.HOST}),
    (401, "Authenticate: token validation error", Unauthorized, {}),
    (403, "unauthorized", Forbidden, {}),
    (403, QUOTA, NoCapacity, {"scope": Scope.QUOTA}),
    (400, "failed to get manifest r/web:v2: MANIFEST_UNKNOWN: manifest unknown", ImageNotFound, {}),
    (404, "failed to get manifest r/web:v2: MANIFEST_UNKNOWN: manifest unknown", ImageNotFound, {}),
    (422, "failed to get manifest r/web:v2: MANIFEST_UNKNOWN: manifest unknown", ImageNotFound, {}),
    (500, "failed to get manifest r/web:v2: MANIFEST_UNKNOWN: manifest unknown", ImageNotFound, {}),
    (422, "Manifest Unknown", ImageNotFound, {}),
    (400, RETIRED, NoCapacity, {"scope": Scope.REGION}),
    (403, RETIRED, NoCapacity, {"scope": Scope.REGION}),
    (422, RETIRED, NoCapacity, {"scope": Scope.REGION}),
    (503, RETIRED, NoCapacity, {"scope": Scope.REGION}),
    (404, "app not found", NotFound, {"what": "app", "clears_within": 0.0}),
    (404, "Could not find App", NotFound, {"what": "app", "clears_within": 0.0}),
    (404, "machine not found", NotFound, {"what": "machine", "clears_within": 2.0}),
    (404, "invalid machine ID, '148e'", NotFound, {"what": "machine", "clears_within": 2.0}),
    (404, "not_found: machine 148e not found", NotFound, {"what": "machine", "clears_within": 2.0}),
    (404, "could not find machine", NotFound, {"what": "machine", "clears_within": 2.0}),
    (404, "secret not found", NotFound, {"what": None, "clears_within": 0.0}),
    (404, "lease not found", NotFound, {}),
    (408, "deadline_exceeded: machine failed to reach desired state, started, currently created", TimedOut, {}),
    (409, "aborted: machine still attempting to start", AlreadyStarting, {}),
    (409, RESERVE.format("CPUs"), NoCapacity, {"scope": Scope.HOST}),
    (409, RESERVE.format("memory"), NoCapacity, {"scope": Scope.HOST}),
    (409, "aborted: insufficient IPs available to fulfill request", NoCapacity, {"scope": Scope.HOST}),
    (409, "aborted: insufficient resources available to fulfill request", NoCapacity, {"scope": Scope.HOST}),
    (409, "aborted: no capacity", NoCapacity, {"scope": Scope.REGION}),
    (409, "governor policy blocked start", NoCapacity, {"scope": Scope.HOST}),
    (409, "aborted: machine update failed due to concurrent update", StaleVersion, {}),
    (409, LEASED.format("me@example.com"), LeaseHeld, HOLDER),
    (409, LEASED.format(TOKEN_HOLDER), LeaseHeld, {**HOLDER, "holder": TOKEN_HOLDER}),
    (409, "lease currently held", LeaseHeld, {"holder": None, "expires_at": None}),
    (409, UNIQUE, NameTaken, {"existing_id": "148e"}),
    (409, "already_exists: unique machine name violation", NameTaken, {"existing_id": None}),
    (409, "unable to destroy machine, not currently stopped", WrongState, {}),
    (409, "something else", Conflict, {}),
    (410, "cluster deleted", NotFound, {}),
    (412, "failed_precondition: unable to start machine from current state: 'created'", NotSettled, {}),
    (412, "failed_precondition: unable to start machine from current state: 'replacing'", NotSettled, {}),
    (412, "failed_precondition: unable to suspend machine from current state: 'starting'", NotSettled, {}),
    (412, "failed_precondition: unable to start machine from current state: stopping", NotSettled, {}),
    (412, "failed_precondition: unable to suspend machine from current state: 'stopped'", WrongState, {}),
    (412, "failed_precondition: unable to start machine from current state: 'destroying'", WrongState, {}),
    (412, "failed_precondition: machine still active, refusing to start", NotSettled, {}),
    (412, "machine getting replaced, refusing to start", NotSettled, {}),
    (412, "failed_precondition: machine not running", WrongState, {}),
    (412, "failed_precondition: unable to destroy machine, not currently stopped", WrongState, {}),
    (412, EXISTING, NoCapacity, {"scope": Scope.VOLUME_HOST}),
    (412, "failed_precondition: volume already claimed by machine 148e", VolumeInUse, {"machine_id": "148e"}),
    (412, "volume already claimed by machine " + 14 * "\0", ClaimLingers, {"machine_id": None}),
    (409, "aborted: volume vol_1 already claimed by machine 148e", VolumeInUse, {"machine_id": "148e"}),
    (400, "volume already claimed by machine ", ClaimLingers, {"machine_id": None}),
    (412, "failed_precondition: volume already claimed by machine ", ClaimLingers, {"machine_id": None}),
    (412, "failed_precondition: volume is currently bound to machine: ", ClaimLingers, {"machine_id": None}),
    (412, "failed_precondition: volume is currently bound to machine: 148e", VolumeInUse, {"machine_id": "148e"}),
    (412, "min_secrets_version 3 is not yet available on this app", SecretsNotReady, {}),
    (412, "machine_version does not match", StaleVersion, {}),
    (412, "something else", Conflict, {}),
    (422, "uniqueness constraint violated", NameTaken, {"existing_id": None}),
    (422, "Validation failed: Name has already been taken", NameTaken, {}),
    (422, "Validation failed: Name under 63 chars using numbers, lowercase letters and dashes", BadRequest, {}),
    (422, "To create more than 1 machine per app please add a payment method.", BadRequest, {}),
    (429, "rate limit exceeded", RateLimited, {"retry_after": None}),
    (500, "boom", ServerFault, {}),
    (501, "not implemented", ServerFault, {}),
    (502, "bad gateway", ServerFault, {}),
    (503, "unavailable", ServerFault, {}),
    (504, "gateway timeout", TimedOut, {}),
    (599, "odd", ServerFault, {}),
    (418, "teapot", Refused, {}),
]


@pytest.mark.parametrize(("status", "text", "kind", "details"), TEXTS)
def test_a_text_without_a_code_means(status: int, text: str, kind: type[Refused], details: dict[str, Any]) -> None:
    error = refused(status, {"error": text})
    assert type(error) is kind
    assert error.message == text
    assert error.code is None
    assert {name: getattr(error, name) for name in details} == details


REGION, VOLUME_HOST = {"scope": Scope.REGION}, {"scope": Scope.VOLUME_HOST}
CODES: list[tuple[int, str, str, type[Refused], dict[str, Any]]] = [
    (422, "insufficient_capacity", "could not find a candidate host", NoCapacity, REGION),
    (503, "insufficient_capacity", "could not find a candidate host", NoCapacity, REGION),
    (412, "volume_placement_capacity", EXISTING, NoCapacity, VOLUME_HOST),
    (422, "name_taken", "Validation failed: Name has already been taken", NameTaken, {"existing_id": None}),
    # A code that says something else: a text about capacity no longer counts, any other text still does.
    (409, "unknown", "aborted: no capacity", Conflict, {}),
    (400, "unknown", "no capacity", BadRequest, {}),
    (403, "unknown", QUOTA, Forbidden, {}),
    (412, "unknown", EXISTING, Conflict, {}),
    (409, "unknown", RESERVE.format("memory"), Conflict, {}),
    (409, "unknown", "aborted: machine still attempting to start", AlreadyStarting, {}),
    (409, "insufficient_capacity", LEASED.format("me@example.com"), NoCapacity, REGION),
    (500, "unknown", "boom", ServerFault, {}),
    # A region that is retired has no room, whatever else the answer says.
    (422, "unknown", RETIRED, NoCapacity, REGION),
    (422, "invalid_argument", RETIRED, NoCapacity, REGION),
]


@pytest.mark.parametrize(("status", "code", "text", "kind", "details"), CODES)
def test_a_code_outranks_the_text(
    status: int, code: str, text: str, kind: type[Refused], details: dict[str, Any]
) -> None:
    error = refused(status, {"error": text, "status": code})
    assert type(error) is kind
    assert error.code == code
    assert {name: getattr(error, name) for name in details} == details


@pytest.mark.parametrize(
    ("status", "body", "message", "code"),
    [
        (409, {"status": "error", "message": "lease currently held", "code": "held"}, "lease currently held", "held"),
        (404, {"status": "error", "message": "lease not found", "error": "no"}, "lease not found", None),
        (400, {"error": "no", "message": "better"}, "better", None),
        (400, {"errors": {"detail": "Bad Request"}}, "Bad Request", None),
        (400, {"errors": ["a", "b"]}, "a; b", None),
        (400, {"errors": [{"message": "bad", "extensions": {"value": "s3cret"}}]}, "bad", None),
        (400, {"errors": [{"extensions": "s3cret"}]}, "bad request", None),
        (400, {"error": "no", "status": 400}, "no", None),
        (400, {}, "bad request", None),
        (400, [], "[]", None),
        (400, b"", "bad request", None),
        (400, b"  \n", "bad request", None),
        (502, b"upstream is gone\n", "upstream is gone", None),
        (502, b"x" * 1000, "x" * 500, None),
        (502, b"\xff\xfe?", "\ufffd\ufffd?", None),
        (400, b"[" * 100_000, "[" * 500, None),
        (499, b"", "no reason given", None),
    ],
)
def test_every_shape_of_body_is_read(status: int, body: Any, message: str, code: str | None) -> None:
    error = refused(status, body)
    assert (error.message, error.code) == (message, code)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_says_why(status: int) -> None:
    error = refused(status, location="https://elsewhere.example")
    assert type(error) is Refused
    assert "does not follow redirects" in str(error)


def test_the_text_names_all_that_support_asks_for() -> None:
    error = refused(
        422, {"error": "could not find a host", "status": "insufficient_capacity"}, fly_request_id="01K-yyz"
    )
    assert str(error) == (
        "machines.start m1: could not find a host (HTTP 422 insufficient_capacity, request 01K-yyz). "
        "Use another region, or deploy with a fallback"
    )


@pytest.mark.parametrize(
    ("status", "text", "advice"),
    [
        (409, RESERVE.format("memory"), "which may be placed on another host"),
        (412, EXISTING, "fork the volume"),
        (403, QUOTA, "ask Fly.io for more"),
        (409, "aborted: no capacity", "Use another region"),
    ],
)
def test_each_want_of_room_has_its_own_advice(status: int, text: str, advice: str) -> None:
    assert advice in str(refused(status, {"error": text}))


@pytest.mark.parametrize(
    ("status", "body", "value"),
    [
        (200, b'{"id": "m1"}', {"id": "m1"}),
        (201, b"[]", []),
        (202, b"null", None),
        (200, b"", None),
        (204, b" \n", None),
        (299, b'"x"', "x"),
    ],
)
def test_a_success_gives_its_json(status: int, body: bytes, value: Any) -> None:
    assert read_response(a_request(), a_response(status, body)) == value


@pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff"])
def test_a_success_that_is_not_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable, match=r"machines.start m1: .* HTTP 200 .* not JSON \(request 01K-yyz\)") as caught:
        read_response(a_request(), a_response(200, body, fly_request_id="01K-yyz"))
    assert caught.value.may_have_happened


def test_a_success_that_is_nested_too_deeply_is_unreadable_and_keeps_nothing_of_it() -> None:
    with pytest.raises(Unreadable, match=r"HTTP 200 with JSON that is nested too deeply \(request 01K-yyz\)") as caught:
        read_response(a_request(), a_response(200, b"[" * 100_000, fly_request_id="01K-yyz"))
    assert caught.value.__context__ is None


SENT = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("asked", "sent", "seconds"),
    [
        ("2", None, 2.0),
        ("0.02", None, 0.02),
        (" 3 ", None, 3.0),
        ("0", None, 0.0),
        ("-1", None, None),
        ("nan", None, None),
        ("inf", None, None),
        ("3600", None, 3600.0),
        ("86400", None, 86400.0),
        ("86401", None, None),
        ("1e308", None, None),
        ("1e999", None, None),
        ("9" * 400, None, None),
        ("soon", SENT, None),
        ("", SENT, None),
        (None, SENT, None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", SENT, 30.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", SENT, 0.0),
        ("Wed, 21 Oct 2026 07:27:59 GMT", SENT, None),
        ("Wed, 21 Oct 1970 07:28:00 GMT", SENT, None),
        ("Wed, 21 Oct 2026 07:28:30 -0000", SENT, 30.0),
        ("Wed, 21 Oct 2026 09:28:30 +0200", SENT, 30.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", None, None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "some day", None),
        ("Wed, 99 Oct 2026 07:28:30 GMT", SENT, None),
        ("Wed, 21 Oct 99999999999999999999 07:28:30 GMT", SENT, None),
        ("Wed, 21 Oct 9999 07:28:00 GMT", SENT, None),
        ("Wed, 21 Oct 2026 07:28:30 +9999", SENT, None),
    ],
)
def test_retry_after_is_read_in_every_form(asked: str | None, sent: str | None, seconds: float | None) -> None:
    headers = {name: text for name, text in {"retry_after": asked, "date": sent}.items() if text is not None}
    assert retry_after(a_response(429, None, **headers)) == seconds
    error = refused(429, {"error": "rate limit exceeded"}, **headers)
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


@settings(deadline=None, database=None)
@given(asked=st.text(), sent=st.text())
def test_no_header_can_break_the_reading(asked: str, sent: str) -> None:
    seconds = retry_after(a_response(429, None, retry_after=asked, date=sent))
    assert seconds is None or 0 <= seconds <= 86_400


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "status", "errors"]), inner),
)


@settings(deadline=None, database=None)
@given(status=st.integers(300, 599), body=st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_every_reply_that_is_no_success_is_refused(status: int, body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_response(a_request(), Response(status=status, headers={}, body=body))
    assert caught.value.status == status
    assert str(caught.value)


@pytest.mark.parametrize("body", [b"a.jwt.b\n", b"", b'{"a": 1}', b"\xff"])
def test_an_answer_that_is_bytes_stays_as_it_is(body: bytes) -> None:
    request = evolve(a_request(), reads="bytes")
    assert read_response(request, Response(status=200, headers={}, body=body)) is body


def test_a_refusal_is_json_whatever_the_answer_would_be() -> None:
    with pytest.raises(NotFound, match="not here"):
        read_response(evolve(a_request(), reads="bytes"), a_response(404, {"error": "not here"}))
