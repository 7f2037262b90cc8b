"""What the server of the session's benchmark answers with, as Fly.io does: a machine of about 3 kB, or a list."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.parts.decoding_documents import listed, machine
from benchmarks.shared import servers

HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Fly-Request-Id": "01K4AS19K057WY04RHM2N58YBV-yyz",
    "Fly-Span-Id": "6a1d0f1a7c3e9b52",
    "Server": "Fly/cc4ee5f1",
    "Via": "2 fly.io",
}


def one() -> bytes:
    """Give a machine of about 3 kB, with a dozen of its events."""
    shown = machine(1)
    return json.dumps({**shown, "events": shown["events"] * 6}, separators=(",", ":")).encode()


@contextmanager
def answering(machines: int) -> Iterator[str]:
    """Have it answer until the block ends, with lists of so many machines; give its URL."""
    path = "/v1/apps/{app}/machines"
    bodies = {f"GET {path}": listed(machines), f"POST {path}": one(), f"GET {path}/{{id}}": one()}
    with servers.answering(bodies, HEADERS) as server:
        yield server.url
