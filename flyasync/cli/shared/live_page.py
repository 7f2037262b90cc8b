"""`--web`: the live page of a command, and whether a browser is opened for it."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING

from attrs import frozen

from flyasync.api.client import FlyClient
from flyasync.api.client_events import ClientEvent, log_event
from flyasync.errors import FlyError
from flyasync.models.region import Region

if TYPE_CHECKING:
    from flyasync.web.event_feed import EventFeed


@frozen(kw_only=True)
class LivePage:
    """The settings of a live page: its port, 0 for any free one, and whether a browser may be opened."""

    port: int
    may_open: bool

    @classmethod
    def of(cls, port: int | None, *, no_open: bool) -> "LivePage | None":
        """Return the settings of a command line, None without --web."""
        return None if port is None else cls(port=port, may_open=not no_open)

    @asynccontextmanager
    async def serving(
        self, note: Callable[[str], None], *, of_many: bool = False, notice: str = ""
    ) -> "AsyncIterator[EventFeed]":
        """Serve the page until the end of the block, show its URL, and open it where a person can see it.

        On a page `of_many` apps, the name of a machine has that of its app before it. The `notice` is shown first.
        """
        from flyasync.web.event_feed import EventFeed
        from flyasync.web.limit_queues import machine_in_app, machine_of
        from flyasync.web.server import serving  # aiohttp's server loads slowly

        feed = EventFeed(machine_in_app if of_many else machine_of)
        async with serving(feed, self.port, notice) as server:
            note(f"live page: {server.url}")
            if self.may_open and sys.stdout.isatty() and has_display(os.environ, sys.platform):
                import webbrowser  # as slow

                open_aside(webbrowser.open, server.url)
            yield feed


def open_aside(open_url: Callable[[str], object], url: str) -> None:
    """Open a URL in a thread that neither the command nor its end waits for: `BROWSER` may be one that stays."""
    Thread(target=open_url, args=(url,), daemon=True).start()


def client_observer(feed: "EventFeed | None") -> Callable[[ClientEvent], None]:
    """Return the observer of a client: the log, and the live page if there is one."""
    if feed is None:
        return log_event

    def observe(event: ClientEvent) -> None:
        log_event(event)
        feed.observe(event)

    return observe


async def listed_regions(fly: FlyClient) -> tuple[Region, ...]:
    """Return the platform's regions for a map; none if they cannot be read, as it has those that Fly.io publishes."""
    with suppress(FlyError):
        return tuple((await fly.platform.regions()).regions)
    return ()


def has_display(environment: Mapping[str, str], platform: str) -> bool:
    """Whether this machine can show a browser: always on macOS and Windows, else with an X or Wayland display."""
    if "SSH_CONNECTION" in environment:
        return False
    return platform in {"darwin", "win32"} or bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
