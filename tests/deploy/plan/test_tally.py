"""What exists before, during and after a plan: machines, CPUs, memory and volumes; and the limit on machines."""

from typing import Any

import pytest
from attrs import evolve

from flyasync import Guest, InvalidInput, Machine, MachineConfig, Mount
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import decide
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.release_command import ReleaseCommand
from flyasync.deploy.plan.spec import GROUP, DeploySpec, GroupSpec
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.recreate import Recreate
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Strategy
from flyasync.models.volume import Volume
from flyasync.testing import mock_machine

SHARED = Guest(cpu_kind="shared", cpus=1, memory_mb=256)
FAST = Guest(cpu_kind="performance", cpus=2, memory_mb=4096)
V1 = MachineConfig(image="app:v1", guest=SHARED, metadata={GROUP: "app"})
V2 = MachineConfig(image="app:v2")
DATA = DesiredVolume(name="data", path="/data", size_gb=3)


def wanted(strategy: Strategy, **options: Any) -> DeploySpec:
    given = {"app": "web", "launch": "v2", "config": V2, "counts": {"iad": 2}, "goal": "started", "strategy": strategy}
    return DeploySpec(**{**given, **options})


def old(name: str, **more: Any) -> Machine:
    machine = mock_machine(id=f"id-{name}", name=name, state="started", region=name.split("-")[1])
    return evolve(machine, **{"config": V1, **more})


def planned(spec: DeploySpec, *machines: Machine, volumes: tuple[Volume, ...] = (), **more: Any) -> Plan:
    return decide(spec, Fleet("web", machines, volumes=volumes, **more)).plan


def lines(plan: Plan) -> list[str]:
    shown = list(plan.resource_lines())
    assert all(f"  {line}" in str(plan).splitlines() for line in shown)
    return shown


def held(number: int, size_gb: int | None) -> tuple[Machine, Volume]:
    mounts = (Mount(volume=f"vol_{number}", path="/data"),)
    machine = old(f"app-iad-{number}", config=evolve(V1, mounts=mounts))
    volume = Volume(
        id=f"vol_{number}", name="data", state="created", region="iad", attached_machine_id=machine.id, size_gb=size_gb
    )
    return machine, volume


def test_machines_are_added_updated_and_destroyed() -> None:
    spec = wanted(Rolling(), counts={"iad": 1, "lhr": 2}, config=evolve(V2, guest=FAST))
    assert lines(planned(spec, old("app-iad-1"), old("app-iad-2"))) == [
        "before: 2 machines, 2 shared CPUs, 512 MB of memory",
        "after: 3 machines, 6 performance CPUs, 12288 MB of memory",
        "in between: up to 4 machines",
    ]


def test_an_update_of_the_image_changes_none_of_it() -> None:
    assert lines(planned(wanted(Rolling()), old("app-iad-1"), old("app-iad-2"))) == [
        "before and after: 2 machines, 2 shared CPUs, 512 MB of memory"
    ]


def test_a_plan_with_nothing_to_do_shows_none_of_it() -> None:
    spec = wanted(Rolling())
    there = [old(f"app-iad-{number}", config=evolve(spec.tagged, guest=SHARED)) for number in (1, 2)]
    plan = planned(spec, *there)
    assert plan.is_empty
    assert lines(plan) == []
    assert plan.resources is not None
    assert plan.resources.after.machines == 2


def test_bluegreen_has_old_and_new_machines_at_the_same_time() -> None:
    assert lines(planned(wanted(BlueGreen()), old("app-iad-1"), old("app-iad-2"))) == [
        "before and after: 2 machines, 2 shared CPUs, 512 MB of memory",
        "in between: up to 4 machines",
    ]


def test_a_machine_in_several_stages_counts_once() -> None:
    spec = wanted(Recreate(), counts={"iad": 1}, digest="sha256:" + "a" * 64)
    assert lines(planned(spec, old("app-iad-1"), old("app-iad-2"))) == [
        "before: 2 machines, 2 shared CPUs, 512 MB of memory",
        "after: 1 machine, 1 shared CPU, 256 MB of memory",
    ]


def test_the_machine_of_a_release_command_exists_only_in_between() -> None:
    spec = wanted(Rolling(), release=ReleaseCommand.of("bin/migrate"))
    assert lines(planned(spec, old("app-iad-1"), old("app-iad-2")))[1:] == ["in between: up to 3 machines"]


def test_only_the_groups_that_change_count() -> None:
    cron = evolve(V1, metadata={GROUP: "cron"})
    other = evolve(V1, metadata={GROUP: "other"})
    worker = GroupSpec(group="worker", config=evolve(V2, guest=FAST), counts={"iad": 1})
    spec = wanted(Rolling(), also=(worker,), retired_groups=("cron",))
    machines = old("app-iad-1"), old("app-iad-2"), old("cron-iad-1", config=cron), old("other-iad-1", config=other)
    assert lines(planned(spec, *machines)) == [
        "before: 3 machines, 3 shared CPUs, 768 MB of memory",
        "after: 3 machines, 2 shared CPUs, 2 performance CPUs, 4608 MB of memory",
        "in between: up to 4 machines",
    ]


