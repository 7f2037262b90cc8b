import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.oncall.release_list import moment_of, releases
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator import Fault
from flyasync.models.config import MachineConfig
from flyasync.models.machine_results import MachineVersion
from flyasync.testing import mock_machine
from tests.cli.driver import Shop


def deploy(shop: Shop, image: str, launch: str, *args: str) -> None:
    options = ("--image", image, "--region", "iad,lhr", "--strategy", "rolling", "--launch", launch)
    shop.said("deploy", "web", *options, *args)
    shop.drive(asyncio.sleep(5))


def listed(shop: Shop, **fields: Any) -> list[dict[str, Any]]:
    return shop.json("releases", "web", **fields)  # type: ignore[no-any-return]


def results(shop: Shop) -> dict[str, str]:
    return {each["release"]: each["result"] for each in listed(shop)}


def test_launches_are_listed_newest_first_with_image_and_result(shop: Shop) -> None:
    deploy(shop, "nginx:1", "v1")
    deploy(shop, "nginx:2", "v2")
    second, first = listed(shop)
    assert (second["release"], second["result"], second["machines"], second["of"]) == ("v2", "current", 2, 2)
    assert (first["release"], first["result"], first["groups"]) == ("v1", "replaced", ["app"])
    assert second["at"] > first["at"]
    assert second["image"].startswith("nginx:2@sha256:")
    assert second["digest"] != first["digest"]
    line = shop.said("releases", "web").splitlines()[0].split("\t")
    assert (line[0], line[4], line[6]) == ("v2", "app", "current")


def test_a_release_that_was_undone_is_rolled_back(shop: Shop) -> None:
    deploy(shop, "nginx:1", "v1")
    deploy(shop, "nginx:2", "v2")
    shop.said("deploy", "web", "--undo")
    assert results(shop) == {"v2": "rolled back", "v1": "current"}


def test_a_release_whose_update_failed_is_rolled_back(shop: Shop) -> None:
    deploy(shop, "nginx:1", "v1")
    shop.emulator.faults.add(Fault(does="crash", image="nginx:2", exit_code=1, seconds=1))
    options = ("--image", "nginx:2", "--region", "iad,lhr", "--strategy", "rolling", "--launch", "v2", "--roll-back")
    assert shop.ask("deploy", "web", *options).exit_code == 4
    assert results(shop) == {"v2": "rolled back", "v1": "current"}


def test_a_release_that_failed_on_its_way_is_on_some_machines(shop: Shop) -> None:
    deploy(shop, "nginx:1", "v1")
    shop.emulator.faults.add(Fault(does="crash", image="nginx:2", exit_code=1, seconds=1))
    options = ("--image", "nginx:2", "--region", "iad,lhr", "--strategy", "rolling", "--launch", "v2")
    assert shop.ask("deploy", "web", *options).exit_code == 3
    assert results(shop) == {"v2": "on 1 of 2 machines; 1 in trouble", "v1": "on 1 of 2 machines"}


