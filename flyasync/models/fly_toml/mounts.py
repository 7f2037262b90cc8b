"""The sections `[[mounts]]` of a fly.toml: a mount, and how its volume is created."""

from attrs import frozen

from flyasync.models.config import Mount
from flyasync.models.fly_toml.section import Section


@frozen(kw_only=True)
class MountSection:
    """A mount, and how its volume is created if there is none; the latter is not part of a machine's config."""

    mount: Mount
    initial_size_gb: int | None = None
    snapshot_retention: int | None = None
    scheduled_snapshots: bool | None = None


def mount(section: Section) -> MountSection:
    """Read one of `[[mounts]]`."""
    made = MountSection(
        mount=Mount(
            name=section.text("source"),
            path=section.text("destination"),
            extend_threshold_percent=section.integer("auto_extend_size_threshold"),
            add_size_gb=section.size("auto_extend_size_increment", unit="g", thousand=1000),
            size_gb_limit=section.size("auto_extend_size_limit", unit="g", thousand=1000),
        ),
        initial_size_gb=section.size("initial_size", unit="g", thousand=1000),
        snapshot_retention=section.integer("snapshot_retention"),
        scheduled_snapshots=section.flag("scheduled_snapshots"),
    )
    section.finish()
    return made
