"""Send a request once with aiohttp and return the response; aiohttp's exceptions are translated to our own."""

import asyncio
import errno
import re
import sys
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.connector import Connection
from attrs import field, frozen
from yarl import URL

from flyasync.errors import ClientClosed, ConnectFailed, ConnectionLost, FlyError, NoReplyInTime
from flyasync.safe_text import LONGEST_ERROR
from flyasync.transport.credentials import SOCKET, Token, ip_of
from flyasync.transport.deadlines import Exchange, Watch
from flyasync.transport.request import SUCCESS, Request, Response
from flyasync.transport.validators import more_than, whole

if sys.platform != "win32":
    from resource import RLIMIT_NOFILE, getrlimit

_PROXY = re.compile(r"\s*https?://[^/]", re.IGNORECASE)
_JSON = {"Content-Type": "application/json"}
MAX_ANSWER = 1 << 30
"""The default maximum size of a response in bytes, after decompression."""
RESERVED_FILES = 128
"""File descriptors reserved for the rest of the program when the system's limit bounds the number of long polls."""

_CHECK_PROXY = "Check the proxy in https_proxy"


@cache
def _user_agent() -> str:
    from importlib.metadata import version  # finding the version takes milliseconds, which an import should not

    return f"flyasync/{version('flyasync')}"


@frozen(kw_only=True)
class Timeouts:
    """How long one exchange may take, and how many exchanges may run at once.

    In seconds: `connect` bounds making the connection, including TLS. `reply` bounds the time in which the API sends
    nothing, and `connect + reply` a whole ordinary call. A long poll may take as long as was requested from the API,
    plus `poll_grace`.

    Ordinary calls and long polls have separate slots: up to `calls` and `polls` run at once. So waits do not delay
    other calls; with one pool of 100, a short call behind 1,000 waits took 19 s. A slot is acquired before any timeout
    starts. `polls` is reduced to what the system's limit on open files allows.
    """

    connect: float = field(default=10.0, validator=more_than(0))
    reply: float = field(default=30.0, validator=more_than(0))
    poll_grace: float = field(default=15.0, validator=more_than(0))
    calls: int = field(default=64, validator=whole(1))
    polls: int = field(default=1000, validator=whole(1))


