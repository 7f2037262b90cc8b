"""The log of requests, with counts."""

from collections import Counter, deque
from itertools import islice
from typing import NamedTuple


class LoggedRequest(NamedTuple):
    """One request: `at` in seconds since the start, `status` None if no response could be sent.

    With `cut_after` or `lose_answer` in `faults`, the status is that of the work, whose response was not sent.
    `not_served` names what the emulator does not have: fields of GraphQL such as `Query.addOn`, and unknown paths with
    their method.
    """

    seq: int
    at: float
    action: str
    identifier: str
    method: str
    path: str
    status: int | None
    faults: tuple[str, ...] = ()
    is_limited: bool = False
    not_served: tuple[str, ...] = ()


# Enough for days of a benchmark; the counts include all requests.
_KEPT = 100_000
# The number of requests whose bodies are kept, and the bytes of each body: 3 MiB in all.
_BODIES_KEPT = 200
_BODY_BYTES = 8 * 1024


class RequestLog:
    """The latest requests in the order in which they were completed, and the counts of all."""

    def __init__(self) -> None:
        self.entries: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self._bodies: deque[tuple[bytes, bytes]] = deque(maxlen=_BODIES_KEPT)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.limited: Counter[tuple[str, str]] = Counter()
        self.not_served: Counter[str] = Counter()
        self._arrived = 0
        self.ended = 0

    def __repr__(self) -> str:
        return f"<RequestLog: {self._arrived} arrived, {self.counts.total()} ended, {self.limited.total()} limited>"

    def arrive(self) -> int:
        """Return the sequence number for a new request."""
        self._arrived += 1
        return self._arrived

    def write(self, entry: LoggedRequest, asked: bytes = b"", answered: bytes = b"") -> None:
        """Record a completed request, and the bodies of the request and of the response."""
        key = (entry.action, entry.identifier)
        self.ended += 1
        self.entries.append(entry)
        self._bodies.append((asked[:_BODY_BYTES], answered[:_BODY_BYTES]))
        self.counts[key] += 1
        if entry.is_limited:
            self.limited[key] += 1
        if entry.not_served:
            self.not_served.update(entry.not_served)

    def refused_by_limit(self) -> dict[tuple[str, str], int]:
        """Return the number of requests that the rate limits refused."""
        return dict(self.limited)

    def log_as_json(self, after: int) -> list[dict[str, object]]:
        """Return the entries with numbers above `after`."""
        return [entry._asdict() for entry in self.entries if entry.seq > after]

    def latest_as_json(self, since: int = 0) -> list[dict[str, object]]:
        """Return the latest entries, newest first, with up to 8 KiB of each body that was sent; no headers.

        They are those after the first `since` that ended, at most 200; all of them if fewer than `since` have ended,
        because the log began anew.
        """
        count = self.ended - since if since <= self.ended else self.ended
        latest = islice(reversed(self.entries), min(count, len(self._bodies)))
        return [
            {**entry._asdict(), "asked": asked.decode(errors="replace"), "answered": answered.decode(errors="replace")}
            for entry, (asked, answered) in zip(latest, reversed(self._bodies), strict=False)
        ]

    def counts_as_json(self) -> list[dict[str, object]]:
        """Return the counts, sorted."""
        return [
            {"action": action, "identifier": name, "count": count, "refused_by_limit": self.limited[action, name]}
            for (action, name), count in sorted(self.counts.items())
        ]
