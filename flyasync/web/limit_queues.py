"""The queues of the rate limits, and their pauses, from the events of a client."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from attrs import define, field

from flyasync.api.client_events import ClientEvent, Dequeued, Paused, Queued, Span

MOST_QUEUES = 12
MOST_NAMES = 3
"""How many queues, and how many machines of each, are shown."""

_Key = tuple[str, str]
_Ticket = tuple[int, int]


@define
class LimitQueues:
    """Who waits for which limit since when, and which limits are paused; times are those of the loop."""

    _name_of: Callable[[Span | None], str | None]
    _waiting: dict[_Key, dict[_Ticket, tuple[float, str | None]]] = field(factory=dict, repr=False)
    _paused: dict[tuple[str, str | None], float] = field(factory=dict, repr=False)
    revision: int = 0

    def record(self, event: ClientEvent) -> None:
        """Update the queues from an event; other events than those of queues and pauses change nothing."""
        now = asyncio.get_running_loop().time()
        match event:
            case Queued(operation=operation, identifier=identifier):
                queue = self._waiting.setdefault((operation, identifier), {})
                queue[_ticket(event)] = now, self._name_of(event.span)
            case Dequeued(operation=operation, identifier=identifier):
                queue = self._waiting.get((operation, identifier), {})
                queue.pop(_ticket(event), None)
                if not queue:
                    self._waiting.pop((operation, identifier), None)
            case Paused():
                self._paused[event.operation, event.identifier] = now + event.seconds
            case _:
                return
        self.revision += 1

    def as_json(self, zero: float) -> dict[str, Any]:
        """Return the queues with the longest waits first, and the pauses; times are in seconds since `zero`."""
        now = asyncio.get_running_loop().time()
        self._paused = {key: until for key, until in self._paused.items() if until > now}
        queues = sorted(self._queues(zero), key=lambda queue: queue["oldest"])
        paused = [
            {"operation": operation, "identifier": identifier, "until": round(until - zero, 3)}
            for (operation, identifier), until in self._paused.items()
        ]
        return {"at": round(now - zero, 3), "queues": queues[:MOST_QUEUES], "paused": paused}

    def _queues(self, zero: float) -> Iterator[dict[str, Any]]:
        for (operation, identifier), queue in self._waiting.items():
            oldest, _ = next(iter(queue.values()))  # a dict keeps the order in which they were queued
            yield {
                "operation": operation,
                "identifier": identifier,
                "waiting": len(queue),
                "oldest": round(oldest - zero, 3),
                "who": list(_names(who for _, who in queue.values())),
            }


def machine_of(span: Span | None) -> str | None:
    """Return the name of the machine that a request belongs to, None if it belongs to none."""
    return span.name if span is not None and span.kind == "machine" else None


def machine_in_app(span: Span | None) -> str | None:
    """Return the name of the machine below that of its app, since names repeat in the apps of a bulk deploy."""
    return f"{app_of(span)}/{span.name}" if span is not None and span.kind == "machine" else None


def app_of(span: Span | None) -> str | None:
    """Return the app of the deploy that a request belongs to, None if it belongs to none."""
    while span is not None and span.kind != "deploy":
        span = span.parent
    return span.name if span is not None else None


def _ticket(event: Queued | Dequeued) -> _Ticket:
    """Return what the two events of one wait have in common."""
    return id(event.span), event.number


def _names(who: Iterable[str | None]) -> Iterator[str]:
    return islice((name for name in who if name), MOST_NAMES)
