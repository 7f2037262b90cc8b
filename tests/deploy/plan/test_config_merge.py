"""What an update sends, and when a machine has the desired config; compared with what the API makes of it."""

import json
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    Check,
    Concurrency,
    DeployBuilder,
    FlyClient,
    Guest,
    Init,
    InvalidInput,
    Machine,
    MachineConfig,
    Mount,
    Port,
    Restart,
    Service,
)
from flyasync.deploy.plan.config_merge import (
    MANAGED,
    SECRETS_VERSION,
    changes,
    holds,
    managed_before,
    merged,
    overlaid,
    patched,
)
from flyasync.models.config import DNS, Static
from flyasync.models.container import File, StopConfig
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.service import HTTPOptions
from tests.deploy.conftest import total, world

APP = DeployBuilder("web").to_regions("iad").count(2).rolling().smoke_check(0)


def by_a_deploy(config: MachineConfig) -> MachineConfig:
    """The config as a deploy would leave it: with a note of what it set."""
    return merged(MachineConfig(), config)


def by_an_earlier_version(config: MachineConfig) -> MachineConfig:
    """The same with the note of a version that named whole fields."""
    names = [name for name in ("image", "env", "guest", "services", "schedule") if getattr(config, name) is not None]
    return evolve(config, metadata={**(config.metadata or {}), MANAGED: json.dumps(names)})


def without_note(config: MachineConfig) -> MachineConfig:
    return evolve(config, metadata={key: value for key, value in (config.metadata or {}).items() if key != MANAGED})


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
    assert without_note(sent) == evolve(current, image="app:v2", metadata={"team": "blue", "tier": "1"})
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


def test_a_map_is_merged_by_key() -> None:
    current = MachineConfig(image="a", env={"A": "1", "B": "2"}, checks={"old": Check(type="tcp", port=1)})
    sent = merged(current, MachineConfig(image="a", env={"B": "3"}, checks={"new": Check(type="tcp", port=2)}))
    assert sent.env == {"A": "1", "B": "3"}
    assert sent.checks == {"old": Check(type="tcp", port=1), "new": Check(type="tcp", port=2)}


WEB = Service(
    protocol="tcp",
    internal_port=8080,
    ports=(
        Port(port=443, handlers=("tls", "http"), http_options=HTTPOptions(h2_backend=True)),
        Port(port=8443, handlers=("tls",)),
    ),
    autostop="suspend",
    autostart=True,
    concurrency=Concurrency(type="requests", soft_limit=20),
    checks=(Check(type="http", path="/", grace_period="10s", interval="30s"),),
    extra={"from_the_future": {"a": 1}},
)
OTHER = Service(protocol="tcp", internal_port=5432, ports=(Port(port=5432),))


def test_services_are_merged_by_internal_port_and_protocol() -> None:
    current = MachineConfig(image="a", services=(WEB, OTHER))
    stated = Service(
        internal_port=8080,
        ports=(Port(port=80, handlers=("http",)), Port(port=443, handlers=("tls", "http"))),
        checks=(Check(type="http", path="/health", interval="15s"),),
    )
    sent = merged(current, MachineConfig(image="a", services=(stated,)))
    web, other = sent.services or ()
    assert other == OTHER
    assert web == evolve(
        WEB,
        ports=(*(WEB.ports or ()), Port(port=80, handlers=("http",))),
        checks=(Check(type="http", path="/health", grace_period="10s", interval="15s"),),
    )


def test_the_same_port_over_udp_is_another_service() -> None:
    voice = Service(protocol="udp", internal_port=8080, ports=(Port(port=443),))
    sent = merged(MachineConfig(services=(WEB,)), MachineConfig(services=(voice,)))
    assert sent.services == (WEB, voice)


def test_services_of_one_internal_port_are_told_apart_by_their_public_ports() -> None:
    one, other = (Service(protocol="tcp", internal_port=80, ports=(Port(port=port),)) for port in (80, 8080))
    sent = merged(MachineConfig(services=(one, other)), MachineConfig(services=(evolve(other, autostart=False),)))
    assert sent.services == (one, evolve(other, autostart=False))


@pytest.mark.parametrize(
    ("kept", "stated"),
    [
        (Port(port=443), Port(port=443)),
        (Port(start_port=400, end_port=500), Port(port=443)),
        (Port(port=443), Port(start_port=443, end_port=444)),
    ],
)
def test_a_public_port_that_a_kept_service_has_is_not_taken(kept: Port, stated: Port) -> None:
    current = MachineConfig(services=(Service(protocol="tcp", internal_port=8080, ports=(kept,)),))
    wanted = MachineConfig(services=(Service(internal_port=9090, ports=(stated,)),))
    why = r"9090/tcp has the public port 443, which .* 8080/tcp .* has too.*replace\('services'\)"
    with pytest.raises(InvalidInput, match=why):
        merged(current, wanted)
    assert merged(current, wanted, replace=["services"]).services == wanted.services


