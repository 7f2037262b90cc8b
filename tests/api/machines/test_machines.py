import asyncio
from typing import Any

import pytest
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault, Output
from flyasync.errors import (
    AlreadyStarting,
    BadRequest,
    ClaimLingers,
    FlyError,
    ImageNotFound,
    InvalidInput,
    LeaseHeld,
    NameTaken,
    NoCapacity,
    NotFound,
    NotSettled,
    Refused,
    Scope,
    SecretsNotReady,
    ServerFault,
    StaleVersion,
    TimedOut,
    WrongState,
)
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.guest import Guest
from flyasync.transport.events import ClientEvent, Outlasting
from tests.api.client_on_emulator import NGINX, Ask, asked, count, now, running, scripted, sent_by, stopped

MACHINE = {"id": "m1", "name": "n", "state": "created", "region": "iad"}
M1 = "/v1/apps/web/machines/m1"
CONFIG = {"image": "nginx"}

SENT: list[tuple[Ask, str, Any, Any]] = [
    (lambda fly: fly.machines.list("web"), "GET /v1/apps/web/machines", None, []),
    (
        lambda fly: fly.machines.list(
            "web",
            region="iad",
            state=["started", "stopped"],
            metadata={"role": "a&b"},
            include_deleted=True,
            include_leases=False,
            summary=True,
        ),
        (
            "GET /v1/apps/web/machines?region=iad&state=started%2Cstopped&include_deleted=true&include_leases=false"
            "&summary=true&metadata.role=a%26b"
        ),
        None,
        [],
    ),
    (
        lambda fly: fly.machines.list("web", state="started"),
        "GET /v1/apps/web/machines?state=started",
        None,
        [],
    ),
    (lambda fly: fly.machines.create("web", NGINX), "POST /v1/apps/web/machines", {"config": CONFIG}, MACHINE),
    (
        lambda fly: fly.machines.create(
            "web",
            NGINX,
            name="n",
            region=["lhr", "eu"],
            skip_launch=True,
            skip_service_registration=False,
            lease_ttl=30,
            skip_secrets=True,
            min_secrets_version=3,
        ),
        "POST /v1/apps/web/machines",
        {
            "config": CONFIG,
            "name": "n",
            "region": "lhr,eu",
            "skip_launch": True,
            "skip_service_registration": False,
            "lease_ttl": 30,
            "skip_secrets": True,
            "min_secrets_version": 3,
        },
        MACHINE,
    ),
    (
        lambda fly: fly.machines.create("web", NGINX, region="iad"),
        "POST /v1/apps/web/machines",
        {"config": CONFIG, "region": "iad"},
        MACHINE,
    ),
    (lambda fly: fly.machines.get("web", "m1"), f"GET {M1}", None, MACHINE),
    (
        lambda fly: fly.machines.update(
            "web",
            "m1",
            NGINX,
            current_version="01H",
            skip_launch=False,
            skip_service_registration=True,
            skip_secrets=True,
            min_secrets_version=2,
        ),
        f"POST {M1}",
        {
            "config": CONFIG,
            "current_version": "01H",
            "skip_launch": False,
            "skip_service_registration": True,
            "skip_secrets": True,
            "min_secrets_version": 2,
        },
        MACHINE,
    ),
    (lambda fly: fly.machines.delete("web", "m1"), f"DELETE {M1}", None, {"ok": True}),
    (lambda fly: fly.machines.delete("web", "m1", force=True), f"DELETE {M1}?force=true", None, {"ok": True}),
    (lambda fly: fly.machines.start("web", "m1"), f"POST {M1}/start", None, {"previous_state": "stopped"}),
    (lambda fly: fly.machines.stop("web", "m1"), f"POST {M1}/stop", None, {"ok": True}),
    (
        lambda fly: fly.machines.stop("web", "m1", signal="SIGTERM", timeout=90),
        f"POST {M1}/stop",
        {"signal": "SIGTERM", "timeout": "1m30s"},
        {"ok": True},
    ),
    (lambda fly: fly.machines.stop("web", "m1", timeout=0), f"POST {M1}/stop", {"timeout": "0s"}, {"ok": True}),
    (lambda fly: fly.machines.restart("web", "m1"), f"POST {M1}/restart", None, {"ok": True}),
    (
        lambda fly: fly.machines.restart("web", "m1", signal="SIGINT", timeout=30, force_stop=True),
        f"POST {M1}/restart?force_stop=true&timeout=30s&signal=SIGINT",
        None,
        {"ok": True},
    ),
    (lambda fly: fly.machines.suspend("web", "m1"), f"POST {M1}/suspend", None, {"ok": True}),
    (lambda fly: fly.machines.signal("web", "m1", "SIGHUP"), f"POST {M1}/signal", {"signal": "SIGHUP"}, {"ok": True}),
    (lambda fly: fly.machines.cordon("web", "m1"), f"POST {M1}/cordon", None, {"ok": True}),
    (lambda fly: fly.machines.uncordon("web", "m1"), f"POST {M1}/uncordon", None, {"ok": True}),
    (
        lambda fly: fly.machines.wait_once("web", "m1", state="stopped", version="01H", from_event_id="e", timeout=7.9),
        f"GET {M1}/wait?state=stopped&version=01H&from_event_id=e&timeout=7",
        None,
        {"ok": True},
    ),
    (lambda fly: fly.machines.wait("web", "m1"), f"GET {M1}/wait?state=started&timeout=5", None, {"ok": True}),
    (lambda fly: fly.machines.events("web", "m1"), f"GET {M1}/events", None, []),
    (lambda fly: fly.machines.events("web", "m1", limit=50), f"GET {M1}/events?limit=50", None, []),
    (lambda fly: fly.machines.versions("web", "m1"), f"GET {M1}/versions", None, []),
    (lambda fly: fly.machines.metadata("web", "m1"), f"GET {M1}/metadata", None, {}),
    (
        lambda fly: fly.machines.set_metadata("web", "m1", "a/b", "c"),
        f"POST {M1}/metadata/a%2Fb",
        {"value": "c"},
        None,
    ),
    (lambda fly: fly.machines.delete_metadata("web", "m1", "a b"), f"DELETE {M1}/metadata/a%20b", None, None),
    (
        lambda fly: fly.machines.patch_metadata("web", "m1", {"a": "1", "b": None}, machine_version="01H"),
        f"PATCH {M1}/metadata",
        {"metadata": {"a": "1", "b": None}, "machine_version": "01H"},
        None,
    ),
]


