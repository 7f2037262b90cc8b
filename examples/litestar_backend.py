"""Serve a Litestar backend in which each request has a machine of a pool to itself.

Run as a program, it serves two requests against an emulator in this process. With an account, serve `backend()`:
`uvicorn --factory litestar_backend:backend`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from httpx import ASGITransport, AsyncClient
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.params import Dependency

from flyasync import ClaimedMachine, Emulator, FlyClient, FlyError, MachineConfig, MachinePool, NameTaken

APP = "sandboxes"
SANDBOX = MachineConfig(image="registry.fly.io/sandboxes:v1")


async def claim(user: str, state: State) -> AsyncGenerator[ClaimedMachine, None]:
    """Claim a machine until the response is made."""
    async with state.pool.acquire(user, timeout=30) as machine:
        yield machine


@post("/users/{user:str}/greeting", dependencies={"machine": Provide(claim)})
async def greet(user: str, machine: Annotated[ClaimedMachine, Dependency(skip_validation=True)]) -> dict[str, str]:
    result = await machine.exec(["echo", f"hello {user}"])
    return {"id": machine.id, "output": result.stdout or ""}


def unavailable(_: Request[Any, Any, Any], error: FlyError) -> Response[dict[str, str]]:
    return Response({"detail": str(error)}, status_code=503)


def backend(**client: Any) -> Litestar:
    """Return the application; by default the client finds its token and URL as flyctl does."""

    @asynccontextmanager
    async def pool(app: Litestar) -> AsyncGenerator[None, None]:
        async with FlyClient(**client) as fly:
            with suppress(NameTaken):  # an earlier run created the app
                await fly.apps.create(APP, org_slug="personal")
            async with MachinePool(fly, APP, SANDBOX, ready=2, max=50) as app.state.pool:
                yield

    return Litestar([greet], lifespan=[pool], exception_handlers={FlyError: unavailable})


async def main() -> None:
    async with Emulator(seed=1, boot=(0.1, 0.3)) as emulator:
        app = backend(token=emulator.token, base_url=emulator.url)
        async with app.lifespan(), AsyncClient(transport=ASGITransport(app=app), base_url="http://backend") as http:
            for user in ("alice", "bob"):
                response = await http.post(f"/users/{user}/greeting")
                print(response.status_code, response.json()["output"].strip())


if __name__ == "__main__":
    asyncio.run(main())