class Session:
    """One aiohttp session: its connections, its cookies, and the token that is sent with every request, if any.

    Connections are opened on first use. Behind a proxy, the token is set on each request, not as a default of the
    session, which aiohttp would also send to the proxy unencrypted. Redirects are not followed, so that the token is
    sent only to its own host. At most `max_answer` bytes of a response are read. Cookies are kept: with one, the API
    routes the requests of an app to the node that created it, which reads its own writes.
    """

    def __init__(self, base_url: str, token: Token | None, timeouts: Timeouts, *, max_answer: int = MAX_ANSWER) -> None:
        self._base_url = base_url
        self._root = "http://localhost" if base_url.startswith(SOCKET) else base_url
        self.host = urlsplit(self._root).hostname or "localhost"
        self.secrets = token.secrets if token else ()
        """The texts to redact: the token and its parts."""
        self._authorized = {"Authorization": token.authorization} if token else {}
        self._each: dict[str, str] = {}  # headers that are set on each request
        self._max_answer = max_answer
        self._timeouts = timeouts
        self._calls = asyncio.Semaphore(timeouts.calls)
        self.polls = timeouts.polls
        """How many long polls may run at once."""
        if sys.platform != "win32" and (files := getrlimit(RLIMIT_NOFILE)[0]) > 0:
            # Long polls must not use up the file descriptors, or no other call could connect.
            self.polls = max(1, min(timeouts.polls, files - RESERVED_FILES))
        self._polls = asyncio.Semaphore(self.polls)
        self._client: aiohttp.ClientSession | None = None
        self._is_closed = False
        self._watch = Watch()
        self._under_way = 0  # the number of running ordinary calls
        self._no_call = asyncio.Event()  # set whenever the last ordinary call ends

    def __repr__(self) -> str:
        state = ", closed" if self._is_closed else ""
        polls = sum(exchange.is_poll for exchange in self._watch.running.values())
        return f"<Session {self._base_url}{state}: {self._under_way} calls and {polls} polls under way>"

    def slots(self, request: Request) -> asyncio.Semaphore:
        """Return the semaphore of which `request` must hold a slot during its exchange."""
        return self._calls if request.poll is None else self._polls

    def longest(self, request: Request) -> float:
        """Return the seconds after which an exchange has ended in any case."""
        return self._timeouts.connect + self._silence(request) + 1.0  # timers are late while the program is busy

    def _silence(self, request: Request) -> float:
        """Return the seconds for which the API may send nothing."""
        return self._timeouts.reply if request.poll is None else request.poll + self._timeouts.poll_grace

    async def exchange(self, request: Request) -> Response:
        """Send `request` exactly once and return the response, whatever its status.

        Raises ConnectFailed, ConnectionLost, NoReplyInTime or ClientClosed. Cancellation closes the connection; the
        request may have happened.
        """
        if self._is_closed:
            raise ClientClosed(f"{request.operation} {request.subject}: the client is closed")
        # Closing waits for an ordinary call, and cuts a long poll.
        is_poll, silence = request.poll is not None, self._silence(request)
        if not is_poll:
            self._under_way += 1
        exchange = Exchange(self._watch, silence=silence, total=self._timeouts.connect + silence, is_poll=is_poll)
        try:
            with exchange:
                # The content is not assigned to a local variable, which a traceback with locals would show.
                query = f"?{urlencode(request.query, errors='replace')}" if request.query else ""
                typed = {} if request.content is None else _JSON
                async with (self._client or self._open()).request(
                    request.method,
                    URL(f"{self._root}{request.path}{query}", encoded=True),
                    data=request.content,
                    headers={**self._each, **typed, **request.headers},
                    # aiohttp would send a POST without a body as application/octet-stream.
                    skip_auto_headers=None if typed or request.method == "GET" else ("Content-Type",),
                    allow_redirects=False,
                ) as response:
                    body = await self._body(request, response, exchange)
                    return Response(response.status, response.headers, body)
        except aiohttp.InvalidURL:
            pass  # its text contains the URL, and so possibly a password
        except _FOREIGN as error:
            raise self._translated(request, error) from error
        finally:
            if not is_poll:
                self._under_way -= 1
                if not self._under_way:
                    self._no_call.set()
        advice = "Set https_proxy to a URL such as http://host:port"
        text = "the proxy in the environment is not an http URL"
        raise ConnectFailed(request.operation, request.subject, text, advice=advice, is_temporary=False)

    async def _body(self, request: Request, response: aiohttp.ClientResponse, exchange: Exchange) -> bytes:
        """Read the body of a response. If it is too long, cut that of an error, and raise Unreadable for any other."""
        is_error = response.status not in SUCCESS
        left = LONGEST_ERROR if is_error else self._max_answer
        chunks = []
        while not response.content.at_eof():
            if not response.content.is_eof():
                exchange.hear()  # something has arrived, and there is more to come
            chunk = await response.content.readany()
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                if not is_error:
                    problem = f"the response is longer than {self._max_answer} bytes, so the rest was not read"
                    advice = "Request less, or raise the client's max_answer"
                    raise request.unreadable(problem).explained(advice, command="Request less")
                chunks[-1] = chunk[:left]
                break
        return b"".join(chunks)

    async def close(self, *, grace: float = 5.0) -> None:
        """Let running calls finish for up to `grace` seconds, then close; long polls are cut immediately."""
        self._is_closed = True
        for exchange in self._watch.running.values():
            if exchange.is_poll and not exchange.is_expired:
                exchange.expire()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    if self._under_way:
                        self._no_call.clear()
                        await self._no_call.wait()
        finally:
            self._watch.close()
            if self._client:
                await self._client.close()

    def _open(self) -> aiohttp.ClientSession:
        url = urlsplit(self._root)
        connector: aiohttp.BaseConnector
        if self._base_url.startswith(SOCKET):
            # The proxy behind a machine's socket does not support connections that are kept alive.
            connector = WatchedUnix(self._watch, self._base_url.removeprefix(SOCKET), limit=0, force_close=True)
        else:
            connector = WatchedTCP(self._watch, limit=0, keepalive_timeout=15)
        proxy = _proxy(url)
        if proxy is not None:
            self._each = self._authorized
        self._client = aiohttp.ClientSession(
            connector=connector,
            # All but the time for making a connection is bounded by the watch.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect),
            # By default, aiohttp ignores cookies from an IP address, such as an emulator's.
            cookie_jar=aiohttp.CookieJar(unsafe=ip_of(url.hostname or "") is not None),
            headers={"User-Agent": _user_agent(), **({} if proxy else self._authorized)},
            middlewares=(_send_once,),
            # Not trust_env: it would also replace the token by a password from ~/.netrc, and use a thread per call.
            proxy=proxy,
        )
        return self._client

    def _translated(self, request: Request, error: Exception) -> FlyError:
        """Return our own error for one of aiohttp's; its class shows whether the request may have happened."""
        operation, subject = request.operation, request.subject
        # 1. No connection was made, so nothing happened. A retry helps unless the cause is on this machine.
        if isinstance(error, aiohttp.ClientConnectorError):
            advice = _CHECK_PROXY if isinstance(error, aiohttp.ClientProxyConnectionError) else None
            is_temporary = True
            if error.os_error.errno in {errno.EMFILE, errno.ENFILE}:
                advice = "This process has too many open files: raise `ulimit -n`, or wait on fewer machines at once"
                is_temporary = False
            elif isinstance(error, aiohttp.ClientSSLError):
                advice = (
                    "The TLS certificate of the host could not be verified: check the base URL, the proxy, and the "
                    "certificate authorities of this machine (SSL_CERT_FILE)"
                )
                is_temporary = False
            return ConnectFailed(operation, subject, str(error), advice=advice, is_temporary=is_temporary)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            text = f"no connection to {self._base_url} within {self._timeouts.connect:g} s"
            return ConnectFailed(operation, subject, text)
        if isinstance(error, _NeverMade):
            return ConnectFailed(operation, subject, str(error), advice=_CHECK_PROXY, is_temporary=error.is_temporary)
        # 2. This client was closed, which cuts long polls, and calls that took longer than the grace period.
        is_late = isinstance(error, TimeoutError)
        if self._is_closed and (request.poll is not None or not is_late):
            text = f"{operation} {subject}: the client was closed during the call"
            return ClientClosed(text, may_have_happened=request.changes)
        # 3. The request was sent, but no complete response arrived.
        if is_late:
            return NoReplyInTime(operation, subject, f"no response from {self._base_url} in time")
        return ConnectionLost(operation, subject, f"the connection broke: {str(error) or type(error).__name__}")


