from typing import Any

import pytest

from flyasync.emulator import Fault
from flyasync.emulator.core.images import ImageReference, ImageRegistry, image_ref
from tests.emulator.driver import Api, at

LATEST = "registry.fly.io/web:latest"
PINNED = f"{LATEST}@sha256:{'5' * 64}"
# The query of flyctl before it deploys an image that it did not build.
RESOLVE = """query ResolveImage($app: String!, $ref: String!) {
  app(name: $app) { id image(ref: $ref) { id digest ref compressedSize: compressedSizeFull manifest } }
}"""


async def resolved(api: Api, image: str) -> Any:
    said = await api.post("/graphql", {"query": RESOLVE, "variables": {"app": "web", "ref": image}})
    return said.body["data"]["app"]["image"]


def digest(machine: dict[str, Any]) -> str:
    return str(machine["image_ref"]["digest"])


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("nginx", ("registry-1.docker.io", "library/nginx", "latest")),
        ("nginx:1@sha256:ab", ("registry-1.docker.io", "library/nginx", "1")),
        ("docker.io/nginx:1", ("registry-1.docker.io", "library/nginx", "1")),
        ("flyio/hellofly:v1", ("registry-1.docker.io", "flyio/hellofly", "v1")),
        ("registry.fly.io/web:v2", ("registry.fly.io", "web", "v2")),
        ("registry.fly.io/web@sha256:ab", ("registry.fly.io", "web", "")),
        ("localhost:5000/web", ("localhost:5000", "web", "latest")),
    ],
)
def test_images_are_taken_apart(image: str, parts: tuple[str, str, str]) -> None:
    found = image_ref(image, "sha256:ab")
    assert (found["registry"], found["repository"], found["tag"]) == parts
    assert found["digest"] == "sha256:ab"


async def test_a_machine_of_containers_has_no_image_of_its_own(api: Api) -> None:
    said = await api.post("/v1/apps/web/machines", {"config": {"containers": [{"name": "app", "image": "nginx"}]}})
    assert said.body["image_ref"] == {}


def test_a_digest_is_stable_until_the_tag_moves() -> None:
    images = ImageRegistry()
    first = images.digest("nginx")
    assert first.startswith("sha256:")
    assert len(first) == 71
    assert {images.digest(same) for same in ("nginx:latest", "docker.io/library/nginx")} == {first}
    assert images.digest("nginx:1") != first
    second, third = images.push("docker.io/nginx"), images.push("nginx:latest")
    assert len({first, second, third}) == 3
    assert images.digest("nginx") == third
    assert images.push(f"nginx:latest@{first}") == images.digest("nginx") == first


def test_a_digest_that_is_stated_counts() -> None:
    images = ImageRegistry()
    images.push("registry.fly.io/web:2")
    assert images.digest("registry.fly.io/web:2@sha256:ab") == "sha256:ab"


@pytest.mark.parametrize(
    ("image", "written"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("registry.fly.io/web:2@sha256:ab", "registry.fly.io/web:2@sha256:ab"),
        ("registry.fly.io/web@sha256:ab", "registry.fly.io/web@sha256:ab"),
    ],
)
def test_a_reference_is_written_in_full(image: str, written: str) -> None:
    assert str(ImageReference.parse(image)) == written


async def test_machines_keep_their_digest_when_the_tag_moves(api: Api) -> None:
    old = await api.running(config={"image": LATEST})
    moved = api.emulator.push(LATEST)
    new, pinned = await api.machine(config={"image": LATEST}), await api.machine(config={"image": PINNED})
    assert digest(await api.look(old)) == digest(old) != moved
    assert digest(new) == moved
    assert digest(pinned) == PINNED.partition("@")[2]
    assert {each["image_ref"]["tag"] for each in (old, new, pinned)} == {"latest"}


async def test_an_update_resolves_only_another_reference(api: Api) -> None:
    machine = await api.running(config={"image": LATEST})
    moved = api.emulator.push(LATEST)
    same = (await api.post(at(machine), {"config": {"image": LATEST, "env": {"A": "1"}}})).body
    assert digest(same) == digest(machine) != moved
    await api.reach(machine, "started")
    pinned = (await api.post(at(machine), {"config": {"image": f"{LATEST}@{moved}"}})).body
    assert digest(pinned) == moved


async def test_graphql_resolves_a_reference(api: Api) -> None:
    machine = await api.machine(config={"image": "nginx"})
    before = await resolved(api, "nginx")
    assert before["digest"] == digest(machine)
    assert before["ref"] == "docker.io/library/nginx:latest"
    assert before["compressedSize"].isdecimal()
    assert before["manifest"]["schemaVersion"] == 2
    moved = api.emulator.push("nginx")
    after = await resolved(api, "nginx")
    assert after["digest"] == moved
    assert after["id"] != before["id"]
    assert (await resolved(api, PINNED))["digest"] == PINNED.partition("@")[2]


async def test_graphql_needs_a_reference_to_resolve(api: Api) -> None:
    said = await api.post("/graphql", {"query": '{ app(name: "web") { image { digest } } }'})
    assert "'String!' is required" in said.body["errors"][0]["message"]
    said = await api.post("/graphql", {"query": '{ app(name: "web") { image(ref: "") { digest } } }'})
    assert (said.body["data"], said.body["errors"][0]["message"]) == (None, "Could not find Image")


async def test_a_tag_is_moved_by_control(api: Api) -> None:
    said = await api.post("/_emulator/images", {"image": LATEST})
    assert (said.status, said.body["image"]) == (201, LATEST)
    assert digest(await api.machine(config={"image": LATEST})) == said.body["digest"]
    assert (await api.post("/_emulator/images", {"image": PINNED})).body["digest"] == PINNED.partition("@")[2]
    assert (await api.post("/_emulator/images", {})).status == 400


async def test_a_reset_brings_the_tags_back(api: Api) -> None:
    before = await resolved(api, LATEST)
    api.emulator.push(LATEST)
    api.emulator.reset()
    await api.app()
    assert await resolved(api, LATEST) == before


@pytest.mark.parametrize("pattern", ["*:latest", LATEST, PINNED, f"*@{PINNED.partition('@')[2]}"])
async def test_a_fault_fits_an_image_with_its_digest_or_without(api: Api, pattern: str) -> None:
    refuse, fail = Fault(does="refuse", action="createMachine", image=pattern), Fault(does="fail", image=pattern)
    api.emulator.faults.add(refuse)
    assert (await api.post("/v1/apps/web/machines", {"config": {"image": PINNED}})).status == 503
    api.emulator.faults.remove(refuse)
    api.emulator.faults.add(fail)
    await api.reach(await api.machine(config={"image": PINNED}), "failed")


async def test_a_pattern_of_a_tag_does_not_fit_a_digest(api: Api) -> None:
    api.emulator.faults.add(Fault(does="fail", image="*:5*"))
    await api.running(config={"image": PINNED})
    await api.reach(await api.machine(config={"image": "nginx:5"}), "failed")


async def test_a_fault_of_a_digest_strikes_whatever_runs_it(api: Api) -> None:
    moved = api.emulator.push(LATEST)
    api.emulator.faults.add(Fault(does="fail", image=f"*@{moved}"))
    await api.reach(await api.machine(config={"image": LATEST}), "failed")
    await api.running(config={"image": PINNED})
