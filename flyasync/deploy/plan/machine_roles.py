"""What a machine is there for within its group, by its config; pure."""

from enum import StrEnum

from flyasync.models.config import MachineConfig


class Role(StrEnum):
    """What a machine is there for within its group."""

    MEMBER = "member"  # it runs, or may be started at any time
    STANDBY = "standby"  # it is stopped until the host of another machine fails
    SCHEDULED = "scheduled"  # the platform starts it at times


def role(config: MachineConfig | None) -> Role:
    """Return what a machine with this config is there for; one that is not known counts as a member."""
    if config is not None and config.standbys:
        return Role.STANDBY
    return Role.SCHEDULED if config is not None and config.schedule else Role.MEMBER
