"""The gate of a deploy: who may still begin after what others have met."""

from flyasync import DeployBuilder
from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.admission import Gate
from flyasync.errors import FlyError

WANTED = DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("nginx").require(2).deployment()


def run(
    region: str, *, target: Target = Target.SERVE, phase: Phase | None = None, error: FlyError | None = None
) -> MachineRun:
    machine = DesiredMachine(name=f"web-{region}", region=region, number=1)
    return MachineRun(wanted=machine, region=region, target=target, phase=phase, error=error)


def test_a_machine_that_failed_lets_no_other_begin() -> None:
    gate = Gate(WANTED, presses_on=False)
    assert gate.lets("lhr")
    gate.note(run("iad", error=FlyError("no")))
    assert gate.is_shut
    assert not gate.lets("lhr")


def test_a_region_without_room_closes_its_own_lane_and_all_once_too_many_are_lost() -> None:
    gate = Gate(WANTED, presses_on=False)
    gate.note(run("iad", phase=Phase.SKIPPED))
    assert (gate.lets("iad"), gate.lets("lhr"), gate.is_shut) == (False, True, False)
    gate.note(run("lhr", phase=Phase.SKIPPED))
    assert gate.is_shut


def test_one_that_presses_on_is_shut_by_nothing_but_its_release_command() -> None:
    gate = Gate(WANTED, presses_on=True)
    gate.note(run("iad", error=FlyError("no")))
    gate.note(run("lhr", phase=Phase.SKIPPED))
    assert gate.lets("iad")
    assert (gate.has_lost_one("iad"), gate.has_lost_one("lhr"), gate.has_lost_one("nrt")) == (True, True, False)
    gate.note(run("nrt", target=Target.END, error=FlyError("exit code 1")))
    assert gate.is_shut
