"""Every rule, on both sides."""

from typing import Any

import pytest
from attrs import evolve

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.container import Container, File
from flyasync.models.guest import Guest
from flyasync.models.lint.linter import Finding, check_app_name, check_config, check_guest, check_image, lint, refuse
from flyasync.models.service import Check, Port, Service


def config(**given: Any) -> MachineConfig:
    return MachineConfig(**{"image": "nginx", **given})


@pytest.mark.parametrize("name", ["web", "a", "my-app-2", "0", "a" * 62])
def test_good_names_of_apps(name: str) -> None:
    assert not list(check_app_name(name))


@pytest.mark.parametrize("name", ["", "Web", "my_app", "a.b", "a b", "a" * 64, "é", "web\n"])
def test_bad_names_of_apps(name: str) -> None:
    with pytest.raises(InvalidInput, match="lowercase letters, digits and dashes"):
        refuse(check_app_name(name))


def test_the_way_out_of_a_bad_name() -> None:
    assert [finding.advice for finding in check_app_name("My App!")] == ["try 'my-app'"]
    assert [finding.advice for finding in check_app_name("é")] == ["choose another name"]


@pytest.mark.parametrize("image", ["nginx", "registry.fly.io/web:v2", "nginx@sha256:abc"])
def test_good_images(image: str) -> None:
    assert not list(check_image(image))


@pytest.mark.parametrize(
    ("image", "code"), [(None, "image-missing"), ("", "image-missing"), (" ", "image-missing"), ("a b", "image-spaces")]
)
def test_bad_images(image: str | None, code: str) -> None:
    assert [finding.code for finding in check_image(image)] == [code]


@pytest.mark.parametrize(
    "guest",
    [
        Guest(),
        Guest(cpus=1, memory_mb=256),
        Guest(cpu_kind="shared", cpus=1, memory_mb=2048),
        Guest(cpu_kind="shared", cpus=8, memory_mb=16384),
        Guest(cpu_kind="shared", cpus=2, memory_mb=768, max_memory_mb=4096),
        Guest(cpu_kind="performance", cpus=1, memory_mb=2048),
        Guest(cpu_kind="performance", cpus=128, memory_mb=1048576),
        Guest(cpu_kind="quantum", cpus=3, memory_mb=1),
        Guest(cpu_kind="quantum", cpus=3, max_memory_mb=1),
        Guest(gpu_kind="a10", cpus=8, memory_mb=32768),
        Guest(gpu_kind="a10", memory_mb=32768),
        Guest(gpu_kind="a10", cpus=0, memory_mb=65536),
        Guest(cpu_kind="performance", cpus=1, memory_mb=2304),
        Guest(cpus=0, memory_mb=0, max_memory_mb=0),
        Guest(cpus=1, memory_mb=256, max_memory_mb=0),
        Guest(cpus=1, memory_mb=256, max_memory_mb=4096),
        Guest(cpus=1, memory_mb=256, max_memory_mb=300),
    ],
    ids=repr,
)
def test_guests_that_fit(guest: Guest) -> None:
    assert not list(check_guest(guest))


@pytest.mark.parametrize(
    ("guest", "code", "advice"),
    [
        (Guest(cpu_kind="shared", cpus=3), "guest-cpus", "use 1, 2, 4, 6, 8"),
        (Guest(cpu_kind="shared", cpus=10), "guest-cpus", "use 1, 2, 4, 6, 8"),
        (Guest(gpu_kind="a10", cpu_kind="shared", cpus=3), "guest-cpus", "use 1, 2, 4, 6, 8"),
        (Guest(cpus=1, memory_mb=300), "guest-memory", "use 256"),
        (Guest(cpus=1, memory_mb=128), "guest-memory", "use 256"),
        (Guest(cpus=1, memory_mb=4096), "guest-memory", "use 2048"),
        (Guest(memory_mb=4096), "guest-memory", "use 2048"),
        (Guest(cpus=8, memory_mb=256), "guest-memory", "use 2048"),
        (Guest(cpu_kind="performance", cpus=1, memory_mb=1024), "guest-memory", "use 2048"),
        (Guest(cpu_kind="performance", cpus=1, memory_mb=2100), "guest-memory", "use 2048"),
        (Guest(gpu_kind="a10", memory_mb=8192), "guest-memory", "use 16384"),
        (Guest(cpu_kind="performance", cpus=1, memory_mb=9216), "guest-memory", "use 8192"),
        (Guest(cpus=1, memory_mb=512, max_memory_mb=256), "guest-ceiling", "raise it, or remove it"),
    ],
    ids=repr,
)
def test_guests_that_do_not_fit(guest: Guest, code: str, advice: str) -> None:
    assert [(finding.code, finding.advice) for finding in check_guest(guest)] == [(code, advice)]


