"""The actions on a machine, without sockets."""

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.faults import Fault
from flyasync.emulator.world import actions, apps, machines
from flyasync.emulator.world.machines import NewMachine
from flyasync.emulator.world.transitions import advance
from flyasync.emulator.world.world import World


def refusal(world: World) -> str:
    (machine,) = world.machines.values()
    try:
        actions.start(world, machine)
    except ApiError as error:
        return error.text
    return ""


def test_only_a_stopped_machine_can_be_active_still() -> None:
    world = World(boot=(0, 0))
    apps.create(world, "web", org_slug="personal", network="")
    machine = machines.create(world, "web", NewMachine(config={"image": "nginx"}))
    advance(world, 0)
    actions.stop(world, machine)
    # A machine leaves within 0.8 s, and can be active for a quarter of a second to a whole one after that.
    while machine.state != "stopped":
        advance(world, world.next_due() or 0)
    assert "machine still active" in refusal(world)
    world.faults.add(Fault(does="fail", times=1))
    actions.restart(world, machine)
    advance(world, world.clock)
    assert (machine.state, world.clock < machine.active_until) == ("failed", True)
    assert refusal(world) == ""
