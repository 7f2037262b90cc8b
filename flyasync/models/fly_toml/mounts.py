"""The sections `[[mounts]]` of a fly.toml: a mount, and how its volume is created."""

from typing import Final

from attrs import frozen

from flyasync.models.config import Mount
from flyasync.models.fly_toml.section import Section

_THRESHOLDS: Final = range(50, 100)  # percent
_INCREMENTS: Final = range(1, 101)  # GB
_LIMITS: Final = range(1, 501)  # GB
_RETENTIONS: Final = range(1, 61)  # days


@frozen(kw_only=True)
class MountSection:
    """A mount, and how its volume is created if there is none; the latter is not part of a machine's config."""

    mount: Mount
    initial_size_gb: int | None = None
    snapshot_retention: int | None = None
    scheduled_snapshots: bool | None = None


def mount(section: Section) -> MountSection:
    """Read one of `[[mounts]]`; the limits are those of `fly config validate`."""
    made = MountSection(
        mount=Mount(
            name=section.text("source"),
            path=section.text("destination"),
            extend_threshold_percent=section.integer("auto_extend_size_threshold"),
            add_size_gb=section.size("auto_extend_size_increment", unit="g", thousand=1000, quoted=True),
            size_gb_limit=section.size("auto_extend_size_limit", unit="g", thousand=1000, quoted=True),
        ),
        initial_size_gb=section.size("initial_size", unit="g", thousand=1000),
        snapshot_retention=section.integer("snapshot_retention"),
        scheduled_snapshots=section.flag("scheduled_snapshots"),
    )
    section.finish()
    if made.initial_size_gb is not None and made.initial_size_gb < 1:
        section.wrong("initial_size", "must be 1gb or more")
    if made.snapshot_retention is not None and made.snapshot_retention not in _RETENTIONS:
        section.wrong("snapshot_retention", f"is {made.snapshot_retention}, but must be from 1 to 60 days")
    _check_extension(section, made.mount)
    return made


def _check_extension(section: Section, mount: Mount) -> None:
    threshold, increment, limit = mount.extend_threshold_percent, mount.add_size_gb, mount.size_gb_limit
    if not threshold and increment is None and limit is None:
        return
    if threshold not in _THRESHOLDS:
        section.wrong("auto_extend_size_threshold", "must be from 50 to 99 (percent)")
    if increment not in _INCREMENTS:
        section.wrong("auto_extend_size_increment", "must be from 1gb to 100gb")
    if limit is None:
        message = "no limit; Fly's docs say that the volume is not extended without one"
        section.warn("mount-limit", "auto_extend_size_limit", message, "set one, of at most 500gb")
    elif limit not in _LIMITS:
        section.wrong("auto_extend_size_limit", "must be from 1gb to 500gb")
