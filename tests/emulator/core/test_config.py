from typing import Any

import pytest

from flyasync.emulator.core.config import accepted
from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.guest import presets


def error_response(config: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as error:
        accepted(config)
    return error.value.status, error.value.text


def config(**more: Any) -> dict[str, Any]:
    return {"image": "nginx", **more}


def test_the_smallest_config_is_filled_in() -> None:
    assert accepted(config()) == {
        "image": "nginx",
        "init": {},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
    }


def test_unknown_keys_come_back_as_sent() -> None:
    sent = config(future={"a": [1, None]}, env={"A": "1"}, services=[{"internal_port": 80, "new": 1}])
    found = accepted(sent)
    assert found["future"] == {"a": [1, None]}
    assert found["services"] == [{"internal_port": 80, "new": 1}]


@pytest.mark.parametrize(
    ("sent", "answered"),
    [("off", False), ("stop", True), ("suspend", "suspend"), (False, False), (True, True)],
)
def test_autostop_comes_back_as_a_boolean(sent: Any, answered: Any) -> None:
    assert accepted(config(services=[{"autostop": sent}]))["services"][0]["autostop"] == answered


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (None, "config is required"),
        ([], "json: cannot unmarshal array into Go struct field config of type MachineConfig"),
        ({}, "config.image is required"),
        (
            config(image=7),
            "json: cannot unmarshal number into Go struct field MachineConfig.config.image of type string",
        ),
        (
            config(env={"PORT": 80}),
            "json: cannot unmarshal number into Go struct field MachineConfig.config.env of type string",
        ),
        (
            config(env={"DEBUG": True}),
            "json: cannot unmarshal bool into Go struct field MachineConfig.config.env of type string",
        ),
        (
            config(env=["A=1"]),
            "json: cannot unmarshal array into Go struct field MachineConfig.config.env of type map[string]string",
        ),
        (
            config(services=[{"autostart": "true"}]),
            "json: cannot unmarshal string into Go struct field MachineService.config.services.autostart of type bool",
        ),
        (
            config(services={}),
            "json: cannot unmarshal object into Go struct field MachineConfig.config.services of type []MachineService",
        ),
        (
            config(guest={"cpus": 1.5}),
            "json: cannot unmarshal number 1.5 into Go struct field MachineGuest.config.guest.cpus of type int",
        ),
        (config(services=[{"autostop": "maybe"}]), "invalid config.services.autostop: 'maybe'"),
        (config(services=[{"autostop": 3}]), "invalid config.services.autostop: 3"),
        (
            config(mounts=[{"volume": "a", "path": "/a"}, {"volume": "b", "path": "/b"}]),
            "config.mounts: a machine can have at most one mount",
        ),
        (config(mounts=[{"path": "/a"}]), "config.mounts: volume is required"),
        (config(mounts=[{"volume": "a"}]), "config.mounts: path is required"),
        (config(standbys=["a"], services=[{}]), "config.standbys can not be used by a machine with services"),
        (config(restart={"policy": "never"}), "invalid config.restart.policy: 'never'"),
        (config(schedule="yearly"), "invalid config.schedule: 'yearly'"),
        (config(size="shared-cpu-1x", guest={"cpus": 1}), "config.size and config.guest are mutually exclusive"),
        (config(size="huge"), "invalid machine size requested, 'huge'"),
        (config(guest={"cpu_kind": "quantum"}), "invalid config.guest.cpu_kind: 'quantum'"),
        (
            config(checks={"up": {"port": "80"}}),
            "json: cannot unmarshal string into Go struct field MachineCheck.config.checks.port of type int",
        ),
    ],
)
def test_a_config_that_makes_no_sense_is_a_bad_request(bad: Any, text: str) -> None:
    assert error_response(bad) == (400, text)


@pytest.mark.parametrize(
    "guest",
    [
        {"cpus": 3},
        {"cpus": 1, "memory_mb": 300},
        {"cpus": 1, "memory_mb": 4096},
        {"cpus": 2, "memory_mb": 256},
        {"cpu_kind": "performance", "cpus": 1, "memory_mb": 1024},
        {"cpu_kind": "performance", "cpus": 2, "memory_mb": 4352},
    ],
)
def test_a_guest_that_does_not_fit_cannot_be_processed(guest: dict[str, Any]) -> None:
    status, text = error_response(config(guest=guest))
    assert status == 422
    assert text.startswith("invalid config.guest: ")


@pytest.mark.parametrize("size", presets())
def test_a_size_comes_back_as_a_guest_that_may_be_sent_again(size: str) -> None:
    found = accepted(config(size=size))
    assert "size" not in found
    assert accepted(found) == found


def test_memory_defaults_to_the_least_for_the_cpus() -> None:
    assert accepted(config(guest={"cpus": 4, "cpu_kind": ""}))["guest"] == {
        "cpu_kind": "shared",
        "cpus": 4,
        "memory_mb": 1024,
    }
    assert accepted(config(guest={"gpu_kind": "l40s"}))["guest"]["memory_mb"] == 32768


def test_containers_may_bring_the_images() -> None:
    assert accepted({"containers": [{"name": "app", "image": "nginx"}]})["containers"]
