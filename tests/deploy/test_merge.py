"""What an update sends, and when a machine has what is wanted; compared with what the API makes of it."""

from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    Check,
    DeployBuilder,
    FlyClient,
    Guest,
    Init,
    Machine,
    MachineConfig,
    Mount,
    Port,
    Restart,
    Service,
)
from flyasync.deploy.merge import MANAGED, as_text, holds, managed, managed_before, merged, overlaid
from flyasync.models.config import DNS, Static
from flyasync.models.container import File, StopConfig
from flyasync.models.convert import structure, unstructure
from tests.deploy.conftest import total, world

APP = DeployBuilder("web").to_regions("iad").count(2).rolling().smoke_check(0)


def by_a_deploy(config: MachineConfig) -> MachineConfig:
    """The config as a deploy would leave it: with a note of what it set."""
    return evolve(config, metadata={**(config.metadata or {}), MANAGED: as_text(managed(config))})


# What an update sends.


def test_what_is_not_managed_stays() -> None:
    current = MachineConfig(
        image="app:v1",
        schedule="daily",
        mounts=(Mount(volume="vol_1", path="/data"),),
        metadata={"team": "blue"},
        dns=DNS(skip_registration=True),
        extra={"from_the_future": {"a": 1}},
    )
    sent = merged(current, MachineConfig(image="app:v2", metadata={"tier": "1"}))
    assert sent == evolve(current, image="app:v2", metadata={"team": "blue", "tier": "1"})
    assert sent.extra == {"from_the_future": {"a": 1}}


def test_what_only_an_earlier_deploy_has_set_goes() -> None:
    earlier = by_a_deploy(
        MachineConfig(
            image="app:v1",
            env={"A": "1"},
            schedule="daily",
            metadata={"tier": "1"},
            restart=Restart(policy="no"),
            extra={"from_the_future": 1, "kept": 2},
        )
    )
    current = evolve(earlier, metadata={**(earlier.metadata or {}), "team": "blue"}, dns=DNS(skip_registration=True))
    sent = merged(current, MachineConfig(image="app:v2", extra={"kept": 3}))
    assert (sent.env, sent.schedule, sent.restart) == (None, None, None)
    assert "tier" not in (sent.metadata or {})
    assert (sent.metadata or {})["team"] == "blue"
    assert sent.dns == DNS(skip_registration=True)
    assert sent.extra == {"kept": 3}


def test_a_map_is_taken_whole() -> None:
    current = MachineConfig(image="a", env={"A": "1", "B": "2"}, checks={"old": Check(type="tcp", port=1)})
    sent = merged(current, MachineConfig(image="a", env={"B": "3"}, checks={"new": Check(type="tcp", port=2)}))
    assert sent.env == {"B": "3"}
    assert sent.checks is not None
    assert list(sent.checks) == ["new"]


def test_a_guest_takes_the_place_of_a_size() -> None:
    sent = merged(MachineConfig(image="a", size="shared-cpu-1x"), MachineConfig(image="a", guest=Guest(cpus=2)))
    assert (sent.size, sent.guest) == (None, Guest(cpus=2))


@pytest.mark.parametrize("text", ["", "{", "3", "null", '{"a": 1}', "[1, null]"])
def test_a_note_that_cannot_be_read_says_nothing(text: str) -> None:
    current = MachineConfig(image="a", schedule="daily", metadata={MANAGED: text})
    assert managed_before(current) == frozenset()
    assert merged(current, MachineConfig(image="b")).schedule == "daily"


def test_a_note_is_read_as_it_was_written() -> None:
    config = by_a_deploy(MachineConfig(image="a", env={}, metadata={"tier": "1"}, extra={"x": 1}))
    assert managed_before(config) == {"image", "env", "metadata.tier", "x"}


# When a machine has what is wanted.


def test_what_others_added_does_not_count_but_what_they_changed_does() -> None:
    wanted = MachineConfig(
        image="a",
        env={"A": "1"},
        guest=Guest(cpus=1, memory_mb=256),
        services=(Service(internal_port=80, ports=(Port(port=80),)),),
        metadata={"tier": "1"},
    )
    filled = evolve(
        wanted,
        init=Init(),
        guest=Guest(cpus=1, memory_mb=256, cpu_kind="shared"),
        services=(
            Service(internal_port=80, protocol="tcp", autostart=False, ports=(Port(port=80, handlers=("http",)),)),
        ),
        metadata={"tier": "1", "team": "blue"},
        schedule="daily",
    )
    assert holds(filled, wanted)
    for drift in (
        {"image": "b"},
        {"env": {"A": "2"}},
        {"env": {"A": "1", "B": "2"}},
        {"env": None},
        {"guest": Guest(cpus=2, memory_mb=256, cpu_kind="shared")},
        {"services": ()},
        {"services": (Service(internal_port=81, ports=(Port(port=80),)),)},
        {"services": (Service(internal_port=80, ports=(Port(port=80), Port(port=81))),)},
        {"metadata": {"tier": "2"}},
        {"metadata": None},
    ):
        assert not holds(evolve(filled, **drift), wanted), drift