@pytest.mark.parametrize(("ask", "line", "body", "answer"), SENT)
async def test_each_method_sends_what_the_api_documents(ask: Ask, line: str, body: Any, answer: Any) -> None:
    sent = await sent_by(ask, answer)
    assert (sent.line, sent.body, sent.nonce) == (line, body, None)


GUARDED: list[tuple[str, dict[str, Any]]] = [
    ("update", {"config": NGINX}),
    ("start", {}),
    ("stop", {}),
    ("restart", {}),
    ("suspend", {}),
    ("cordon", {}),
    ("uncordon", {}),
    ("delete", {}),
]


@pytest.mark.parametrize(("method", "arguments"), GUARDED, ids=[name for name, _ in GUARDED])
async def test_a_guarded_method_passes_the_nonce_on(method: str, arguments: dict[str, Any]) -> None:
    sent = await sent_by(
        lambda fly: getattr(fly.machines, method)("web", "m1", nonce="5c35f65c9f95", **arguments), MACHINE
    )
    assert sent.nonce == "5c35f65c9f95"


@pytest.mark.parametrize(("method", "arguments"), GUARDED, ids=[name for name, _ in GUARDED])
async def test_a_guarded_method_names_the_holder_of_the_lease(
    fly: FlyClient, app: str, method: str, arguments: dict[str, Any]
) -> None:
    machine = await fly.machines.create(app, NGINX, lease_ttl=60)
    with pytest.raises(LeaseHeld) as caught:
        await getattr(fly.machines, method)(app, machine.id, **arguments)
    assert caught.value.holder is not None
    assert caught.value.holder.endswith("@tokens.fly.io")
    assert caught.value.expires_at
    assert not caught.value.may_have_happened


