"""Finds where the buckets of a client are kept: in memory, in files, or in a server."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from flyasync.errors import InvalidInput
from flyasync.transport.credentials import PUBLIC_URL, SOCKET
from flyasync.transport.events import OnClientEvent, Paused, notify
from flyasync.transport.ratelimit.buckets import Limiter, MakeLimiter, local_limiter
from flyasync.transport.ratelimit.rates import Limits, Rate, without_password
from flyasync.transport.ratelimit.shared import SharedLimits, Store

VARIABLE = "FLYASYNC_LIMITS"
SERVERS = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")
INSIDE = "_api.internal"
PORTS = {"http": 80, "https": 443}


def find_store(limits: Limits) -> Store | None:
    """Make the store that `limits` names, or else the environment; None for the client's own memory."""
    source, name = ("shared", limits.shared) if limits.shared else (VARIABLE, os.environ.get(VARIABLE, ""))
    text = name.strip()
    kind, _, rest = text.partition(":")
    # 1. The client's own memory.
    if text in {"", "memory"}:
        return None
    # 2. Locked files, of this host.
    if kind == "file":
        directory = rest.removeprefix("//")
        if sys.platform == "win32":
            raise InvalidInput(
                f"{source} is 'file', but files cannot be locked on this system: use redis://HOST:PORT/DB"
            )
        if directory and not Path(directory).is_absolute():
            raise InvalidInput(
                f"{source} is 'file:{directory}', but all processes must mean the same: give the whole path"
            )
        from flyasync.transport.ratelimit.file import FileStore  # it needs fcntl, which Windows lacks

        return FileStore(Path(directory) if directory else None)
    # 3. A server.
    if text.startswith(SERVERS):
        if find_spec("redis") is None:
            raise InvalidInput(
                f"{source} names a server, which needs the package redis: pip install 'flyasync[redis]'; "
                "the processes of one host can share by 'file' without it"
            )
        from flyasync.transport.ratelimit.redis import RedisStore  # it needs the extra `redis`

        return RedisStore(text.replace("valkey", "redis", 1) if text.startswith("valkey") else text)
    raise InvalidInput(
        f"{source} is {without_password(text)!r}, but limits are kept in memory, file, file:DIRECTORY, "
        "redis://HOST:PORT/DB, rediss://… or unix://PATH (valkey:// and valkeys:// are the same as redis)"
    )


def make_limiters(limits: Limits, base_url: str, on_event: OnClientEvent) -> tuple[MakeLimiter, SharedLimits | None]:
    """Return what makes the limiters of the API at `base_url`, and what to close in the end, if anything."""
    store = find_store(limits)
    if store is None:
        return local_limiter, None
    shared = SharedLimits(store, on_event, workers=limits.workers)
    name = budget(base_url)

    def make(operation: str, identifier: str | None, rate: Rate) -> Limiter:
        def on_news(seconds: float) -> None:
            notify(on_event, Paused(operation=operation, identifier=identifier, seconds=seconds, is_ours=False))

        return shared.limiter(":".join([name, operation, *filter(None, [identifier])]), rate, on_news)

    return make, shared


def budget(base_url: str) -> str:
    """Name what the API counts together: every URL of the Machines API is one budget, and each emulator is another."""
    parts = urlsplit(base_url)
    if base_url.startswith(SOCKET) or parts.hostname in {INSIDE, urlsplit(PUBLIC_URL).hostname}:
        return "fly"
    return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"
