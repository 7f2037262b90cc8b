"""From a fly.toml to the spec of a deploy of its process groups; pure.

docs: reference/configuration
"""

from collections.abc import Collection
from typing import Final

from attrs import evolve

from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.release_command import ReleaseCommand
from flyasync.deploy.plan.spec import DeploySpec, GroupSpec, NewGroup
from flyasync.deploy.plan.strategies.in_place import InPlace
from flyasync.deploy.plan.strategies.registry import strategies
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Share, Strategy
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml.app_config import FlyToml
from flyasync.models.fly_toml.deploy import DeploySection

_NO_IMAGE: Final = "an image that is stated later"


def spec_of(read: FlyToml, *, app: str | None, image: str | None, groups: Collection[str], ha: bool) -> DeploySpec:
    """Return the spec of a deploy of all groups of a fly.toml, or of some.

    Regions and counts are those of the machines that exist. A group that is created is in the primary region; with `ha`
    it gets two machines if it has services, one if it has mounts, and otherwise one and a standby, as with flyctl.

    Args:
        read: The file.
        app: The app to deploy; None for the app of the file.
        image: The image to run; None for that of the file, if it has one.
        groups: The groups to deploy; empty for all.
        ha: Whether groups that are created get more than one machine.
    """
    name = app or read.app
    if not name:
        raise InvalidInput(
            f"{read.source} names no app",
            python='add app = "…" to it, or pass app="…"',
            command='add app = "…" to it, or name the app: flyasync deploy APP',
        )
    for group in groups:
        if group not in read.groups:
            raise InvalidInput(f"{read.source} has no process group {group!r}: choose one of {', '.join(read.groups)}")
    first, *others = (
        _group(read, group, image=image or read.image, ha=ha) for group in read.groups if not groups or group in groups
    )
    spec = DeploySpec(
        app=name,
        strategy=_strategy(read.deploy),
        release=_command(read.deploy, read.deploy.release_command),
        seed=_command(read.deploy, read.deploy.seed_command),
        timeout=float(read.deploy.wait_timeout or 300.0),
        is_visible_to_flyctl=True,
        keeps_counts=True,
        public_ips=True,
        also=tuple(others),
    )
    return evolve(first.added_to(spec), also=spec.also)


def _group(read: FlyToml, group: str, *, image: str | None, ha: bool) -> GroupSpec:
    """Return what a file states of one of its groups."""
    config = read.config(group, image=image or _NO_IMAGE)
    if image is None:
        containers = [evolve(each, image=None) if each.image == _NO_IMAGE else each for each in config.containers or ()]
        config = evolve(config, containers=containers or None)
    mounts = read.mounts_of(group)
    volume = DesiredVolume.of_section(mounts[0]) if mounts else None
    return GroupSpec(
        group=group,
        config=evolve(config, image=image, mounts=None),
        volume=volume,
        replaces=tuple(name for name in read.stated(group) if name != "mounts"),
        source=read.source,
        in_doubt=read.in_doubt,
        if_new=_if_new(read, config, has_volume=volume is not None, ha=ha),
    )


def _if_new(read: FlyToml, config: MachineConfig, *, has_volume: bool, ha: bool) -> NewGroup:
    """Return what a group gets that is created."""
    new = NewGroup(
        regions=(read.primary_region,) if read.primary_region else (),
        source="primary_region" if read.primary_region else None,
    )
    # 1. A volume is in one place, so a second machine would have other data.
    # 2. Of machines with services, another one takes the requests if one fails.
    # 3. Of workers, two would do the work twice, so the second one only stands by.
    if not ha or has_volume:
        return new
    if config.services:
        return evolve(new, machines=2, why="two machines, as it has services; one if ha is false")
    return evolve(new, standby=True, why="and a standby; none if ha is false")


def _strategy(section: DeploySection) -> Strategy:
    """Return the strategy of a file, with its parameters."""
    made = strategies().get(section.strategy or "rolling", Rolling)()
    share = section.max_unavailable
    if share is None or not isinstance(made, InPlace):
        return made
    # A value of 1 or more is a number of machines.
    return evolve(made, max_unavailable=Share.of(share if share < 1 else int(share), "max_unavailable"))


def _command(section: DeploySection, words: tuple[str, ...]) -> ReleaseCommand | None:
    """Return the release or seed command; flyctl runs both on the same hardware, with the same time limit."""
    if not words:
        return None
    timeout = {"timeout": float(section.release_command_timeout)} if section.release_command_timeout else {}
    return ReleaseCommand(command=words, guest=section.release_command_guest, **timeout)