def test_a_launch_of_several_groups_is_one_release(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "fly.toml"
    file.write_text(
        'app = "web"\nprimary_region = "iad"\n[build]\nimage = "nginx"\n[processes]\nweb = "a"\nworker = "b"\n'
    )

    async def deploy_all() -> None:
        async with FlyClient() as fly:
            report = await DeployBuilder.from_fly_toml(file).with_message("all", by="ann").execute(fly)
            report.raise_for_failure()

    shop.drive(deploy_all())
    (release,) = listed(shop)
    assert (release["groups"], release["result"]) == (["web", "worker"], "current")
    assert (release["message"], release["by"]) == ("all", "ann")


def test_a_release_that_replaced_its_machines_is_found_in_destroyed_ones(shop: Shop) -> None:
    deploy(shop, "nginx:1", "v1")
    options = ("--image", "nginx:2", "--region", "iad,lhr", "--launch", "v2", "--port", "80", "--check", "/")
    shop.said("deploy", "web", "--strategy", "bluegreen", *options)
    assert results(shop) == {"v2": "current", "v1": "replaced"}


def test_who_deployed_which_commit_and_why_is_shown(shop: Shop) -> None:
    why = ("flyasync_by=ann@example.com", f"flyasync_commit={'a1' * 20}", "flyasync_message=more room")
    shop.run("--metadata", "flyasync_launch=v1", *(word for each in why for word in ("--metadata", each)))
    line = shop.said("releases", "web").rstrip("\n").split("\t")
    assert line[2:4] == ["ann@example.com", "a1a1a1a1a1a1"]
    assert line[7] == "more room"
    assert listed(shop)[0]["commit"] == "a1" * 20


def test_an_app_without_a_launch_has_no_releases(shop: Shop) -> None:
    shop.run()
    result = shop.ask("releases", "web")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no machine has the tag of a launch" in result.stderr


async def record(shop: Shop, image: str, status: str) -> int:
    headers = {"Authorization": f"Bearer {shop.emulator.token}"}
    async with aiohttp.ClientSession(shop.emulator.url, headers=headers) as session:
        body = {"app_name": "web", "image": image, "strategy": "ROLLING"}
        async with session.post("/api/v1/releases", json=body) as reply:
            made = (await reply.json())["release"]
        async with session.patch(f"/api/v1/releases/{made['id']}", json={"status": status}):
            version: int = made["version"]
            return version


def of_flyctl(version: int) -> tuple[str, ...]:
    tags = ("fly_platform_version=v2", "fly_process_group=app", f"fly_release_version={version}")
    return tuple(word for each in tags for word in ("--metadata", each))


def test_flyctls_releases_are_in_the_list_too(shop: Shop) -> None:
    shop.run(*of_flyctl(shop.drive(record(shop, "nginx:1", "complete"))))
    shop.drive(record(shop, "nginx:2", "failed"))
    shop.drive(asyncio.sleep(5))
    shop.said("deploy", "web", "--image", "nginx:3", "--region", "iad", "--strategy", "rolling", "--launch", "v3")
    last, failed, first = listed(shop)
    assert (last["release"], last["tool"], last["result"]) == ("v3", "flyasync", "current")
    assert (failed["release"], failed["tool"], failed["result"]) == ("v2", "flyctl", "failed; no machine has it")
    assert (first["release"], first["result"]) == ("v1", "complete; no machine has it")
    assert first["by"] == "emulator@example.com"
    assert failed["image"] == "nginx:2"


def test_what_cannot_be_read_is_named_and_the_rest_is_listed(shop: Shop) -> None:
    shop.run(*of_flyctl(1))
    shop.emulator.faults.add(Fault(does="refuse", action="graphql", status=403, body={"error": "no"}))
    result = shop.ask("releases", "web")
    assert result.exit_code == 1
    assert "flyctl's releases could not be read: " in result.stderr
    assert result.stdout.startswith("v1\t")


def test_a_version_belongs_to_the_release_that_it_does_not_share_with_the_one_before() -> None:
    def version(moment: str, **metadata: str) -> MachineVersion:
        return MachineVersion(version=moment * 26, user_config=MachineConfig(image="nginx", metadata=metadata))

    machine = mock_machine(id="0" * 14)
    versions = [
        version("4", flyasync_launch="a", fly_release_version="8"),
        version("3", flyasync_launch="a", fly_release_version="7"),
        version("2", fly_release_version="7"),
        version("1"),
    ]
    found = releases([machine], {machine.id: versions}, ())
    assert [each.release for each in found] == ["v8", "a", "v7"]
    assert [each.result for each in found] == ["current", "replaced", "replaced"]


@pytest.mark.parametrize(
    ("version", "moment"),
    [("01KDVDNA00JJB2AK4WAXPTG8WQ", "2026-01-01T00:00:00"), ("", None), ("not-a-ulid!", None), ("Z" * 26, None)],
)
def test_the_time_of_a_version_is_in_its_id(version: str, moment: str | None) -> None:
    found = moment_of(version)
    assert (found and found.isoformat()[:19]) == moment
