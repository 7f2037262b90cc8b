"""An app that flyctl and flyasync deploy in turn: the same machines, and nothing lost that others have set.

`made_by_flyctl.json` has the machines that `fly deploy --image nginx:1.1` makes of the fly.toml below, recorded.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from flyasync import DeployBuilder, FlyClient, Machine, MachineConfig
from flyasync.models.json.codec import structure, unstructure
from tests.deploy.conftest import tag, world

SHOP = """
app = "web"
primary_region = "iad"
kill_signal = "SIGTERM"
kill_timeout = 20
swap_size_mb = 256

[env]
A = "1"

[processes]
web = "serve --port 8080"
worker = "work 'a b'"
cron = "supercronic /crontab"

[http_service]
internal_port = 8080
force_https = true
auto_stop_machines = "suspend"
auto_start_machines = true
min_machines_running = 1
processes = ["web"]

[http_service.concurrency]
type = "requests"
soft_limit = 20
hard_limit = 25

[[http_service.checks]]
path = "/health"
interval = "2s"
timeout = "1s"
grace_period = "1s"
method = "GET"
headers = { X-Forwarded-Proto = "https" }

[[services]]
internal_port = 9000
protocol = "tcp"
processes = ["web"]
ports = [{ port = 9000, handlers = ["tls"] }]
tcp_checks = [{ interval = "2s", timeout = "1s", grace_period = "1s" }]

[checks.alive]
type = "tcp"
port = 7000
interval = "2s"
timeout = "1s"
grace_period = "1s"
processes = ["worker"]

[mounts]
source = "data"
destination = "/data"
initial_size = "2gb"
auto_extend_size_threshold = 80
auto_extend_size_increment = "1GB"
auto_extend_size_limit = "5GB"
processes = ["cron"]

[[vm]]
size = "shared-cpu-1x"
memory = "512mb"
processes = ["web"]

[[statics]]
guest_path = "/app/static"
url_prefix = "/static"

[[files]]
guest_path = "/etc/x"
raw_value = "hello 1"

[[restart]]
policy = "on-failure"
retries = 5
processes = ["worker"]

[[metrics]]
port = 9091
path = "/metrics"
processes = ["web"]
"""
MADE_BY_FLYCTL = (Path(__file__).parent / "made_by_flyctl.json").read_text()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "fly.toml").write_text(SHOP)
    return tmp_path / "fly.toml"


def shop(path: Path, image: str) -> DeployBuilder:
    return DeployBuilder.from_fly_toml(path, image=image).smoke_check(0)


async def made(fly: FlyClient) -> dict[str, Machine]:
    """Create the machines as flyctl did, each with its volume or the id of the machine that it stands by for."""
    volume = await fly.volumes.create("web", name="data", region="iad", size_gb=2)
    found: dict[str, Machine] = {}
    for row in json.loads(MADE_BY_FLYCTL):
        worker = found["worker"].id if "worker" in found else ""
        text = json.dumps(row["config"]).replace("VOLUME", volume.id).replace("WORKER", worker)
        config = structure(json.loads(text), MachineConfig)
        found[row["name"]] = await fly.machines.create(
            "web", config, name=row["name"], region="iad", skip_launch=bool(config.standbys)
        )
    for name in found.keys() - {"standby"}:
        await fly.machines.wait_healthy("web", found[name].id)
    return found


async def configs(fly: FlyClient) -> dict[str, Any]:
    """Return the configs by machine id, without flyasync's own metadata and the nulls that flyctl sends."""
    found = {each.id: unstructure(each.config) for each in await fly.machines.list("web") if each.is_alive}
    for config in found.values():
        config["metadata"] = {
            key: value for key, value in config["metadata"].items() if not key.startswith("flyasync_")
        }
        for service in config.get("services", ()):
            assert service.pop("force_instance_key", None) is None
    return found


async def test_what_flyctl_has_deployed_is_up_to_date(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        await made(fly)
        plan = await shop(path, "nginx:1.1").plan(fly)
        assert not plan.stages, str(plan)


async def test_the_machines_of_flyctl_are_updated_and_what_others_have_set_in_them_is_kept(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        there = await made(fly)
        cron = there["cron"]
        others = {"dns": {"skip_registration": True}, "schedule": "daily", "x_unknown": {"deep": [1, {"a": None}]}}

        def by_hand(old: MachineConfig) -> MachineConfig:
            return structure(
                {**unstructure(old), **others, "metadata": {**(old.metadata or {}), "mine": "1"}}, type(old)
            )

        await fly.machines.modify("web", cron.id, by_hand)
        before = await configs(fly)
        report = await shop(path, "nginx:1.2").with_env(A="2").execute(fly)
        assert report.ok, str(report)
        after = await configs(fly)
        assert after[cron.id].items() >= others.items()
        assert {tag(each) for each in await fly.machines.list("web")} == {"nginx:1.2"}
        for config in (*before.values(), *after.values()):
            del config["image"], config["env"]["A"]
        assert after == before  # the same machines too
        assert len(await fly.volumes.list("web")) == 1
        assert (await shop(path, "nginx:1.2").with_env(A="2").plan(fly)).is_empty


async def test_a_standby_whose_variable_flyctl_has_removed_is_up_to_date(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        standby = (await made(fly))["standby"]

        def updated_by_flyctl(old: MachineConfig) -> MachineConfig:
            env = {name: value for name, value in (old.env or {}).items() if name != "FLY_STANDBY_FOR"}
            return evolve(old, env=env)

        await fly.machines.modify("web", standby.id, updated_by_flyctl, skip_launch=True)
        assert not (await shop(path, "nginx:1.1").plan(fly)).stages
        assert (await shop(path, "nginx:1.2").execute(fly)).ok
        assert (await fly.machines.get("web", standby.id)).config.standbys == standby.config.standbys  # type: ignore[union-attr]


@pytest.fixture
def lean(path: Path) -> DeployBuilder:
    """A fly.toml of which flyctl and the API leave out some values and fill in others."""
    path.write_text("""
        app = "web"
        primary_region = "iad"
        vm = [{ gpu_kind = "l40s" }]
        services = [{ internal_port = 80, ports = [{ port = 80, force_https = false }] }]
    """)
    return shop(path, "nginx")


async def test_what_the_api_fills_in_is_no_change(lean: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        assert (await lean.execute(fly)).ok
        (machine, *_) = await fly.machines.list("web")
        assert machine.config is not None
        assert machine.config.guest is not None
        assert machine.config.guest.gpus == 1  # the file does not state it
        assert (await lean.plan(fly)).is_empty
