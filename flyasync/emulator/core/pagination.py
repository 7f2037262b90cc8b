"""Pagination of lists, with a cursor that contains the key of the last item."""

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from attrs import frozen

from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.go_json import parse

T = TypeVar("T")
Key = tuple[Any, ...]


@frozen
class ListPage(Generic[T]):
    """A page of items, and the cursor of the next page, which is empty on the last page."""

    items: list[T]
    next_cursor: str


def page(items: Iterable[T], *, key: Callable[[T], Key], cursor: str, limit: int) -> ListPage[T]:
    """Return the first items, in the order of their keys, that come after the cursor."""
    left = list(items)
    # The cursor is a key, not a position: items that are added or removed between pages neither shift nor hide others.
    if cursor:
        try:
            last = tuple(parse(base64.urlsafe_b64decode(cursor)))
            left = [item for item in left if key(item) > last]
        except (ApiError, ValueError, TypeError):
            raise bad_request("invalid cursor") from None
    left.sort(key=key)
    shown = left[:limit]
    more = base64.urlsafe_b64encode(json.dumps(key(shown[-1])).encode()).decode() if len(left) > limit else ""
    return ListPage(shown, more)


def size(asked: int | None, *, usual: int, most: int) -> int:
    """Return the number of items of a page: raise 400 below 1, and cap it at the maximum."""
    if asked is not None and asked < 1:
        raise bad_request(f"invalid limit: {asked}")
    return min(asked or usual, most)
