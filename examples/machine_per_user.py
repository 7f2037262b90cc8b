"""Serve a web backend that gives every user a machine: created once, started when stopped, found after a restart.

It listens on PORT (8080 by default) until Ctrl-C; try it from another shell with `curl -X POST`.
POST /users/alice  ->  {"id": "1857156b526dd8", "host": "1857156b526dd8.vm.sandboxes.internal"}
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from flyasync import AlreadyStarting, FlyClient, FlyError, MachineConfig, NameTaken, WrongState, machine_host

APP = "sandboxes"
SANDBOX = MachineConfig(image="registry.fly.io/sandboxes:v1")
FLY = web.AppKey("fly", FlyClient)


async def ready(fly: FlyClient, user: str) -> str:
    """Return the id of the user's machine once it has started; concurrent requests get the same machine."""
    machine = await fly.machines.create_once(APP, SANDBOX, name=f"user-{user}", launch="sandboxes")
    for _ in range(10):
        try:
            await fly.machines.start(APP, machine.id)
        except AlreadyStarting:
            break
        except WrongState:  # it is still being created, or still stopping
            await asyncio.sleep(1)
        else:
            break
    await fly.machines.wait(APP, machine.id, timeout=60, just_created=True)
    return machine.id


async def post_user(request: web.Request) -> web.Response:
    user = request.match_info["user"]
    if not re.fullmatch(r"[a-z0-9-]{1,32}", user):
        raise web.HTTPBadRequest(text="a user is up to 32 lowercase letters, digits and dashes")
    try:
        machine_id = await ready(request.app[FLY], user)
    except FlyError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error
    return web.json_response({"id": machine_id, "host": machine_host(APP, machine_id)})


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
