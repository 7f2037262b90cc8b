"""The settings of a deploy, and what it refuses before any request."""

from collections.abc import Callable
from typing import Any

import pytest

from flyasync import Check, DeployBuilder, Guest, InvalidInput, MachineConfig
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.spec import Requirement
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.immediate import Immediate
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Share

BASE = DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx")
APP = BASE.rolling()

Change = Callable[[DeployBuilder], DeployBuilder]


def test_strategies_are_told_apart() -> None:
    assert BASE.deployment().strategy == Launch()
    assert BASE.rolling(max_unavailable="50%").deployment().strategy == Rolling(max_unavailable=Share(0.5))
    assert BASE.canary(2, soak=5).deployment().strategy == Canary(machines=Share(2), soak=5)
    assert BASE.immediate().deployment().strategy == Immediate()
    checked = BASE.with_check("up", Check(type="tcp", port=80, interval=5, timeout=2))
    assert checked.bluegreen(drain=0).deployment().strategy == BlueGreen(drain=0)
    assert checked.bluegreen().deployment().goal == "checked"


def test_with_a_strategy_all_regions_are_required_and_machines_have_to_stay_up() -> None:
    assert BASE.deployment().requirement == Requirement(1)
    assert APP.deployment().requirement == Requirement("all")
    assert APP.require(1).deployment().requirement == Requirement(1)
    assert (BASE.deployment().smoke, APP.deployment().smoke) == (0.0, 10.0)
    assert (BASE.smoke_check(3).deployment().smoke, APP.smoke_check(0).deployment().smoke) == (3, 0)


def test_a_named_size_is_a_guest_for_a_strategy() -> None:
    sized = MachineConfig(image="nginx", size="shared-cpu-2x")
    assert BASE.with_config(sized).deployment().config == sized
    assert APP.with_config(sized).deployment().config.guest == Guest.of_size("shared-cpu-2x")
    assert APP.with_config(sized).deployment().config.size is None


def test_waves_name_the_regions_where_nobody_else_does() -> None:
    waves = DeployBuilder("web").with_image("nginx").rolling().waves(["iad"], ["lhr", "nrt"])
    assert waves.deployment().regions == ("iad", "lhr", "nrt")
    assert waves.deployment().waves == (("iad",), ("lhr", "nrt"))
    assert APP.region_by_region().deployment().waves == (("iad",), ("lhr",))
    assert APP.to_regions("nrt", "lhr").waves(["lhr"], ["nrt"]).deployment().regions == ("nrt", "lhr")


def test_a_volume_is_wanted_with_all_that_is_said_of_it() -> None:
    made = APP.with_volume("data", "/data", size_gb=5, if_lost="fork").deployment().volume
    assert made == DesiredVolume(name="data", path="/data", size_gb=5, if_lost="fork")


def test_the_group_is_in_the_metadata_and_flyctl_sees_it_only_on_request() -> None:
    def metadata(app: DeployBuilder) -> dict[str, str]:
        return dict(app.deployment().tagged.metadata or {})

    assert metadata(APP)["fly_process_group"] == "app"
    assert metadata(APP.process_group("worker"))["fly_process_group"] == "worker"
    assert "fly_platform_version" not in metadata(APP)
    assert metadata(APP.visible_to_flyctl())["fly_platform_version"] == "v2"
    assert "fly_process_group" not in metadata(BASE)


def test_a_builder_is_never_changed() -> None:
    before = str(APP)
    APP.canary().hedge().with_volume("data", "/data").retire_groups("old").smoke_check(1).with_secrets_version(3)
    assert str(APP) == before


REFUSED: dict[str, tuple[Change, str]] = {
    "waves alone": (lambda app: app.waves(["iad"], ["lhr"]), "waves needs a strategy"),
    "retiring alone": (lambda app: app.retire_groups("old"), "retire_groups needs a strategy"),
    "group alone": (lambda app: app.process_group("worker"), "process_group needs a strategy"),
    "flyctl alone": (lambda app: app.visible_to_flyctl(), "visible_to_flyctl needs a strategy"),
    "none alone": (lambda app: app.count(lhr=0), "a count of 0 needs a strategy"),
    "two alone": (lambda app: app.retire_groups("a").count(lhr=0), "retire_groups and a count of 0 needs? a strategy"),
    "other waves": (lambda app: app.rolling().waves(["iad"], ["nrt"]), "the waves have other regions than the deploy"),
    "a wave of text": (lambda app: app.waves("iad"), "waves takes lists of regions"),
    "an empty wave": (lambda app: app.waves(["iad"], []), "waves takes lists of regions"),
    "a region twice": (lambda app: app.to_regions().waves(["iad"], ["iad"]), "'iad' is listed twice"),
    "retiring itself": (lambda app: app.rolling().retire_groups("app"), "'app' is the group to deploy"),
    "no group": (lambda app: app.process_group("no group"), "is not a process group"),
    "flyctl's group": (lambda app: app.retire_groups("fly_app_console"), "a process group that flyctl reserves"),
    "a share": (lambda app: app.rolling(max_unavailable=0), "max_unavailable is 0"),
    "canaries": (lambda app: app.canary("many"), "machines is 'many'"),
    "soak": (lambda app: app.canary(soak=-1), "soak is -1"),
    "drain": (lambda app: app.bluegreen(drain=-1), "drain is -1"),
    "smoke": (lambda app: app.smoke_check(-1), "seconds is -1"),
    "hedge": (lambda app: app.hedge(1), "times is 1, but must be above 1"),
    "volume name": (lambda app: app.with_volume("my-data", "/d"), "'my-data' cannot be a volume's name"),
    "volume path": (lambda app: app.with_volume("data", "d"), "'d' is not a valid mount path"),
    "volume size": (lambda app: app.with_volume("data", "/d", size_gb=0), "size_gb is 0"),
    "volume lost": (lambda app: app.with_volume("data", "/d", if_lost="ask"), "if_lost is 'ask'"),  # type: ignore[arg-type]
    "timeout": (lambda app: app.with_release_command("x", timeout=0), "timeout is 0"),
    "no wait": (lambda app: app.bluegreen().wait_for(None), "so it has to wait for them: leave out wait_for\\(None\\)"),
    "replacing alone": (lambda app: app.with_env(A="1").replace("env"), "replace needs a strategy"),
    "replacing nothing": (
        lambda app: app.rolling().replace("env"),
        r"the config does not set env, .*: set it, or leave it out of replace\('env'\)",
    ),
    "replacing what": (
        lambda app: app.rolling().replace("ports"),
        "'ports' cannot be replaced as a whole: use guest, ",
    ),
    "another group": (
        lambda app: app.rolling().with_metadata(fly_process_group="worker"),
        "names the process group 'worker', but the deploy changes 'app': use process_group",
    ),
    "bluegreen with volumes": (
        lambda app: app.bluegreen().wait_for("started").with_volume("data", "/d"),
        "bluegreen creates new machines",
    ),
    "too much": (lambda app: app.rolling().require(3), "the deploy requires at least 3 regions, but has only 2"),
    "too much of none": (
        lambda app: app.rolling().count(lhr=0).require(2),
        "requires at least 2 regions, but has only 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_before_any_request(name: str) -> None:
    change, why = REFUSED[name]
    with pytest.raises(InvalidInput, match=why):
        change(BASE).deployment()


@pytest.mark.parametrize("value", [float("nan"), True, "5"])
def test_no_time_is_a_number_of_seconds_unless_it_is_one(value: Any) -> None:
    with pytest.raises((InvalidInput, TypeError)):
        APP.smoke_check(value)
