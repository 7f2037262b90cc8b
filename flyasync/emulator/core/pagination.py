"""Long lists a page at a time, with a cursor that says after what the next one begins."""

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
    """Some items, and the cursor for more; it is empty on the last page."""

    items: list[T]
    next_cursor: str


def page(items: Iterable[T], *, key: Callable[[T], Key], cursor: str, limit: int) -> ListPage[T]:
    """Give the first items, in the order of their keys, that come after the cursor."""
    left = sorted(_after(list(items), key, cursor), key=key)
    shown = left[:limit]
    return ListPage(shown, _encode(key(shown[-1])) if len(left) > limit else "")


def size(asked: int | None, *, usual: int, most: int) -> int:
    """Give how many items a page shall have; less than one is refused, too many are cut down."""
    if asked is not None and asked < 1:
        raise bad_request(f"invalid limit: {asked}")
    return min(asked or usual, most)


def _after(items: list[T], key: Callable[[T], Key], cursor: str) -> list[T]:
    if not cursor:
        return items
    try:
        last = tuple(parse(base64.urlsafe_b64decode(cursor)))
        return [item for item in items if key(item) > last]
    except (ApiError, ValueError, TypeError):
        raise bad_request("invalid cursor") from None


def _encode(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()