@pytest.mark.parametrize(
    "given",
    [
        {"size": "shared-cpu-1x"},
        {"guest": Guest(cpus=1)},
        {"mounts": [Mount(volume="vol_1", path="/data")]},
        {"env": {"A": "1"}, "metadata": {"b": ""}},
        {"services": [Service(autostart=True), Service(autostart=False), Service()]},
        {"checks": {"up": Check(interval=2, timeout=60)}},
        {"image": None, "containers": [Container(name="a", image="nginx")]},
        {"files": [File(guest_path="/a", raw_value="aGk="), File(guest_path="/b", secret_name="S")]},
        {"files": [File(guest_path="/a", raw_value="aGk\n=")]},
        {"files": [File(guest_path="/a", raw_value="")]},
        {"files": [File(guest_path="/a", extra={"novel_source": "x"})]},
        {"services": [Service(ports=[Port(port=80, handlers=["http"], force_https=True)])]},
        {"standbys": ["m1"]},
        {"services": [Service(checks=[Check(interval=1, timeout="90s")])]},
        {"size": "", "guest": Guest(cpus=1)},
        {"files": [File(guest_path="/a", raw_value="aGk=", secret_name="", image_config="")]},
        {"files": [File(guest_path="/a", raw_value="", secret_name="S")]},
        {"image": "", "containers": [Container(name="a", image="nginx")]},
        {"env": {"A": None}, "metadata": {"b": None}},
        {"checks": {"up": Check(interval=0, timeout=0)}},
    ],
)
def test_configs_that_are_well(given: dict[str, Any]) -> None:
    assert not list(check_config(config(**given)))


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"image": None}, "image-missing", "image"),
        ({"size": "shared-cpu-1x", "guest": Guest(cpus=1)}, "size-and-guest", "size"),
        ({"guest": Guest(cpus=3)}, "guest-cpus", "guest.cpus"),
        ({"mounts": [Mount(), Mount()]}, "mounts", "mounts"),
        ({"mounts": [Mount(path="/data")]}, "mount-volume", "mounts[0].volume"),
        ({"mounts": [Mount(volume="data", path="/data")]}, "mount-volume", "mounts[0].volume"),
        ({"mounts": [Mount(volume="vol_1")]}, "mount-path", "mounts[0].path"),
        ({"mounts": [Mount(volume="vol_1", path="data")]}, "mount-path", "mounts[0].path"),
        (
            {"mounts": [Mount(volume="vol_1", path="/data", add_size_gb=1, add_size_percent=10)]},
            "mount-step",
            "mounts[0].add_size_percent",
        ),
        ({"standbys": ["m1"], "services": [Service()]}, "standbys", "standbys"),
        ({"files": [File(guest_path="/a")]}, "file-source", "files[0]"),
        ({"files": [File(guest_path="/a", raw_value="aGk=", secret_name="S")]}, "file-source", "files[0]"),
        ({"files": [File(guest_path="/a", secret_name="")]}, "file-source", "files[0]"),
        ({"files": [File(guest_path="/a", raw_value="not base64!")]}, "file-base64", "files[0].raw_value"),
        ({"files": [File(guest_path="/a", raw_value="aGk")]}, "file-base64", "files[0].raw_value"),
        ({"files": [File(guest_path="/a", raw_value="é")]}, "file-base64", "files[0].raw_value"),
        ({"files": [File(guest_path="a", secret_name="S")]}, "file-path", "files[0].guest_path"),
        (
            {"containers": [Container(files=[File(guest_path="/a")])]},
            "file-source",
            "containers[0].files[0]",
        ),
        ({"containers": [Container(env={"PORT": 1})]}, "env-text", "containers[0].env.PORT"),  # type: ignore[dict-item]
        (
            {"services": [Service(ports=[Port(port=80, force_https=True)])]},
            "force-https",
            "services[0].ports[0].force_https",
        ),
        ({"env": {"PORT": 8080}}, "env-text", "env.PORT"),
        ({"metadata": {"debug": True}}, "metadata-text", "metadata.debug"),
        ({"services": [Service(), Service(autostart="true")]}, "autostart", "services[1].autostart"),  # type: ignore[arg-type]
        ({"checks": {"up": Check(interval="1s")}}, "check-interval", "checks.up.interval"),
        ({"checks": {"up": Check(timeout=61)}}, "check-timeout", "checks.up.timeout"),
    ],
)
def test_configs_that_would_be_refused(given: dict[str, Any], code: str, path: str) -> None:
    assert [(finding.code, finding.path) for finding in check_config(config(**given))] == [(code, path)]


def test_a_refusal_names_every_certain_finding() -> None:
    findings = [
        Finding("a", "x", "is odd", "change it"),
        Finding("b", "y", "is unwise", "think", certain=False),
        Finding("c", "z", "is bad", "drop it"),
    ]
    with pytest.raises(InvalidInput) as caught:
        refuse(findings)
    assert str(caught.value) == "x: is odd; change it. z: is bad; drop it"
    refuse(findings[1:2])


def test_a_volume_by_name_is_for_what_is_yet_to_be_sent() -> None:
    by_name, in_place_of_an_id, by_nothing, by_what_is_none = (
        config(mounts=[evolve(mount, path="/d")])
        for mount in (Mount(name="data"), Mount(volume="data"), Mount(), Mount(volume="my-data"))
    )
    for known in (by_name, in_place_of_an_id):
        assert lint(known, volumes_by_name=True) == ()
        (found,) = lint(known)
        assert "create_once, flyasync machines run and deploys take a free volume of that name" in str(found)
    lacking = (
        check_config(by_name),
        lint(by_nothing, volumes_by_name=True),
        lint(by_what_is_none, volumes_by_name=True),
    )
    for each in lacking:
        assert [(finding.code, finding.certain) for finding in each] == [("mount-volume", True)]


def test_a_refusal_repeats_no_secret() -> None:
    (finding,) = check_config(config(env={"KEY": ["hunter2"]}))
    assert "hunter2" not in str(finding)
