"""What became of a machine: every case, by what was observed last and by what the run has met."""

from typing import Any

import pytest
from attrs import evolve

from flyasync import CheckStatus, DeployBuilder, Machine, Phase, Result
from flyasync.deploy.plan.config_merge import SECRETS
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.result import Failure, result_of
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.errors import CallFailed, Conflict, FlyError, Scope, WaitFailed
from flyasync.models.machine import MachineEvent

ROLLING = DeployBuilder("web").to_regions("iad").with_image("shop:1").with_launch("v1").smoke_check(0).rolling()
SPEC = ROLLING.deployment()
LAUNCH = DeployBuilder("web").to_regions("iad").with_image("shop:1").with_launch("v1").deployment()
REFUSED = FlyError("the create was refused")
RAN_OUT = WaitFailed("web", "m1", wanted="started", state="starting", reason="it was not in time", hopeless=False)
HOPELESS = WaitFailed("web", "m1", wanted="started", state="failed", reason="it failed", hopeless=True)
LOST = CallFailed("machines.get", "web", "the connection was lost")


def machine(spec: DeploySpec = SPEC, **changes: Any) -> Machine:
    (desired,) = spec.machines("iad")
    known = {"id": "m1", "name": desired.name, "state": "started", "region": "iad", "config": spec.tagged}
    return Machine(**{**known, **changes})


def result(
    seen: Machine | None, spec: DeploySpec = SPEC, unseen: FlyError | None = None, **known: Any
) -> tuple[Result, str | None]:
    """Return what became of a machine that was observed as `seen`, with a run that has come so far."""
    (desired,) = spec.machines("iad")
    facts = {"machine": seen, "config": spec.tagged, **known}
    run = MachineRun(desired=desired, region="iad", **facts)
    errors = {desired.name: unseen} if unseen else {}
    observation = Observation(runs=(run,), seen=(seen,) if seen else (), unseen=errors)
    found, failure = result_of(spec, observation, run)
    return found, failure.message if failure else None


def test_a_machine_that_could_not_be_observed_is_unknown() -> None:
    unseen = FlyError("the list is down")
    assert result(None, unseen=unseen, machine=machine()) == (Result.UNKNOWN, "the list is down")
    assert result(None, unseen=unseen, in_doubt=True) == (Result.UNKNOWN, "the list is down")
    assert result(None, unseen=unseen, machine=machine(), error=REFUSED) == (Result.UNKNOWN, str(REFUSED))
    # Without a machine there is nothing to observe, and of one that is destroyed that is known.
    assert result(None, unseen=unseen) == (Result.NOT_BEGUN, None)
    gone: dict[str, Any] = {"machine": machine(), "phase": Phase.DESTROYED}
    assert result(None, unseen=unseen, **gone) == (Result.DESTROYED, None)


@pytest.mark.parametrize(
    ("phase", "error", "expected"),
    [
        (Phase.ENDED, None, Result.ENDED),
        (None, None, Result.NOT_BEGUN),
        (Phase.SKIPPED, None, Result.SKIPPED),
        (Phase.FAILED, REFUSED, Result.FAILED),
        (Phase.RUNNING, None, Result.FAILED),
    ],
)
def test_of_a_release_command_its_end_counts_and_not_its_machine(
    phase: Phase | None, error: FlyError | None, expected: Result
) -> None:
    for seen in (None, machine()):
        found, why = result(seen, target=Target.END, phase=phase, error=error)
        assert (found, why) == (expected, str(error) if error else None)


def test_a_machine_that_was_to_go() -> None:
    gone: dict[str, Any] = {"target": Target.GO, "machine": machine()}
    assert result(None, **gone, taken=1) == (Result.RETIRED, None)
    assert result(machine(), target=Target.GO) == (Result.NOT_BEGUN, None)
    assert result(machine(), target=Target.GO, taken=1) == (Result.FAILED, None)
    assert result(machine(), target=Target.GO, error=REFUSED) == (Result.FAILED, str(REFUSED))


def test_a_machine_that_was_destroyed_again() -> None:
    assert result(None, phase=Phase.DESTROYED, error=REFUSED) == (Result.DESTROYED, str(REFUSED))


def test_a_machine_that_is_not_there() -> None:
    refusal = Refusal(region="iad", scope=Scope.REGION, status=422, code="full", message="no room", request_id=None)
    assert result(None) == (Result.NOT_BEGUN, None)
    assert result(None, in_doubt=True) == (Result.UNKNOWN, None)
    assert result(None, phase=Phase.SKIPPED, refusals=(refusal,)) == (Result.SKIPPED, None)
    assert result(None, error=REFUSED, phase=Phase.FAILED) == (Result.FAILED, str(REFUSED))
    assert result(None, machine=machine()) == (Result.FAILED, "the machine no longer exists")
    assert result(None, machine=machine(), error=LOST) == (Result.FAILED, str(LOST))


