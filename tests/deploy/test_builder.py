"""DeployBuilder: what it accepts, and what it refuses before any request."""

from collections.abc import Callable
from typing import Any

import pytest

from flyasync import Check, DeployBuilder, Guest, InvalidInput, MachineConfig, Mount, Port, Requirement, Service


def web() -> Any:  # untyped, for the mistakes that a type checker would catch already
    return DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx")


def test_each_method_gives_a_new_builder() -> None:
    base = web()
    changed = base.with_env(A="1").count(3).with_launch("v2").require("all")
    assert base.config.env is None
    assert base.deployment().counts == {"iad": 1, "lhr": 1}
    assert changed.config.env == {"A": "1"}
    assert changed.deployment().counts == {"iad": 3, "lhr": 3}


def test_one_base_serves_many_apps() -> None:
    assert [web().for_app(app).deployment().app for app in ("a", "b")] == ["a", "b"]


def test_each_deployment_is_a_launch_of_its_own_unless_named() -> None:
    assert web().deployment().launch != web().deployment().launch
    assert web().with_launch("v1").deployment().launch == "v1"


def test_counts_are_for_all_regions_or_for_one() -> None:
    assert web().count(2, iad=5).deployment().counts == {"iad": 5, "lhr": 2}
    assert web().count(iad=5).count(3).deployment().counts == {"iad": 5, "lhr": 3}


def test_env_metadata_services_and_checks_add_up() -> None:
    check = Check(type="tcp", port=8080)
    built = (
        web()
        .with_env({"A": "1"}, B="2")
        .with_env(A="3")
        .with_metadata(team="x")
        .with_metadata({"a/b": "y"})
        .with_service(internal_port=8080)
        .with_service(Service(protocol="udp", internal_port=53))
        .with_check("one", check)
        .with_check("two", check)
    )
    config = built.config
    assert config.env == {"A": "3", "B": "2"}
    assert config.metadata == {"team": "x", "a/b": "y"}
    assert config.checks == {"one": check, "two": check}
    assert config.services is not None
    assert [service.internal_port for service in config.services] == [8080, 53]
    assert config.services[0].ports == (
        Port(port=80, handlers=["http"], force_https=True),
        Port(port=443, handlers=["tls", "http"]),
    )


def test_a_whole_config_is_a_base_to_change() -> None:
    config = MachineConfig(image="old", schedule="daily")
    assert web().with_config(config).with_image("new").config == MachineConfig(image="new", schedule="daily")


def test_a_size_stands_for_its_guest() -> None:
    assert web().with_size("performance-2x").config.guest == Guest.of_size("performance-2x")
    assert web().with_guest(cpus=2, memory_mb=1024).config.guest == Guest(cpus=2, memory_mb=1024)


CHECKED = web().with_check("up", Check(type="tcp", port=80))


@pytest.mark.parametrize(
    ("builder", "goal"),
    [
        (web(), "started"),
        (CHECKED, "healthy"),
        (CHECKED.wait_for("started"), "started"),
        (CHECKED.wait_for("healthy"), "healthy"),
        (CHECKED.wait_for(None), None),
    ],
)
def test_what_is_waited_for_depends_on_the_checks_unless_said(builder: DeployBuilder, goal: str | None) -> None:
    wanted = builder.deployment()
    assert wanted.goal_of(wanted.tagged) == goal


def test_the_requirement_is_one_region_unless_said() -> None:
    assert web().deployment().requirement == Requirement(1)
    assert web().require("50%").deployment().requirement == Requirement(0.5)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: DeployBuilder("My App"), "try 'my-app'"),
        (lambda: DeployBuilder(""), "is not a valid app name"),
        (lambda: web().for_app("a_b"), "try 'a-b'"),
        (lambda: web().to_regions("iad", "lhr", "iad"), r"'iad' is listed twice: .* count\(iad=2\)"),
        (lambda: web().to_regions("IAD"), "did you mean 'iad'"),
        (lambda: web().to_regions().deployment(), "no region to deploy to"),
        (lambda: web().with_image(""), "is not an image"),
        (lambda: web().with_image("a b"), "spaces"),
        (lambda: DeployBuilder("web").to_regions("iad").deployment(), "is not an image"),
        (lambda: web().with_size("shared-cpu-3x"), "did you mean 'shared-cpu-"),
        (lambda: web().with_size("shared-cpu-1x", memory_mb=4096), "4096 MB does not fit 1 cpus"),
        (lambda: web().with_guest(cpus=3), "3 is not a valid number of shared cpus"),
        (lambda: web().with_guest(cpus=1, memory_mb=300), "use 256"),
        (lambda: web().count(0), "whole number from 1 to 1000"),
        (lambda: web().count(iad=-1), "whole number from 1 to 1000"),
        (lambda: web().count(1.5), "whole number from 1 to 1000"),
        (lambda: web().count(nrt=2).deployment(), "count names nrt"),
        (lambda: web().fallback(), "fallback needs"),
        (lambda: web().fallback("eu"), "stands for many"),
        (lambda: web().fallback("skip", "ewr"), "'skip' is not a region"),
        (lambda: web().wait_for("running"), "cannot be waited for"),
        (lambda: web().wait_for("started", timeout=0), "above 0"),
        (lambda: web().wait_for("healthy").deployment(), "needs a check"),
        (lambda: web().require("most"), "is not a requirement"),
        (lambda: web().require(3).deployment(), "has only 2"),
        (lambda: web().with_launch("Release 1"), "is not a valid launch name"),
        (lambda: web().with_service(), "either a Service or internal_port"),
        (lambda: web().with_service(Service(), internal_port=80), "either a Service or internal_port"),
        (lambda: web().with_env({"A": 1}).deployment(), "env"),
        (
            lambda: (
                web().with_config(MachineConfig(image="a", mounts=[Mount(path="/a"), Mount(path="/b")])).deployment()
            ),
            "mounts",
        ),
        (lambda: web().with_check("up", Check(type="tcp", port=80, interval=1)).deployment(), "interval"),
    ],
)
def test_bad_input_is_refused_with_the_value_the_rule_and_the_way_out(mistake: Callable[[], Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        mistake()


def test_a_refused_value_changes_nothing() -> None:
    builder = web()
    with pytest.raises(InvalidInput):
        builder.with_image(" ")
    assert builder.deployment().config.image == "nginx"


def test_a_builder_holds_one_value_and_can_be_made_from_it() -> None:
    built = web().count(2, iad=5).rolling().with_launch("v1")
    assert DeployBuilder(built.spec) == built
    assert DeployBuilder(built.deployment()).deployment() == built.deployment()
