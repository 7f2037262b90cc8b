"""A dict that records which of its items may have changed."""

from collections.abc import Iterator
from typing import Any, TypeVar

V = TypeVar("V")


class Tracked(dict[str, V]):
    """A dict of records that records in `touched` which were looked up, added or removed by their key.

    A record may change after it was looked up by its key, or found by an iteration that ended with it. An iteration to
    the end is not recorded: a list reads all records and changes none.
    """

    def __init__(self, items: dict[str, V]) -> None:
        super().__init__(items)
        self.touched: set[str] = set()

    def __getitem__(self, key: str) -> V:
        self.touched.add(key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: V) -> None:
        self.touched.add(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self.touched.add(key)
        super().__delitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the record of a key, else the default."""
        self.touched.add(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove and return the record of a key."""
        self.touched.add(key)
        return super().pop(key, *default)

    def values(self) -> Iterator[V]:  # type: ignore[override]
        """Yield the records."""
        for key, value in super().items():
            try:
                yield value
            except GeneratorExit:
                self.touched.add(key)
                raise

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the record of a key, which is the default if there was none."""
        self.touched.add(key)
        return super().setdefault(key, default)
