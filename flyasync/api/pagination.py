"""Lists that come in pages: fetched as they are read, and never quietly incomplete."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any, Protocol, Self, TypeVar

from flyasync.errors import IncompleteList, InvalidInput, Unreadable
from flyasync.models.types import Timestamp

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)

OnErrorRegions = Callable[[Sequence[str]], object]
"""Is told of regions that could not be read; a plain function, since nobody awaits what it gives."""


class Page(Protocol[Row_co]):
    """A page of a list; there is another one while `next_cursor` is set."""

    @property
    def rows(self) -> Sequence[Row_co]:
        """What the page holds; maybe nothing, even when more is to come."""

    @property
    def next_cursor(self) -> str | None:
        """What to ask for the next page with."""


class Pages(AsyncIterator[Row]):
    """The rows of a list, one by one; the next page is fetched when a row of it is wanted.

    It can be read once. `error_regions` are those that the API could not read, on the pages fetched so far; a list
    that has some ends with IncompleteList after its last row, unless whoever asked for it wanted to be told of them.
    Should the one who is told raise, it comes out once, and the list goes on with the next row. A list that leads
    back to a page it had before ends with Unreadable after the last row that is new.
    `last_updated_at` is the moment to ask `updated_after`, less an overlap, when watching for changes.
    """

    def __init__(
        self,
        operation: str,
        identifier: str,
        fetch: Callable[[str | None], Awaitable[Page[Row]]],
        on_error_regions: OnErrorRegions | None = None,
    ) -> None:
        _demand_plain(on_error_regions)
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
            if self._is_over:
                self._end()
            await self._turn_page()
        return self._rows.popleft()

    async def _turn_page(self) -> None:
        page = await self._fetch(self._cursor)
        # Everything is in its place before anybody is told, so that no error makes a row come twice.
        self._rows.extend(page.rows)
        self._follow(page.next_cursor)
        self._note(page)

    def _follow(self, cursor: str | None) -> None:
        self._cursor = cursor
        self._is_circular = cursor in self._cursors
        self._is_over = not cursor or self._is_circular
        self._cursors |= {cursor} if cursor else set()

    def _note(self, page: Any) -> None:
        self.last_updated_at = getattr(page, "last_updated_at", None) or self.last_updated_at
        regions = getattr(page, "error_regions", None) or ()
        fresh = tuple(region for region in regions if region not in self.error_regions)
        self.error_regions += fresh
        if fresh and self._on_error_regions:
            self._on_error_regions(fresh)

    def _end(self) -> None:
        if self._is_circular:
            raise Unreadable(
                self._operation,
                self._identifier,
                "the list leads back to the page it was on before",
                may_have_happened=False,
            )
        if self.error_regions and not self._on_error_regions:
            raise IncompleteList(self._operation, self._identifier, self.error_regions)
        raise StopAsyncIteration


def _demand_plain(callback: Any) -> None:
    if callback is not None and (iscoroutinefunction(callback) or iscoroutinefunction(callback.__call__)):
        raise InvalidInput("on_error_regions is an async function, which nobody would await: give a plain one")
