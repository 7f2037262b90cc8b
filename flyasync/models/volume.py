"""Volumes: disks on one host, each for one machine at a time."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Volume(Model):
    """A volume; sizes are in gigabytes, `snapshot_retention` in days.

    A volume is on one host in one `zone`, on which the machine that mounts it must run. Names need not be unique.
    `state` is `created` if the volume is ready; a volume that is `hydrating` can be mounted too. `type` is `local` or
    `cache`. `host_features` are those of its host, `required_host_features` those with which it was placed. Only the
    list of an organization contains `app_name` and `updated_at`. docs: machines/api/volumes-resource,
    volumes/volume-states
    """

    id: str
    name: str
    state: str
    region: str
    size_gb: int | None = None
    zone: str | None = None
    encrypted: bool | None = None
    attached_machine_id: str | None = None
    attached_alloc_id: str | None = None
    fstype: str | None = None
    snapshot_retention: int | None = None
    auto_backup_enabled: bool | None = None
    host_status: str | None = None
    host_dedication_key: str | None = None
    host_dedication_id: str | None = None
    host_features: Sequence[str] | None = None
    required_host_features: Sequence[str] | None = None
    type: str | None = None
    blocks: int | None = None
    block_size: int | None = None
    blocks_free: int | None = None
    blocks_avail: int | None = None
    bytes_total: int | None = None
    bytes_used: int | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)
    app_name: str | None = None

    @property
    def is_attached(self) -> bool:
        """Whether a machine holds the volume."""
        return bool(self.attached_machine_id or self.attached_alloc_id)

    @property
    def is_free(self) -> bool:
        """Whether a machine could mount the volume now: no machine holds it, it is ready, and its host is reachable."""
        return not self.is_attached and self.state in {"created", "hydrating"} and self.host_status in {None, "", "ok"}


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ExtendedVolume(Model):
    """The result of extending a volume; with `needs_restart`, its machine must restart to see the new size."""

    volume: Volume
    needs_restart: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class OrgVolumePage(Model):
    """A page of an organization's volumes; if `next_cursor` is set, another page follows.

    The API could not read the regions in `error_regions`, so their volumes are missing.
    """

    volumes: Sequence[Volume] | None = None
    next_cursor: str | None = None
    error_regions: Sequence[str] | None = None
    last_volume_id: str | None = None
    last_updated_at: Timestamp | None = field(default=None, converter=timestamp)

    @property
    def rows(self) -> Sequence[Volume]:
        """The items of the page."""
        return self.volumes or ()


@frozen(kw_only=True, repr=False, field_transformer=settled)
class VolumeSnapshot(Model):
    """A snapshot of a volume; sizes are in bytes, `status` is `pending`, then `created`."""

    id: str
    status: str | None = None
    size: int | None = None
    volume_size: int | None = None
    digest: str | None = None
    retention_days: int | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
