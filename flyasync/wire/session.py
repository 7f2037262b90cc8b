"""One Request out, one Reply in; what aiohttp raises becomes our own errors here."""

import asyncio
import errno
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from ipaddress import ip_address
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from attrs import field, frozen, validators
from yarl import URL

from flyasync.errors import ClientClosed, ConnectFailed, ConnectionLost, NoReplyInTime
from flyasync.wire.credentials import SOCKET, Token
from flyasync.wire.request import Reply, Request

if sys.platform != "win32":
    from resource import RLIMIT_NOFILE, getrlimit

AGENT = f"flyasync/{version('flyasync')}"
RESERVED_FILES = 128
"""File descriptors left to the rest of the program when long polls are bounded by what the system allows."""


@frozen(kw_only=True)
class Timeouts:
    """How long one exchange may take, and how many may be under way.

    `connect` bounds making the connection, TLS included; `reply` bounds the silence of the API in an ordinary call, and
    both together bound all of it. A long poll gets as long as it asked the API for, and `poll_grace` on top. All in
    seconds.

    Calls and long polls have room of their own, `calls` and `polls` at once, so that any number of waits leaves the
    other calls undisturbed: with one pool of 100, a short call behind 1,000 waits was seen to take 19 s. A place is
    taken before any timeout starts. `polls` is lowered to what the system's limit on open files allows.
    """

    connect: float = field(default=10.0, validator=validators.gt(0))
    reply: float = field(default=30.0, validator=validators.gt(0))
    poll_grace: float = field(default=15.0, validator=validators.gt(0))
    calls: int = field(default=64, validator=validators.ge(1))
    polls: int = field(default=1000, validator=validators.ge(1))


