"""The role of a machine in its group, from its config; pure."""

from enum import StrEnum

from flyasync.models.config import MachineConfig


class Role(StrEnum):
    """The role of a machine in its group."""

    MEMBER = "member"  # it runs, or may be started at any time
    STANDBY = "standby"  # it is stopped until the host of another machine fails
    SCHEDULED = "scheduled"  # the platform starts it on a schedule


def role(config: MachineConfig | None) -> Role:
    """Return the role of a machine with this config; without a known config it is a member."""
    if config is not None and config.standbys:
        return Role.STANDBY
    return Role.SCHEDULED if config is not None and config.schedule else Role.MEMBER
