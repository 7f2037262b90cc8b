"""What can be read from a machine."""

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from flyasync.models.config import MachineConfig
from flyasync.models.machine import (
    TRANSIENT_STATES,
    CheckStatus,
    ExitEvent,
    Machine,
    MachineEvent,
    expected_checks,
    machine_host,
)
from flyasync.models.service import Check, Service

CHECKED = MachineConfig(checks={"up": Check(port=80)}, services=[Service(checks=[Check(type="tcp")]), Service()])
PASSING = [CheckStatus(name="up", status="passing"), CheckStatus(name="servicecheck-00-tcp-80", status="passing")]
FAKE = CheckStatus(name="bg_deployments_compat-1", status="critical")


def machine(**given: Any) -> Machine:
    return attrs.evolve(Machine(id="1857", name="aged", state="started", region="iad"), **given)


def exited(request: Any, timestamp: int = 1) -> MachineEvent:
    return MachineEvent(type="exit", timestamp=timestamp, request=request)


@pytest.mark.parametrize(
    ("given", "healthy"),
    [
        ({}, True),
        ({"config": CHECKED, "checks": PASSING}, True),
        ({"config": CHECKED, "checks": [*PASSING, FAKE]}, True),
        ({"config": CHECKED, "checks": []}, False),
        ({"config": CHECKED, "checks": None}, False),
        ({"config": CHECKED, "checks": PASSING[:1]}, False),
        ({"config": CHECKED, "checks": [PASSING[0], FAKE]}, False),
        ({"config": CHECKED, "checks": [PASSING[0], CheckStatus(name="b", status="warning")]}, False),
        ({"checks": [CheckStatus(status="critical")]}, False),
        ({"state": "stopped"}, False),
        ({"host_status": "ok"}, True),
        ({"host_status": "unreachable"}, False),
    ],
)
def test_healthy_means_started_with_every_expected_check_passing(given: dict[str, Any], *, healthy: bool) -> None:
    assert machine(**given).is_healthy is healthy


def test_checks_are_expected_from_services_and_from_the_top() -> None:
    assert expected_checks(CHECKED) == 2
    assert expected_checks(MachineConfig()) == 0
    assert expected_checks(None) == 0


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"exit_event": {"exit_code": 137}}, 137),
        ({"MonitorEvent": {"exit_event": {"exit_code": 1}}, "exit_event": {"exit_code": 2}}, 1),
        ({"exit_event": {"requested_stop": True}}, 0),
        ({"MonitorEvent": None, "exit_event": {"exit_code": 3}}, 3),
        ({"exit_event": {"exit_code": "odd", "exited_at": 5}}, 0),
    ],
)
def test_exit_codes(request_: dict[str, Any], code: int) -> None:
    last = exited(request_).exit_event
    assert last is not None
    assert last.exit_code == code


@pytest.mark.parametrize("request_", [None, {}, [], "text", {"exit_event": None}])
def test_an_event_may_say_nothing_of_an_exit(request_: Any) -> None:
    assert exited(request_).exit_event is None


def test_the_newest_exit_counts_in_any_order() -> None:
    old, new = exited({"exit_event": {"exit_code": 1}}, 1), exited({"exit_event": {"exit_code": 2}}, 2)
    for events in ([new, old], [old, new], [MachineEvent(type="start", timestamp=3), new, old]):
        last = machine(events=events).exit_event
        assert last is not None
        assert last.exit_code == 2
    assert machine().exit_event is None


def test_an_exit_event_is_read_whole() -> None:
    said = {"exit_code": 137, "guest_signal": -1, "oom_killed": True, "restarting": True, "signal": -1}
    request = {"exit_event": {**said, "exited_at": "2023-10-31T02:36:40Z"}, "restart_count": 2}
    last = exited(request).exit_event
    assert last is not None
    assert last == ExitEvent(
        exit_code=137, guest_signal=-1, oom_killed=True, restarting=True, signal=-1, restart_count=2,
        exited_at="2023-10-31T02:36:40Z",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "looping"),
    [
        ({}, True),
        ({"requested_stop": True}, False),
        ({"restarting": False}, False),
        ({"exit_code": 0}, False),
        ({"restart_count": 1}, False),
    ],
)
def test_crash_looping(change: dict[str, Any], *, looping: bool) -> None:
    said = {"exit_code": 1, "restarting": True, "restart_count": 2, **change}
    events = [exited({"exit_event": said, "restart_count": said["restart_count"]})]
    assert machine(events=events).is_crash_looping is looping


@pytest.mark.parametrize(("kind", "later", "looping"), [("update", 1, False), ("update", -1, True), ("start", 1, True)])
def test_the_exits_of_an_earlier_config_are_no_crash_loop(kind: str, later: int, *, looping: bool) -> None:
    end = exited({"exit_event": {"exit_code": 1, "restarting": True}, "restart_count": 2})
    event = MachineEvent(type=kind, timestamp=1 + later)
    assert machine(events=[event, end]).is_crash_looping is looping


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (ExitEvent(exit_code=3), "exit code 3"),
        (ExitEvent(exit_code=3, restart_count=1), "exit code 3, restarted once"),
        (ExitEvent(exit_code=137, oom_killed=True, restart_count=2), "exit code 137, out of memory, restarted 2 times"),
    ],
)
def test_how_a_process_ended_in_words(end: ExitEvent, text: str) -> None:
    assert str(end) == text


def test_a_machine_that_never_exited_does_not_loop() -> None:
    assert not machine().is_crash_looping
    assert not machine(state="stopped").has_crashed


@pytest.mark.parametrize(
    ("state", "change", "crashed"),
    [
        ("stopped", {}, True),
        ("stopped", {"requested_stop": True}, False),
        ("stopped", {"exit_code": 0}, False),
        ("started", {}, False),
        ("suspended", {}, False),
    ],
)
def test_a_machine_has_crashed_when_it_stopped_because_its_process_failed(
    state: str, change: dict[str, Any], *, crashed: bool
) -> None:
    events = [exited({"exit_event": {"exit_code": 1, **change}})]
    assert machine(state=state, events=events).has_crashed is crashed


def test_states_are_open() -> None:
    assert all(not machine(state=state).is_settled for state in TRANSIENT_STATES)
    assert machine(state="started").is_settled
    assert machine(state="dreaming").is_settled


def test_small_questions() -> None:
    assert machine(version="b", instance_id="a").current_version == "b"
    assert machine(instance_id="a").current_version == "a"
    assert machine().metadata == {}
    assert machine(config=MachineConfig(metadata={"a": "1"})).metadata == {"a": "1"}
    assert machine_host("web", "1857") == "1857.vm.web.internal"
    assert MachineEvent().at is None
    assert MachineEvent(timestamp=1699408350300).at == datetime(2023, 11, 8, 1, 52, 30, 300000, tzinfo=UTC)