def test_the_launch_that_made_a_machine_does_not_count() -> None:
    wanted = MachineConfig(image="a", metadata={"flyasync_launch": "v2", "flyasync_creation": "1"})
    assert holds(evolve(wanted, metadata={"flyasync_launch": "v1"}), wanted)


def test_an_explicit_no_is_not_the_same_as_silence() -> None:
    wanted = MachineConfig(image="a", auto_destroy=False)
    assert not holds(MachineConfig(image="a", auto_destroy=True), wanted)
    assert overlaid(MachineConfig(image="a"), wanted).auto_destroy is False


# There and back.


def everything() -> dict[str, MachineConfig]:
    check = Check(type="http", port=8080, path="/up", interval="15s", timeout=2, method="get")
    service = Service(
        protocol="tcp",
        internal_port=8080,
        autostop="suspend",
        autostart=True,
        min_machines_running=0,
        ports=(Port(port=443, handlers=("tls", "http")), Port(port=80, handlers=("http",), force_https=True)),
        checks=(Check(type="tcp", port=8080, interval="10s", timeout="2s", grace_period=1),),
    )
    return {
        "plain": MachineConfig(image="nginx"),
        "services": MachineConfig(image="nginx", services=(service,)),
        "checks": MachineConfig(image="nginx", checks={"up": check}),
        "env": MachineConfig(image="nginx", env={"A": "1", "EMPTY": ""}),
        "no env": MachineConfig(image="nginx", env={}),
        "guest": MachineConfig(image="nginx", guest=Guest(cpus=2, memory_mb=1024)),
        "size": MachineConfig(image="nginx", size="shared-cpu-2x"),
        "files": MachineConfig(image="nginx", files=(File(guest_path="/a", raw_value="aGk="),)),
        "metadata": MachineConfig(image="nginx", metadata={"tier": "1"}),
        "restart": MachineConfig(image="nginx", restart=Restart(policy="always")),
        "statics": MachineConfig(image="nginx", statics=(Static(guest_path="/s", url_prefix="/s"),)),
        "stop": MachineConfig(image="nginx", stop_config=StopConfig(signal="SIGTERM", timeout="10s")),
        "init": MachineConfig(image="nginx", init=Init(cmd=("serve", "-v"), tty=False)),
        "nulls": structure(
            {"image": "nginx", "schedule": None, "services": None, "init": {"exec": None}}, MachineConfig
        ),
        "unknown": structure({"image": "nginx", "from_the_future": {"a": [1]}}, MachineConfig),
    }


@pytest.mark.parametrize("name", everything())
async def test_what_was_deployed_is_as_wanted(name: str) -> None:
    app = APP.with_config(everything()[name]).wait_for("started")
    async with world(seed=1) as (emulator, fly):
        report = await app.execute(fly)
        assert report.ok, str(report)
        assert (await app.plan(fly)).is_empty, str(await app.plan(fly))
        assert (await app.with_launch("again").execute(fly)).ok
        assert total(emulator, "updateMachine") == 0


@pytest.mark.parametrize("name", everything())
async def test_what_was_updated_is_as_wanted_and_holds_nothing_of_before(name: str) -> None:
    before = MachineConfig(image="old", env={"OLD": "1"}, schedule="daily", size="performance-1x")
    app = APP.with_config(everything()[name]).wait_for("started")
    async with world(seed=1) as (_, fly):
        assert (await APP.with_config(before).execute(fly)).ok
        report = await app.execute(fly)
        assert report.ok, str(report)
        assert (await app.plan(fly)).is_empty, str(await app.plan(fly))
        for machine in await fly.machines.list("web"):
            assert machine.config is not None
            assert "OLD" not in (machine.config.env or {})
            assert not machine.config.schedule
            assert (await fresh(fly, app)) == shown(machine)


async def fresh(fly: FlyClient, app: DeployBuilder) -> Any:
    """The config of a machine that was made with this one at once."""
    await fly.apps.create("other", org_slug="personal")
    try:
        assert (await app.for_app("other").count(1).execute(fly)).ok
        return shown((await fly.machines.list("other"))[0])
    finally:
        await fly.apps.delete("other", force=True)


def shown(machine: Machine) -> Any:
    config = unstructure(machine.config)
    kept = {key: value for key, value in config.pop("metadata").items() if not key.startswith("flyasync_")}
    return {**config, "metadata": kept}


async def test_what_somebody_changes_is_seen_and_changed_back() -> None:
    app = APP.with_image("nginx").with_env(A="1")
    async with world(seed=1) as (emulator, fly):
        await app.execute(fly)
        machine = (await fly.machines.list("web"))[0]
        await fly.machines.modify("web", machine.id, lambda config: evolve(config, env={"A": "2"}))
        plan = await app.plan(fly)
        assert plan.updates == 1
        report = await app.execute(fly)
        assert report.ok, str(report)
        assert (await app.plan(fly)).is_empty
        changed = await fly.machines.get("web", machine.id)
        assert changed.config is not None
        assert changed.config.env == {"A": "1"}
        assert total(emulator, "updateMachine") == 2
