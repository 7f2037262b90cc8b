"""Paginated lists: pages are fetched as they are read, and an incomplete list is reported."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, Protocol, Self, TypeVar

from flyasync.api.resource import Caller, QueryValue, request
from flyasync.errors import IncompleteList, InvalidInput, Unreadable
from flyasync.models.types import Timestamp
from flyasync.transport.request import Repeat

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)

OnErrorRegions = Callable[[Sequence[str]], object]
"""Called with regions that the API could not read; not an async function, since the result is not awaited."""


class Page(Protocol[Row_co]):
    """A page of a list; if `next_cursor` is set, another page follows."""

    @property
    def rows(self) -> Sequence[Row_co]:
        """The items of the page; there may be none even if more pages follow."""

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page."""


class Pages(AsyncIterator[Row]):
    """An async iterator over the rows of a list; each page is fetched when its first row is needed.

    It can be iterated once. `error_regions` are the regions that the API could not read, according to the pages fetched
    so far. If there are any, the list ends with IncompleteList after the last row, unless a callback was passed, which
    is called with them. An exception of the callback is raised once; iterating again continues with the next row. If a
    cursor repeats, the list ends with Unreadable. To watch for changes, pass `last_updated_at`, less an overlap, as
    `updated_after`.
    """

    def __init__(
        self,
        operation: str,
        identifier: str,
        fetch: Callable[[str | None], Awaitable[Page[Row]]],
        on_error_regions: OnErrorRegions | None = None,
    ) -> None:
        callback: Any = on_error_regions
        if callback is not None and (iscoroutinefunction(callback) or iscoroutinefunction(callback.__call__)):
            raise InvalidInput("on_error_regions is an async function, but must be a normal one: it is not awaited")
        self._operation = operation
        self._identifier = identifier
        self._fetch = fetch
        self._on_error_regions = on_error_regions
        self._rows: deque[Row] = deque()
        self._cursor: str | None = None
        self._cursors: set[str] = set()
        self._is_over = False
        self._is_circular = False
        self.error_regions: tuple[str, ...] = ()
        self.last_updated_at: Timestamp | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Row:
        while not self._rows:
            # The end of 1. a list that repeats itself, 2. a list that lacks regions, 3. a complete list.
            if self._is_circular:
                problem = "the list leads back to the page it was on before"
                raise Unreadable(self._operation, self._identifier, problem, may_have_happened=False)
            if self._is_over:
                if self.error_regions and not self._on_error_regions:
                    raise IncompleteList(self._operation, self._identifier, self.error_regions)
                raise StopAsyncIteration

            page: Any = await self._fetch(self._cursor)
            self._rows.extend(page.rows)
            self._cursor = page.next_cursor
            self._is_circular = self._cursor in self._cursors
            self._is_over = not self._cursor
            if self._cursor:
                self._cursors.add(self._cursor)
            self.last_updated_at = getattr(page, "last_updated_at", None) or self.last_updated_at
            regions = getattr(page, "error_regions", None) or ()
            fresh = tuple(region for region in regions if region not in self.error_regions)
            self.error_regions += fresh
            # All state is updated before the callback is called, so that no row is repeated if it raises.
            if fresh and self._on_error_regions:
                self._on_error_regions(fresh)
        return self._rows.popleft()


def pages(
    caller: Caller,
    kind: type[Page[Row]],
    operation: str,
    identifier: str,
    *,
    to: str,
    query: Mapping[str, QueryValue],
    on_error_regions: OnErrorRegions | None = None,
) -> Pages[Row]:
    """Return the rows of a list whose pages are of type `kind`; each page is one request, which may be repeated."""

    async def fetch(cursor: str | None) -> Page[Row]:
        ask = request(operation, identifier, to=to, repeat=Repeat.ANYTIME, query={**query, "cursor": cursor})
        return await caller.read(ask, kind)

    return Pages(operation, identifier, fetch, on_error_regions)
