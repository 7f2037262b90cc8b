"""The world of a recording: what its responses show at one moment, and what machines do later."""

from typing import Any

from flyasync.emulator.core.faults import Fault
from flyasync.emulator.replay.comparison import Ids
from flyasync.emulator.replay.reconstruction import world_at
from flyasync.emulator.replay.recording import Exchange, Recording
from flyasync.emulator.world.world import World

APP = "/v1/apps/web"
CONFIG = {"image": "shop:1", "metadata": {"flyasync_config": "0a1b2c3d4e5f6071"}}
M1 = {"id": "m1", "name": "app-iad-1", "region": "iad", "state": "started", "config": CONFIG, "instance_id": "V1",
      "image_ref": {"digest": "sha256:aa"}, "checks": [{"name": "up", "status": "critical"}]}  # fmt: skip
M2 = {**M1, "id": "m2", "name": "app-lhr-1", "region": "lhr", "state": "stopped", "checks": []}


def exchange(number: int, path: str, response: Any = None, method: str = "GET", **more: Any) -> Exchange:
    given = {"at": float(number), "seconds": 0.5, "operation": "", "identifier": "", "status": 200, **more}
    return Exchange(number=number, path=f"{APP}{path}", method=method, response=response, **given)


def rebuilt(*exchanges: Exchange, played: int, **ids: str) -> World:
    """Return the world after the first exchanges."""
    header = {"started": "2026-01-01T00:00:00+00:00"}
    recording = Recording(source="r", header=header, deploys=(), exchanges=exchanges, ends="closed")
    return world_at(recording, range(played), Ids(ids, frozenset()), at=float(played), blank=World())


LISTED = exchange(0, "/machines", [M1, M2])


def test_machines_are_as_the_last_response_shows_them() -> None:
    world = rebuilt(LISTED, exchange(1, "/machines/m1", {**M1, "state": "stopped"}), played=2)
    assert {each.name: each.state for each in world.machines.values()} == {
        "app-iad-1": "stopped",
        "app-lhr-1": "stopped",
    }
    assert (world.machines["m1"].digest, world.machines["m1"].instance_id) == ("sha256:aa", "V1")


def test_what_was_read_before_the_first_create_is_known_and_later_changes_are_not() -> None:
    created = exchange(2, "/machines", {**M1, "id": "m3", "name": "app-iad-2"}, "POST", request={"region": "iad"})
    world = rebuilt(LISTED, exchange(1, "/ip_assignments", {"ips": [{"ip": "1.2.3.4"}]}), created, played=0)
    assert sorted(world.machines) == ["m1", "m2"]
    assert list(world.apps["web"].addresses) == ["1.2.3.4"]


def test_changes_without_a_machine_in_the_response_are_applied() -> None:
    lease = {"data": {"nonce": "redacted-1", "expires_at": 1767225700, "description": "flyasync deploy v1"}}
    world = rebuilt(
        LISTED,
        exchange(1, "/machines/m1/cordon", {}, "POST"),
        exchange(2, "/machines/m1/lease", lease, "POST"),
        exchange(3, "/machines/m1/metadata", None, "PATCH", request={"metadata": {"owner": "shop"}}),
        exchange(4, "/machines/m2", {"ok": True}, "DELETE"),
        played=5,
    )
    [machine] = world.machines.values()
    assert machine.is_cordoned
    assert machine.lease
    assert machine.lease.nonce == "redacted-1"
    assert machine.config["metadata"] == {**CONFIG["metadata"], "owner": "shop"}  # type: ignore[dict-item]


def test_ids_are_those_of_the_present_client() -> None:
    world = rebuilt(LISTED, played=1, **{"0a1b2c3d4e5f6071": "1111111111111111"})
    assert world.machines["m1"].config["metadata"] == {"flyasync_config": "1111111111111111"}


def test_boots_faults_and_full_regions_are_those_of_the_whole_recording() -> None:
    config = {"image": "shop:2"}
    full = {"error": "no host", "status": "insufficient_capacity"}
    world = rebuilt(
        LISTED,
        exchange(1, "/machines", {**M1, "id": "m3", "state": "created", "config": config, "checks": []}, "POST"),
        exchange(4, "/machines/m3", {**M1, "id": "m3", "config": config, "checks": []}),
        exchange(20, "/machines/m3", {**M1, "id": "m3", "config": config}),
        exchange(21, "/machines", full, "POST", status=422, request={"region": "lhr"}),
        exchange(22, "/machines", full, "POST", status=422, request={"region": "nrt"}),
        played=1,
    )
    assert world.boots == {"app-iad-1": 3.0}
    assert list(world.faults) == [Fault(does="checks_never_pass", image="shop:2", region="iad")]
    assert world.capacity == {"lhr": 1, "nrt": 0}


def test_a_tag_has_the_digest_that_it_was_resolved_to() -> None:
    query = {"query": "…", "variables": {"app": "web", "image": "shop:2"}}
    found = {"data": {"app": {"image": {"digest": "sha256:" + "b" * 64}}}}
    resolved = Exchange(number=0, at=0.0, seconds=0.1, operation="images.resolve", identifier="web", method="POST",
                        path="/graphql", request=query, status=200, response=found)  # fmt: skip
    assert rebuilt(resolved, LISTED, played=2).images.digest("shop:2") == "sha256:" + "b" * 64
