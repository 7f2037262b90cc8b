from flyasync.emulator.core.rate_limits import OperationLimits


def turns(rates: OperationLimits, action: str, identifier: str, now: float, tries: int) -> int:
    return sum(rates.wait(action, identifier, now=now) == 0 for _ in range(tries))


def test_three_at_once_then_one_a_second() -> None:
    rates = OperationLimits()
    assert turns(rates, "startMachine", "m", 0.0, 5) == 3
    assert rates.wait("startMachine", "m", now=0.25) == 0.75
    assert turns(rates, "startMachine", "m", 0.999, 2) == 0
    assert turns(rates, "startMachine", "m", 1.0, 2) == 1
    assert turns(rates, "startMachine", "m", 100.0, 9) == 3


def test_ten_reads_of_a_machine_at_once_then_five_a_second() -> None:
    rates = OperationLimits()
    assert turns(rates, "getMachine", "m", 0.0, 20) == 10
    assert turns(rates, "getMachine", "m", 0.2, 5) == 1
    assert turns(rates, "getMachine", "m", 1.2, 9) == 5


def test_actions_and_identifiers_do_not_share() -> None:
    rates = OperationLimits()
    assert turns(rates, "startMachine", "a", 0.0, 4) == 3
    assert turns(rates, "startMachine", "b", 0.0, 4) == 3
    assert turns(rates, "stopMachine", "a", 0.0, 4) == 3


def test_a_hundred_apps_may_be_deleted_in_a_minute() -> None:
    rates = OperationLimits()
    deleted = [app for app in range(150) if rates.wait("deleteApp", f"app-{app}", now=0.0) == 0]
    assert deleted == list(range(100))
    assert rates.wait("deleteApp", "app-100", now=0.6) == 0


def test_a_refused_request_uses_no_turn() -> None:
    rates = OperationLimits()
    turns(rates, "startMachine", "m", 0.0, 50)
    assert turns(rates, "startMachine", "m", 1.0, 50) == 1


def test_idle_buckets_are_forgotten() -> None:
    rates = OperationLimits()
    for number in range(10_002):
        rates.wait("startMachine", str(number), now=0.0)
    rates.wait("startMachine", "late", now=60.0)
    assert len(rates._buckets) == 1
