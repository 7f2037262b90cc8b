"""Whatever goes wrong, no error, traceback with locals or log shows the token or a secret that was sent."""

import asyncio
import json
import logging
import random
from base64 import b64encode
from collections.abc import Awaitable, Callable
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from _pytest._io.saferepr import saferepr
from rich.pretty import pretty_repr

import flyasync
from flyasync.api.client import FlyClient
from flyasync.errors import FlyError, GraphQLFailed, InvalidInput, Refused, Unreadable
from flyasync.models.config import MachineConfig
from flyasync.models.container import File
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.session import Timeouts
from tests.transport.scripted import HEAD_END, Answer, http, never, raw_server

OURS = str(Path(flyasync.__file__).parent)


def token() -> str:
    return "fo1_" + "t0ken" * 30


def secret() -> str:
    return "hunter2-" + "s3cret" * 30


def a_config() -> MachineConfig:
    return MachineConfig(
        image="nginx",
        env={"DATABASE_PASSWORD": secret()},
        files=[File(guest_path="/key", raw_value=b64encode(secret().encode()).decode())],
        extra={"unheard_of": {"of": secret()}},
    )


# The secrets are in no local of these callers: what is shown of them is the doing of the frames below.
Call = Callable[[FlyClient, str], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "create": lambda fly, app: fly.machines.create(app, a_config(), name="one"),
    "create_once": lambda fly, app: fly.machines.create_once(app, a_config(), name="one", launch="v1"),
    "update": lambda fly, app: fly.machines.update(app, "m1", a_config()),
    "exec": lambda fly, app: fly.machines.exec(app, "m1", ["sh"], stdin=secret()),
    "set": lambda fly, app: fly.secrets.set(app, "DB", secret()),
    "set several": lambda fly, app: fly.secrets.update(app, {"DB": secret(), "OLD": None}),
    "bring a key": lambda fly, app: fly.secret_keys.set(app, "K", type="hs256", value=secret().encode()),
    "encrypt": lambda fly, app: fly.secret_keys.encrypt(app, "K", secret().encode()),
    "sign": lambda fly, app: fly.secret_keys.sign(app, "K", secret().encode()),
    "bring a certificate": lambda fly, app: fly.certificates.create_custom(
        app, "a.example", fullchain="c", private_key=secret()
    ),
    "authenticate": lambda fly, _: fly.tokens.authenticate(secret()),
    "mutate": lambda fly, _: fly.graphql(
        "mutation M($input: X!) { m(input: $input) { a } }", {"input": {"value": secret()}}
    ),
    "query": lambda fly, _: fly.graphql("query Q($v: X!) { q(v: $v) { a } }", {"v": secret()}),
}
ON_APPS = [call for name, call in CALLS.items() if name not in {"authenticate", "mutate", "query"}]


def echoing(status: str, shape: Callable[[str], Any]) -> Answer:
    """Answer with all that was heard: the head with the token, and the body."""

    async def answer(heard: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(status, json.dumps(shape(heard.decode())).encode(), {"fly-request-id": "01K-yyz"}))

    return answer


def says(body: bytes) -> Answer:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(body=body))

    return answer


async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def garbage(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"this is not HTTP" + HEAD_END)


FAILURES: dict[str, Answer] = {
    "refused, and all of it repeated": echoing("422 No", lambda heard: {"error": heard, "status": heard}),
    "refused, in a text that is cut within the token": echoing("400 No", lambda heard: "x" * 480 + heard),
    "refused, in a page whose title is cut": echoing("400 No", lambda _: f"<html><title>{'x' * 70} {secret()}</title>"),
    "failed, and all of it repeated": echoing("500 No", lambda heard: {"message": heard, "errors": [heard]}),
    "a lease that the token holds": echoing(
        "409 No", lambda heard: {"error": f"lease currently held by {token()}, expires at {secret()}"}
    ),
    "errors of GraphQL": echoing("200 OK", lambda heard: {"errors": [{"message": heard, "value": heard}], "id": heard}),
    "an answer of another kind": echoing("200 OK", lambda heard: [{"id": heard}]),
    "an answer with wrong fields": echoing("200 OK", lambda heard: {"id": [heard], "data": 1, "name": {heard: 1}}),
    "an answer that is no JSON": says(b"not JSON: " + secret().encode()),
    "an answer nested too deeply": says(b"[" * 100_000 + secret().encode()),
    "no HTTP": garbage,
    "a connection that breaks": hang_up,
    "silence": never,
}

# These read so little of an answer that this one will do.
CONTENT = {
    "an answer of another kind": {"authenticate"},
    "an answer with wrong fields": {"exec", "set several", "bring a certificate"},
    "errors of GraphQL": {"exec", "bring a key", "set", "set several", "bring a certificate"},
}


async def caught(call: Call, answer: Answer, app: str = "web") -> BaseException:
    """Return what a call raises."""
    async with raw_server(answer) as server:
        timeouts = Timeouts(reply=3, poll_grace=3)
        retry = RetryPolicy(attempts=2)
        async with FlyClient(token(), base_url=server.url, api_url=server.url, timeout=timeouts, retry=retry) as fly:
            with pytest.raises(FlyError) as failure:
                await call(fly, app)
    return failure.value


def chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    left = [error]
    while left:
        if (link := left.pop()) and link not in found:
            found.append(link)
            left += [link.__cause__, link.__context__]
    return found


def frames(traceback: TracebackType | None) -> list[TracebackType]:
    found = []
    while traceback:
        found.append(traceback)
        traceback = traceback.tb_next
    return found


