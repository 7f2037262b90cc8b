import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from attrs import define, field

from flyasync.api.client import FlyClient
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest
from flyasync.models.json.codec import structure, unstructure
from tests.cli.driver import Shop, flyasync, served

CONFIG = {
    "image": "registry.fly.io/web:v1",
    "env": {"PORT": "8080", "API_TOKEN": "s3cr3t-env", "DATABASE_URL": "postgres://me:s3cr3t-url@db/web"},
    "files": [{"guest_path": "/etc/key", "raw_value": "czNjcjN0LWZpbGU="}],
    "init": {"exec": ["app", "--password", "s3cr3t-option"]},
    "services": [
        {
            "protocol": "tcp",
            "internal_port": 8080,
            "checks": [{"type": "http", "headers": [{"name": "Authorization", "values": ["s3cr3t-header"]}]}],
        }
    ],
    "metadata": {"fly_process_group": "app", "flyasync_secrets": "4f53cda18c2baa0c", "owner": "ada"},
    "registry_login": "s3cr3t-unknown",
}
HARDWARE = Guest(required_host_features=["nvme"])
SECRETS = ("s3cr3t", "czNjcjN0LWZpbGU")


@define
class Import:
    """Runs the command twice on one loop: it reads the real app, then it serves what `seen` describes."""

    shop: Shop
    port: int
    arguments: tuple[str, ...] = ()
    seen: dict[str, Any] = field(factory=dict)
    runs: int = 0

    def drive(self, work: Coroutine[Any, Any, Any]) -> Any:
        self.runs += 1
        return self.shop.drive(work if self.runs == 1 else self.visit(work))

    def run(self) -> Any:
        return flyasync(
            *("emulator", "--port", str(self.port), "--import", "web", "--no-limits", *self.arguments), drive=self.drive
        )

    async def visit(self, serving: Coroutine[Any, Any, int]) -> None:
        url = f"http://127.0.0.1:{self.port}"
        serves = asyncio.ensure_future(serving)
        await asyncio.sleep(0.1)
        async with FlyClient("other-token", base_url=url) as fly, ClientSession(url) as session:
            self.seen["app"] = await everything_of(fly)
            async with session.get("/_emulator/world") as response:
                self.seen["world"] = await response.text()
            await asyncio.sleep(5)
            self.seen["later"] = await everything_of(fly)
        serves.cancel()
        await asyncio.gather(serves, return_exceptions=True)


async def everything_of(fly: FlyClient) -> dict[str, Any]:
    app = await fly.apps.get("web")
    machines = await fly.machines.list("web")
    return {
        "app": (app.name, app.status, app.network, app.organization and app.organization.slug),
        "machines": {
            each.id: (each.name, each.state, each.region, each.cordoned, each.current_version, each.image_ref)
            for each in machines
        },
        "configs": [unstructure(each.config) for each in machines],
        "checks": [[(check.name, check.status) for check in each.checks or ()] for each in machines],
        "events": [[(event.type, event.status, event.exit_event) for event in each.events or ()] for each in machines],
        "volumes": [
            (each.id, each.state, each.size_gb, each.attached_machine_id, each.required_host_features)
            for each in await fly.volumes.list("web")
        ],
        "addresses": [(each.ip, each.type, each.shared, each.network) for each in await fly.ip_assignments.list("web")],
        "certificates": [(each.hostname, each.status) async for each in fly.certificates.list("web")],
        "secrets": [(each.name, each.digest) for each in await fly.secrets.list("web")],
    }