async def test_a_machine_lives_through_all_its_actions(fly: FlyClient, emulator: Emulator, app: str) -> None:
    machines = fly.machines
    made = await machines.create(app, NGINX, name="one", region="lhr")
    assert (made.state, made.name, made.region) == ("created", "one", "lhr")
    assert await machines.wait(app, made.id) == "started"
    await machines.cordon(app, made.id)
    assert (await machines.get(app, made.id)).cordoned
    await machines.uncordon(app, made.id)
    assert not (await machines.get(app, made.id)).cordoned
    await machines.restart(app, made.id)
    assert await machines.wait(app, made.id) == "started"
    await machines.suspend(app, made.id)
    assert await machines.wait(app, made.id, state="suspended") == "suspended"
    assert (await machines.start(app, made.id)).previous_state == "suspended"
    await machines.wait(app, made.id)
    await machines.stop(app, made.id, signal="SIGTERM", timeout=1.5)
    assert await machines.wait(app, made.id, state="stopped") == "stopped"
    await machines.stop(app, made.id)
    assert await machines.delete(app, made.id) is None  # type: ignore[func-returns-value]  # nothing is promised
    assert await machines.wait(app, made.id, state="destroyed") == "destroyed"
    assert (await machines.get(app, made.id)).state == "destroyed"
    assert emulator.refused_by_limit() == {}


async def test_a_signal_may_end_the_process(fly: FlyClient, app: str) -> None:
    machine = await running(fly, MachineConfig(image="nginx", auto_destroy=True))
    await fly.machines.signal(app, machine.id, "SIGHUP")
    await fly.machines.signal(app, machine.id, "SIGKILL")
    await fly.machines.wait(app, machine.id)
    last = (await fly.machines.get(app, machine.id)).exit_event
    assert last is not None
    assert (last.exit_code, last.requested_stop) == (137, False)


async def test_an_update_makes_a_new_version_and_both_are_listed(fly: FlyClient, app: str) -> None:
    first = await running(fly)
    second = await fly.machines.update(app, first.id, evolve(NGINX, image="nginx:2"), current_version=first.instance_id)
    assert second.instance_id != first.instance_id
    await fly.machines.wait(app, first.id, version=second.instance_id)
    assert [
        (one.version, one.user_config and one.user_config.image) for one in await fly.machines.versions(app, first.id)
    ] == [
        (second.instance_id, "nginx:2"),
        (first.instance_id, "nginx"),
    ]
    types = [event.type for event in await fly.machines.events(app, first.id, limit=50)]
    assert {"launch", "start", "update", "exit"} <= set(types)
    assert len(await fly.machines.events(app, first.id, limit=1)) == 1


async def test_a_change_by_somebody_else_in_between_is_a_stale_version(fly: FlyClient, app: str) -> None:
    read = await stopped(fly)
    await fly.machines.update(app, read.id, NGINX, current_version=read.instance_id)
    await fly.machines.wait(app, read.id, state="stopped")
    with pytest.raises(StaleVersion, match="Read the machine again"):
        await fly.machines.update(app, read.id, NGINX, current_version=read.instance_id)
    with pytest.raises(StaleVersion):
        await fly.machines.patch_metadata(app, read.id, {"a": "b"}, machine_version=read.instance_id)


async def test_what_a_reading_does_not_know_survives_an_update(fly: FlyClient, app: str) -> None:
    made = await fly.machines.create(app, evolve(NGINX, extra={"experimental": {"deep": [1]}}), skip_launch=True)
    await fly.machines.wait(app, made.id, state="stopped")
    read = (await fly.machines.get(app, made.id)).config
    assert read is not None
    await fly.machines.update(app, made.id, evolve(read, env={"A": "1"}))
    kept = (await fly.machines.get(app, made.id)).config
    assert kept is not None
    assert (kept.extra["experimental"], kept.env) == ({"deep": [1]}, {"A": "1"})


