import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator
from flyasync.models.config import MachineConfig
from flyasync.pool.pool import MachinePool
from flyasync.pool.spec import KEY
from tests.cli.driver import Keyboard, Shop, flyasync

SANDBOX = MachineConfig(image="nginx")
REFILL = ("pool", "reconcile", "web", "--image", "nginx", "--region", "iad", "--ready", "2", "--max", "4")


@pytest.fixture
def pooled(shop: Shop) -> Shop:
    """An app with a pool of two free machines and one that is kept, and a machine of another tool."""

    async def prepare() -> None:
        async with FlyClient() as fly:
            await fly.machines.create("web", MachineConfig(image="other"), name="by-hand", region="iad")
            keeping = MachinePool(fly, "web", SANDBOX, ready=0, max=4, on_release="keep", regions=["iad"])
            async with keeping.acquire("alice"):
                pass
            await asyncio.sleep(10)
            await MachinePool(fly, "web", SANDBOX, ready=2, max=4, on_release="keep", regions=["iad"]).reconcile()
            await asyncio.sleep(10)

    shop.drive(prepare())
    return shop


def names(emulator: Emulator) -> list[str]:
    gone = {"destroying", "destroyed"}
    return sorted(each.name for each in emulator.world.machines.values() if each.state not in gone)


def test_it_creates_what_is_missing_and_shows_it(shop: Shop) -> None:
    assert shop.said(*REFILL) == "created 2\n"
    assert names(shop.emulator) == ["pool-0", "pool-1"]
    shop.drive(asyncio.sleep(10))
    assert shop.said(*REFILL) == "created 0\n"
    assert shop.said("pool", "status", "web") == "pool\t2\t0\t0\t0\t2\t1\tiad 2\n"


def test_the_machines_are_in_the_json_with_their_keys(pooled: Shop) -> None:
    shown = pooled.json("pool", "status", "web")
    (pool,) = shown["pools"]
    assert (pool["name"], pool["claimed"], pool["kept"]) == ("pool", 0, 1)
    assert Counter(each["key"] for each in pool["machines"])["alice"] == 1
    assert "by-hand" not in {each["name"] for each in pool["machines"]}
    assert pooled.json("pool", "status", "web", "--name", "other") == {"app": "web", "pools": []}


def test_without_a_config_only_what_dead_holders_left_is_recycled(pooled: Shop) -> None:
    before = names(pooled.emulator)

    async def die() -> None:
        async with FlyClient() as fly:
            config = MachineConfig(image="nginx", metadata={"flyasync_pool": "pool", KEY: "carol"})
            await fly.machines.create("web", config, name="pool-100", region="iad")
            await asyncio.sleep(10)

    pooled.drive(die())
    assert pooled.json("pool", "reconcile", "web") == {
        "created": [], "destroyed": {"abandoned": 1}, "failures": [],
    }  # fmt: skip
    assert names(pooled.emulator) == before


def test_drain_asks_and_leaves_what_is_claimed_and_what_is_not_of_the_pool(pooled: Shop) -> None:
    async def hold() -> None:
        async with FlyClient() as fly:
            free = next(each for each in await fly.machines.list("web") if each.name.startswith("pool-"))
            await fly.leases.acquire("web", free.id, ttl=600)

    pooled.drive(hold())
    refused = pooled.ask("pool", "drain", "web", answer=Keyboard(b"n\n"))
    assert refused.exit_code == 1
    assert "nothing was changed" in refused.stderr
    assert pooled.said("pool", "drain", "web", "--yes").startswith("created 0; destroyed ")
    left = names(pooled.emulator)
    assert len(left) == 2
    assert "by-hand" in left


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--ready", "1"), "--image or --config"),
        (("--image", "nginx", "--ready", "1"), "--ready and --max"),
        (("--config", "missing.json", "--ready", "1", "--max", "2"), "cannot be read"),
    ],
)
def test_an_incomplete_command_line_is_refused(shop: Shop, words: tuple[str, ...], text: str) -> None:
    result = flyasync("pool", "reconcile", "web", *words, drive=shop.drive)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_config_is_read_from_a_file(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    file.write_text(json.dumps({"image": "nginx", "env": {"A": "1"}}))
    shop.said("pool", "reconcile", "web", "--config", str(file), "--ready", "1", "--max", "2")
    (machine,) = shop.emulator.world.machines.values()
    assert machine.config["env"] == {"A": "1"}
    file.write_text("{")
    result = shop.ask("pool", "reconcile", "web", "--config", str(file), "--ready", "1", "--max", "2")
    assert result.exit_code == 2
    assert "not the JSON of a machine config" in result.stderr
