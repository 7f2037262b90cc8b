"""The trace context of jobs that run in other processes: their spans belong to the trace in which they were sent.

The format is that of the propagators that OpenTelemetry is configured with: by default W3C `traceparent` and `baggage`.
Without OpenTelemetry in a process, that process neither sends nor uses a context.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def current_trace_context() -> dict[str, str]:
    """Return the current trace context as headers; there is none in a program that has not imported OpenTelemetry."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry import propagate

    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


@contextmanager
def in_trace_context(headers: Mapping[str, str]) -> Iterator[None]:
    """Make spans of the block children of the span that `headers` name, if OpenTelemetry is installed."""
    if not headers:
        yield
        return
    try:
        from opentelemetry import context, propagate
    except ImportError:
        yield
        return
    token = context.attach(propagate.extract(headers))
    try:
        yield
    finally:
        context.detach(token)