def test_for_a_launch_all_machines_of_the_app_count() -> None:
    spec = wanted(Launch(), config=evolve(V2, guest=SHARED))
    assert lines(planned(spec, others=(old("app-iad-1"),))) == [
        "before: 1 machine, 1 shared CPU, 256 MB of memory",
        "after: 3 machines, 3 shared CPUs, 768 MB of memory",
    ]


def test_what_the_api_chooses_or_does_not_show_is_unknown() -> None:
    assert lines(planned(wanted(Launch()))) == [
        "before: 0 machines",
        "after: 2 machines, CPUs or memory left to the API",
    ]
    partly = wanted(Launch(), config=evolve(V2, guest=Guest(cpus=4, memory_mb=1024)))
    assert lines(planned(partly))[1] == "after: 2 machines, 8 CPUs, 2048 MB of memory"
    lost = old("app-iad-1", config=None, incomplete_config=None, host_status="ok")
    assert lines(planned(wanted(Launch(), config=evolve(V2, guest=SHARED)), others=(lost,))) == [
        "before: 1 machine, CPUs or memory unknown",
        "after: 3 machines, 2 shared CPUs, 512 MB of memory, CPUs or memory of 1 machine unknown",
    ]
    sized = old("app-iad-2", config=MachineConfig(image="app:v1", size="performance-1x"))
    newer = old("app-iad-3", config=MachineConfig(image="app:v1", size="quantum-1x"))
    assert lines(planned(wanted(Launch(), config=evolve(V2, guest=SHARED)), others=(sized, newer)))[0] == (
        "before: 2 machines, 1 performance CPU, 2048 MB of memory, CPUs or memory of 1 machine left to the API"
    )


def test_new_volumes_are_added_and_free_ones_count_already() -> None:
    free = Volume(id="vol_9", name="data", state="created", region="iad", size_gb=5)
    spec = wanted(Rolling(), config=evolve(V2, guest=SHARED), volume=DATA)
    assert lines(planned(spec, volumes=(free,))) == [
        "before: 0 machines, 1 volume of 5 GB",
        "after: 2 machines, 2 shared CPUs, 512 MB of memory, 2 volumes of 8 GB",
    ]


def test_a_volume_outlives_its_machine() -> None:
    (one, its), (two, other) = held(1, 3), held(2, 4)
    assert lines(planned(wanted(Rolling(), counts={"iad": 1}), one, two, volumes=(its, other))) == [
        "before: 2 machines, 2 shared CPUs, 512 MB of memory, 2 volumes of 7 GB",
        "after: 1 machine, 1 shared CPU, 256 MB of memory, 2 volumes of 7 GB",
    ]


def test_a_fork_is_as_large_as_its_source_and_an_unlisted_volume_as_unknown() -> None:
    machine, volume = held(1, 7)
    lost = evolve(machine, host_status="unreachable")
    spec = wanted(Rolling(), counts={"iad": 1}, volume=evolve(DATA, if_lost="fork"))
    assert lines(planned(spec, lost, volumes=(volume,)))[:2] == [
        "before: 1 machine, 1 shared CPU, 256 MB of memory, 1 volume of 7 GB",
        "after: 1 machine, 1 shared CPU, 256 MB of memory, 2 volumes of 14 GB",
    ]
    launch = wanted(Launch(), counts={"iad": 1}, config=evolve(V2, guest=SHARED))
    assert lines(planned(launch, others=(machine,)))[0] == (
        "before: 1 machine, 1 shared CPU, 256 MB of memory, 1 volume of unknown size"
    )


@pytest.mark.parametrize("strategy", [Rolling(), BlueGreen()])
def test_the_limit_is_on_what_is_left(strategy: Strategy) -> None:
    machines = old("app-iad-1"), old("app-iad-2")
    assert planned(wanted(strategy, max_machines=2), *machines).resources
    with pytest.raises(InvalidInput) as caught:
        planned(wanted(strategy, counts={"iad": 3}, max_machines=2), *machines)
    assert str(caught.value) == (
        "the group app would have 3 machines, but at most 2 may be left (now: 2): lower the counts, or raise "
        "max_machines(…)"
    )


def test_the_limit_is_on_all_groups_of_a_deploy_and_on_the_whole_app_of_a_launch() -> None:
    worker = GroupSpec(group="worker", config=V2, counts={"iad": 2})
    with pytest.raises(InvalidInput, match=r"the groups app, worker would have 4 machines.*now: 0"):
        planned(wanted(Rolling(), also=(worker,), max_machines=3))
    with pytest.raises(InvalidInput, match=r"web would have 3 machines, but at most 2 may be left \(now: 1\)"):
        planned(wanted(Launch(), max_machines=2), others=(old("app-iad-1"),))
