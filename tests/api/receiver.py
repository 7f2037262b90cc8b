"""A server of the user's own, which receives notifications and answers by a script."""

import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from attrs import Factory, define, frozen


@frozen
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def is_signed_by(self, key: str) -> bool:
        """Check the signature as a receiver does."""
        signed = self.headers["X-Flyasync-Timestamp"].encode() + b"." + self.body
        expected = f"sha256={hmac.new(key.encode(), signed, 'sha256').hexdigest()}"
        return hmac.compare_digest(expected, self.headers["X-Flyasync-Signature-256"])


@define
class Receiver:
    """What has arrived at `url`; the last status of the script is repeated."""

    statuses: list[int]
    url: str = ""
    received: list[Received] = Factory(list)

    async def answer(self, request: web.Request) -> web.Response:
        """Record a request, and answer with the next status."""
        self.received.append(Received(request.path_qs, request.headers, await request.read()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/elsewhere"}, text="no secret")


@asynccontextmanager
async def receiver(statuses: Sequence[int] = (204,)) -> AsyncIterator[Receiver]:
    """Serve a receiver."""
    found = Receiver([*statuses])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}/hooks"
    try:
        yield found
    finally:
        await runner.cleanup()
