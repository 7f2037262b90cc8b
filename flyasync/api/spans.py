"""Spans: they show the observer of a client what its requests belong to."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flyasync.transport.events import Began, Ended, Fact, Kind, OnClientEvent, Outlasting, Span, Within, current, notify

__all__ = ["Outlasting", "Span", "Spans", "Within"]

OnRefusal = Callable[[Outlasting], None]


class Spans:
    """The spans of one client. A span begins and ends once; any number of tasks may run within it."""

    def __init__(self, on_event: OnClientEvent) -> None:
        self._on_event = on_event
        self._begun: dict[Span, float] = {}
        self._clock: Callable[[], float] = lambda: 0.0

    @property
    def current(self) -> Span | None:
        """The span that requests made here belong to."""
        return current()

    def begin(
        self, kind: Kind, name: str, facts: Mapping[str, Fact | None], *, on_refusal: OnRefusal | None = None
    ) -> Span:
        """Begin a span within the current one, notify the observer, and return the span; None facts are omitted.

        `on_refusal` is called with each refusal after which a request of the span is retried.
        """
        span = Span(
            kind, name, on_refusal=on_refusal, facts={key: fact for key, fact in facts.items() if fact is not None}
        )
        # Kept for the end of the span, when the event loop may not be running any more.
        self._clock = asyncio.get_running_loop().time
        self._begun[span] = self._clock()
        notify(self._on_event, Began(span=span))
        return span

    def end(self, span: Span) -> None:
        """End a span and notify the observer, unless the span has already ended."""
        begun = self._begun.pop(span, None)
        if begun is not None:
            notify(self._on_event, Ended(span=span, seconds=self._clock() - begun))
        # A connection keeps the context that opened it, and with it the span; it must not keep the deploy too.
        span.on_refusal = None

    def within(self, span: Span | None) -> Within:
        """Return a context in which all requests belong to `span`, including those of tasks started in it."""
        return Within(span)

    @contextmanager
    def over(self, kind: Kind, name: str, **facts: Fact | None) -> Iterator[Span]:
        """Run the block in a new span, which records an error raised in the block."""
        span = self.begin(kind, name, facts)
        try:
            with Within(span):
                yield span
        except BaseException as error:
            span.error = type(error).__name__
            raise
        finally:
            self.end(span)
