"""The feed of a live page: everything that has happened, from which each page reads at its own speed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from flyasync.api.client_events import Attempt, ClientEvent, Outlasting, Span
from flyasync.deploy.reporting.events import Event
from flyasync.deploy.reporting.page_assets import positions_of
from flyasync.deploy.reporting.page_events import page_event
from flyasync.deploy.reporting.timeline_replay import page_words, printable_json
from flyasync.models.redaction import without_passwords
from flyasync.models.region import Region
from flyasync.web.limit_queues import LimitQueues, app_of, machine_of

EVERY = 0.1
"""The minimum time between two messages to a page, in seconds."""

LIMITS_EVERY = 0.5
"""The minimum time between two states of the rate limits, in seconds."""

MOST_EVENTS = 500
"""How many events are in one message, so that a page that is opened late does not hold up the deploy."""

Json = dict[str, Any]


class EventFeed:
    """What a page shows, in order: the events of a deploy, the failed requests, and the queues of the rate limits.

    A page holds a position in it, and no queue: a slow or closed page costs no memory. Events become JSON only when the
    first page reads them. `name_of` returns the name under which the page shows the machine of a span.
    """

    def __init__(self, name_of: Callable[[Span | None], str | None] = machine_of) -> None:
        self._name_of = name_of
        self._positions = positions_of(())
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        self._events: list[Json | Callable[[], Json] | None] = []  # None where another event has replaced one
        self._of: dict[str, list[int]] = {}
        self._queues = LimitQueues(name_of)
        self._news = asyncio.Event()
        self._is_closed = False
        self._readers = 0
        self._drained = asyncio.Event()

    def locate(self, regions: Iterable[Region]) -> None:
        """Put the platform's regions on the map; until then it has the positions that Fly.io publishes."""
        self._positions = positions_of(regions)

    def show(self, event: Event) -> None:
        """Add an event of the deploy."""
        self._zero = self._loop.time() - event.at  # the clock of the page is that of the deploy
        self._add(lambda: printable_json(page_event(event)))

    def add(self, event: Json, of: str | None = None) -> None:
        """Add an event that is JSON already; its `at` is now. `of` is its app, for `replace`."""
        self._add(printable_json({"at": self.now, **event}), of)

    def add_later(self, make: Callable[[], Json], of: str | None = None) -> None:
        """Add an event that becomes JSON when a page reads it; its `at` is now."""
        at = self.now
        self._add(lambda: printable_json({**make(), "at": at}), of)

    def replace(self, of: str, event: Json) -> None:
        """Add an event instead of the earlier ones of an app, which pages that are opened later do not get."""
        for number in self._of.pop(of, ()):
            self._events[number] = None
        self.add(event, of)

    def observe(self, event: ClientEvent) -> None:
        """Add an event of the client: a request that failed, a refusal that is retried, a queue or a pause."""
        match event:
            case Attempt() if not event.went_well:
                self.add(
                    {
                        "event": "request",
                        "machine": self._name_of(event.span),
                        "operation": event.operation,
                        "identifier": event.identifier,
                        "error": event.error,
                        "status": event.status,
                        "request_id": event.request_id,
                    },
                    app_of(event.span),
                )
            case Outlasting(times=1):
                self.add(
                    {
                        "event": "refused",
                        "machine": self._name_of(event.span),
                        "operation": event.operation,
                        "identifier": event.identifier,
                        "message": without_passwords(event.message),
                        "pause": round(event.pause, 1),
                    },
                    app_of(event.span),
                )
            case _:
                self._queues.record(event)

    async def read(self) -> AsyncGenerator[tuple[str, Json], None]:
        """Yield the name and the content of each message to a page: a snapshot, then what is new, then the end.

        What does not fit into the snapshot follows at once, in further messages.
        """
        self._readers += 1
        self._drained.clear()
        try:
            revision, limits_at = self._queues.revision, self._loop.time()
            first, position = self._since(0)
            snapshot = {"words": page_words(), "positions": self._positions, **first}
            yield "snapshot", {**snapshot, "limits": self._queues.as_json(self._zero)}
            while not (self._is_closed and position == len(self._events)):
                # 1. Wait for news; the queues of the limits are news too, but they change too often to wait for.
                self._news.clear()
                if position == len(self._events) and not self._is_closed:
                    await self._news_within(LIMITS_EVERY)
                # 2. What is new is one message. The limits are in it if they have changed, but not in every one.
                news, position = self._since(position)
                if revision != self._queues.revision and self._loop.time() - limits_at >= LIMITS_EVERY:
                    revision, limits_at = self._queues.revision, self._loop.time()
                    news["limits"] = self._queues.as_json(self._zero)
                if news["events"] or "limits" in news:
                    yield "batch", news
                # 3. What happens meanwhile is in the next message, and so is what was too much for this one.
                is_behind = position < len(self._events)
                if is_behind or not self._is_closed:
                    await asyncio.sleep(0 if is_behind else EVERY)
            yield "end", {}
        finally:
            self._readers -= 1
            if not self._readers:
                self._drained.set()

    async def close(self, patience: float) -> None:
        """Send the end to the pages, and wait at most `patience` seconds until they have read everything."""
        self._is_closed = True
        self._news.set()
        if self._readers:
            try:
                async with asyncio.timeout(patience):
                    await self._drained.wait()
            except TimeoutError:
                return

    @property
    def now(self) -> float:
        """The time on the clock of the page, in seconds."""
        return round(self._loop.time() - self._zero, 3)

    def _add(self, event: Json | Callable[[], Json], of: str | None = None) -> None:
        if of is not None:
            self._of.setdefault(of, []).append(len(self._events))
        self._events.append(event)
        self._news.set()

    async def _news_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _since(self, position: int) -> tuple[Json, int]:
        """Return the next events from a position, and the position after them."""
        end = min(position + MOST_EVENTS, len(self._events))
        for number in range(position, end):
            event = self._events[number]
            if callable(event):
                self._events[number] = event()
        return {"now": self.now, "events": [event for event in self._events[position:end] if event is not None]}, end
