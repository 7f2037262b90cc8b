"""Logs: what an app's machines say, as they say it."""

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
"""Seconds between two looks at a log that says nothing new; each pause is twice the one before."""


@frozen
class Logs:
    """`fly.logs`: the log lines of an app; from api.fly.io, where flyctl has them from.

    The client's own token is redacted in them.
    """

    _caller: Caller

    def stream(
        self, app: str, *, machine: str | None = None, region: str | None = None, next_token: str = ""
    ) -> "LogStream":
        """Give the newest lines of the log, then each new one as it comes, with `async for`, until you stop.

        `machine` is the id of one machine, `region` one region's code. It asks again and again, 64 ms to 4 s apart,
        and outlasts trouble with the API; raises Unauthorized, Forbidden or NotFound, which some deploy tokens meet.
        Raises Unreadable in the place of a line that it cannot read, once: iterate again, and the next line follows.
        `next_token` goes on where the `next_token` of an earlier stream ended. (docs: monitoring/logs-api-options)
        """
        return LogStream(self._caller, app, {"instance": machine, "region": region}, next_token)

    async def recent(self, app: str, *, machine: str | None = None, region: str | None = None) -> tuple[LogLine, ...]:
        """Give the newest lines there are, oldest first: one page of the log; `machine` and `region` as for `stream`.

        Lines that cannot be read are left out. Raises what keeps the page from being read, once the client has tried
        again as with any other read (`retry`).
        """
        return await self.stream(app, machine=machine, region=region).page()


class LogStream(AsyncIterator[LogLine]):
    """The lines of a log, without end; `next_token` marks the place after the page that was read last.

    An error does not end it: with the next `async for` it goes on behind what it could not read.
    """

    def __init__(self, caller: Caller, app: str, filters: dict[str, str | None], next_token: str) -> None:
        self._caller = caller
        self._app = app
        self._filters = tuple((key, value) for key, value in filters.items() if value is not None)
        self._lines: deque[LogLine | Unreadable] = deque()
        self._pause = SHORTEST
        self._had_lines = False
        self.next_token = next_token

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LogLine:
        while not self._lines:
            if await self._look():
                self._pause = SHORTEST
            if not self._lines:
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST)
        line = self._lines.popleft()
        if isinstance(line, Unreadable):
            raise line
        return line

    async def page(self) -> tuple[LogLine, ...]:
        """Read one page, and give those of its lines that are asked for and can be read."""
        lines = self._page(await self._caller.ask(request := self._request()), request)
        return tuple(line for line in lines if not isinstance(line, Unreadable))

    async def _look(self) -> bool:
        """Read a page, and tell whether the log went on, be it with lines that nobody asked for."""
        request = self._request()
        try:
            answer = await self._caller.ask(request)
        except TROUBLE as error:
            if isinstance(error, ConnectFailed) and not error.is_temporary:
                raise
            return False
        before = self.next_token
        wanted = self._page(answer, request)
        self._lines.extend(wanted)
        return bool(wanted) or (self._had_lines and self.next_token != before)

    def _page(self, answer: Any, request: Request) -> list[LogLine | Unreadable]:
        """Take note of the place after a page, and give what is asked for of it."""
        try:
            # The place is noted first: what cannot be read must not be met again at each look.
            self.next_token = (answer.get("meta") or {}).get("next_token") or self.next_token
            redacted = self._caller.redaction(request)  # an app may print the token that it deploys with
            lines = [_read(row, request, redacted) for row in answer["data"] or ()]
        except (KeyError, TypeError, AttributeError) as error:
            raise _unreadable(request, "the answer is no page of a log", error) from error
        self._had_lines = bool(lines)
        return [line for line in lines if isinstance(line, Unreadable) or self._is_asked_for(line)]

    def _is_asked_for(self, line: LogLine) -> bool:
        """Tell whether the line is one of those wanted; the API's own filters are known to let others through."""
        return all(getattr(line, key) in {None, "", value} for key, value in self._filters)

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
    """Give the line, or the error to be raised in its place."""
    try:
        line = structure(_flat(row), LogLine)
        return evolve(line, message=redacted(line.message)) if line.message else line
    except (Mismatch, KeyError, TypeError, AttributeError) as error:
        return _unreadable(request, "a line on this page of a log is not as documented", error)


def _unreadable(request: Request, message: str, cause: Exception) -> Unreadable:
    unreadable = request.unreadable(message, advice="Go on reading: the next line follows")
    unreadable.__cause__ = cause
    return unreadable


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Put what is said of a line beside its id."""
    return {**{key: value for key, value in row.items() if key != "attributes"}, **(row["attributes"] or {})}
