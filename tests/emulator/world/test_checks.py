"""Health checks over time, and with faults."""

import asyncio
import itertools
from typing import Any

import pytest

from flyasync.emulator import Fault
from flyasync.emulator.core.faults import Faults
from flyasync.emulator.world import apps, machines
from flyasync.emulator.world.checks import rows
from flyasync.emulator.world.machines import NewMachine
from flyasync.emulator.world.transitions import advance
from flyasync.emulator.world.world import World
from tests.emulator.driver import Api, at, serving

CHECKED = {
    "services": [{"internal_port": 8080, "checks": [{"type": "http"}, {"type": "tcp", "port": 9}]}],
    "checks": {"alive": {"type": "tcp", "port": 80}},
}


async def check_states(api: Api, machine: dict[str, Any]) -> set[str]:
    return {check["status"] for check in (await api.look(machine))["checks"]}


async def test_checks_pass_after_a_while(api: Api) -> None:
    machine = await api.running(config=CHECKED)
    assert await check_states(api, machine) == set()
    await asyncio.sleep(0.6)
    assert set() < await check_states(api, machine) <= {"warning", "critical"}
    await asyncio.sleep(2)
    assert await check_states(api, machine) == {"passing"}
    assert [check["name"] for check in (await api.look(machine))["checks"]] == [
        "servicecheck-00-http-8080",
        "servicecheck-01-tcp-9",
        "alive",
    ]


async def test_checks_may_never_pass_or_turn_critical(api: Api) -> None:
    api.emulator.faults.add(
        Fault(does="checks_never_pass", region="lhr"), Fault(does="checks_turn_critical", region="nrt", seconds=60)
    )
    london, tokyo = await api.running(region="lhr", config=CHECKED), await api.running(region="nrt", config=CHECKED)
    await asyncio.sleep(5)
    assert (await check_states(api, london), await check_states(api, tokyo)) == ({"critical"}, {"passing"})
    await asyncio.sleep(60)
    assert await check_states(api, tokyo) == {"critical"}
    await api.ask("DELETE", at(tokyo), params={"force": "true"})
    assert await check_states(api, tokyo) == set()


def timed(**times: Any) -> dict[str, Any]:
    return {"services": [{"internal_port": 8080, "checks": [{"type": "http", **times}]}]}


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (timed(interval="10s"), 10),
        (timed(interval="15s", grace_period="5s"), 20),
        (timed(interval="15s", grace_period=5_000_000_000), 20),
        (timed(interval="2s", grace_period="1m0.5s"), 62),  # both clamped to a minute
        (timed(interval="100ms", timeout="1ms"), 1),
        (timed(interval="90s"), 60),
        ({"checks": {"alive": {"type": "tcp", "port": 80, "interval": "1m30s", "grace_period": "90s"}}}, 180),
    ],
)
async def test_a_check_passes_after_its_grace_period_and_first_interval(
    api: Api, config: dict[str, Any], seconds: float
) -> None:
    machine = await api.running(config=config)
    await asyncio.sleep(seconds - 0.01)
    assert set() < await check_states(api, machine) <= {"warning", "critical"}
    await asyncio.sleep(0.12)
    assert await check_states(api, machine) == {"passing"}


async def seen_until(api: Api, machine: dict[str, Any], seconds: float) -> list[tuple[str, str]]:
    """Return the statuses and outputs that the only check of a machine goes through, as the list shows them."""
    seen: list[tuple[str, str]] = []
    for _ in range(int(seconds * 10)):
        await asyncio.sleep(0.1)
        (row,) = (await api.get("/v1/apps/web/machines")).body
        for check in row["checks"]:
            if seen[-1:] != [(check["status"], check["output"])]:
                seen.append((check["status"], check["output"]))
        assert row["checks"] == (await api.look(machine))["checks"]
    return seen