OTHER = evolve(SPEC.tagged, image="shop:0")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"adopted": True}, (Result.NOT_BEGUN, None)),
        ({"adopted": True, "phase": Phase.UPDATING}, (Result.NOT_AWAITED, "{other}")),
        ({"adopted": True, "taken": 1}, (Result.NOT_AWAITED, "{other}")),
        ({"adopted": True, "error": REFUSED}, (Result.FAILED, str(REFUSED))),
        ({"adopted": True, "phase": Phase.KEPT, "ready_after": 0.0}, (Result.FAILED, "{other}")),
        ({"phase": Phase.CREATED}, (Result.NOT_AWAITED, "{other}")),
        ({"phase": Phase.STARTED, "ready_after": 4.0}, (Result.FAILED, "{other}")),
    ],
)
def test_a_machine_with_another_config(known: dict[str, Any], expected: tuple[Result, str | None]) -> None:
    other = "its config is not the one that was deployed"
    why = expected[1] and expected[1].format(other=other)
    assert result(machine(config=OTHER), **known) == (expected[0], why)


def test_a_machine_that_failed_while_it_was_awaited_is_not_awaited_any_more() -> None:
    assert result(machine(state="starting"), taken=1)[0] is Result.NOT_AWAITED
    assert result(machine(state="failed"), taken=1) == (Result.FAILED, "its state is failed")


def test_a_machine_whose_config_is_not_known_is_not_as_promised() -> None:
    other = "its config is not the one that was deployed"
    assert result(machine(), config=None, ready_after=1.0) == (Result.FAILED, other)
    assert result(machine(config=None), ready_after=1.0) == (Result.FAILED, other)


def test_a_machine_with_older_secrets_is_not_as_promised_except_in_a_launch() -> None:
    for spec, expected in ((SPEC, Result.FAILED), (LAUNCH, Result.RUNNING)):
        old = machine(spec)
        assert old.config is not None
        new = evolve(old.config, metadata={**(old.config.metadata or {}), SECRETS: "new"})
        found, why = result(old, spec, config=new, ready_after=1.0)
        assert found is expected
        assert why == ("it has not been updated with the current secrets" if spec is SPEC else None)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(LOST, Result.RUNNING), (RAN_OUT, Result.RUNNING), (HOPELESS, Result.FAILED), (REFUSED, Result.FAILED)],
)
def test_what_proves_nothing_does_not_count_against_a_machine_that_is_as_promised(
    error: FlyError, expected: Result
) -> None:
    found, why = result(machine(), error=error, taken=1)
    assert found is expected
    assert why == (None if expected is Result.RUNNING else str(error))
    assert result(machine(), error=error, taken=1, verifies=True) == (Result.FAILED, str(error))


def test_a_cordoned_machine_is_outside_routing_unless_that_is_meant() -> None:
    cordoned = machine(cordoned=True)
    assert result(cordoned, ready_after=1.0) == (Result.OUTSIDE, None)
    assert result(cordoned, error=LOST) == (Result.OUTSIDE, str(LOST))
    assert result(cordoned, ready_after=1.0, stays_out=True) == (Result.RUNNING, None)
    assert result(machine(LAUNCH, cordoned=True), LAUNCH, ready_after=1.0) == (Result.RUNNING, None)


def test_a_stopped_machine_rests_where_it_may() -> None:
    stopped = machine(state="stopped")
    for target in (Target.REST, Target.APART):
        spec = evolve(SPEC, goal=None) if target is Target.APART else SPEC
        assert result(stopped, spec, target=target, ready_after=1.0) == (Result.RESTING, None)
    assert result(machine(), target=Target.REST, ready_after=1.0) == (Result.RUNNING, None)
    assert result(machine(state="failed"), target=Target.REST, ready_after=1.0)[0] is Result.FAILED
    assert result(stopped, ready_after=1.0) == (Result.FAILED, "its state is stopped")


def test_a_failure_keeps_what_a_refusal_says() -> None:
    refused = Conflict("machines.create", "web", "the name is taken", status=409, code="taken", request_id="r1")
    failure = Failure.of(refused)
    assert (failure.kind, failure.status, failure.code, failure.request_id) == ("Conflict", 409, "taken", "r1")
    assert (Failure.of(LOST).status, str(Failure.of(LOST))) == (None, str(LOST))


def test_a_machine_that_is_down_tells_its_checks_and_how_its_process_ended() -> None:
    check = CheckStatus(name="up", status="critical", output="refused")
    assert result(machine(state="stopped", checks=[check]), ready_after=1.0) == (
        Result.FAILED,
        "its state is stopped, with failing checks (up critical: refused)",
    )
    for killed, requested, words in (
        (False, False, "; its process ended with exit code 3, restarted 2 times"),
        (True, False, "; its process ended with exit code 3, out of memory, restarted 2 times"),
        (False, True, ""),
    ):
        end = {"exit_code": 3, "oom_killed": killed, "requested_stop": requested}
        event = MachineEvent(type="exit", timestamp=1, request={"exit_event": end, "restart_count": 2})
        assert result(machine(state="failed", events=[event]), ready_after=1.0) == (
            Result.FAILED,
            f"its state is failed{words}",
        )