def all_shown(error: BaseException) -> str:
    """Give what rich, pytest -l and an error tracker show of an error and of what led to it."""
    shown = StringIO()
    for link in chain(error):
        print(repr(link), str(link), link.args, vars(link), file=shown)
        for traceback in frames(link.__traceback__):
            for value in traceback.tb_frame.f_locals.values():
                print(saferepr(value, maxsize=None), pretty_repr(value, max_string=80), file=shown)
    return shown.getvalue()


def assert_it_tells_nothing(error: BaseException) -> None:
    shown = all_shown(error)
    for text in (token(), secret()):
        for part in (text[:40], text[-40:]):
            assert part not in shown


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        pytest.param(call, answer, id=f"{name}-{failure}")
        for name, call in CALLS.items()
        for failure, answer in FAILURES.items()
        if name not in CONTENT.get(failure, ())
    ],
)
async def test_nothing_shows_the_token_or_a_secret(
    call: Call, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    random.seed(1)
    error = await caught(call, answer)
    assert_it_tells_nothing(error)
    assert "s3crets3cret" not in caplog.text
    assert "t0kent0ken" not in caplog.text


@pytest.mark.parametrize("answer", [FAILURES["refused, and all of it repeated"], hang_up, never])
async def test_the_lines_of_the_caller_and_ours_stay_and_no_others(answer: Answer) -> None:
    error = await caught(CALLS["set"], answer)
    for link in chain(error):
        files = [traceback.tb_frame.f_code.co_filename for traceback in frames(link.__traceback__)]
        assert all(file.startswith(OURS) or file == __file__ for file in files)
    names = [traceback.tb_frame.f_code.co_name for traceback in frames(error.__traceback__)]
    assert names[0] == "caught"
    assert "set" in names
    assert "send" in names


async def test_what_stays_of_a_refusal_is_what_nobody_has_to_hide() -> None:
    def shape(_: str) -> dict[str, str]:
        return {"error": f"web: {token()} may not set DB to {secret()}, nor nginx"}

    error = await caught(CALLS["create"], echoing("403 No", shape))
    assert isinstance(error, Refused)
    assert error.message == "web: [redacted] may not set DB to [redacted], nor nginx"
    assert error.request_id == "01K-yyz"


async def test_names_among_the_variables_of_graphql_stay_readable() -> None:
    def shape(_: str) -> dict[str, Any]:
        return {"errors": [{"message": f"App my-own-app-17 refuses {secret()}", "extensions": {"value": secret()}}]}

    def call(fly: FlyClient, _: str) -> Awaitable[Any]:
        return fly.graphql("mutation { x }", {"appName": "my-own-app-17", "v": secret()})

    error = await caught(call, echoing("200 OK", shape))
    assert isinstance(error, GraphQLFailed)
    assert error.messages == ("App my-own-app-17 refuses [redacted]",)
    assert error.errors[0]["extensions"] == {"value": "[redacted]"}
    assert "Any part of the mutation may have happened" in str(error)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_timeout_of_the_callers_own_shows_nothing(call: Call) -> None:
    async with raw_server(never) as server, FlyClient(token(), base_url=server.url, api_url=server.url) as fly:
        with pytest.raises(TimeoutError) as failure:
            async with asyncio.timeout(1):
                await call(fly, "web")
    assert_it_tells_nothing(failure.value)
    for link in chain(failure.value):
        files = [traceback.tb_frame.f_code.co_filename for traceback in frames(link.__traceback__)]
        assert not [file for file in files if "aiohttp" in file]


@pytest.mark.parametrize("call", ON_APPS)
@pytest.mark.parametrize("app", ["we\nb", "", "\ud800"])
async def test_an_argument_that_is_refused_shows_nothing_of_the_others(call: Call, app: str) -> None:
    error = await caught(call, never, app)
    assert isinstance(error, InvalidInput)
    assert_it_tells_nothing(error)


@pytest.mark.parametrize(
    "call",
    [
        lambda fly, app: fly.secrets.set(app, "DB", secret() + "\ud800"),
        lambda fly, app: fly.secrets.update(app, {"D\nB": secret()}),
        lambda fly, app: fly.machines.create(app, MachineConfig(image="nginx", env={"A": secret() + "\udfff"})),
        lambda fly, _: fly.graphql("mutation { x }", {"v": secret(), "w": object()}),
        lambda fly, _: fly.graphql("mutation { x }", {"v": secret(), "w": float("nan")}),
        lambda fly, _: fly.graphql("mutation { x }", {"v": secret(), "w": nested(100_000)}),
    ],
)
async def test_what_cannot_be_sent_is_refused_and_not_shown(call: Call) -> None:
    error = await caught(call, never)
    assert isinstance(error, InvalidInput)
    assert_it_tells_nothing(error)


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize("options", [{"limits": 3}, {"max_answer": -1}, {"base_url": "ftp://x"}])
@pytest.mark.parametrize("way", ["given", "of the environment"])
def test_a_client_that_cannot_be_made_shows_no_token(
    options: dict[str, Any], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way != "given":
        monkeypatch.setenv("FLY_API_TOKEN", token())
    with pytest.raises(InvalidInput) as failure:
        FlyClient(token() if way == "given" else None, **options)
    assert_it_tells_nothing(failure.value)


def test_a_token_that_no_header_can_carry_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_API_TOKEN", f"{token()}\r\n{token()}")
    with pytest.raises(InvalidInput) as failure:
        FlyClient()
    assert_it_tells_nothing(failure.value)


async def test_an_answer_of_secrets_that_cannot_be_read_is_not_shown() -> None:
    body = json.dumps({"secrets": [{"name": 5, "value": secret()}]}).encode()
    error = await caught(lambda fly, app: fly.secrets.list(app, show_secrets=True), says(body))
    assert isinstance(error, Unreadable)
    assert_it_tells_nothing(error)
