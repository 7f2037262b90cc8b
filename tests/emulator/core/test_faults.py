from random import Random
from typing import Any

import pytest

from flyasync.emulator.core.faults import Fault, Faults, Subject

CREATE = Subject(action="createMachine", method="POST", identifier="web", app="web", regions=("iad", "lhr"))


def struck(faults: Faults, subject: Subject = CREATE, tries: int = 10) -> list[int]:
    return [number for number in range(tries) if faults.first("cut", subject)]


def test_a_fault_strikes_after_so_many_and_so_often() -> None:
    assert struck(Faults([Fault(does="cut", after=2, times=3)])) == [2, 3, 4]


@pytest.mark.parametrize(
    ("patterns", "fits"),
    [
        ({}, True),
        ({"action": "create*"}, True),
        ({"action": "getMachine"}, False),
        ({"region": "lhr"}, True),
        ({"region": "nrt"}, False),
        ({"app": "w?b", "method": "POST", "identifier": "web"}, True),
        ({"name": "blue-*"}, False),
        ({"image": "nginx"}, False),
    ],
)
def test_every_pattern_must_fit(patterns: dict[str, Any], fits: bool) -> None:  # noqa: FBT001
    assert Fault(does="cut", **patterns).fits(CREATE) is fits


def test_the_seed_decides_about_probabilities() -> None:
    fault = Fault(does="cut", probability=0.5)
    first, again, other = (struck(Faults([fault], seed=seed), tries=40) for seed in (1, 1, 2))
    assert first == again != other
    assert 5 < len(first) < 35


def test_a_fault_that_is_not_reached_counts_no_hit() -> None:
    refuse, cut = Fault(does="refuse"), Fault(does="cut")
    faults = Faults([refuse, cut])
    assert next(faults.strike(["refuse", "cut"], CREATE)) is refuse
    assert (faults.hits(refuse), faults.hits(cut)) == (1, 0)


def test_faults_are_a_collection() -> None:
    faults = Faults()
    faults.add(Fault(does="cut"), Fault(does="delay", seconds=2))
    assert [fault.does for fault in faults] == ["cut", "delay"]
    assert faults.as_json()[1]["seconds"] == 2
    faults.clear()
    assert len(faults) == 0


def test_the_very_fault_that_was_added_is_removed() -> None:
    first, second = Fault(does="cut"), Fault(does="cut")
    faults = Faults([first, second])
    struck(faults, tries=1)
    faults.remove(first)
    assert [fault is second for fault in faults] == [True]
    assert faults.hits(second) == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"does": "explode"},
        {"does": "cut", "times": 0},
        {"does": "cut", "after": -1},
        {"does": "cut", "probability": 1.5},
        {"does": "refuse", "status": 200},
        {"does": "delay", "seconds": -1},
    ],
)
def test_nonsense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Fault(**bad)


def test_random_is_not_touched_by_certain_faults() -> None:
    faults = Faults([Fault(does="cut")], seed=3)
    struck(faults)
    assert faults._random.random() == Random("3/faults").random()


@pytest.mark.parametrize("pattern", ["createMachine", "*", "create*", "*Machine", ""])
def test_an_action_is_an_operation_of_the_api_or_a_pattern_that_fits_one(pattern: str) -> None:
    assert Fault(does="refuse", action=pattern).action == pattern


def test_an_action_that_nothing_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="no operation matches 'createMachin'; did you mean 'createMachine'"):
        Fault(does="refuse", action="createMachin")
