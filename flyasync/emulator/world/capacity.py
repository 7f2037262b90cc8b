"""The placement of new machines, and the API's errors for full regions."""

from flyasync.emulator.core.errors import ApiError, bad_request, region_retired
from flyasync.emulator.core.lifecycle import fresh
from flyasync.emulator.core.records import VolumeRecord
from flyasync.emulator.core.regions import alternate, expand
from flyasync.emulator.world.world import World

_NO_HOST = ApiError(422, "could not find a candidate host", code="insufficient_capacity")


def accepting(world: World, expression: str | None) -> list[str]:
    """Return the regions of an expression that accept new resources, best first; raise 422 if all are retired."""
    asked = expand(expression)
    found = [code for code in asked if code not in world.retired]
    if asked and not found:
        raise region_retired(asked[0], alternate(asked[0], world.retired))
    return found


def region_for(world: World, expression: str | None, volume: VolumeRecord | None) -> str:
    """Return the region for a new machine; raise the API's error if no allowed region has capacity."""
    # 1. A volume is on one host, so its machine must be placed there.
    if volume is not None:
        if expression and volume.region not in expand(expression):
            raise bad_request(f"volume {volume.id} is in region {volume.region}, not in {expression}")
        if volume.host_status != "ok" or not world.has_room(volume.region):
            text = f"insufficient resources to create new machine with existing volume id '{volume.id}'"
            raise ApiError(412, text, code="volume_placement_capacity")
        return next(iter(accepting(world, volume.region)))
    # 2. The first allowed region with capacity.
    for region in accepting(world, expression):
        if world.has_room(region):
            return region
    raise fresh(_NO_HOST)