class Session:
    """One aiohttp session: its connections, its cookies, and the token that goes with every request, if there is one.

    The connections open on first use. No redirect is followed, so the token stays with the host it is meant for.
    Cookies are kept, since the API pins an app to the node that created it with one; that node reads its own writes.
    """

    def __init__(self, base_url: str, token: Token | None, timeouts: Timeouts) -> None:
        self._base_url = base_url
        self._root = "http://localhost" if base_url.startswith(SOCKET) else base_url
        self.host = urlsplit(self._root).hostname or "localhost"
        self._token = token
        self._timeouts = timeouts
        self._calls = asyncio.Semaphore(timeouts.calls)
        self._polls = asyncio.Semaphore(_affordable(timeouts.polls))
        self._client: aiohttp.ClientSession | None = None
        self._is_closed = False
        self._cuts: set[asyncio.Timeout] = set()
        self._under_way = 0
        self._done = asyncio.Event()
        self._done.set()

    def place(self, request: Request) -> asyncio.Semaphore:
        """Give the places of which `request` has to hold one during its exchange."""
        return self._calls if request.poll is None else self._polls

    async def exchange(self, request: Request) -> Reply:
        """Send `request` exactly once and give the reply, whatever its status.

        Raises ConnectFailed, ConnectionLost, NoReplyInTime or ClientClosed. Cancellation closes the connection; the
        work may have been done.
        """
        if self._is_closed:
            raise ClientClosed(f"{request.operation} {request.subject}: the client is closed")
        with self._foreign_errors(request):
            async with self._watched(request):
                return await self._send(request)

    async def _send(self, request: Request) -> Reply:
        async with self._open().request(
            request.method,
            self._url(request),
            data=None if request.body is None else json.dumps(request.body).encode(),
            headers={**request.headers, **({} if request.body is None else {"Content-Type": "application/json"})},
            timeout=self._timeout(request),
            allow_redirects=False,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(status=response.status, headers=headers, body=await response.read())

    async def close(self, *, grace: float = 5.0) -> None:
        """Let calls under way finish for up to `grace` seconds, then close; waits are cut at once."""
        self._is_closed = True
        for cut in self._cuts:
            if not cut.expired():
                cut.reschedule(0)
        try:
            async with asyncio.timeout(grace):
                await self._done.wait()
        except TimeoutError:
            pass
        finally:
            if self._client:
                await self._client.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._client is None:
            url = urlsplit(self._root)
            self._client = aiohttp.ClientSession(
                connector=_connector(self._base_url),
                cookie_jar=aiohttp.CookieJar(unsafe=_is_address(url.hostname or "")),
                headers={
                    **({"Authorization": self._token.authorization} if self._token else {}),
                    "User-Agent": AGENT,
                },
                # Else aiohttp gives a POST without a body the type application/octet-stream.
                skip_auto_headers=("Content-Type",),
                middlewares=(_send_once,),
                # Not trust_env: it would also let a password of ~/.netrc claim the token's place, at a thread per call.
                proxy=_proxy(url),
            )
        return self._client

    def _url(self, request: Request) -> URL:
        query = f"?{urlencode(request.query)}" if request.query else ""
        return URL(f"{self._root}{request.path}{query}", encoded=True)

    def _timeout(self, request: Request) -> aiohttp.ClientTimeout:
        limits = self._timeouts
        total = limits.reply if request.poll is None else request.poll + limits.poll_grace
        return aiohttp.ClientTimeout(total=limits.connect + total, connect=limits.connect, sock_read=total)

    @asynccontextmanager
    async def _watched(self, request: Request) -> AsyncIterator[None]:
        """Keep sight of what is under way, so that closing can wait for an ordinary call and cut a long poll."""
        if request.poll is not None:
            async with asyncio.timeout(None) as cut:
                self._cuts.add(cut)
                try:
                    yield
                finally:
                    self._cuts.discard(cut)
            return
        self._under_way += 1
        self._done.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._done.set()

    @contextmanager
    def _foreign_errors(self, request: Request) -> Iterator[None]:
        """Turn what aiohttp raises into the one of our errors that says what may have happened."""
        operation, identifier = request.operation, request.subject
        try:
            yield
        except aiohttp.ClientConnectorError as error:
            raise _connect_failed(operation, identifier, error) from error
        except aiohttp.InvalidURL:
            failure = ConnectFailed(operation, identifier, "the proxy in the environment is not a URL")
            failure.is_temporary, failure.advice = (
                False,
                "Nothing was sent; write it as http://host:port in https_proxy",
            )
            raise failure from None
        except aiohttp.ConnectionTimeoutError as error:
            text = f"no connection to {self._base_url} within {self._timeouts.connect:g} s"
            raise ConnectFailed(operation, identifier, text) from error
        except _NeverMade as error:
            raise ConnectFailed(operation, identifier, str(error)) from error
        except TimeoutError as error:
            if self._is_closed and request.poll is not None:
                raise _closed_during(request) from error
            raise NoReplyInTime(operation, identifier, f"no reply from {self._base_url} in time") from error
        except (aiohttp.ClientError, _BrokenOff) as error:
            if self._is_closed:
                raise _closed_during(request) from error
            raise ConnectionLost(
                operation, identifier, f"the connection broke: {str(error) or type(error).__name__}"
            ) from error


class _BrokenOff(Exception):
    """The connection broke after it was made; not one of aiohttp's errors, so that aiohttp lets it pass."""


class _NeverMade(Exception):
    """A proxy did not make the connection."""


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
        failure: Exception = _NeverMade(f"the proxy answered {error.status} {error.message}")
    except aiohttp.ClientResponseError as error:
        failure = _BrokenOff(error.message)
    # Raised out here, so that nothing leads back to errors whose repr shows the request's headers, and so the token.
    raise failure


def _closed_during(request: Request) -> ClientClosed:
    text = f"{request.operation} {request.subject}: the client was closed during the call"
    return ClientClosed(text, may_have_happened=request.method != "GET")


def _connect_failed(operation: str, identifier: str, error: aiohttp.ClientConnectorError) -> ConnectFailed:
    failure = ConnectFailed(operation, identifier, str(error))
    if error.os_error.errno in {errno.EMFILE, errno.ENFILE}:
        failure.is_temporary = False
        failure.advice = "This process may open no more files: raise `ulimit -n`, or wait on fewer machines at once"
    elif isinstance(error, aiohttp.ClientSSLError):
        failure.is_temporary = False
        failure.advice = "Nothing was sent; the host could not prove who it is"
    return failure


def _affordable(polls: int) -> int:
    """Lower `polls` to what the limit on open files leaves, so that waits never take the last file."""
    if sys.platform == "win32":
        return polls
    soft, _ = getrlimit(RLIMIT_NOFILE)
    return max(1, min(polls, soft - RESERVED_FILES)) if soft > 0 else polls


def _connector(base_url: str) -> aiohttp.BaseConnector:
    if base_url.startswith(SOCKET):
        # The proxy behind a machine's socket was not made for connections that stay.
        return aiohttp.UnixConnector(base_url.removeprefix(SOCKET), limit=0, force_close=True)
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=15)


def _proxy(url: SplitResult) -> str | None:
    """Give the environment's proxy; one may carry TLS, but must not see a token that travels in the clear."""
    if url.scheme != "https" or proxy_bypass(url.hostname or ""):
        return None
    return getproxies().get("https")


def _is_address(host: str) -> bool:
    """Tell an IP address from a name; aiohttp keeps the cookies of addresses only when told to."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
