"""A world with one resource of each kind, and whether two worlds are the same."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from flyasync.emulator import Fault
from flyasync.emulator.state import document
from flyasync.emulator.state.file import StateFile
from flyasync.emulator.world.world import World
from tests.emulator.core.test_operations import Place, one_of_everything
from tests.emulator.driver import Api, at

CHECKS = {"checks": {"up": {"type": "tcp", "port": 80, "interval": "2s", "grace_period": "1s"}}}


async def everything(api: Api) -> Place:
    """One resource of each kind, and machines with each kind of pending change."""
    place = await one_of_everything(api)
    api.emulator.faults.add(Fault(does="delay", action="getApp", seconds=0.5, probability=0.5))
    api.emulator.set_capacity("lhr", 2)
    await api.post("/_emulator/commands", {"command": "ls*", "stdout": "a"})
    await api.post("/_emulator/images", {"image": "nginx:latest"})
    await api.running(config={**CHECKS, "files": [{"guest_path": "/a", "secret_name": "S"}]})
    volume = (await api.post("/v1/apps/web/volumes", {"name": "data", "region": "iad"})).body["id"]
    await api.machine(config={"mounts": [{"volume": volume, "path": "/data"}]}, lease_ttl=30)
    ending = await api.running(config={"auto_destroy": True})
    await api.act(ending, "exec", {"command": ["sh", "-c", "echo $S > /file"]})
    await api.act(ending, "stop")
    await api.machine(config={"init": {"exec": ["true"]}, "restart": {"policy": "no"}})
    return place


async def afterwards(api: Api) -> list[Any]:
    """Responses to the same requests at the same times, in which ids, delays and faults are drawn."""
    said = []
    for _ in range(8):
        said.append((await api.get("/v1/apps/web")).body)
        made = await api.machine(config=CHECKS, region="lhr,iad")
        said.append([made, (await api.act(made, "exec", {"command": ["ls"]})).body])
        await asyncio.sleep(0.75)
    await asyncio.sleep(30)
    listed = await api.get("/v1/apps/web/machines?include_deleted=true&include_leases=true")
    volumes = await api.get("/v1/apps/web/volumes")
    lines = await api.get("/api/v1/apps/web/logs")
    files = await api.act(listed.body[1], "exec", {"command": ["cat", "/a"]})
    assert api.emulator.faults
    assert at(listed.body[0])
    return [*said, listed.body, volumes.body, lines.body, files.body]


def as_text(found: Any) -> Any:
    """The JSON as it is sent, for a comparison that sees the order of keys too."""
    return json.dumps(found)


def in_file(path: Path) -> dict[str, Any]:
    """Return the world that another process would find in a file, had this one been killed now."""
    copy = killed(path)
    file = StateFile(copy)
    try:
        return document.dump(file.read(World()))
    finally:
        file.close()


def killed(path: Path) -> Path:
    """Return a copy of a file that is open, as it would be if this process were killed now."""
    copy = path.with_name(f"{path.name}-killed")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return copy
