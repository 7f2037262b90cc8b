"""Exchanges a request for a reply, once, by aiohttp; what aiohttp raises becomes our own errors here."""

import asyncio
import errno
import re
import sys
from contextlib import nullcontext, suppress
from functools import lru_cache
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from attrs import field, frozen
from yarl import URL

from flyasync.errors import ClientClosed, ConnectFailed, ConnectionLost, FlyError, NoReplyInTime
from flyasync.safe_text import LONGEST_ERROR
from flyasync.transport.credentials import SOCKET, Token, ip_of
from flyasync.transport.request import Reply, Request
from flyasync.transport.validators import more_than, whole

if sys.platform != "win32":
    from resource import RLIMIT_NOFILE, getrlimit

_PROXY = re.compile(r"\s*https?://[^/]", re.IGNORECASE)
_JSON = {"Content-Type": "application/json"}
AGENT = f"flyasync/{version('flyasync')}"
MAX_ANSWER = 1 << 30
"""Bytes of the longest answer that is read, once it is decompressed."""
RESERVED_FILES = 128
"""File descriptors left to the rest of the program when long polls are bounded by what the system allows."""

_CHECK_PROXY = "Check the proxy in https_proxy"
_UNCUT = nullcontext()


@frozen(kw_only=True)
class Timeouts:
    """How long one exchange may take, and how many may be under way.

    `connect` bounds making the connection, TLS included; `reply` bounds the silence of the API in an ordinary call, and
    both together bound all of it. A long poll gets as long as it asked the API for, and `poll_grace` on top. All in
    seconds.

    Calls and long polls have slots of their own, `calls` and `polls` at once, so that any number of waits leaves the
    other calls undisturbed: with one pool of 100, a short call behind 1,000 waits was seen to take 19 s. A slot is
    acquired before any timeout starts. `polls` is lowered to what the system's limit on open files allows.
    """

    connect: float = field(default=10.0, validator=more_than(0))
    reply: float = field(default=30.0, validator=more_than(0))
    poll_grace: float = field(default=15.0, validator=more_than(0))
    calls: int = field(default=64, validator=whole(1))
    polls: int = field(default=1000, validator=whole(1))


