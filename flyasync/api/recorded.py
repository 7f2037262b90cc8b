"""A client with the settings of a recorded one, whose connections break as those did."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from flyasync.api.client import FlyClient
from flyasync.errors import CallFailed, ConnectFailed, ConnectionLost, InvalidInput
from flyasync.json_text import read_json
from flyasync.transport.credentials import Token
from flyasync.transport.request import Request, Response
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.session import Session, Timeouts


@frozen(kw_only=True)
class BrokenExchange:
    """An exchange that the network broke after some `seconds`: the class of its error, and that error's arguments."""

    error: str
    seconds: float
    failure: Mapping[str, Any]


Breaks = Callable[[str, str, tuple[tuple[str, str], ...], Any], BrokenExchange | None]
"""Returns how the network breaks a request, by its method, path, query and JSON; None for one that is to be sent."""

_ERRORS: Final[Mapping[str, type[CallFailed]]] = {"ConnectFailed": ConnectFailed, "ConnectionLost": ConnectionLost}


def client_as_recorded(
    header: Mapping[str, Any], *, token: str, base_url: str, breaks: Breaks = lambda *_: None
) -> FlyClient:
    """Return a client that pauses and gives up as the client of a recording did, by the first line of its file.

    Its limits are in memory, and requests fail as `breaks` returns. Raises InvalidInput for settings that this version
    does not know.
    """
    settings = header.get("client", {})
    try:
        retry, timeout = RetryPolicy(**settings.get("retry", {})), Timeouts(**settings.get("timeout", {}))
    except TypeError as error:
        raise InvalidInput(
            f"the client of the recording has settings that this version does not know: {error}"
        ) from None
    return _RecordedClient(breaks, token, base_url=base_url, limits="memory", retry=retry, timeout=timeout)


class _RecordedClient(FlyClient):
    def __init__(self, breaks: Breaks, token: str, **options: Any) -> None:
        self._breaks = breaks
        super().__init__(token, **options)

    def _session(self, url: str, token: Token | None, timeouts: Timeouts, max_answer: int) -> Session:
        return _BreakingSession(self._breaks, url, token, timeouts, max_answer=max_answer)


class _BreakingSession(Session):
    """A session in which some exchanges fail without a connection."""

    def __init__(self, breaks: Breaks, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._breaks = breaks

    async def exchange(self, request: Request) -> Response:
        body = None if request.content is None else read_json(request.content)
        broken = self._breaks(request.method, request.path, tuple(request.query), body)
        if broken is None:
            return await super().exchange(request)
        await asyncio.sleep(broken.seconds)
        raise _ERRORS[broken.error](request.operation, request.subject, **broken.failure)
