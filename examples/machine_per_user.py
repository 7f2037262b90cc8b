"""An aiohttp backend that gives every user a machine: made once, started when it rests, found again after a restart.

POST /users/alice  ->  {"id": "1857156b526dd8", "host": "1857156b526dd8.vm.sandboxes.internal"}
"""

import asyncio
import re
from collections.abc import AsyncIterator

from aiohttp import web

from flyasync import AlreadyStarting, FlyClient, FlyError, MachineConfig, WrongState, machine_host

APP = "sandboxes"
SANDBOX = MachineConfig(image="registry.fly.io/sandboxes:v1")
FLY = web.AppKey("fly", FlyClient)


async def ready(fly: FlyClient, user: str) -> str:
    """Give the id of the user's machine once it runs; two requests at once get the same one."""
    machine = await fly.machines.create_once(APP, SANDBOX, name=f"user-{user}", launch="sandboxes")
    for _ in range(10):
        try:
            await fly.machines.start(APP, machine.id)
        except AlreadyStarting:
            break
        except WrongState:  # on its way up for the first time, or still on its way down
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
    """Hold one client for all requests: the rate limits are counted in it."""
    async with FlyClient() as app[FLY]:
        yield


def backend() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(one_client)
    app.router.add_post("/users/{user}", post_user)
    return app


if __name__ == "__main__":
    web.run_app(backend(), host="127.0.0.1", port=8080)
