"""Two reports are the same if only times and ids differ."""

from typing import Any

from flyasync.deploy.reporting.report_differences import report_differences

MACHINE = {
    "name": "app-iad-1",
    "result": "running",
    "id": "148e21ea7e46e8",
    "moments": [{"at": 1.0, "phase": "started"}],
}
REPORT = {
    "seconds": 12.5,
    "ok": True,
    "regions": [{"region": "iad", "machines": [MACHINE]}],
    "surplus": ["148e21ea7e46e8"],
}


def report(**machine: Any) -> dict[str, Any]:
    return {**REPORT, "regions": [{"region": "iad", "machines": [{**MACHINE, **machine}]}]}


def test_times_and_ids_do_not_count() -> None:
    other = report(id="99999999999999", moments=[{"at": 7.0, "phase": "started"}])
    assert report_differences(REPORT, {**other, "seconds": 99.0, "surplus": ["99999999999999"]}) == []


def test_neither_do_those_in_texts() -> None:
    one = report(failure={"message": "machine 148e21ea7e46e8 is not up: it was not within 27.1 s"})
    other = report(failure={"message": "machine 99999999999999 is not up: it was not within 30 s"})
    assert report_differences(one, other) == []


def test_a_placeholder_stands_for_any_text() -> None:
    recorded, text = report(failure={"message": "no redacted-3 here"}), report(failure={"message": "no shop here"})
    assert report_differences(recorded, text) == []
    assert report_differences(recorded, report(failure={"message": "none"})) != []


def test_every_other_difference_is_named_with_both_values() -> None:
    other = report(result="destroyed", moments=[{"at": 1.0, "phase": "failed"}])
    assert report_differences(REPORT, {**other, "ok": False, "surplus": []}) == [
        "ok: True became False",
        "regions[iad].machines[app-iad-1].result: 'running' became 'destroyed'",
        "surplus: 1 became 0",
        "regions[iad].machines[app-iad-1].moments[0].phase: 'started' became 'failed'",
    ]


def test_a_machine_that_only_one_report_has_is_named() -> None:
    fewer = {**REPORT, "regions": [{"region": "iad", "machines": []}]}
    assert report_differences(REPORT, fewer) == ["regions[iad].machines[app-iad-1]: running became None"]
