"""Which machines serve, and the notifications of observers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flyasync.emulator import Emulator, Fault, Output
from flyasync.emulator.core.records import MachineRecord
from tests.emulator.driver import Api, at, serving

CHECKED = {"checks": {"alive": {"type": "tcp", "port": 80}}}
Seen = tuple[float, str, dict[str, int]]


def now() -> float:
    return asyncio.get_running_loop().time()


def watched(emulator: Emulator) -> list[Seen]:
    seen: list[Seen] = []
    emulator.on_change(lambda machine: seen.append((round(now(), 2), machine.state, dict(emulator.serving("web")))))
    return seen


async def cordon(api: Api, machine: dict[str, Any]) -> None:
    await api.act(machine, "cordon")


async def stop(api: Api, machine: dict[str, Any]) -> None:
    await api.act(machine, "stop")


async def lose(api: Api, machine: dict[str, Any]) -> None:
    api.emulator.set_host_status(machine["id"], "unknown")


async def destroy(api: Api, machine: dict[str, Any]) -> None:
    await api.ask("DELETE", at(machine), params={"force": "true"})


async def delete_app(api: Api, _: dict[str, Any]) -> None:
    await api.ask("DELETE", "/v1/apps/web")


async def test_observers_are_notified_of_every_change_at_its_time(api: Api) -> None:
    seen = watched(api.emulator)
    machine = await api.running(region="lhr", config={"image": "nginx"})
    await api.act(machine, "cordon")
    await api.act(machine, "cordon")
    await api.act(machine, "uncordon")
    api.emulator.set_host_status(machine["id"], "unreachable")
    api.emulator.set_host_status(machine["id"], "ok")
    await api.post(at(machine), {"config": {"image": "nginx:2"}})
    up, down = {"lhr": 1}, dict[str, int]()
    assert seen == [
        (0.0, "created", down),
        (0.4, "starting", down),
        (1.0, "started", up),
        (1.0, "started", down),
        (1.0, "started", up),
        (1.0, "started", down),
        (1.0, "started", up),
        (1.0, "replacing", down),
    ]


async def test_observers_are_notified_when_checks_change() -> None:
    faults = [Fault(does="checks_turn_critical", seconds=60)]
    async with serving(limits=False, boot=(1, 1), faults=faults) as api:
        await api.app()
        seen = watched(api.emulator)
        await api.running(config=CHECKED)
        await asyncio.sleep(120)
        *_, started, first, failing, passing, critical = seen
        assert [one[2] for one in (started, first, failing, passing, critical)] == [{}, {}, {}, {"iad": 1}, {}]
        assert (started[0], first[0]) == (1.0, 1.5)
        assert 2 <= passing[0] <= 3.1
        assert critical[0] == pytest.approx(passing[0] + 60, abs=0.02)


async def test_checks_of_a_stopped_machine_notify_no_observer(api: Api) -> None:
    machine = await api.running(config=CHECKED)
    await api.act(machine, "stop")
    await api.reach(machine, "stopped")
    seen = watched(api.emulator)
    await asyncio.sleep(60)
    assert seen == []


@pytest.mark.parametrize("change", [cordon, stop, lose, destroy, delete_app])
async def test_a_machine_serves_until(api: Api, change: Callable[[Api, dict[str, Any]], Awaitable[None]]) -> None:
    machine = await api.running(region="lhr")
    await api.running(region="lhr", skip_service_registration=True)
    assert api.emulator.serving("web") == Counter({"lhr": 1})
    seen = watched(api.emulator)
    await change(api, machine)
    assert api.emulator.serving("web") == Counter()
    assert seen[-1][2] == {}


async def test_serving_counts_by_region_and_app(api: Api) -> None:
    await api.app("api")
    for app, region in (("web", "lhr"), ("web", "lhr"), ("web", "nrt"), ("api", "nrt")):
        await api.running(app, region=region) if app == "web" else await api.machine(app, region=region)
    await asyncio.sleep(1)
    assert api.emulator.serving("web") == Counter({"lhr": 2, "nrt": 1})
    assert api.emulator.serving("api") == Counter({"nrt": 1})
    assert api.emulator.serving("none") == Counter()


async def test_serving_sees_the_present(api: Api) -> None:
    await api.running(config=CHECKED)
    assert api.emulator.serving("web") == Counter()
    await asyncio.sleep(2.1)
    assert api.emulator.serving("web") == Counter({"iad": 1})


async def test_a_release_command_does_not_serve(api: Api) -> None:
    api.emulator.commands["migrate"] = Output(seconds=60)
    metadata = {"fly_process_group": "fly_app_release_command"}
    await api.running(config={"init": {"cmd": ["migrate"]}, "metadata": metadata})
    assert api.emulator.serving("web") == Counter()


async def test_an_app_takes_its_machines_with_it(api: Api) -> None:
    machine = await api.running()
    told: list[MachineRecord] = []
    api.emulator.on_change(told.append)
    await api.ask("DELETE", "/v1/apps/web")
    assert [(one.id, one.state) for one in told] == [(machine["id"], "destroyed")]


async def test_a_wait_ends_when_the_app_goes(api: Api) -> None:
    machine = await api.running()
    waiting = asyncio.create_task(api.wait(machine, "destroyed"))
    await asyncio.sleep(1)
    await api.ask("DELETE", "/v1/apps/web")
    assert (await waiting).status == 404


async def test_one_may_stop_watching_and_a_reset_does_not(api: Api) -> None:
    first: list[str] = []
    second: list[str] = []
    end = api.emulator.on_change(lambda machine: first.append(machine.state))
    api.emulator.on_change(lambda machine: second.append(machine.state))
    end()
    api.emulator.reset()
    await api.app()
    await api.running()
    assert (first, second) == ([], ["created", "starting", "started"])


async def test_one_may_watch_before_the_start() -> None:
    emulator = Emulator()
    states: list[str] = []
    emulator.on_change(lambda machine: states.append(machine.state))
    async with emulator:
        pass
    assert states == []


async def test_an_observer_may_act_immediately(api: Api) -> None:
    def lose_once(machine: MachineRecord) -> None:
        if machine.state == "starting" and machine.has_host:
            api.emulator.set_host_status(machine.id, "unreachable")

    api.emulator.on_change(lose_once)
    machine = await api.machine()
    await asyncio.sleep(60)
    shown = await api.look(machine)
    assert (shown["state"], shown["host_status"]) == ("starting", "unreachable")


async def test_observers_see_the_time_of_the_change_when_the_world_is_late(api: Api) -> None:
    seen = watched(api.emulator)
    clocks: list[float] = []
    api.emulator.on_change(lambda _: clocks.append(api.emulator.world.clock))
    await api.machine()
    api.emulator._opened().scheduler.stop()
    await asyncio.sleep(60)
    assert api.emulator.serving("web") == Counter({"iad": 1})
    assert [(state, regions) for _, state, regions in seen] == [
        ("created", {}),
        ("starting", {}),
        ("started", {"iad": 1}),
    ]
    assert clocks == pytest.approx([0, 0.4, 1], abs=0.01)


async def test_time_stands_still_after_the_end() -> None:
    async with serving(limits=False, boot=(1, 1)) as api:
        await api.app()
        await api.machine()
    await asyncio.sleep(60)
    assert api.emulator.serving("web") == Counter()