def test_files_and_mounts_are_merged_by_path() -> None:
    kept, changed = File(guest_path="/a", raw_value="YQ=="), File(guest_path="/b", secret_name="B", mode=0o600)
    data = Mount(volume="vol_1", path="/data", extend_threshold_percent=80)
    current = MachineConfig(files=(kept, changed), mounts=(data,))
    stated = MachineConfig(
        files=(File(guest_path="/b", raw_value="Yg=="), File(guest_path="/c", raw_value="Yw==")),
        mounts=(Mount(path="/data", add_size_gb=1),),
    )
    sent = merged(current, stated)
    assert sent.files == (kept, File(guest_path="/b", raw_value="Yg==", mode=0o600), *(stated.files or ())[1:])
    assert sent.mounts == (evolve(data, add_size_gb=1),)


def test_the_growth_of_a_volume_is_kept_until_the_other_kind_is_stated() -> None:
    def mounting(**growth: Any) -> MachineConfig:
        return MachineConfig(mounts=(Mount(volume="vol_1", path="/data", **growth),))

    guest = Guest(cpus=1, required_host_features=["nvme"])
    by_percent = evolve(mounting(add_size_percent=20, min_add_size_gb=2), guest=guest)
    kept = merged(by_percent, MachineConfig(mounts=(Mount(path="/data", size_gb_limit=9),), guest=Guest(memory_mb=512)))
    assert kept.mounts == mounting(add_size_percent=20, min_add_size_gb=2, size_gb_limit=9).mounts
    assert kept.guest == evolve(guest, memory_mb=512)
    assert merged(by_percent, mounting(add_size_gb=1)).mounts == mounting(add_size_gb=1).mounts
    assert merged(mounting(add_size_gb=1), mounting(add_size_percent=5)).mounts == mounting(add_size_percent=5).mounts


def test_records_are_merged_by_field() -> None:
    current = MachineConfig(init=Init(cmd=("a",), swap_size_mb=512, extra={"x": 1}), restart=Restart(policy="no"))
    sent = merged(current, MachineConfig(init=Init(cmd=("b",)), restart=Restart(max_retries=2)))
    assert sent.init == Init(cmd=("b",), swap_size_mb=512, extra={"x": 1})
    assert sent.restart == Restart(policy="no", max_retries=2)


def test_of_what_is_still_stated_goes_what_only_an_earlier_deploy_had_set() -> None:
    earlier = by_a_deploy(MachineConfig(image="a", env={"A": "1", "B": "1"}, services=(WEB,), init=Init(tty=True)))
    by_others = evolve(WEB, min_machines_running=1)
    current = evolve(earlier, env={**(earlier.env or {}), "C": "1"}, services=(by_others, OTHER))
    sent = merged(current, MachineConfig(image="a", env={"A": "2"}, services=(evolve(WEB, autostop=None, extra={}),)))
    assert sent.env == {"A": "2", "C": "1"}
    assert sent.services == (evolve(by_others, autostop=None, extra={}), OTHER)
    assert sent.init is None


def test_an_item_goes_only_if_a_deploy_had_made_it() -> None:
    stated = MachineConfig(image="a", services=(Service(internal_port=8080, autostart=False), OTHER))
    changed = merged(MachineConfig(image="a", services=(WEB,)), stated)
    assert merged(changed, MachineConfig(image="a")).services == (evolve(WEB, autostart=False),)
    assert merged(by_a_deploy(stated), MachineConfig(image="a")).services is None


def test_a_note_of_whole_fields_means_all_that_is_in_them() -> None:
    earlier = by_an_earlier_version(
        MachineConfig(image="a", env={"A": "1", "B": "1"}, guest=Guest(cpu_kind="performance", cpus=1), services=(WEB,))
    )
    sent = merged(earlier, MachineConfig(image="a", env={"B": "2"}, guest=Guest(cpus=2), services=(OTHER,)))
    assert (sent.env, sent.guest, sent.services) == ({"B": "2"}, Guest(cpus=2), (OTHER,))


def test_what_is_replaced_is_what_is_stated() -> None:
    current = MachineConfig(image="a", env={"A": "1"}, services=(WEB,), metadata={"team": "blue"})
    stated = MachineConfig(image="b", env={"B": "1"}, services=(OTHER,), metadata={"tier": "1"})
    sent = merged(current, stated, replace=["env", "metadata"])
    assert (sent.env, without_note(sent).metadata, sent.services) == ({"B": "1"}, {"tier": "1"}, (WEB, OTHER))