async def test_metadata_is_set_read_patched_and_removed(fly: FlyClient, app: str) -> None:
    machine = await stopped(fly)
    await fly.machines.set_metadata(app, machine.id, "role", "web")
    await fly.machines.set_metadata(app, machine.id, "team", "blue")
    await fly.machines.patch_metadata(app, machine.id, {"team": None, "stage": "test"})
    assert await fly.machines.metadata(app, machine.id) == {"role": "web", "stage": "test"}
    await fly.machines.delete_metadata(app, machine.id, "stage")
    assert await fly.machines.metadata(app, machine.id) == {"role": "web"}
    assert (await fly.machines.get(app, machine.id)).instance_id == machine.instance_id


async def test_many_metadata_keys_at_once_keep_the_limit_of_their_machine(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    machine = await stopped(fly)
    keys = [f"key-{number}" for number in range(10)]
    await asyncio.gather(*(fly.machines.set_metadata(app, machine.id, key, "x") for key in keys))
    await asyncio.gather(*(fly.machines.delete_metadata(app, machine.id, key) for key in keys))
    assert emulator.refused_by_limit() == {}


async def test_a_list_is_filtered_by_the_api(fly: FlyClient, app: str) -> None:
    blue = await stopped(fly, evolve(NGINX, metadata={"color": "blue"}), region="lhr", name="blue")
    green = await running(fly, evolve(NGINX, metadata={"color": "green"}), region="iad", name="green")
    gone = await stopped(fly, name="gone")
    await fly.machines.delete(app, gone.id)
    await fly.machines.wait(app, gone.id, state="destroyed")
    await fly.leases.acquire(app, blue.id, description="mine")

    async def names(**wanted: Any) -> list[str]:
        return [machine.name for machine in await fly.machines.list(app, **wanted)]

    assert await names() == ["blue", "green"]
    assert await names(region="lhr") == ["blue"]
    assert await names(state="started") == ["green"]
    assert await names(state=["started", "stopped"]) == ["blue", "green"]
    assert await names(metadata={"color": "green"}) == ["green"]
    assert await names(include_deleted=True) == ["blue", "green", "gone"]
    (short, _) = await fly.machines.list(app, summary=True, include_leases=True)
    assert (short.config, short.lease and short.lease.description) == (None, "mine")
    assert green.state == "created"


async def test_a_create_may_come_cordoned_and_with_a_lease(fly: FlyClient, app: str) -> None:
    machine = await fly.machines.create(app, NGINX, skip_service_registration=True, lease_ttl=30)
    assert machine.cordoned
    assert machine.nonce
    assert machine.nonce not in repr(machine)
    await fly.machines.delete(app, machine.id, force=True, nonce=machine.nonce)


@pytest.mark.parametrize(
    "config",
    [
        MachineConfig(),
        MachineConfig(image="nginx", guest=Guest(cpus=3)),
        MachineConfig(image="nginx", guest=Guest(cpus=1), size="shared-cpu-1x"),
        MachineConfig(image="nginx", mounts=[Mount(volume="a"), Mount(volume="b")]),
    ],
)
async def test_a_config_that_the_api_would_refuse_is_not_even_sent(
    fly: FlyClient, emulator: Emulator, app: str, config: MachineConfig
) -> None:
    for ask in (
        fly.machines.create(app, config),
        fly.machines.update(app, "m1", config),
        fly.machines.create_once(app, config, name="a", launch="b"),
    ):
        with pytest.raises(InvalidInput):
            await ask
    assert [entry.action for entry in emulator.log] == ["createApp"]


async def test_a_full_region_says_so_and_what_to_do(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.set_capacity("lhr", 0)
    with pytest.raises(NoCapacity, match="another region") as caught:
        await fly.machines.create(app, NGINX, region="lhr")
    assert (caught.value.scope, caught.value.may_have_happened) == (Scope.REGION, False)
    assert (await fly.machines.create(app, NGINX, region=["lhr", "eu"])).region != "lhr"


async def test_a_host_without_room_is_told_from_a_full_region(fly: FlyClient, emulator: Emulator, app: str) -> None:
    text = "aborted: could not reserve resource for machine: insufficient memory available to fulfill request"
    emulator.faults.add(Fault(does="refuse", action="updateMachine", status=409, body={"error": text}))
    machine = await stopped(fly)
    with pytest.raises(NoCapacity) as caught:
        await fly.machines.update(app, machine.id, NGINX)
    assert caught.value.scope is Scope.HOST


async def test_a_name_in_use_names_the_machine_that_has_it(fly: FlyClient, app: str) -> None:
    first = await fly.machines.create(app, NGINX, name="one")
    with pytest.raises(NameTaken) as caught:
        await fly.machines.create(app, NGINX, name="one")
    assert caught.value.existing_id == first.id


async def test_a_running_machine_is_destroyed_by_force_only(fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    with pytest.raises(WrongState):
        await fly.machines.delete(app, machine.id)
    await fly.machines.delete(app, machine.id, force=True)
    await fly.machines.wait(app, machine.id, state="destroyed")
    with pytest.raises(NotFound):
        await fly.machines.delete(app, machine.id, force=True)


async def test_a_start_says_when_there_is_nothing_to_do(fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    with pytest.raises(AlreadyStarting):
        await fly.machines.start(app, machine.id)


async def test_a_start_is_repeated_until_a_machine_that_has_just_stopped_allows_it(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    machine = await running(fly)
    await fly.machines.stop(app, machine.id)
    await fly.machines.start(app, machine.id)
    assert await fly.machines.wait(app, machine.id) == "started"
    assert count(emulator, "startMachine") > 1


STILL_ACTIVE = "failed_precondition: machine still active, refusing to start"
REPLACED = "failed_precondition: machine getting replaced, refusing to start"
UNABLE = "failed_precondition: unable to {} machine from current state: 'replacing'"
UNKNOWN = "invalid machine ID, 'm1'"
MANIFEST = "failed to get manifest registry.fly.io/web:v2: MANIFEST_UNKNOWN: manifest unknown; unknown tag=v2"
LINGERS = "failed_precondition: volume already claimed by machine " + 14 * "\0"
ON_ITS_WAY: list[tuple[Ask, str]] = [
    (lambda fly: fly.machines.start("web", "m1"), STILL_ACTIVE),
    (lambda fly: fly.machines.start("web", "m1"), REPLACED),
    (lambda fly: fly.machines.start("web", "m1"), UNABLE.format("start")),
    (lambda fly: fly.machines.restart("web", "m1"), UNABLE.format("restart")),
    (lambda fly: fly.machines.suspend("web", "m1"), UNABLE.format("suspend")),
    (lambda fly: fly.machines.stop("web", "m1"), UNABLE.format("stop")),
    (lambda fly: fly.machines.update("web", "m1", NGINX), UNABLE.format("update")),
]


@pytest.mark.parametrize(("act", "text"), ON_ITS_WAY)
async def test_a_machine_on_its_way_to_another_state_is_asked_until_it_is_there(act: Ask, text: str) -> None:
    async with scripted(*[(412, {"error": text})] * 4, (200, MACHINE)) as (server, fly):
        await act(fly)
    assert len({sent.line for sent in server.heard}) == 1
    assert len(server.heard) == 5
    assert 7 < now() < 14


@pytest.mark.parametrize(("act", "text"), ON_ITS_WAY)
async def test_a_machine_that_stays_on_its_way_is_not_asked_for_ever(act: Ask, text: str) -> None:
    async with scripted((412, {"error": text})) as (_, fly):
        with pytest.raises(NotSettled):
            await act(fly)
    assert 15 < now() <= 30


NOT_YET: list[tuple[str, int, type[Refused], float]] = [
    (MANIFEST, 400, ImageNotFound, 60),
    (MANIFEST, 404, ImageNotFound, 60),
    (LINGERS, 412, ClaimLingers, 120),
    ("min_secrets_version 3 is not yet available on this app", 412, SecretsNotReady, 60),
]
CHANGE: list[Ask] = [
    lambda fly: fly.machines.create("web", NGINX),
    lambda fly: fly.machines.update("web", "m1", NGINX),
]


@pytest.mark.parametrize("change", CHANGE, ids=["create", "update"])
@pytest.mark.parametrize(("text", "status", "kind", "seconds"), NOT_YET)
async def test_what_is_not_there_yet_is_waited_for(
    change: Ask, text: str, status: int, kind: type[Refused], seconds: float
) -> None:
    async with scripted(*[(status, {"error": text})] * 5, (200, MACHINE)) as (server, fly):
        await change(fly)
    assert len(server.heard) == 6
    async with scripted((status, {"error": text})) as (server, fly):
        before = now()
        with pytest.raises(kind):
            await change(fly)
        assert 0.8 * seconds < now() - before <= seconds + 0.1
    assert len(server.heard) < 30


async def test_an_observer_hears_what_is_waited_for_and_for_how_long() -> None:
    async with scripted(*[(400, {"error": MANIFEST})] * 2, (200, MACHINE)) as (server, _):
        heard: list[ClientEvent] = []
        async with FlyClient("token", base_url=server.url, on_event=heard.append) as fly:
            await fly.machines.create("web", NGINX)
    told = [event for event in heard if isinstance(event, Outlasting)]
    assert [(event.operation, event.identifier, event.times, event.error, event.within) for event in told] == [
        ("machines.create", "web", 1, "ImageNotFound", 60),
        ("machines.create", "web", 2, "ImageNotFound", 60),
    ]
    assert {event.message for event in told} == {MANIFEST}
    assert 1 <= told[0].pause <= 1.5 <= told[1].pause <= 2.25


async def test_a_create_whose_answer_is_lost_after_a_refusal_is_not_sent_again() -> None:
    async with scripted((400, {"error": MANIFEST}), (502, {"error": "bad gateway"})) as (server, fly):
        with pytest.raises(ServerFault) as caught:
            await fly.machines.create("web", NGINX)
    assert caught.value.may_have_happened
    assert len(server.heard) == 2


TOUCHES: list[Ask] = [
    lambda fly: fly.machines.get("web", "m1"),
    lambda fly: fly.machines.update("web", "m1", NGINX),
    lambda fly: fly.machines.start("web", "m1"),
    lambda fly: fly.machines.stop("web", "m1"),
    lambda fly: fly.machines.restart("web", "m1"),
    lambda fly: fly.machines.suspend("web", "m1"),
    lambda fly: fly.machines.cordon("web", "m1"),
    lambda fly: fly.machines.delete("web", "m1"),
    lambda fly: fly.machines.wait_once("web", "m1"),
    lambda fly: fly.machines.patch_metadata("web", "m1", {"a": "b"}),
]


@pytest.mark.parametrize("text", [UNKNOWN, "machine not found"])
@pytest.mark.parametrize("ask", TOUCHES)
async def test_one_404_for_a_machine_proves_nothing_and_two_do(ask: Ask, text: str) -> None:
    async with scripted((404, {"error": text}), (200, MACHINE)) as (server, fly):
        await ask(fly)
    assert len(server.heard) == 2
    async with scripted((404, {"error": text})) as (server, fly):
        before = now()
        with pytest.raises(NotFound):
            await ask(fly)
        assert 1 <= now() - before < 2
    assert len(server.heard) == 2


LOST = (504, None)
GONE = (404, {"error": "machine not found"})


async def test_a_destroy_whose_answer_was_lost_finds_the_machine_gone_and_is_done() -> None:
    async with scripted(LOST, GONE) as (server, fly):
        await fly.machines.delete("web", "m1", force=True)
    assert len(server.heard) == 2
    assert now() < 1


async def test_a_start_that_is_answered_with_an_error_inside_is_one() -> None:
    async with asked({"status": "error", "message": "host is gone", "previous_state": "stopped"}) as (_, fly):
        with pytest.raises(WrongState, match="host is gone"):
            await fly.machines.start("web", "m1")


@pytest.mark.parametrize("method", ["get", "start", "stop", "metadata"])
async def test_an_unknown_machine_is_not_found(fly: FlyClient, app: str, method: str) -> None:
    with pytest.raises(NotFound, match="machine not found"):
        await getattr(fly.machines, method)(app, "0123456789abcd")


async def test_a_refusal_keeps_status_text_and_request_id(fly: FlyClient, app: str) -> None:
    with pytest.raises(Refused) as caught:
        await fly.machines.get(app, "0123456789abcd")
    error = caught.value
    assert (error.operation, error.identifier, error.status) == ("machines.get", "web/0123456789abcd", 404)
    assert error.request_id
    assert error.request_id in str(error)


@pytest.mark.parametrize(
    ("method", "action", "arguments", "times"),
    [
        ("get", "getMachine", (), 2),
        ("stop", "stopMachine", (), 2),
        ("cordon", "cordonMachine", (), 2),
        ("events", "listMachineEvents", (), 2),
        ("set_metadata", "upsertMachineMetadata", ("a", "b"), 2),
        ("update", "updateMachine", (NGINX,), 1),
        ("restart", "restartMachine", (), 1),
        ("signal", "signalMachine", ("SIGHUP",), 1),
    ],
)
async def test_only_what_is_safe_is_repeated(
    fly: FlyClient, emulator: Emulator, app: str, *, method: str, action: str, arguments: tuple[Any, ...], times: int
) -> None:
    machine = await running(fly)
    emulator.faults.add(Fault(does="refuse", action=action, status=502, times=1))
    ask = getattr(fly.machines, method)(app, machine.id, *arguments)
    if times == 1:
        with pytest.raises(ServerFault) as caught:
            await ask
        assert caught.value.may_have_happened
    else:
        await ask
    assert count(emulator, action) == times


async def test_a_create_is_never_repeated_blind(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="cut_after", action="createMachine", times=1))
    with pytest.raises(FlyError) as caught:
        await fly.machines.create(app, NGINX)
    assert caught.value.may_have_happened
    assert len(emulator.world.machines) == 1


async def test_one_wait_runs_out_as_the_api_says(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="stay_created"))
    machine = await fly.machines.create(app, NGINX)
    with pytest.raises(TimedOut, match="currently created"):
        await fly.machines.wait_once(app, machine.id, timeout=3)
    assert count(emulator, "waitMachine") == 1


async def test_one_wait_can_go_on_from_an_event(fly: FlyClient, app: str) -> None:
    machine = await fly.machines.create(app, NGINX)
    first = await fly.machines.wait_once(app, machine.id)
    assert (first.ok, first.state, first.version) == (True, "started", machine.instance_id)
    with pytest.raises(TimedOut):
        await fly.machines.wait_once(app, machine.id, from_event_id=first.event_id, timeout=2)


async def test_a_state_that_no_machine_has_is_a_bad_request(fly: FlyClient, app: str) -> None:
    machine = await stopped(fly)
    with pytest.raises(BadRequest, match="sleeping"):
        await fly.machines.wait(app, machine.id, state="sleeping")


@pytest.mark.parametrize("timeout", [0, 0.5, 61])
async def test_one_wait_refuses_a_time_that_the_api_does_not_offer(fly: FlyClient, timeout: float) -> None:
    with pytest.raises(InvalidInput, match="1 to 60"):
        await fly.machines.wait_once("web", "m1", timeout=timeout)


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_wait_refuses_a_time_that_has_passed(fly: FlyClient, timeout: float) -> None:
    with pytest.raises(InvalidInput, match="above 0"):
        await fly.machines.wait("web", "m1", timeout=timeout)
    with pytest.raises(InvalidInput, match="above 0"):
        await fly.machines.wait_healthy("web", "m1", timeout=timeout)


# Metadata


async def test_one_key_is_set_read_and_removed_whatever_its_name(fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    await fly.machines.set_metadata(app, machine.id, "team/env", "prod")
    assert await fly.machines.get_metadata(app, machine.id, "team/env") == "prod"
    await fly.machines.delete_metadata(app, machine.id, "team/env")
    with pytest.raises(NotFound):
        await fly.machines.get_metadata(app, machine.id, "team/env")


async def test_both_ways_to_write_many_keys_hold_to_the_version(fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    for write in (fly.machines.put_metadata, fly.machines.patch_metadata):
        await write(app, machine.id, {"a": "1", "b": "2"}, machine_version=machine.instance_id)
        await write(app, machine.id, {"b": None})
        assert (await fly.machines.metadata(app, machine.id)).get("a") == "1"
        assert "b" not in await fly.machines.metadata(app, machine.id)
        with pytest.raises(StaleVersion):
            await write(app, machine.id, {"a": "3"}, machine_version="01HXXXXXXXXXXXXXXXXXXXXXXX")


# Inside a running machine


async def test_a_command_tells_what_it_said_and_how_it_ended(fly: FlyClient, app: str, emulator: Emulator) -> None:
    emulator.commands["ls *"] = Output(stdout="a\nb\n", exit_code=0)
    machine = await running(fly)
    result = await fly.machines.exec(app, machine.id, ["ls", "-l"])
    assert (result.stdout, result.succeeded) == ("a\nb\n", True)
    assert "a\nb" not in repr(result)


async def test_a_command_that_fails_is_an_answer(fly: FlyClient, app: str, emulator: Emulator) -> None:
    emulator.commands["make"] = Output(stderr="no rule", exit_code=2)
    machine = await running(fly)
    result = await fly.machines.exec(app, machine.id, "make", timeout=5)
    assert (result.exit_code, result.stderr, result.succeeded) == (2, "no rule", False)


async def test_a_machine_that_does_not_run_runs_no_command(fly: FlyClient, app: str) -> None:
    machine = await stopped(fly)
    with pytest.raises(WrongState):
        await fly.machines.exec(app, machine.id, ["true"])


@pytest.mark.parametrize("command", ["", []])
async def test_a_command_must_be_given(command: str | list[str]) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        await FlyClient("token").machines.exec("web", "m1", command)


async def test_a_list_is_sent_as_words_a_text_as_one_and_seconds_are_whole() -> None:
    sent = await sent_by(lambda fly: fly.machines.exec("web", "m1", ("ls", "-l"), timeout=0.2), {})
    assert sent.body == {"command": ["ls", "-l"], "timeout": 1}
    sent = await sent_by(lambda fly: fly.machines.exec("web", "m1", "ls -l", container="c", machine=False), {})
    assert sent.body == {"cmd": "ls -l", "container": "c", "machine": False}


async def test_processes_are_listed_as_asked(fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    up = await fly.machines.ps(app, machine.id, sort_by="pid", order="asc")
    down = await fly.machines.ps(app, machine.id, sort_by="pid", order="desc")
    assert up
    assert up == tuple(reversed(down))
    assert up[0].command


async def test_memory_is_looked_at_limited_and_reclaimed(fly: FlyClient, app: str) -> None:
    guest = Guest(cpu_kind="shared", cpus=1, memory_mb=256, max_memory_mb=512)
    machine = await running(fly, MachineConfig(image="nginx", guest=guest))
    assert (await fly.machines.memory(app, machine.id)).limit_mb == 256
    assert (await fly.machines.set_memory(app, machine.id, limit_mb=512)).limit_mb == 512
    assert (await fly.machines.memory(app, machine.id)).limit_mb == 512
    assert 0 <= await fly.machines.reclaim_memory(app, machine.id, amount_mb=16) <= 16