class _Connector(aiohttp.BaseConnector):
    """Notifies the watch when an exchange has its connection: from then on, the API may be silent only for so long."""

    def __init__(self, watch: Watch, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._watch = watch

    async def connect(self, *args: Any, **options: Any) -> Connection:
        """Return a connection."""
        connection = await super().connect(*args, **options)
        self._watch.hear()
        return connection


class WatchedTCP(_Connector, aiohttp.TCPConnector):
    """Connections over TCP."""


class WatchedUnix(_Connector, aiohttp.UnixConnector):
    """Connections over a socket of this machine."""


class _BrokenOff(Exception):
    """The connection broke after it was made. Not a subclass of aiohttp's errors, so aiohttp does not catch it."""


class _NeverMade(Exception):
    """A proxy did not make the connection."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"the proxy returned {status} {reason}")
        self.is_temporary = status >= HTTPStatus.INTERNAL_SERVER_ERROR


_FOREIGN = (aiohttp.ClientError, TimeoutError, _NeverMade, _BrokenOff)


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from silently resending a GET, PUT or DELETE when a kept-alive connection breaks.

    Such a second request would bypass the rate limit, the retry policy and the log.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenOff(str(error)) from error
    except aiohttp.ClientHttpProxyError as error:
        failure: Exception = _NeverMade(error.status, error.message)
    except aiohttp.ClientResponseError as error:
        failure = _BrokenOff(error.message)
    # Raised outside the handlers, so that it is not chained to errors whose repr shows the headers, including the
    # token.
    raise failure


def _proxy(url: SplitResult) -> str | None:
    """Return the environment's proxy for https URLs; a plain http request would show the token to a proxy."""
    if url.scheme != "https" or proxy_bypass(url.hostname or ""):
        return None
    proxy = getproxies().get("https")
    if proxy and not _PROXY.match(proxy):
        raise aiohttp.InvalidURL(proxy)
    return proxy
