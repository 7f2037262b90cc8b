"""The events of a client, for packages that must not depend on the transport."""

from flyasync.transport.events import (
    Attempt,
    ClientEvent,
    Dequeued,
    OnClientEvent,
    Outlasting,
    Paused,
    Queued,
    Span,
    log_event,
)

__all__ = [
    "Attempt",
    "ClientEvent",
    "Dequeued",
    "OnClientEvent",
    "Outlasting",
    "Paused",
    "Queued",
    "Span",
    "log_event",
]
