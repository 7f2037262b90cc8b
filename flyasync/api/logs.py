"""Logs: the output of an app's machines."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self

from attrs import evolve, frozen

from flyasync.api.resource import TROUBLE, Caller
from flyasync.errors import ConnectFailed, Unreadable
from flyasync.models.json.codec import Mismatch, structure
from flyasync.models.log_line import LogLine
from flyasync.transport.request import Repeat, Request, path

SHORTEST: Final = 0.064
LONGEST: Final = 4.096
"""Seconds between two requests for a log that does not grow; each pause is twice the previous one."""


@frozen
class Logs:
    """`fly.logs`: the log lines of an app; from api.fly.io, as flyctl reads them.

    The client's own token is redacted in them.
    """

    _caller: Caller

    def stream(
        self, app: str, *, machine: str | None = None, region: str | None = None, next_token: str = ""
    ) -> "LogStream":
        """Yield the newest lines of the log, then each new one as it comes, with `async for`, until you stop.

        `machine` is the id of one machine, `region` one region's code. It polls every 64 ms to 4 s, and continues after
        temporary errors of the API. Raises Unauthorized, Forbidden or NotFound, for example because some deploy tokens
        cannot read logs. Raises Unreadable once for a line that it cannot read: iterate again to continue with the next
        line. `next_token` continues where an earlier stream with that `next_token` ended. (docs:
        monitoring/logs-api-options)
        """
        return LogStream(self._caller, app, {"instance": machine, "region": region}, next_token)

    async def recent(self, app: str, *, machine: str | None = None, region: str | None = None) -> tuple[LogLine, ...]:
        """Return the newest lines, oldest first: one page of the log; `machine` and `region` as for `stream`.

        Lines that cannot be read are left out. Raises an error if the page cannot be read after the usual retries
        (`retry`).
        """
        return await self.stream(app, machine=machine, region=region).page()


class LogStream(AsyncIterator[LogLine]):
    """An endless async iterator over the lines of a log; `next_token` is the position after the last page read.

    An error does not end it: the next `async for` continues after the line or page that could not be read.
    """

    def __init__(self, caller: Caller, app: str, filters: dict[str, str | None], next_token: str) -> None:
        self._caller = caller
        self._app = app
        self._filters = tuple((key, value) for key, value in filters.items() if value is not None)
        self._lines: deque[LogLine | Unreadable] = deque()
        self._pause = SHORTEST
        self._had_lines = False  # whether the last page had lines, including those that were filtered out
        self.next_token: str = next_token

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LogLine:
        while not self._lines:
            request, before = self._request(), self.next_token
            is_longer = False
            try:
                response = await self._caller.ask(request)
            except TROUBLE as error:
                # Continue after a temporary error, but not if a connection can never be made.
                if isinstance(error, ConnectFailed) and not error.is_temporary:
                    raise
            else:
                self._lines.extend(self._page(response, request))
                # If the page had only lines that were filtered out, the next lines may follow soon.
                is_longer = bool(self._lines) or (self._had_lines and self.next_token != before)
            if is_longer:
                self._pause = SHORTEST
            if not self._lines:
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST)
        line = self._lines.popleft()
        if isinstance(line, Unreadable):
            raise line
        return line

    async def page(self) -> tuple[LogLine, ...]:
        """Read one page, and return its lines that pass the filters and can be read."""
        lines = self._page(await self._caller.ask(request := self._request()), request)
        return tuple(line for line in lines if not isinstance(line, Unreadable))

    def _page(self, response: Any, request: Request) -> list[LogLine | Unreadable]:
        """Record the position after a page, and return its lines that pass the filters."""
        try:
            # The position is read first, so that the next request does not return the same unreadable line.
            self.next_token = (response.get("meta") or {}).get("next_token") or self.next_token
            redacted = self._caller.redaction(request)  # an app may print the token that it deploys with
            lines = [_read(row, request, redacted) for row in response["data"] or ()]
        except (KeyError, TypeError, AttributeError) as error:
            raise _unreadable(request, "the response is not a page of a log", error) from error
        self._had_lines = bool(lines)
        # Filter again, since the API's filters let some other lines through.
        return [
            line
            for line in lines
            if isinstance(line, Unreadable)
            or all(getattr(line, key) in {None, "", value} for key, value in self._filters)
        ]

    def _request(self) -> Request:
        return Request(
            operation="logs.stream",
            identifier=self._app,
            method="GET",
            path=f"/api{path('apps', self._app, 'logs')}",
            repeat=Repeat.ANYTIME,
            query=(("next_token", self.next_token), *self._filters),
        )


def _read(row: Any, request: Request, redacted: Callable[[str], str]) -> LogLine | Unreadable:
    """Return the line, or the error to raise in its place."""
    try:
        # The id of a line is next to its `attributes`, not in it.
        members = {key: value for key, value in row.items() if key != "attributes"}
        line = structure({**members, **(row["attributes"] or {})}, LogLine)
        return evolve(line, message=redacted(line.message)) if line.message else line
    except (Mismatch, KeyError, TypeError, AttributeError) as error:
        return _unreadable(request, "a line on this page of a log is not as documented", error)


def _unreadable(request: Request, message: str, cause: Exception) -> Unreadable:
    unreadable = request.unreadable(message, advice="Continue the iteration: the next line follows")
    unreadable.__cause__ = cause
    return unreadable
