"""How machines booted in a recording, and the faults that make them boot the same way again."""

from typing import Any

import pytest

from flyasync.emulator.core.faults import Fault
from flyasync.emulator.replay.boots import Boot, boots, faults
from flyasync.emulator.replay.recording import Exchange

IMAGE = {"image": "shop:2@sha256:aa"}


def shown(at: float, state: str, *, check: str | None = None, method: str = "GET", **more: Any) -> Exchange:
    checks = [{"name": "up", "status": check}] if check else []
    view = {"id": "m1", "name": "app-iad-1", "region": "iad", "state": state, "config": IMAGE, "checks": checks, **more}
    path = "/v1/apps/web/machines" if method == "POST" else "/v1/apps/web/machines/m1"
    return Exchange(
        number=0, at=at, seconds=0.0, operation="", identifier="", method=method, path=path, status=200, response=view
    )


CREATED = shown(0.0, "created", method="POST")
CRASHED = [{"type": "exit", "request": {"exit_event": {"exit_code": 3}}}]


@pytest.mark.parametrize(
    ("exchanges", "seconds", "fault", "after"),
    [
        ([shown(2.0, "started")], 2.0, None, 0.0),
        ([shown(2.0, "started", check="critical"), shown(4.0, "started", check="passing")], 2.0, None, 0.0),
        ([shown(2.0, "started"), shown(12.0, "started", check="passing")], 2.0, "checks_pass_late", 10.0),
        ([shown(2.0, "started"), shown(12.0, "started", check="critical")], 2.0, "checks_never_pass", 0.0),
        ([shown(2.0, "started"), shown(12.0, "started", check="warning")], 2.0, "checks_stay_warning", 0.0),
        (
            [shown(2.0, "started", check="passing"), shown(6.0, "started", check="critical")],
            2.0, "checks_turn_critical", 4.0,
        ),
        ([shown(1.0, "starting"), shown(30.0, "starting")], None, "stay_starting", 0.0),
        ([shown(30.0, "created")], None, "stay_created", 0.0),
        ([shown(3.0, "failed")], None, "fail", 0.0),
        ([shown(2.0, "started"), shown(3.5, "stopped", events=CRASHED)], 2.0, "crash", 1.5),
    ],
)  # fmt: skip
def test_a_boot_is_as_the_responses_show_it(
    exchanges: list[Exchange], seconds: float | None, fault: str | None, after: float
) -> None:
    assert boots([CREATED, *exchanges]) == [
        Boot(name="app-iad-1", region="iad", image="shop:2", seconds=seconds, fault=fault, after=after)
    ]


def test_a_wait_shows_when_a_machine_is_up() -> None:
    wait = Exchange(
        number=1, at=0.0, seconds=1.5, operation="", identifier="", method="GET", status=200, response={"ok": True},
        path="/v1/apps/web/machines/m1/wait", query=(("state", "started"),),
    )  # fmt: skip
    assert [boot.seconds for boot in boots([CREATED, wait])] == [1.5]


def boot(name: str, fault: str | None, region: str = "iad") -> Boot:
    return Boot(name=name, region=region, image="shop:2", seconds=1.0, fault=fault, after=2.0)


def test_a_fault_is_for_a_region_if_all_its_boots_ended_the_same_way() -> None:
    found = faults([boot("a", "crash"), boot("b", "crash"), boot("c", None, "lhr")])
    assert found == [Fault(does="crash", image="shop:2", region="iad", seconds=2.0)]


def test_otherwise_it_is_for_the_machine_with_that_name() -> None:
    assert faults([boot("a", "fail"), boot("b", None)]) == [
        Fault(does="fail", image="shop:2", region="iad", name="a", seconds=2.0)
    ]
