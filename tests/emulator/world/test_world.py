"""The world without sockets, with time passed in."""

from typing import Any

import pytest

from flyasync.emulator.core import ids
from flyasync.emulator.core.faults import Fault, Faults
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.core.regions import CODES, expand
from flyasync.emulator.world import apps, machines
from flyasync.emulator.world.actions import stop
from flyasync.emulator.world.machines import NewMachine
from flyasync.emulator.world.transitions import advance, enter
from flyasync.emulator.world.world import World


def made(world: World, **config: Any) -> MachineRecord:
    return machines.create(world, "web", NewMachine(config={"image": "nginx", **config}))


def new_world(**options: Any) -> World:
    world = World(**options)
    apps.create(world, "web", org_slug="personal", network="")
    return world


def told(world: World) -> Any:
    return [(machine.id, machine.state, list(machine.events)) for machine in world.machines.values()]


def lived(seed: int, *moments: float) -> Any:
    world = new_world(seed=seed)
    found = [made(world) for _ in range(3)]
    advance(world, 10)
    stop(world, found[1])
    for moment in moments:
        advance(world, moment)
    return told(world)


def test_the_same_calls_at_the_same_times_give_the_same_world() -> None:
    assert lived(1, 60) == lived(1, 60) != lived(2, 60)


def test_the_number_of_reads_does_not_change_the_history() -> None:
    assert lived(1, 60) == lived(1, *(10 + tenth / 10 for tenth in range(500)))


def test_time_does_not_run_backwards() -> None:
    world = new_world()
    advance(world, 5)
    advance(world, 3)
    assert world.clock == 5


def test_machines_are_moved_in_the_order_of_time() -> None:
    world = new_world(boot=(1, 9))
    for _ in range(20):
        made(world)
    advance(world, 100)
    starts = [machine.events[0] for machine in world.machines.values()]
    assert sorted(starts, key=lambda event: event.id) == sorted(starts, key=lambda event: event.at)


def test_the_next_move_is_known() -> None:
    world = new_world(boot=(10, 10))
    assert world.next_due() is None
    made(world)
    assert world.next_due() == 4
    advance(world, 4)
    assert world.next_due() == 10


def test_changes_are_returned_once() -> None:
    world = new_world()
    machine = made(world)
    assert world.take_changed() == {machine.id}
    assert world.take_changed() == set()


def test_a_move_the_lifecycle_does_not_know_is_a_bug() -> None:
    world = new_world()
    with pytest.raises(RuntimeError, match="cannot go from created to suspended"):
        enter(world, made(world), "suspended")


def test_an_endless_crash_loop_takes_time() -> None:
    faults = Faults([Fault(does="crash")])
    world = new_world(boot=(0, 0), faults=faults)
    machine = made(world, restart={"policy": "always"})
    advance(world, 60)
    assert machine.restart_count == 61


def test_the_past_is_kept_for_two_minutes_and_no_longer() -> None:
    world = new_world()
    machine = made(world)
    world.keep_past()
    for second in range(10, 1000, 10):
        advance(world, second)
        machines.write_metadata(world, machine, {"at": str(second)})
    then = world.as_of(machine, world.clock - 119)
    assert then is not None
    assert then.config["metadata"]["at"] == "870"
    assert world.past is not None
    assert 12 <= len(world.past[machine.id]) <= 14
    # A time before the recorded past gives the oldest record.
    oldest = world.as_of(machine, 200)
    assert oldest is not None
    assert 850 <= int(oldest.config["metadata"]["at"]) <= 870


def test_an_app_that_goes_frees_only_what_its_machines_still_hold() -> None:
    world = new_world(capacity={"iad": 3})
    gone, _ = made(world), made(world)
    machines.destroy(world, gone, force=True)
    advance(world, 60)
    assert (gone.state, world.room("iad")) == ("destroyed", 2)
    apps.delete(world, "web")
    assert (world.room("iad"), world.occupied["iad"]) == (3, 0)


def test_region_expressions_are_expanded_in_order() -> None:
    assert expand("lhr, eu")[:3] == ["lhr", "ams", "arn"]
    assert expand("us") == expand("usa") == ["dfw", "ewr", "iad", "lax", "ord", "sjc"]
    assert expand(None)[0] == "iad"
    assert set(expand("any")) < set(CODES)
    assert "sea" not in expand("any,us")
    assert expand("apac,sa") == ["bom", "nrt", "sin", "syd", "gru"]


def test_ulids_sort_by_time() -> None:
    random = ids.seeded(0, "test")
    found = [ids.ulid(random, now) for now in (0, 0.001, 1, 1000, 1e8)]
    assert found == sorted(found)
    assert {len(one) for one in found} == {26}
