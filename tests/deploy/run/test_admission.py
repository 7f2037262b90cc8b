"""The admission of a deploy: who may still begin after what others have met, and how many at once."""

import asyncio

from flyasync import DeployBuilder
from flyasync.deploy.plan.plan import Lane, Target
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.admission import Admission, LaneRun, Slots, StopBarrier
from flyasync.errors import FlyError

WANTED = DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("nginx").require(2).deployment()


def run(
    region: str,
    *,
    group: str = "",
    target: Target = Target.SERVE,
    phase: Phase | None = None,
    error: FlyError | None = None,
) -> MachineRun:
    machine = DesiredMachine(name=f"web-{region}", region=region, number=1, group=group)
    return MachineRun(desired=machine, region=region, target=target, phase=phase, error=error)


def test_a_machine_that_failed_lets_no_other_begin() -> None:
    admission = Admission(WANTED, presses_on=False)
    assert admission.admits(("lhr", ""))
    admission.record(run("iad", error=FlyError("no")))
    assert admission.is_closed
    assert not admission.admits(("lhr", ""))


def test_a_region_without_room_closes_its_own_lane_and_all_once_too_many_are_lost() -> None:
    admission = Admission(WANTED, presses_on=False)
    admission.record(run("iad", phase=Phase.SKIPPED))
    assert (admission.admits(("iad", "")), admission.admits(("lhr", "")), admission.is_closed) == (False, True, False)
    admission.record(run("lhr", phase=Phase.SKIPPED))
    assert admission.is_closed


def test_without_room_for_one_group_another_may_begin_in_the_region_which_counts_as_lost_once() -> None:
    admission = Admission(WANTED, presses_on=False)
    admission.record(run("iad", group="web", phase=Phase.SKIPPED))
    assert (admission.admits(("iad", "web")), admission.admits(("iad", "worker"))) == (False, True)
    admission.settle([("iad", "web"), ("iad", "worker")])
    assert admission.settled == {("iad", "worker")}
    admission.record(run("iad", group="worker", phase=Phase.SKIPPED))
    assert not admission.is_closed


def test_one_that_presses_on_is_shut_by_nothing_but_its_release_command() -> None:
    admission = Admission(WANTED, presses_on=True)
    admission.record(run("iad", error=FlyError("no")))
    admission.record(run("lhr", phase=Phase.SKIPPED))
    assert admission.admits(("iad", ""))
    assert admission.lost == {("iad", ""), ("lhr", "")}
    admission.record(run("nrt", target=Target.END, error=FlyError("exit code 1")))
    assert admission.is_closed


def test_what_closed_it_first_is_remembered_and_only_open_regions_are_settled() -> None:
    admission = Admission(WANTED, presses_on=False)
    admission.record(run("iad", phase=Phase.SKIPPED))
    assert not admission.is_closed
    admission.settle([("iad", ""), ("lhr", "")])
    assert admission.settled == {("lhr", "")}
    last = run("lhr", phase=Phase.SKIPPED)
    admission.record(last)
    admission.record(run("nrt", error=FlyError("no")))
    assert admission.closed_by is last
    assert "closed by <MachineRun web-lhr" in repr(admission)


async def take(slots: Slots, order: list[str], name: str, *, loses: bool = False) -> None:
    async with slots.one() as slot:
        order.append(f"{name} {'in' if slot.is_free else 'none left'}")
        await asyncio.sleep(1)
        if loses:
            slot.lose()
        order.append(f"{name} out")


async def test_a_slot_is_for_the_next_one_once_its_machine_is_back() -> None:
    order: list[str] = []
    slots = Slots(1)
    await asyncio.gather(take(slots, order, "a"), take(slots, order, "b"))
    assert order == ["a in", "a out", "b in", "b out"]


async def test_a_lost_slot_is_gone_and_with_the_last_one_nobody_waits_any_more() -> None:
    order: list[str] = []
    slots = Slots(2)
    await asyncio.gather(
        take(slots, order, "a", loses=True), take(slots, order, "b"), take(slots, order, "c", loses=True)
    )
    assert order == ["a in", "b in", "a out", "b out", "c in", "c out"]
    await asyncio.gather(take(slots, order, "d"), take(slots, order, "e"))
    assert order[6:] == ["d none left", "e none left", "d out", "e out"]


def test_a_lane_has_as_many_slots_as_are_not_lost_yet_and_without_a_width_none() -> None:
    lane = Lane(region="iad", tracks=(), width=3)
    assert repr(LaneRun(lane, relies_on_others=False, lost=1).slots) == "<Slots: 2 left>"
    assert LaneRun(Lane(region="iad", tracks=()), relies_on_others=False, lost=0).slots is None


async def test_a_barrier_opens_once_all_have_stopped() -> None:
    barrier = StopBarrier(["a", "b"])
    barrier.arrive("a", stopped=True)
    first = asyncio.create_task(barrier.all_stopped())
    await asyncio.sleep(0)
    assert not first.done()
    assert repr(barrier) == "<StopBarrier: waits for ['b']>"
    barrier.arrive("b", stopped=True)
    assert await first
    barrier.arrive("b", stopped=False)  # its track ends later, in whatever way
    assert await barrier.all_stopped()


async def test_a_barrier_lets_the_others_go_when_a_track_ends_without_a_stop() -> None:
    barrier = StopBarrier(["a", "b"])
    barrier.arrive("a", stopped=True)
    barrier.arrive("b", stopped=False)
    assert not await barrier.all_stopped()


async def test_a_barrier_breaks_for_all_when_one_runs_on() -> None:
    barrier = StopBarrier(["a", "b", "c"])
    barrier.arrive("a", stopped=True)
    barrier.arrive("stranger", stopped=False)
    barrier.arrive("b", stopped=False)
    waits = asyncio.create_task(barrier.all_stopped())
    await asyncio.sleep(0)
    assert not waits.done()  # each of them has to come to rest first
    assert repr(barrier) == "<StopBarrier broken: waits for ['c']>"
    barrier.arrive("c", stopped=True)
    assert not await waits
