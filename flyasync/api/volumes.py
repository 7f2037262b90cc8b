"""Volumes: disks that belong to one host, for one machine at a time."""

from typing import Any

from attrs import frozen

from flyasync.api.call import Caller, given, request
from flyasync.models.convert import unstructure
from flyasync.models.guest import Guest
from flyasync.models.volume import ExtendedVolume, Volume
from flyasync.wire.request import Repeat


@frozen
class Volumes:
    """`fly.volumes`: create, find, change and delete volumes (docs: machines/api/volumes-resource).

    A volume is pinned to one physical host, and its machine with it: create the volume first, with `compute` saying
    which machine it is for, then the machine that mounts it, in the same region. Their names need not be unique.
    """

    _caller: Caller

    async def list(self, app: str, *, summary: bool | None = None) -> tuple[Volume, ...]:
        """List an app's volumes, including those about to be destroyed; see `Volume.state`."""
        return await self._caller.read(
            request(
                "volumes.list",
                app,
                to="GET apps/{}/volumes",
                repeat=Repeat.ANYTIME,
                query={"summary": summary},
            ),
            tuple[Volume, ...],
        )

    async def create(
        self,
        app: str,
        *,
        name: str,
        region: str,
        size_gb: int | None = None,
        encrypted: bool | None = None,
        fstype: str | None = None,
        require_unique_zone: bool | None = None,
        unique_zone_app_wide: bool | None = None,
        snapshot_id: str | None = None,
        source_volume_id: str | None = None,
        snapshot_retention: int | None = None,
        auto_backup_enabled: bool | None = None,
        compute: Guest | None = None,
        compute_image: str | None = None,
    ) -> Volume:
        """Create a volume of `size_gb` (the API's default is 3, its most 500).

        `snapshot_id` restores a snapshot into it, `source_volume_id` forks a volume. `snapshot_retention` is in days,
        1 to 60. `compute` lets the API pick a host with room for that machine. Raises NoCapacity when the region is
        full. Names are not unique, so a create whose answer is lost is not repeated: list the volumes to see.
        Cancelled, it may have been created.
        """
        body: dict[str, Any] = given(
            size_gb=size_gb,
            encrypted=encrypted,
            fstype=fstype,
            require_unique_zone=require_unique_zone,
            unique_zone_app_wide=unique_zone_app_wide,
            snapshot_id=snapshot_id,
            source_volume_id=source_volume_id,
            snapshot_retention=snapshot_retention,
            auto_backup_enabled=auto_backup_enabled,
            compute=unstructure(compute) if compute else None,
            compute_image=compute_image,
        )
        return await self._caller.read(
            request(
                "volumes.create",
                app,
                to="POST apps/{}/volumes",
                repeat=Repeat.UNSENT,
                body={"name": name, "region": region, **body},
            ),
            Volume,
        )

    async def get(self, app: str, volume_id: str) -> Volume:
        """Get one volume; a deleted one is still found for a day, in state `pending_destroy`."""
        return await self._caller.read(
            request("volumes.get", app, volume_id, to="GET apps/{}/volumes/{}", repeat=Repeat.ANYTIME), Volume
        )

    async def update(
        self,
        app: str,
        volume_id: str,
        *,
        snapshot_retention: int | None = None,
        auto_backup_enabled: bool | None = None,
    ) -> Volume:
        """Change how long snapshots are kept (days, 1 to 60) and whether they are taken by themselves."""
        return await self._caller.read(
            request(
                "volumes.update",
                app,
                volume_id,
                to="PUT apps/{}/volumes/{}",
                repeat=Repeat.ANYTIME,
                body=given(snapshot_retention=snapshot_retention, auto_backup_enabled=auto_backup_enabled),
            ),
            Volume,
        )

    async def delete(self, app: str, volume_id: str) -> Volume:
        """Delete a volume; it can be recovered for 24 hours. Raises VolumeInUse while a machine is bound to it."""
        return await self._caller.read(
            request("volumes.delete", app, volume_id, to="DELETE apps/{}/volumes/{}", repeat=Repeat.ANYTIME), Volume
        )

    async def extend(self, app: str, volume_id: str, *, size_gb: int) -> ExtendedVolume:
        """Grow a volume to `size_gb`; it cannot shrink.

        Where `needs_restart` is true, the machine sees the new space only after a restart.
        """
        return await self._caller.read(
            request(
                "volumes.extend",
                app,
                volume_id,
                to="PUT apps/{}/volumes/{}/extend",
                repeat=Repeat.ANYTIME,
                body={"size_gb": size_gb},
            ),
            ExtendedVolume,
        )
