"""Select the store of a client's buckets: memory, files, or a server."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flyasync.errors import InvalidInput
from flyasync.transport.credentials import PUBLIC_URL, SOCKET
from flyasync.transport.events import OnClientEvent, Paused, notify
from flyasync.transport.ratelimit.buckets import Limiter, MakeLimiter, local_limiter
from flyasync.transport.ratelimit.rates import Limits, Rate, without_password

if TYPE_CHECKING:
    from flyasync.transport.ratelimit.shared import SharedLimits, Store

VARIABLE = "FLYASYNC_LIMITS"
SERVERS = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")
INSIDE = "_api.internal"
PORTS = {"http": 80, "https": 443}


def find_store(limits: Limits) -> "Store | None":
    """Return the store that `limits` or else the environment names; None for the client's own memory."""
    source, name = ("shared", limits.shared) if limits.shared else (VARIABLE, os.environ.get(VARIABLE, ""))
    text = name.strip()
    kind, _, rest = text.partition(":")
    # 1. The client's own memory.
    if text in {"", "memory"}:
        return None
    # 2. Locked files on this host.
    if kind == "file":
        directory = rest.removeprefix("//")
        if sys.platform == "win32":
            raise InvalidInput(
                f"{source} is 'file', but files cannot be locked on this system: use redis://HOST:PORT/DB"
            )
        if directory and not Path(directory).is_absolute():
            raise InvalidInput(
                f"{source} is 'file:{directory}', but must contain an absolute path, which is the same in all processes"
            )
        from flyasync.transport.ratelimit.file import FileStore  # it needs fcntl, which Windows lacks

        return FileStore(Path(directory) if directory else None)
    # 3. A server.
    if text.startswith(SERVERS):
        if find_spec("redis") is None:
            raise InvalidInput(
                f"{source} names a server, which needs the package redis: pip install 'flyasync[redis]'. "
                "The processes of one host can also share limits with 'file', without this package"
            )
        from flyasync.transport.ratelimit.redis import RedisStore  # it needs the extra `redis`

        return RedisStore(text.replace("valkey", "redis", 1) if text.startswith("valkey") else text)
    raise InvalidInput(
        f"{source} is {without_password(text)!r}, but must be memory, file, file:DIRECTORY, redis://HOST:PORT/DB, "
        "rediss://… or unix://PATH (valkey:// and valkeys:// work like redis:// and rediss://)"
    )


def make_limiters(limits: Limits, base_url: str, on_event: OnClientEvent) -> "tuple[MakeLimiter, SharedLimits | None]":
    """Return a factory of limiters for the API at `base_url`, and the shared limits to close at the end, if any."""
    store = find_store(limits)
    if store is None:
        return local_limiter, None
    from flyasync.transport.ratelimit.shared import SharedLimits  # most clients have limits of their own

    shared = SharedLimits(store, on_event, workers=limits.workers)
    name = budget(base_url)

    def make(operation: str, identifier: str | None, rate: Rate) -> Limiter:
        def on_news(seconds: float) -> None:
            notify(on_event, Paused(operation=operation, identifier=identifier, seconds=seconds, is_ours=False))

        return shared.limiter(":".join([name, operation, *filter(None, [identifier])]), rate, on_news)

    return make, shared


def budget(base_url: str) -> str:
    """Return the name of the budget at `base_url`: one for all URLs of the Machines API, one for each emulator."""
    parts = urlsplit(base_url)
    if base_url.startswith(SOCKET) or parts.hostname in {INSIDE, urlsplit(PUBLIC_URL).hostname}:
        return "fly"
    return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"
