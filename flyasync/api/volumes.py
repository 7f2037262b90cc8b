"""Volumes: disks that belong to one host, for one machine at a time."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from attrs import frozen

from flyasync.api.machines.volume_claims import outlast_claim
from flyasync.api.pagination import OnErrorRegions, Pages, pages
from flyasync.api.resource import Caller, QueryValue, given, request
from flyasync.errors import NotFound, VolumeInUse
from flyasync.models.guest import Guest
from flyasync.models.json.codec import unstructure
from flyasync.models.machine import Machine
from flyasync.models.volume import ExtendedVolume, OrgVolumePage, Volume, VolumeSnapshot
from flyasync.transport.request import Repeat


@frozen
class Volumes:
    """`fly.volumes`: create, find, change and delete volumes (docs: machines/api/volumes-resource).

    A volume is pinned to one physical host, and its machine with it: create the volume first, with `compute` describing
    the machine that it is for, then the machine that mounts it, in the same region. Names need not be unique.
    """

    _caller: Caller
    _get_machine: Callable[[str, str], Awaitable[Machine]]

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
        """Create a volume.

        Raises NoCapacity if the region is full. Names are not unique, so a create is not repeated after a lost
        response: list the volumes to find out. If cancelled, the volume may have been created.

        Args:
            app: the app.
            name: the name, by which a mount in a fly.toml refers to the volume.
            region: the region's code.
            size_gb: the size in gigabytes; the API's default is 3, its maximum 500.
            encrypted: whether the volume is encrypted; the API's default is True.
            fstype: `ext4` or `raw`.
            require_unique_zone: place the volume in a zone of its own; the API's default is True.
            unique_zone_app_wide: passed to the API, which does not document it.
            snapshot_id: a snapshot to restore into the volume.
            source_volume_id: a volume to fork.
            snapshot_retention: days for which snapshots are kept, 1 to 60.
            auto_backup_enabled: whether snapshots are taken automatically.
            compute: the hardware of the machine for which the volume is meant; the API picks a host with room for it.
            compute_image: passed to the API, which does not document it; presumably the image of that machine.
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
        """Change how long snapshots are kept (days, 1 to 60) and whether they are taken automatically."""
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
        """Delete a volume; it can be recovered for 24 hours. Raises VolumeInUse while a machine is bound to it.

        If a machine that no longer exists still claims the volume, this waits until the claim is cleared. Repeated
        after a lost response. If no response arrives, the volume is read once more; if it is not found, the result
        contains only its id and the state `destroyed`.
        """
        ask = request("volumes.delete", app, volume_id, to="DELETE apps/{}/volumes/{}", repeat=Repeat.ANYTIME)
        try:
            deleted = await self._caller.remove(ask, Volume)
        except VolumeInUse as refusal:
            ask = await outlast_claim(ask, refusal, partial(self._get_machine, app))
            deleted = await self._caller.remove(ask, Volume)
        # The response was lost, so the volume has been deleted: read its remaining data.
        if deleted:
            return deleted
        try:
            return await self.get(app, volume_id)
        except NotFound:
            return Volume(id=volume_id, name="", state="destroyed", region="")

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

    async def snapshots(self, app: str, volume_id: str) -> tuple[VolumeSnapshot, ...]:
        """List a volume's snapshots; those of a deleted volume stay until they expire."""
        return await self._caller.read(
            request(
                "volumes.snapshots",
                app,
                volume_id,
                to="GET apps/{}/volumes/{}/snapshots",
                repeat=Repeat.ANYTIME,
            ),
            tuple[VolumeSnapshot, ...],
        )

    async def create_snapshot(self, app: str, volume_id: str) -> None:
        """Take a snapshot; `snapshots` shows it as `pending`, then as `created`.

        One at a time: raises WrongState while another one is being taken. Not repeated after a lost response.
        """
        await self._caller.ask(
            request(
                "volumes.create_snapshot",
                app,
                volume_id,
                to="POST apps/{}/volumes/{}/snapshots",
                repeat=Repeat.UNSENT,
            )
        )

    async def fork(self, app: str, volume_id: str, *, name: str | None = None, region: str | None = None) -> Volume:
        """Create a volume with the current content of this one, by default under its name and in its region.

        It can be mounted while it is `hydrating`; another region takes longer. Two requests: a `get` for what is not
        given, and a `create`, whose errors it raises.
        """
        # The API has no fork operation: a create names the source, but inherits neither its name nor its region.
        if name is None or region is None:
            source = await self.get(app, volume_id)
            name, region = name or source.name, region or source.region
        return await self.create(app, name=name, region=region, source_volume_id=volume_id)

    async def restore(
        self, app: str, snapshot_id: str, *, name: str, region: str, size_gb: int | None = None
    ) -> Volume:
        """Create a volume from a snapshot: a `create` with its `snapshot_id`, whose errors it raises."""
        return await self.create(app, name=name, region=region, size_gb=size_gb, snapshot_id=snapshot_id)

    def list_org(
        self,
        org_slug: str,
        *,
        region: str | None = None,
        state: str | Iterable[str] | None = None,
        updated_after: str | None = None,
        include_deleted: bool | None = None,
        summary: bool | None = None,
        limit: int | None = None,
        on_error_regions: OnErrorRegions | None = None,
    ) -> Pages[Volume]:
        """List the volumes of a whole organization with `async for`, fetched page by page as they are read.

        Each volume has its `app_name`. As with `fly.machines.list_org`, the list lags, and a region that the API could
        not read raises IncompleteList after the last row, unless you pass `on_error_regions`.

        Args:
            org_slug: the organization; the token must have access to it.
            region: only those in this region.
            state: only those in this state, or in one of these states.
            updated_after: only those updated after this time (RFC 3339).
            include_deleted: include those that are deleted.
            summary: omit the details of each volume.
            limit: the size of a page, at most 1000.
            on_error_regions: called with regions that the API could not read, instead of IncompleteList at the end.
        """
        query: dict[str, QueryValue] = {
            "region": region,
            "state": state if state is None or isinstance(state, str) else ",".join(state),
            "updated_after": updated_after,
            "include_deleted": include_deleted,
            "summary": summary,
            "limit": limit,
        }
        return pages(
            self._caller,
            OrgVolumePage,
            "volumes.list_org",
            org_slug,
            to="GET orgs/{}/volumes",
            query=query,
            on_error_regions=on_error_regions,
        )
