"""What the fields of all types share: resolvers, connections, times, and the user."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.world.world import World

Resolver = Callable[..., Any]
"""Called with the world, the value of the parent, and the arguments in snake case."""
Fields = Mapping[str, Resolver]
"""The fields of a type that are not simply an attribute of its record."""

USER: Mapping[str, Any] = {
    "__typename": "User",
    "id": "emulator-user",
    "name": "Emulator",
    "email": "emulator@example.com",
    "enable_paid_hobby": True,
}
"""The only user, to whom every token belongs."""


def connection(nodes: Sequence[Any], first: int | None = None, after: str | None = None, **_others: Any) -> Json:
    """Return `first` nodes after a cursor, which is the number of the nodes before it, as text."""
    if after and not after.isdecimal():
        raise bad_request(f"invalid cursor: {after!r}")
    start = int(after or 0)
    end = len(nodes) if first is None else min(len(nodes), start + max(0, first))
    page = nodes[start:end]
    return {
        "nodes": page,
        "total_count": len(nodes),
        "page_info": {
            "start_cursor": str(start) if page else None,
            "end_cursor": str(end) if page else None,
            "has_next_page": end < len(nodes),
            "has_previous_page": start > 0,
        },
    }


def empty(_world: World, _parent: Any, **_page: Any) -> Json:
    """Return a connection without nodes, of what no app and no organization of the emulator has."""
    return {**connection(()), "edges": ()}


def stamp(attribute: str) -> Resolver:
    """Return the resolver of a time that is an attribute of the record, in seconds."""
    return lambda world, record: world.stamp(getattr(record, attribute))