async def real_app() -> dict[str, Any]:
    async with FlyClient() as fly:
        volume = await fly.volumes.create("web", name="data", region="lhr", size_gb=3, compute=HARDWARE)
        config = structure(CONFIG, MachineConfig)
        mounted = structure(CONFIG | {"mounts": [{"volume": volume.id, "path": "/data"}]}, MachineConfig)
        first = await fly.machines.create("web", config, region="iad")
        await fly.machines.create("web", mounted, region="lhr")
        stopped = await fly.machines.create("web", config, region="iad", skip_launch=True)
        for machine in await fly.machines.list("web"):
            await fly.machines.wait("web", machine.id, state="stopped" if machine.id == stopped.id else "started")
        await fly.machines.cordon("web", first.id)
        await fly.ip_assignments.create("web", type="shared_v4")
        await fly.ip_assignments.create("web", type="private_v6", network="other", org_slug="acme")
        await fly.certificates.create_acme("web", "example.com")
        await fly.secrets.set("web", "PASSWORD", "s3cr3t-value")
        await asyncio.sleep(30)
        await fly.machines.create("web", config, region="iad")
        return await everything_of(fly)


def test_a_real_app_is_copied_without_its_secrets(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    with served(monkeypatch, limits=False, boot=(1, 1), host="127.0.0.1") as (emulator, drive):
        monkeypatch.setenv("FLY_API_TOKEN", "fm2_s3cr3t-token")
        real = drive(real_app())
        before = len(emulator.log)
        ran = Import(Shop(emulator, drive), unused_tcp_port)
        result = ran.run()
        # It only reads.
        assert {(entry.method, entry.status) for entry in emulator.log[before:]} == {("GET", 200)}
    assert result.exit_code == 0, (result.output, result.exception)
    seen = ran.seen["app"]
    differs = [key for key in real if key != "configs" and seen[key] != real[key]]
    assert {key: (real[key], seen[key]) for key in differs} == {}
    for ours, theirs in zip(seen["configs"], real["configs"], strict=True):
        assert {key for key in theirs if ours[key] != theirs[key]} == {
            "env", "files", "init", "services", "registry_login",
        }  # fmt: skip
        assert ours["env"] == {"PORT": "8080", "API_TOKEN": "redacted", "DATABASE_URL": "redacted"}
        assert ours["init"]["exec"] == ["redacted"]
    # What was between two states goes on.
    states = [state for _, state, *_ in seen["machines"].values()]
    assert sorted(states) == ["created", "started", "started", "stopped"]
    assert sorted(state for _, state, *_ in ran.seen["later"]["machines"].values()) == ["started"] * 3 + ["stopped"]
    assert not any(secret in text for secret in SECRETS for text in (ran.seen["world"], result.output, result.stderr))
    assert json.loads(ran.seen["world"])["apps"]["web"]["secrets"]["kept"]["PASSWORD"]["value"] == ""
    assert "FLY_API_TOKEN=emulator-token" in result.stdout
    note = (
        "flyasync: imported web: 4 machines, 1 volume, 1 secret without a value; 24 values of machine configs that may "
        "be secret: 'redacted' instead"
    )
    assert note in result.stderr


def test_an_unknown_app_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(monkeypatch, apps=()) as (emulator, drive):
        result = Shop(emulator, drive).ask("emulator", "--import", "web", "--port", "0")
    assert result.exit_code == 1
    assert "web" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_copy_is_not_put_over_a_state_that_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unused_tcp_port: int
) -> None:
    state = tmp_path / "world.fly"
    with served(monkeypatch, limits=False) as (emulator, drive):
        first = Import(Shop(emulator, drive), unused_tcp_port, ("--state", str(state)))
        first.run()
        assert first.seen["app"]["app"][0] == "web"
        read = emulator.counts()
        result = Shop(emulator, drive).ask(
            "emulator", "--import", "web", "--state", str(state), "--port", str(unused_tcp_port)
        )
        assert emulator.counts() == read
    assert result.exit_code == 2
    assert "already has a world: leave out --import to continue with it, or name a new file" in result.stderr


def test_other_options_are_checked_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(monkeypatch) as (emulator, drive):
        read = emulator.counts()
        result = Shop(emulator, drive).ask("emulator", "--import", "web", "--capacity", "zzz=0", "--port", "0")
        assert emulator.counts() == read
    assert result.exit_code == 2
    assert "capacity: there is no region 'zzz'" in result.stderr