class Session:
    """One aiohttp session: its connections, its cookies, and the token that goes with every request, if there is one.

    The connections open on first use. The token is set on each request, never as a default of the session, which
    aiohttp would also send to a proxy, in the clear. No redirect is followed, so the token stays with the host it is
    meant for.
    An answer of more than `max_answer` bytes is not read to its end.
    Cookies are kept, since the API pins an app to the node that created it with one; that node reads its own writes.
    """

    def __init__(self, base_url: str, token: Token | None, timeouts: Timeouts, *, max_answer: int = MAX_ANSWER) -> None:
        self._base_url = base_url
        self._root = "http://localhost" if base_url.startswith(SOCKET) else base_url
        self.host = urlsplit(self._root).hostname or "localhost"
        self.secrets = token.secrets if token else ()
        """What no text may show: the token, and its parts."""
        self._authorized = {"Authorization": token.authorization} if token else {}
        self._max_answer = max_answer
        self._timeouts = timeouts
        self._call_timeout = _client_timeout(timeouts.connect, timeouts.reply)
        self._calls = asyncio.Semaphore(timeouts.calls)
        self.polls = timeouts.polls
        """How many long polls may be under way."""
        if sys.platform != "win32" and (files := getrlimit(RLIMIT_NOFILE)[0]) > 0:
            # Waits never take the last file, or no other call could connect.
            self.polls = max(1, min(timeouts.polls, files - RESERVED_FILES))
        self._polls = asyncio.Semaphore(self.polls)
        self._client: aiohttp.ClientSession | None = None
        self._is_closed = False
        self._cuts: set[asyncio.Timeout] = set()  # one for each long poll under way
        self._under_way = 0  # ordinary calls
        self._no_call = asyncio.Event()  # set whenever the last ordinary call ends

    def __repr__(self) -> str:
        state = ", closed" if self._is_closed else ""
        return f"<Session {self._base_url}{state}: {self._under_way} calls and {len(self._cuts)} polls under way>"

    def slots(self, request: Request) -> asyncio.Semaphore:
        """Return the slots of which `request` has to hold one during its exchange."""
        return self._calls if request.poll is None else self._polls

    def longest(self, request: Request) -> float:
        """Return the seconds after which an exchange is over, one way or the other."""
        return (self._timeout(request).total or 0.0) + 1.0  # aiohttp rounds up to whole seconds

    def _timeout(self, request: Request) -> aiohttp.ClientTimeout:
        if request.poll is None:
            return self._call_timeout
        return _client_timeout(self._timeouts.connect, request.poll + self._timeouts.poll_grace)

    async def exchange(self, request: Request) -> Reply:
        """Send `request` exactly once and return the reply, whatever its status.

        Raises ConnectFailed, ConnectionLost, NoReplyInTime or ClientClosed. Cancellation closes the connection; the
        work may have been done.
        """
        if self._is_closed:
            raise ClientClosed(f"{request.operation} {request.subject}: the client is closed")
        # Closing waits for an ordinary call, and cuts a long poll.
        cut = None if request.poll is None else asyncio.timeout(None)
        if cut is None:
            self._under_way += 1
        try:
            async with cut or _UNCUT:
                if cut:
                    self._cuts.add(cut)
                # What is sent is in no local: a traceback with locals would show it.
                query = f"?{urlencode(request.query, errors='replace')}" if request.query else ""
                typed = {} if request.content is None else _JSON
                async with (self._client or self._open()).request(
                    request.method,
                    URL(f"{self._root}{request.path}{query}", encoded=True),
                    data=request.content,
                    headers={**self._authorized, **typed, **request.headers},
                    # aiohttp would send a POST without a body as application/octet-stream.
                    skip_auto_headers=None if typed or request.method == "GET" else ("Content-Type",),
                    timeout=self._timeout(request),
                    allow_redirects=False,
                ) as response:
                    body = await self._body(request, response)
                    return Reply(status=response.status, headers=response.headers, body=body)
        except aiohttp.InvalidURL:
            pass  # it shows the URL, and so a password
        except _FOREIGN as error:
            raise self._translated(request, error) from error
        finally:
            if cut:
                self._cuts.discard(cut)
            else:
                self._under_way -= 1
                if not self._under_way:
                    self._no_call.set()
        advice = "Write it as http://host:port in https_proxy"
        text = "the proxy in the environment is not an http URL"
        raise ConnectFailed(request.operation, request.subject, text, advice=advice, is_temporary=False)

    async def _body(self, request: Request, response: aiohttp.ClientResponse) -> bytes:
        """Read an answer; of an error no more than its text can hold. Raise Unreadable for one that is too long."""
        is_error = response.status >= HTTPStatus.MULTIPLE_CHOICES
        left = LONGEST_ERROR if is_error else self._max_answer
        chunks = []
        while chunk := await response.content.readany():
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                if not is_error:
                    raise request.unreadable(
                        f"the answer is longer than {self._max_answer} bytes, so it was not read to its end",
                        advice="Ask for less, or let the client read more: max_answer=",
                    )
                chunks[-1] = chunk[:left]
                break
        return b"".join(chunks)

    async def close(self, *, grace: float = 5.0) -> None:
        """Let calls under way finish for up to `grace` seconds, then close; waits are cut at once."""
        self._is_closed = True
        for cut in self._cuts:
            if not cut.expired():
                cut.reschedule(0)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    if self._under_way:
                        self._no_call.clear()
                        await self._no_call.wait()
        finally:
            if self._client:
                await self._client.close()

    def _open(self) -> aiohttp.ClientSession:
        url = urlsplit(self._root)
        connector: aiohttp.BaseConnector
        if self._base_url.startswith(SOCKET):
            # The proxy behind a machine's socket was not made for connections that stay.
            connector = aiohttp.UnixConnector(self._base_url.removeprefix(SOCKET), limit=0, force_close=True)
        else:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        self._client = aiohttp.ClientSession(
            connector=connector,
            # aiohttp keeps the cookies of an IP address, such as that of an emulator, only when asked to.
            cookie_jar=aiohttp.CookieJar(unsafe=ip_of(url.hostname or "") is not None),
            headers={"User-Agent": AGENT},
            middlewares=(_send_once,),
            # Not trust_env: it would also let a password of ~/.netrc take the token's place, at a thread per call.
            proxy=_proxy(url),
        )
        return self._client

    def _translated(self, request: Request, error: Exception) -> FlyError:
        """Return our own error for one of aiohttp's; its class and fields are what may have happened."""
        operation, subject = request.operation, request.subject
        # 1. The connection was not made, so nothing happened. Trying again helps unless this machine is in the way.
        if isinstance(error, aiohttp.ClientConnectorError):
            advice = _CHECK_PROXY if isinstance(error, aiohttp.ClientProxyConnectionError) else None
            is_temporary = True
            if error.os_error.errno in {errno.EMFILE, errno.ENFILE}:
                advice = "This process may open no more files: raise `ulimit -n`, or wait on fewer machines at once"
                is_temporary = False
            elif isinstance(error, aiohttp.ClientSSLError):
                advice = (
                    "The host could not prove who it is: check the base URL and the proxy, and whether this machine "
                    "knows who signed its certificate (SSL_CERT_FILE)"
                )
                is_temporary = False
            return ConnectFailed(operation, subject, str(error), advice=advice, is_temporary=is_temporary)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            text = f"no connection to {self._base_url} within {self._timeouts.connect:g} s"
            return ConnectFailed(operation, subject, text)
        if isinstance(error, _NeverMade):
            return ConnectFailed(operation, subject, str(error), advice=_CHECK_PROXY, is_temporary=error.is_temporary)
        # 2. This client was closed: that cuts a long poll, and breaks the connection of a call that outlasts the grace.
        is_late = isinstance(error, TimeoutError)
        if self._is_closed and (request.poll is not None or not is_late):
            text = f"{operation} {subject}: the client was closed during the call"
            return ClientClosed(text, may_have_happened=request.changes)
        # 3. The request was sent, and no whole reply came.
        if is_late:
            return NoReplyInTime(operation, subject, f"no reply from {self._base_url} in time")
        return ConnectionLost(operation, subject, f"the connection broke: {str(error) or type(error).__name__}")


@lru_cache  # most polls ask for the same few times
def _client_timeout(connect: float, silence: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=connect + silence, connect=connect, sock_read=silence)


class _BrokenOff(Exception):
    """The connection broke after it was made; not one of aiohttp's errors, so that aiohttp lets it pass."""


class _NeverMade(Exception):
    """A proxy did not make the connection."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"the proxy answered {status} {reason}")
        self.is_temporary = status >= HTTPStatus.INTERNAL_SERVER_ERROR


_FOREIGN = (aiohttp.ClientError, TimeoutError, _NeverMade, _BrokenOff)


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from silently sending a GET, PUT or DELETE again when a kept-alive connection breaks.

    Such a second request would pass by the rate limit, the retry policy and the log.
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
    # Raised outside the handlers, so that nothing leads back to errors whose repr shows the request's headers, and so
    # the token.
    raise failure


def _proxy(url: SplitResult) -> str | None:
    """Return the environment's proxy; one may carry TLS, but must not see a token that travels in the clear."""
    if url.scheme != "https" or proxy_bypass(url.hostname or ""):
        return None
    proxy = getproxies().get("https")
    if proxy and not _PROXY.match(proxy):
        raise aiohttp.InvalidURL(proxy)
    return proxy
