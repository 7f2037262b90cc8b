"""One Request out, one Response in, over real sockets in virtual time."""

import asyncio
import errno
import gzip
import logging
import os
import resource
import ssl
import subprocess
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flyasync.errors import (
    ClientClosed,
    ConnectFailed,
    ConnectionLost,
    FlyError,
    InvalidInput,
    NoReplyInTime,
    Unreadable,
)
from flyasync.transport.credentials import Token
from flyasync.transport.request import Request, Response, path
from flyasync.transport.session import RESERVED_FILES, Session, Timeouts
from tests.transport.scripted import (
    HEAD_END,
    SECRET,
    Answer,
    RawServer,
    a_request,
    a_session,
    after,
    http,
    never,
    now,
    ok,
    raw_server,
    rounded,
)


@contextmanager
def file_limit(soft: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@asynccontextmanager
async def talking(answer: Answer, **timeouts: float) -> AsyncIterator[tuple[RawServer, Session]]:
    async with raw_server(answer) as server, a_session(server.url, **timeouts) as session:
        yield server, session


async def placed(session: Session, request: Request) -> Response:
    """Exchange as the sender does: with a slot held."""
    async with session.slots(request):
        return await session.exchange(request)


async def failure(session: Session, request: Request | None = None) -> tuple[FlyError, float]:
    """Return the error in which an exchange ends, and the seconds it took."""
    started = now()
    with pytest.raises(FlyError) as caught:
        await session.exchange(request or a_request())
    return caught.value, rounded([now() - started])[0]


def everything_about(error: BaseException) -> str:
    """Return all text that a log, a traceback or a crash report could show of `error` and what led to it."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return "".join(traceback.format_exception(error)) + "".join(f"{it!r} {it!s} {vars(it)}" for it in chain)


async def test_a_reply_comes_back_whole() -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http("418 I'm a teapot", b"short", {"Fly-Request-Id": "01K4-yyz"}))

    async with talking(answer) as (_, session):
        reply = await session.exchange(a_request())
    assert (reply.status, reply.body, reply.request_id) == (418, b"short", "01K4-yyz")


async def test_a_request_carries_token_agent_query_and_body() -> None:
    async with talking(ok) as (server, session):
        await session.exchange(
            a_request(
                path=path("apps", "a/b", "%2e"),
                query=(("state", "started"), ("q", "a b&c=d/é")),
                body={"name": "x"},
                headers={"fly-machine-lease-nonce": "n1"},
            )
        )
    (heard,) = server.heard
    assert heard.startswith(b"POST /v1/apps/a%2Fb/%252e?state=started&q=a+b%26c%3Dd%2F%C3%A9 HTTP/1.1\r\n")
    for line in (
        b"Authorization: Bearer " + SECRET.encode(),
        b"User-Agent: flyasync/",
        b"fly-machine-lease-nonce: n1",
        b"Content-Type: application/json",
    ):
        assert b"\r\n" + line in heard
    assert heard.endswith(HEAD_END + b'{"name":"x"}')


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_without_a_body_there_is_no_content_type(method: str) -> None:
    async with talking(ok) as (server, session):
        await session.exchange(a_request(method=method))
    assert b"content-type" not in server.heard[0].lower()
    assert server.heard[0].endswith(HEAD_END)


async def test_an_empty_body_is_still_a_body() -> None:
    async with talking(ok) as (server, session):
        await session.exchange(a_request(body={}))
    assert b"Content-Type: application/json" in server.heard[0]
    assert server.heard[0].endswith(HEAD_END + b"{}")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_request_is_sent_once_even_when_a_kept_alive_connection_breaks(method: str, *, reset: bool) -> None:
    async def answer_once(_: bytes, writer: asyncio.StreamWriter) -> None:
        if len(server.heard) == 1:
            writer.write(http())
        elif reset:
            writer.transport.abort()
        else:
            writer.close()

    async with talking(answer_once) as (server, session):
        await session.exchange(a_request(method="GET"))
        error, _ = await failure(session, a_request(method=method))
        assert server.connections <= 1
    assert type(error) is ConnectionLost
    assert error.may_have_happened
    assert len(server.heard) == 2


async def test_an_idle_connection_that_the_server_closed_is_not_used_again() -> None:
    async def answer_and_leave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http())
        asyncio.get_running_loop().call_later(1, writer.close)

    async with talking(answer_and_leave) as (server, session):
        for _ in range(3):
            await session.exchange(a_request())
            await asyncio.sleep(2)
    assert len(server.heard) == 3


async def test_a_connection_that_is_refused_means_that_nothing_happened() -> None:
    async with raw_server(ok) as server:
        url = server.url
    async with a_session(url) as session:
        error, _ = await failure(session)
    assert type(error) is ConnectFailed
    assert error.is_temporary
    assert not error.may_have_happened
    assert "machines.start m1: Cannot connect to host 127.0.0.1" in str(error)


@pytest.mark.parametrize("cut", [b"HTTP/1.1 200 OK\r\nContent-Len", http(body=b"x" * 100)[:-50]])
async def test_a_connection_cut_before_the_reply_is_whole_is_lost(cut: bytes) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(cut)
        writer.close()

    async with talking(answer) as (server, session):
        error, _ = await failure(session, a_request(method="GET"))
    assert type(error) is ConnectionLost
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("timeouts", "poll", "seconds"),
    [({}, None, 30), ({"reply": 4.5}, None, 4.5), ({}, 60.0, 75), ({"poll_grace": 2}, 10.0, 12)],
)
async def test_without_a_reply_it_ends_in_time(timeouts: dict[str, float], poll: float | None, seconds: float) -> None:
    async with talking(never, **timeouts) as (_, session):
        error, took = await failure(session, a_request(method="GET", poll=poll))
    assert type(error) is NoReplyInTime
    assert took == seconds


async def test_a_reply_that_trickles_in_is_bounded_too() -> None:
    async def trickle(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for byte in [b"x"] * 1000:
            writer.write(byte)
            await asyncio.sleep(5)

    async with talking(trickle) as (_, session):
        error, took = await failure(session)
    assert type(error) is NoReplyInTime
    assert took == 40


async def test_a_reply_that_trickles_in_may_be_silent_before_each_part() -> None:
    async def in_parts(_: bytes, writer: asyncio.StreamWriter) -> None:
        for part in (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"nu", b"ll"):
            await asyncio.sleep(1.9)
            writer.write(part)

    async with talking(in_parts, reply=2) as (_, session):
        assert (await session.exchange(a_request())).body == b"null"
    assert rounded([now()]) == [5.7]


async def test_a_connection_that_is_never_made_ends_in_time() -> None:
    async with raw_server(never) as server, a_session(server.url.replace("http", "https")) as session:
        error, took = await failure(session)  # the server never answers the TLS greeting
    assert type(error) is ConnectFailed
    assert error.is_temporary
    assert 10 <= took <= 11


async def test_a_redirect_is_not_followed() -> None:
    async with raw_server(ok) as other:

        async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(http("307 Temporary Redirect", headers={"Location": f"{other.url}/v1/stolen"}))

        async with talking(answer) as (_, session):
            reply = await session.exchange(a_request(method="GET"))
        assert reply.status == 307
        assert not other.heard


async def test_a_thousand_long_polls_do_not_delay_an_ordinary_call() -> None:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if len(server.heard) == 1000:
            all_are_there.set()
        await asyncio.sleep(50 if b"/wait" in request else 0)
        writer.write(http())

    all_are_there = asyncio.Event()
    with file_limit(min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096)):
        async with talking(answer) as (server, session):
            polls = [
                asyncio.create_task(placed(session, a_request(method="GET", path="/v1/wait", poll=60.0)))
                for _ in range(1000)
            ]
            await all_are_there.wait()
            started = now()
            await placed(session, a_request())
            assert now() - started < 0.1
            assert {reply.status for reply in await asyncio.gather(*polls)} == {200}
            assert now() < 60


class Crowd:
    """Answers after a second, and counts how many requests it has before it at once."""

    def __init__(self) -> None:
        self.present = self.most = 0

    async def __call__(self, _: bytes, writer: asyncio.StreamWriter) -> None:
        self.present += 1
        self.most = max(self.most, self.present)
        await asyncio.sleep(1)
        self.present -= 1
        writer.write(http())


@pytest.mark.parametrize(("poll", "most"), [(60.0, 5), (None, 3)])
async def test_polls_and_calls_have_slots_of_their_own(poll: float | None, most: int) -> None:
    crowd = Crowd()
    async with talking(crowd, polls=5, calls=3, reply=2, poll_grace=1) as (_, session):
        await asyncio.gather(*(placed(session, a_request(method="GET", poll=poll)) for _ in range(15)))
    assert crowd.most == most
    assert round(now()) == 15 / most  # a slot is acquired before any timeout starts


async def test_polls_leave_the_last_files_to_others() -> None:
    crowd = Crowd()
    async with raw_server(crowd) as server:
        with file_limit(RESERVED_FILES + 4):
            async with a_session(server.url) as session:
                await asyncio.gather(*(placed(session, a_request(method="GET", poll=60.0)) for _ in range(12)))
    assert crowd.most == 4


async def test_without_files_left_it_says_so_and_is_not_worth_another_try() -> None:
    async with talking(ok) as (_, session):
        lowest_free = os.dup(0)
        os.close(lowest_free)
        with file_limit(lowest_free):
            error, _ = await failure(session)
    assert type(error) is ConnectFailed
    assert not error.is_temporary
    assert "ulimit -n" in str(error)
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.EMFILE


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """Return the TLS side of a host of this name with a certificate of its own making, and its certificate."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=it"]
    make += ["-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *make], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


@pytest.fixture
def stranger(tmp_path: Path) -> ssl.SSLContext:
    """Return the TLS side of a host with an unknown certificate."""
    return certified(tmp_path, "IP:127.0.0.1")[0]


async def test_a_host_that_cannot_prove_who_it_is_gets_nothing(stranger: ssl.SSLContext) -> None:
    server = RawServer(ok)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=stranger)
    port = listening.sockets[0].getsockname()[1]
    async with a_session(f"https://127.0.0.1:{port}") as session:
        error, _ = await failure(session)
    listening.close()
    assert type(error) is ConnectFailed
    assert not error.is_temporary
    assert "Nothing was sent. The TLS certificate of the host could not be verified" in str(error)
    assert not server.heard


