"""The admission of a deploy: who may still begin after what others have met."""

from flyasync import DeployBuilder
from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.admission import Admission
from flyasync.errors import FlyError

WANTED = DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("nginx").require(2).deployment()


def run(
    region: str, *, target: Target = Target.SERVE, phase: Phase | None = None, error: FlyError | None = None
) -> MachineRun:
    machine = DesiredMachine(name=f"web-{region}", region=region, number=1)
    return MachineRun(wanted=machine, region=region, target=target, phase=phase, error=error)


def test_a_machine_that_failed_lets_no_other_begin() -> None:
    admission = Admission(WANTED, presses_on=False)
    assert admission.admits("lhr")
    admission.record(run("iad", error=FlyError("no")))
    assert admission.is_closed
    assert not admission.admits("lhr")


def test_a_region_without_room_closes_its_own_lane_and_all_once_too_many_are_lost() -> None:
    admission = Admission(WANTED, presses_on=False)
    admission.record(run("iad", phase=Phase.SKIPPED))
    assert (admission.admits("iad"), admission.admits("lhr"), admission.is_closed) == (False, True, False)
    admission.record(run("lhr", phase=Phase.SKIPPED))
    assert admission.is_closed


def test_one_that_presses_on_is_shut_by_nothing_but_its_release_command() -> None:
    admission = Admission(WANTED, presses_on=True)
    admission.record(run("iad", error=FlyError("no")))
    admission.record(run("lhr", phase=Phase.SKIPPED))
    assert admission.admits("iad")
    assert (admission.has_lost_one("iad"), admission.has_lost_one("lhr"), admission.has_lost_one("nrt")) == (
        True,
        True,
        False,
    )
    admission.record(run("nrt", target=Target.END, error=FlyError("exit code 1")))
    assert admission.is_closed
