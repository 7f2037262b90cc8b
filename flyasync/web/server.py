"""The server of a live page: on this machine only, read-only, at a path that cannot be guessed."""

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

from aiohttp import web

from flyasync.deploy.markup import tag
from flyasync.deploy.reporting.page_assets import MODULES, STYLES, asset
from flyasync.errors import InvalidInput
from flyasync.web.event_feed import EventFeed

HOST: Final = "127.0.0.1"
PATIENCE: Final = 2.0
"""How long the end of the command waits for open pages to receive the last events, in seconds."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",  # a text that is inserted as markup is an error
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_TYPES: Final = {"js": "text/javascript", "css": "text/css"}


def _page(notice: str) -> str:
    above = tag("p", notice) if notice else ""
    styles = "".join(f'<link rel="stylesheet" href="{name}">' for name in STYLES)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>flyasync</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">{styles}<script type="module" src="main.js"></script></head>
<body class="live-page"><main><h1 class="unseen">flyasync, live</h1>{above}{asset("live.html")}
<noscript><p>This page is drawn by a script.</p></noscript></main></body></html>
"""


class PageServer:
    """The page, its files, and its events; `path` is the secret part of the URL, and the `notice` is shown first."""

    def __init__(self, feed: EventFeed, notice: str = "") -> None:
        self.feed = feed
        self.notice = notice
        self.path = f"/{secrets.token_urlsafe(24)}/"
        self.port = 0

    @property
    def url(self) -> str:
        """The URL of the page; who knows it can see the deploy, but change nothing."""
        return f"http://{HOST}:{self.port}{self.path}"

    def application(self) -> web.Application:
        """Return the routes, behind the check of Host and Origin."""
        made = web.Application(middlewares=[self._check])
        made.router.add_get(self.path, self._show_page)
        made.router.add_get(f"{self.path}events", self._send_events, allow_head=False)  # it would not end
        made.router.add_get(f"{self.path}{{name}}", self._show_asset)
        made.on_response_prepare.append(_add_headers)
        return made

    @web.middleware
    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests of other sites, such as after a DNS name was pointed at this machine."""
        own = {f"{name}:{self.port}" for name in (HOST, "localhost")}
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if request.host not in own or (origin is not None and origin.removeprefix("http://") not in own):
            raise web.HTTPForbidden(text="this page is only for its own host and origin")
        if site not in {"none", "same-origin"}:
            raise web.HTTPForbidden(text="this page cannot be used by another site")
        return await handler(request)

    async def _show_page(self, _: web.Request) -> web.Response:
        return web.Response(text=_page(self.notice), content_type="text/html")

    async def _show_asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in {*MODULES, *STYLES}:
            raise web.HTTPNotFound
        return web.Response(text=asset(name), content_type=_TYPES[name.rpartition(".")[2]])

    async def _send_events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with suppress(ConnectionResetError):  # the page is closed
            async with aclosing(self.feed.read()) as messages:
                async for name, content in messages:
                    await response.write(f"event: {name}\ndata: {json.dumps(content)}\n\n".encode())
        return response


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


@asynccontextmanager
async def serving(feed: EventFeed, port: int = 0, notice: str = "") -> AsyncIterator[PageServer]:
    """Serve the page of a feed until the end of the block, which waits up to 2 s for open pages to be complete.

    Port 0 is any free port. The notice is shown first. Raises InvalidInput if the port is in use.
    """
    server = PageServer(feed, notice)
    # A page that is closed ends its request, which must not end the deploy; nothing of it is logged.
    runner = web.AppRunner(server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise InvalidInput(
                f"the page cannot be served on port {port}: {error.strerror}; use another port, or 0 for any free one"
            ) from error
        server.port = runner.addresses[0][1]
        try:
            yield server
        finally:  # also after an error or a cancellation, so that a page shows that the command has ended
            await feed.close(PATIENCE)
    finally:
        await runner.cleanup()