async def test_a_host_that_speaks_no_tls_gets_nothing() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with a_session(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}") as session:
        error, _ = await failure(session)
    listening.close()
    assert type(error) is ConnectFailed
    assert not error.is_temporary


async def test_the_cookie_that_pins_an_app_is_kept_and_sent_under_its_path_only() -> None:
    async def pin(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(headers={"Set-Cookie": "fly_flaps_affinity=node7; Path=/v1/apps/web"}))

    async with talking(pin) as (server, session):
        for segments in (("apps",), ("apps", "web", "machines"), ("apps", "other", "machines"), ("apps", "webbed")):
            await session.exchange(a_request(path=path(*segments)))
    assert [b"fly_flaps_affinity=node7" in heard for heard in server.heard] == [False, True, False, False]


async def test_a_proxy_never_sees_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(ok) as proxy, talking(ok) as (server, session):
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        await session.exchange(a_request())
        assert len(server.heard) == 1
        assert not proxy.heard


async def refuse_proxying(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(http("407 Proxy Authentication Required"))


async def test_a_proxy_carries_tls_and_when_it_refuses_nothing_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(refuse_proxying) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", f"//me:{SECRET}@"))
        async with a_session("https://api.machines.test") as session:
            error, _ = await failure(session)
    assert proxy.heard[0].startswith(b"CONNECT api.machines.test:443 ")
    assert SECRET.encode() not in proxy.heard[0]
    assert type(error) is ConnectFailed
    assert "the proxy returned 407" in str(error)
    assert SECRET not in everything_about(error)


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return the TLS side of `api.example`, signed by an authority that this machine knows."""
    context, certificate = certified(tmp_path, "DNS:api.example")
    # aiohttp reads SSL_CERT_FILE once for all, when it is imported.
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=certificate))
    return context


class ConnectProxy(RawServer):
    """A proxy without a password of its own: notes what it is asked, and connects to `port` whatever that is."""

    def __init__(self, port: int) -> None:
        super().__init__(ok)
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readuntil(HEAD_END))
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established" + HEAD_END)
        await asyncio.gather(pipe(reader, forth), pipe(back, writer))


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(65536):
        writer.write(some)
    writer.close()


@pytest.mark.parametrize("given", [{}, {"body": {"a": 1}}, {"headers": {"fly-machine-lease-nonce": "n0nce"}}])
async def test_a_proxy_is_shown_neither_token_nor_nonce(
    given: dict[str, Any],
    known: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = RawServer(ok)
    listening = await asyncio.start_server(api.serve, "127.0.0.1", 0, ssl=known)
    proxy = ConnectProxy(listening.sockets[0].getsockname()[1])
    proxying = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxying.sockets[0].getsockname()[1]}")
    async with a_session("https://api.example") as session:
        reply = await session.exchange(a_request(**given))
    for server in (listening, proxying):
        server.close()
    await api.hang_up()
    assert reply.status == 200
    assert b"Authorization: Bearer " + SECRET.encode() in api.heard[0]
    (head,) = proxy.heard
    assert head.startswith(b"CONNECT api.example:443 HTTP/1.1")
    for unsaid in (SECRET.encode(), b"\r\nauthorization", b"proxy-authorization", b"n0nce"):
        assert unsaid not in head.lower()


@pytest.mark.parametrize(
    "proxy",
    [
        "127.0.0.1:1",
        "host",
        "http://",
        "http://[::1",
        "http://host:port",
        "http://host:99999",
        "://",
        "socks5://host:1",
    ],
)
async def test_a_proxy_that_is_no_url_is_named_and_not_worth_another_try(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    async with a_session("https://api.machines.test") as session:
        error, _ = await failure(session)
    assert type(error) is ConnectFailed
    assert not error.is_temporary
    assert str(error).endswith(
        "is not an http URL. Nothing was sent. Set https_proxy to a URL such as http://host:port"
    )
    assert error.__context__ is None


async def test_a_proxy_that_is_not_there_is_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(ok) as gone:
        monkeypatch.setenv("https_proxy", gone.url)
    async with a_session("https://api.machines.test") as session:
        error, _ = await failure(session)
    assert type(error) is ConnectFailed
    assert error.is_temporary
    assert str(error).endswith("Nothing was sent. Check the proxy in https_proxy")


@pytest.mark.parametrize(
    ("status", "is_temporary"), [("407 Who are you", False), ("403 No", False), ("503 Later", True)]
)
async def test_a_proxy_that_refuses_is_asked_again_only_if_that_may_help(
    status: str, monkeypatch: pytest.MonkeyPatch, *, is_temporary: bool
) -> None:
    async def refuse(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(status))

    async with raw_server(refuse) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        async with a_session("https://api.machines.test") as session:
            error, _ = await failure(session)
    assert type(error) is ConnectFailed
    assert error.is_temporary is is_temporary
    assert f"the proxy returned {status}. Nothing was sent. Check the proxy in https_proxy" in str(error)


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize(("size", "is_read"), [(1000, True), (1001, False), (50_000_000, False)])
async def test_an_answer_has_a_limit_once_it_is_decompressed(coding: str | None, size: int, *, is_read: bool) -> None:
    body = b" " * size
    compressed = gzip.compress(body) if coding == "gzip" else zlib.compress(body) if coding else body

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(body=compressed, headers={"Content-Encoding": coding} if coding else {}))

    async with raw_server(answer) as server:
        session = Session(server.url, Token(SECRET), Timeouts(), max_answer=1000)
        tracemalloc.start()
        if is_read:
            assert (await session.exchange(a_request())).body == body
        else:
            error, _ = await failure(session)
            assert type(error) is Unreadable
            assert str(error).endswith(
                "the response is longer than 1000 bytes, so the rest was not read. The request has most likely "
                "happened. Request less, or raise the client's max_answer"
            )
            assert error.for_command.endswith("most likely happened. Request less")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await session.close(grace=0)
    assert peak < 10_000_000 or coding is None  # the server holds it too


async def test_of_an_answer_that_is_an_error_64_kb_are_read() -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http("500 No", gzip.compress(b"x" * 10_000_000), {"Content-Encoding": "gzip"}))

    async with talking(answer) as (server, session):
        for _ in range(2):
            reply = await session.exchange(a_request())
            assert (reply.status, reply.body) == (500, b"x" * 65536)
        assert len(server.heard) == 2


async def test_a_proxy_is_passed_by_for_the_hosts_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(refuse_proxying) as proxy, raw_server(ok) as server:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with a_session(server.url.replace("http", "https"), connect=1) as session:
            await failure(session)
    assert not proxy.heard


async def test_a_password_in_netrc_does_not_get_in_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with raw_server(ok) as server:
        url = server.url
    async with a_session(url.replace("http", "https")) as session:
        error, took = await failure(session)
    assert "Connect call failed" in str(error)
    assert took == 0  # without a detour over a thread


class Watched:
    """An exchange under way: how it ends, and when."""

    def __init__(self, session: Session, **more: Any) -> None:
        self._task = asyncio.create_task(self._run(session, a_request(**more)))

    async def _run(self, session: Session, request: Request) -> tuple[Response | FlyError, float]:
        try:
            return await placed(session, request), rounded([now()])[0]
        except FlyError as error:
            return error, rounded([now()])[0]

    async def end(self) -> tuple[Response | FlyError, float]:
        return await self._task

    async def error(self) -> tuple[type[FlyError], bool, float]:
        ending, time = await self._task
        assert isinstance(ending, FlyError)
        return type(ending), ending.may_have_happened, time


async def test_closing_waits_for_ordinary_calls_and_cuts_polls_at_once() -> None:
    async with talking(after(3)) as (server, session):
        call, poll = Watched(session), Watched(session, method="GET", poll=60.0)
        await asyncio.sleep(1)
        await session.close()
        assert rounded([now()]) == [3]
        ending, _ = await call.end()
        assert isinstance(ending, Response)
        assert await poll.error() == (ClientClosed, False, 1)
        await asyncio.sleep(1)
        assert server.connections == 0


async def test_closing_cuts_what_is_not_done_in_time() -> None:
    async with talking(never) as (_, session):
        creating, reading = Watched(session), Watched(session, method="GET")
        await asyncio.sleep(1)
        await session.close(grace=4)
        assert rounded([now()]) == [5]
        assert await creating.error() == (ClientClosed, True, 5)
        assert await reading.error() == (ClientClosed, False, 5)


async def test_a_call_that_times_out_while_closing_says_so() -> None:
    async with talking(never, reply=2) as (_, session):
        call = Watched(session)
        await asyncio.sleep(1)
        await session.close()
        assert await call.error() == (NoReplyInTime, True, 2)


@pytest.mark.parametrize("poll", [None, 60.0])
async def test_closing_refuses_those_who_wait_for_a_place(poll: float | None) -> None:
    async with talking(after(3), calls=1, polls=1) as (server, session):
        first, second = (Watched(session, method="GET", poll=poll) for _ in range(2))
        await asyncio.sleep(1)
        await session.close()
        await first.end()
        kind, may_have_happened, _ = await second.error()
        assert (kind, may_have_happened) == (ClientClosed, False)
        assert len(server.heard) == 1


async def test_after_closing_every_exchange_is_refused_and_closing_again_is_fine() -> None:
    async with talking(ok) as (server, session):
        await session.exchange(a_request())
        await asyncio.gather(session.close(), session.close())
        await session.close()
        error, took = await failure(session)
        assert (type(error), took) == (ClientClosed, 0)
        assert "machines.start m1: the client is closed" in str(error)
        assert not error.may_have_happened
        assert len(server.heard) == 1


async def test_a_session_that_was_never_used_closes_too() -> None:
    async with a_session("http://127.0.0.1:1") as session:
        await session.close()
    assert rounded([now()]) == [0]


async def test_a_closing_that_is_cancelled_still_closes() -> None:
    async with talking(never) as (server, session):
        call = Watched(session)
        await asyncio.sleep(1)
        closing = asyncio.create_task(session.close(grace=1000))
        await asyncio.sleep(1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert await call.error() == (ClientClosed, True, 2)
        await asyncio.sleep(0.01)
        assert server.connections == 0


async def test_a_cancelled_exchange_closes_its_connection() -> None:
    async with talking(never) as (server, session):
        task = asyncio.create_task(session.exchange(a_request()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)
        assert server.connections == 0
        await session.close()
        assert now() < 2  # it is not counted as under way any more


async def garbage(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"this is not HTTP" + HEAD_END)


async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("answer", [garbage, hang_up, never])
async def test_no_error_leads_to_the_token(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with talking(answer) as (server, session):
        error, _ = await failure(session)
    assert SECRET.encode() in server.heard[0]
    assert SECRET not in everything_about(error)
    assert SECRET not in caplog.text


async def test_what_is_not_http_is_a_lost_connection() -> None:
    async with talking(garbage) as (_, session):
        error, _ = await failure(session)
    assert type(error) is ConnectionLost
    assert "Bad status line" in str(error)


async def test_a_session_shows_nothing_of_its_token() -> None:
    async with talking(ok) as (_, session):
        await session.exchange(a_request())
        assert SECRET not in f"{session!r} {session}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"connect": 0}, {"reply": "30"}, {"reply": None}, {"poll_grace": float("inf")}, {"calls": 0}, {"calls": 1.5},
        {"polls": True},
    ],
)  # fmt: skip
def test_timeouts_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(InvalidInput, match=rf"^Timeouts\.{name} is {value!r}, but must be an? "):
        Timeouts(**wrong)


async def test_a_session_shows_what_is_under_way_and_no_token() -> None:
    async with talking(never) as (server, session):
        assert repr(session) == f"<Session {server.url}: 0 calls and 0 polls under way>"
        tasks = [asyncio.create_task(session.exchange(a_request(poll=poll))) for poll in (None, None, 30.0)]
        await asyncio.sleep(1)
        assert repr(session) == f"<Session {server.url}: 2 calls and 1 polls under way>"
        assert SECRET not in repr(session)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await session.close(grace=0)
        assert repr(session) == f"<Session {server.url}, closed: 0 calls and 0 polls under way>"


async def test_closing_again_while_a_poll_is_being_cut_changes_nothing() -> None:
    async with talking(never) as (_, session):
        poll = asyncio.create_task(session.exchange(a_request(poll=30)))
        await asyncio.sleep(1)
        first, loop, second = asyncio.create_task(session.close()), asyncio.get_running_loop(), []
        loop.call_soon(lambda: second.append(asyncio.create_task(session.close())))
        with pytest.raises(ClientClosed):
            await poll
        await asyncio.gather(first, *second)
        assert len(second) == 1