@pytest.mark.parametrize("grace", [None, "20s"])
@pytest.mark.parametrize("seed", range(4))
async def test_a_check_is_in_warning_then_critical_before_it_passes(grace: str | None, seed: int) -> None:
    times = {"interval": "10s", **({"grace_period": grace} if grace else {})}
    async with serving(limits=False, seed=seed) as api:
        await api.app()
        machine = await api.running(config=timed(path="/health", **times))
        assert await seen_until(api, machine, 31) == [
            ("warning", "waiting for status update"),
            ("critical", "connect: connection refused"),
            ("passing", "GET /health: 200 OK"),
        ]


async def test_a_check_that_is_never_answered_times_out(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_never_pass"))
    machine = await api.running(config={"checks": {"up": {"type": "tcp", "port": 80, "interval": "5s"}}})
    seen = await seen_until(api, machine, 300)
    assert seen[-1] == ("critical", "context deadline exceeded")
    assert [status for status, _ in seen] == ["warning", "critical", "critical"]


@pytest.mark.parametrize(("startup", "passes"), [(0, 15), (14, 15), (16, 25), (41, 45)])
async def test_a_check_passes_with_the_first_attempt_after_the_startup(startup: float, passes: float) -> None:
    async with serving(limits=False, startup=(startup, startup)) as api:
        await api.app()
        machine = await api.running(config=timed(interval="10s", grace_period="5s"))
        await asyncio.sleep(passes - 0.1)
        assert await check_states(api, machine) == {"critical"}
        await asyncio.sleep(0.21)
        assert await check_states(api, machine) == {"passing"}


async def test_the_fault_delays_the_checks_of_one_machine(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_pass_late", seconds=31, times=1))
    late, usual = [await api.running(config=timed(interval="10s")) for _ in range(2)]
    await asyncio.sleep(15)
    assert (await check_states(api, late), await check_states(api, usual)) == ({"critical"}, {"passing"})
    await asyncio.sleep(20)
    assert await check_states(api, late) == {"critical"}
    await asyncio.sleep(10)
    assert await check_states(api, late) == {"passing"}


async def test_each_check_has_its_own_times(api: Api) -> None:
    checks = {"soon": {"port": 1, "interval": "2s"}, "late": {"port": 2, "interval": "9s"}}
    machine = await api.running(config={"checks": checks})
    await asyncio.sleep(3)
    states = {check["name"]: check["status"] for check in (await api.look(machine))["checks"]}
    assert states["soon"] == "passing"
    assert states["late"] in {"warning", "critical"}


async def test_a_check_that_is_not_answered_is_known_to_be_so_after_its_timeout(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_never_pass"))
    machine = await api.running(config=timed(interval="5s", timeout="20s"))
    await asyncio.sleep(24)
    (before,) = (await api.look(machine))["checks"]
    await asyncio.sleep(2)
    (after,) = (await api.look(machine))["checks"]
    assert after["status"] == "critical"
    assert before["updated_at"] < after["updated_at"]


@pytest.mark.parametrize(("timeout", "seconds"), [("100s", 60), ("1ms", 1)])
async def test_the_timeout_of_a_service_is_clamped(api: Api, timeout: str, seconds: float) -> None:
    api.emulator.faults.add(Fault(does="checks_never_pass"))
    machine = await api.running(config=timed(interval="5s", timeout=timeout))
    await asyncio.sleep(5 + seconds - 0.1)
    (before,) = (await api.look(machine))["checks"]
    await asyncio.sleep(0.2)
    (after,) = (await api.look(machine))["checks"]
    assert before["updated_at"] < after["updated_at"]


async def test_a_check_shows_when_it_is_first_made(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_never_pass"))
    machine = await api.running(config={"checks": {"alive": {"type": "tcp", "port": 80, "interval": "300ms"}}})
    await asyncio.sleep(0.2)
    assert await check_states(api, machine) == set()
    await asyncio.sleep(0.15)
    assert set() < await check_states(api, machine) <= {"warning", "critical"}


async def test_checks_turn_critical_only_after_they_passed(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_turn_critical", seconds=2.5))
    machine = await api.running(config=timed(interval="10s"))
    await asyncio.sleep(11)
    assert await check_states(api, machine) == {"passing"}
    await asyncio.sleep(2)
    assert await check_states(api, machine) == {"critical"}


async def test_checks_may_stay_in_warning(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_stay_warning"))
    machine = await api.running(config=CHECKED)
    await asyncio.sleep(1)
    assert await check_states(api, machine) == {"warning"}
    await asyncio.sleep(600)
    assert await check_states(api, machine) == {"warning"}
    assert api.emulator.serving("web") == {}


async def flaps(seed: int, **fault: Any) -> list[tuple[float, bool]]:
    """Return the times at which a machine began and ceased to serve, within two minutes."""
    async with serving(limits=False, boot=(1, 1), seed=seed, faults=[Fault(does="checks_flap", **fault)]) as api:
        await api.app()
        seen: list[tuple[float, bool]] = []
        began = asyncio.get_running_loop().time()

        def note(_: Any) -> None:
            at, serves = asyncio.get_running_loop().time() - began, bool(api.emulator.serving("web"))
            if serves is not (seen[-1][1] if seen else False):
                seen.append((round(at, 3), serves))

        api.emulator.on_change(note)
        await api.running(config=timed(interval="10s"))
        await asyncio.sleep(120)
        return seen


@pytest.mark.parametrize(("fault", "least", "most"), [({"seconds": 2}, 1, 3), ({}, 5, 15)])
async def test_checks_may_flap(fault: dict[str, Any], least: float, most: float) -> None:
    seen = await flaps(1, **fault)
    assert seen[0][1]
    assert len(seen) >= 7
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(seen)]
    assert all(least - 0.01 <= gap <= most + 0.01 for gap in gaps)
    assert len({round(gap, 1) for gap in gaps}) > 1


def test_each_check_flaps_at_its_own_times() -> None:
    world = World(faults=Faults([Fault(does="checks_flap", seconds=4)]))
    apps.create(world, "web", org_slug="personal", network="")
    checks = {"a": {"port": 1, "interval": "2s"}, "b": {"port": 2, "interval": "3s"}}
    machine = machines.create(world, "web", NewMachine(config={"image": "nginx", "checks": checks}))
    turns: dict[str, list[tuple[float, str]]] = {"a": [], "b": []}
    while (due := world.next_due()) is not None and due < 200:
        advance(world, due)
        for row in rows(world, machine, world.clock):
            seen = turns[row["name"]]
            if not seen or seen[-1][1] != row["status"]:
                seen.append((world.clock, row["status"]))
    for seen in turns.values():
        flapping = [at for at, _ in seen[2:]]
        assert len(flapping) > 30
        assert all(2 <= later - earlier <= 6 for earlier, later in itertools.pairwise(flapping))


async def test_checks_flap_alike_with_the_same_seed() -> None:
    first, again, other = [await flaps(seed, seconds=5) for seed in (3, 3, 4)]
    assert [serves for _, serves in first] == [serves for _, serves in again]
    assert [at for at, _ in first] == pytest.approx([at for at, _ in again], abs=0.01)
    assert [at for at, _ in first] != pytest.approx([at for at, _ in other][: len(first)], abs=0.01)


async def test_a_machine_that_stops_flaps_no_more(api: Api) -> None:
    api.emulator.faults.add(Fault(does="checks_flap", seconds=1))
    machine = await api.running(config=CHECKED)
    await asyncio.sleep(30)
    assert len(api.emulator.world.machines[machine["id"]].check_phases) < 12
    await api.act(machine, "stop")
    await api.reach(machine, "stopped")
    assert await check_states(api, machine) == set()
    await asyncio.sleep(5)
    assert api.emulator.world.next_due() is None


@pytest.mark.parametrize(("value", "kind"), [("soon", "invalid duration"), ("1", "invalid"), (True, "type Duration")])
async def test_a_duration_is_a_text_of_go_or_nanoseconds(api: Api, value: Any, kind: str) -> None:
    said = await api.post("/v1/apps/web/machines", {"config": {"image": "nginx", **timed(interval=value)}})
    assert said.status == 400
    assert kind in said.error
