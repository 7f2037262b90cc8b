"""The console: a page for the browser at `/`, which reads and changes the world through the control routes."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from typing import Final

from aiohttp import web

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@cache
def _asset(name: str) -> str:
    from importlib.resources import files  # it loads slowly, and few emulators are looked at

    return files("flyasync.emulator.http").joinpath("console", name).read_text(encoding="utf-8")


async def _send(name: str, content_type: str, _: web.BaseRequest) -> web.Response:
    return web.Response(text=_asset(name), content_type=content_type, headers=_HEADERS)


async def _show_page(request: web.BaseRequest) -> web.Response:
    # A client that looks for an API at `/` finds none, as at Fly.
    if "text/html" not in request.headers.get("Accept", ""):
        raise web.HTTPNotFound
    return await _send("console.html", "text/html", request)


ROUTES: Final[tuple[tuple[str, str, Callable[[web.BaseRequest], Awaitable[web.Response]]], ...]] = (
    ("GET", "/", _show_page),
    ("GET", "/_emulator/console.js", partial(_send, "console.js", "text/javascript")),
    ("GET", "/_emulator/console.css", partial(_send, "console.css", "text/css")),
)
