"""Images: the digest that a new machine or version runs, tags that move, and images that were just pushed."""

from flyasync.emulator.core.errors import manifest_unknown
from flyasync.emulator.core.images import tag_key
from flyasync.emulator.world.world import World


def push(world: World, image: str) -> str:
    """Move a tag, and return the digest that it now points to; new machines find it after the lag of images."""
    world.image_known_at[tag_key(image)] = world.clock + world.draw(world.image_lag)
    return world.images.push(image)


def move_due(world: World) -> None:
    """Move the tags whose time has come."""
    for image, at in list(world.tag_moves.items()):
        if at <= world.clock:
            del world.tag_moves[image]
            push(world, image)


def resolve(world: World, image: str) -> str:
    """Return the digest that a machine with this image runs; raise 400 for an image that is not found yet.

    A tag that was never pushed counts as pushed when it is first used.
    """
    if image and any(world.image_lag):
        key = tag_key(image)
        if key not in world.image_known_at:
            world.image_known_at[key] = world.clock + world.draw(world.image_lag)
        if world.clock < world.image_known_at[key]:
            raise manifest_unknown(image)
    return world.images.digest(image)
