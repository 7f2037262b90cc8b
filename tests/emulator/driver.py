"""Drives an emulator over real sockets, like a client that is independent of flyasync."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from attrs import frozen

from flyasync.emulator import Emulator


@frozen
class Said:
    status: int
    body: Any
    headers: Any

    @property
    def error(self) -> str:
        return str(self.body["error"])


@frozen
class Api:
    emulator: Emulator
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: Any) -> Said:
        async with self.session.request(method, path, **options) as reply:
            is_json = reply.content_type == "application/json"
            return Said(reply.status, await (reply.json() if is_json else reply.text()), reply.headers)

    async def get(self, path: str, **options: Any) -> Said:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Said:
        return await self.ask("POST", path, **options, **({} if json is None else {"json": json}))

    async def app(self, name: str = "web") -> None:
        assert (await self.post("/v1/apps", {"name": name, "org_slug": "personal"})).status == 201

    async def machine(self, app: str = "web", *, config: Any = None, **more: Any) -> dict[str, Any]:
        said = await self.post(f"/v1/apps/{app}/machines", {"config": {"image": "nginx"} | (config or {}), **more})
        assert said.status == 200, said
        assert isinstance(said.body, dict)
        return said.body

    async def act(self, machine: dict[str, Any], action: str, json: Any = None, **options: Any) -> Said:
        return await self.post(f"{at(machine)}/{action}", json, **options)

    async def look(self, machine: dict[str, Any]) -> dict[str, Any]:
        said = await self.get(at(machine))
        assert said.status == 200
        assert isinstance(said.body, dict)
        return said.body

    async def wait(self, machine: dict[str, Any], state: str, **query: Any) -> Said:
        return await self.get(f"{at(machine)}/wait", params={"state": state, **query})

    async def reach(self, machine: dict[str, Any], state: str) -> None:
        said = await self.wait(machine, state)
        assert said.status == 200, said

    async def running(self, app: str = "web", **more: Any) -> dict[str, Any]:
        machine = await self.machine(app, **more)
        await self.reach(machine, "started")
        return machine

    async def stopped(self, **more: Any) -> dict[str, Any]:
        machine = await self.machine(skip_launch=True, **more)
        await self.reach(machine, "stopped")
        return machine


def at(machine: dict[str, Any], app: str = "web") -> str:
    return f"/v1/apps/{app}/machines/{machine['id']}"


@asynccontextmanager
async def serving(*, headers: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Api]:
    async with running(Emulator(**options), headers=headers) as api:
        yield api


@asynccontextmanager
async def running(emulator: Emulator, *, headers: dict[str, str] | None = None) -> AsyncIterator[Api]:
    sent = {"Authorization": "Bearer any"} if headers is None else headers
    connector = aiohttp.TCPConnector(limit=0)
    async with emulator, aiohttp.ClientSession(emulator.url, headers=sent, connector=connector) as session:
        yield Api(emulator, session)
        await session.close()
        await asyncio.sleep(0)
