"""Serve a web backend that gives every user a machine: created once, started when stopped, found after a restart.

It listens on PORT (8080 by default) until Ctrl-C; try it from another shell with `curl -X POST`.
POST /users/alice  ->  {"id": "1857156b526dd8", "host": "1857156b526dd8.vm.sandboxes.internal"}
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from flyasync import FlyClient, FlyError, MachineConfig, NameTaken, machine_host

APP = "sandboxes"
SANDBOX = MachineConfig(image="registry.fly.io/sandboxes:v1")
FLY = web.AppKey("fly", FlyClient)


async def post_user(request: web.Request) -> web.Response:
    user = request.match_info["user"]
    if not re.fullmatch(r"[a-z0-9-]{1,32}", user):
        raise web.HTTPBadRequest(text="a user is up to 32 lowercase letters, digits and dashes")
    try:
        # Concurrent requests get the same machine, which is created, started or resumed if necessary.
        ensured = await request.app[FLY].machines.ensure_running(APP, f"user-{user}", SANDBOX, timeout=60)
    except FlyError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error
    machine = ensured.machine
    return web.json_response({"id": machine.id, "host": machine_host(APP, machine.id)})


async def one_client(app: web.Application) -> AsyncIterator[None]:
    """Share one client between all requests, because it counts the rate limits."""
    async with FlyClient() as app[FLY]:
        with suppress(NameTaken):  # an earlier run created the app
            await app[FLY].apps.create(APP, org_slug="personal")
        yield


def backend() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(one_client)
    app.router.add_post("/users/{user}", post_user)
    return app


if __name__ == "__main__":
    web.run_app(backend(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