def test_a_single_field_of_a_record_can_be_replaced() -> None:
    current = MachineConfig(init=Init(tty=True, cmd=["old"], entrypoint=["old"]))
    stated = MachineConfig(init=Init(cmd=["new"]))
    names = ["init.cmd", "init.entrypoint", "init.exec"]
    assert merged(current, stated, replace=names).init == Init(tty=True, cmd=("new",))
    assert merged(current, MachineConfig(), replace=names).init == Init(tty=True)
    assert merged(MachineConfig(), MachineConfig(), replace=names).init is None


def test_nothing_changes_where_all_is_as_stated() -> None:
    stated = MachineConfig(image="a", env={"A": "1"}, services=(WEB,), init=Init(cmd=("a",)))
    current = evolve(stated, env={"A": "1", "B": "2"}, services=(OTHER, evolve(WEB, min_machines_running=2)))
    assert not changes(current, merged(current, stated))


def test_a_patch_changes_what_it_states_and_removes_nothing() -> None:
    first = MachineConfig(
        image="app:v1", env={"A": "1", "B": "2"}, guest=Guest(cpus=2, memory_mb=512), schedule="daily"
    )
    current = by_a_deploy(first)
    sent = patched(current, MachineConfig(env={"B": "3"}, guest=Guest(memory_mb=1024)))
    assert without_note(sent) == evolve(
        first, env={"A": "1", "B": "3"}, guest=Guest(cpus=2, memory_mb=1024), metadata={}
    )
    # What it states is no deploy's any more, so a later deploy keeps it; a guest belongs together.
    assert managed_before(sent) == {"image", "env.A", "schedule"}
    later = merged(sent, MachineConfig(image="app:v2", env={"A": "1"}))
    assert (later.guest, later.env, later.schedule) == (Guest(cpus=2, memory_mb=1024), {"A": "1", "B": "3"}, None)


def test_a_patch_leaves_no_note_where_there_was_none() -> None:
    current = MachineConfig(image="app:v1", size="shared-cpu-1x", metadata={"team": "blue"})
    sent = patched(current, MachineConfig(guest=Guest(cpus=2, memory_mb=512)))
    assert sent == evolve(current, size=None, guest=Guest(cpus=2, memory_mb=512))


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
    assert managed_before(config) == {"image", "metadata.tier", "x"}


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


def test_values_that_mean_the_same_as_none_are_no_difference() -> None:
    bare = MachineConfig(
        image="a",
        guest=Guest(cpus=8, gpu_kind="l40s"),
        services=[Service(internal_port=80, ports=[Port(port=80)])],
        mounts=[Mount(path="/data")],
    )
    filled = MachineConfig(
        image="a",
        guest=Guest(cpus=8, gpu_kind="l40s", gpus=1),
        services=[Service(internal_port=80, protocol="tcp", ports=[Port(port=80, force_https=False)])],
        mounts=[
            Mount(
                path="/data",
                extend_threshold_percent=0,
                add_size_gb=0,
                add_size_percent=0,
                min_add_size_gb=0,
                size_gb_limit=0,
            ),
        ],
    )
    assert not changes(bare, filled)
    assert not changes(filled, bare)
    assert not changes(bare, merged(bare, filled))  # which also notes what it has set
    others = evolve(
        bare,
        guest=Guest(cpus=8, gpu_kind="l40s", gpus=2),
        services=[Service(internal_port=80, protocol="udp", ports=[Port(port=80, force_https=True)])],
        mounts=[Mount(path="/data", extend_threshold_percent=80)],
    )
    for other in (bare, filled):
        assert len(changes(other, others)) >= 4


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
    """What they add stays, for no deploy has set it."""
    app = APP.with_image("nginx").with_env(A="1")
    async with world(seed=1) as (emulator, fly):
        await app.execute(fly)
        machine = (await fly.machines.list("web"))[0]
        await fly.machines.modify("web", machine.id, lambda config: evolve(config, env={"A": "2", "B": "2"}))
        plan = await app.plan(fly)
        assert plan.updates == 1
        report = await app.execute(fly)
        assert report.ok, str(report)
        assert (await app.plan(fly)).is_empty
        changed = await fly.machines.get("web", machine.id)
        assert changed.config is not None
        assert changed.config.env == {"A": "1", "B": "2"}
        assert total(emulator, "updateMachine") == 2


@pytest.mark.parametrize(("had", "differs"), [("2", True), ("3", False), ("4", False), (None, True), ("new", True)])
def test_only_an_older_version_of_the_secrets_is_a_change(had: str | None, *, differs: bool) -> None:
    current = MachineConfig(metadata={SECRETS_VERSION: had} if had else {})
    desired = MachineConfig(metadata={SECRETS_VERSION: "3"})
    assert [change.path for change in changes(current, desired)] == (["secrets version"] if differs else [])
