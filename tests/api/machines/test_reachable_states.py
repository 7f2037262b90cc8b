from typing import Any

import pytest

from flyasync.api.machines.reachable_states import has_reached, why_hopeless
from flyasync.models.machine import Machine
from tests.api.machines.machine_values import a_machine, an_event, an_exit


@pytest.mark.parametrize(
    ("machine", "wanted", "version", "reason"),
    [
        (a_machine("started"), "started", None, None),
        (a_machine("started"), "stopped", None, None),
        (a_machine("started"), "started", "01A", None),
        (a_machine("started", version="01B"), "started", "01A", "version 01A was replaced by 01B"),
        (a_machine("started", version="01B"), "settled", "01A", "version 01A was replaced by 01B"),
        (a_machine("started", version="01A"), "started", "01B", None),
        (a_machine("destroyed"), "destroyed", None, None),
        (a_machine("destroying"), "destroyed", None, None),
        (a_machine("destroying"), "started", None, "it no longer exists"),
        (a_machine("migrated"), "started", None, "it no longer exists"),
        (a_machine("failed"), "failed", None, None),
        (a_machine("failed"), "settled", None, None),
        (a_machine("failed"), "healthy", None, "it has failed"),
        (a_machine("stopped"), "started", None, None),
        (a_machine("stopped", events=[an_exit(2, exit_code=1)]), "stopped", None, None),
        (a_machine("stopped", events=[an_exit(2, exit_code=1)]), "started", None, "its process ended with exit code 1"),
        (a_machine("stopped", events=[an_exit(2, exit_code=1)]), "healthy", None, "its process ended with exit code 1"),
        (a_machine("stopped", events=[an_exit(2)]), "started", None, None),
        (a_machine("stopped", events=[an_exit(2, requested_stop=True)]), "started", None, None),
        (a_machine("stopped", events=[an_event(3, "start"), an_exit(2, exit_code=1)]), "started", None, None),
        (a_machine("stopped", events=[an_event(3, "restart"), an_exit(2, exit_code=1)]), "started", None, None),
        (
            a_machine("stopped", events=[an_event(1, "start"), an_exit(2, exit_code=1)]),
            "started",
            None,
            "its process ended with exit code 1",
        ),
        (a_machine("starting", events=[an_exit(2, exit_code=1)]), "started", None, None),
        (a_machine("hibernating"), "started", None, None),
        (a_machine("failed", version="01A"), "started", "01B", None),
        (a_machine("stopped", events=[an_exit(2, exit_code=1)]), "started", "01B", None),
    ],
)
def test_a_machine_is_hopeless_only_when_it_cannot_get_there_by_itself(
    machine: Machine, wanted: str, version: str | None, reason: str | None
) -> None:
    assert why_hopeless(machine, wanted, version) == reason


def crashes(number: int, *, since: int = 0, count_from: int = 0, **changes: Any) -> list[dict[str, Any]]:
    """The newest events first of a machine that crashed so many times, and that `flyd` started after each."""
    events: list[dict[str, Any]] = []
    for crash in range(1, number + 1):
        said = an_exit(since + 10 * crash, **{"exit_code": 3, **changes})
        said["request"]["restart_count"] = count_from + crash
        restart = an_event(since + 10 * crash + 5, "start") | {"source": "flyd"}
        events = [restart, said, *events]
    return events


LOOP = "its process ended with exit code 3, after 2 restarts"
BEGUN = [an_event(0, "launch")]
STARTED = [an_event(105, "start") | {"source": "flyd"}, an_event(100, "start") | {"source": "user"}]


@pytest.mark.parametrize(
    ("machine", "wanted", "reason"),
    [
        (a_machine("starting", events=crashes(1) + BEGUN), "started", None),
        (a_machine("starting", events=crashes(2) + BEGUN), "started", LOOP),
        (a_machine("starting", events=crashes(2) + BEGUN), "healthy", LOOP),
        (a_machine("starting", events=crashes(2)[::-1]), "started", LOOP),
        (a_machine("starting", events=crashes(2)[1:] + BEGUN), "started", LOOP),
        (a_machine("stopped", events=crashes(2)[1:] + BEGUN), "started", LOOP),
        (
            a_machine("starting", events=crashes(2, oom_killed=True)),
            "started",
            LOOP.replace("3,", "3, out of memory,"),
        ),
        (a_machine("started", events=crashes(2) + BEGUN), "started", None),
        (a_machine("started", events=crashes(2) + BEGUN), "healthy", None),
        (a_machine("starting", events=crashes(2) + BEGUN), "stopped", None),
        (a_machine("starting", events=crashes(2) + BEGUN), "settled", None),
        (a_machine("starting", events=crashes(2, exit_code=0)), "started", None),
        (a_machine("starting", events=crashes(2, requested_stop=True)), "started", None),
        (a_machine("starting", events=[*STARTED, *crashes(5)]), "started", None),
        (a_machine("starting", events=[*crashes(1, since=100, count_from=5), *STARTED, *crashes(5)]), "started", None),
        (a_machine("starting", events=[*crashes(2, since=100), *STARTED, *crashes(5)]), "started", LOOP),
        (a_machine("starting", events=[an_event(100, "update"), *crashes(5)]), "started", None),
        (a_machine("starting", events=[an_event(100, "launch") | {"source": "flyd"}, *crashes(5)]), "started", None),
    ],
)
def test_a_crash_loop_is_hopeless_and_one_restart_is_not(machine: Machine, wanted: str, reason: str | None) -> None:
    assert why_hopeless(machine, wanted, None) == reason


def test_what_an_older_version_did_is_no_crash_loop() -> None:
    assert why_hopeless(a_machine("starting", events=crashes(2)), "started", "01A") == LOOP
    assert why_hopeless(a_machine("starting", events=crashes(2)), "started", "01B") is None


def test_a_machine_without_memory_says_so() -> None:
    exit_event = {"exit_code": 137, "oom_killed": True}
    reason = why_hopeless(a_machine("stopped", events=[an_exit(9, **exit_event)]), "started", None)
    assert reason == "its process ended with exit code 137, out of memory"


@pytest.mark.parametrize(
    ("state", "wanted", "version", "there"),
    [
        ("started", "started", None, True),
        ("started", "started", "01A", True),
        ("started", "started", "01B", False),
        ("stopped", "started", None, False),
        ("stopped", "settled", None, True),
        ("failed", "settled", None, True),
        ("hibernating", "settled", None, True),
        ("starting", "settled", None, False),
        ("created", "settled", None, False),
        ("created", "created", None, True),
        ("started", "healthy", None, True),
        ("starting", "healthy", None, False),
    ],
)
def test_a_machine_has_reached_the_state_only_in_the_version_waited_for(
    state: str, wanted: str, version: str | None, *, there: bool
) -> None:
    assert has_reached(a_machine(state), wanted, version) is there
