"""Creates volumes for machines, new or as forks; each only once, as far as the API allows to verify that."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from flyasync.api.client import FlyClient
from flyasync.api.resource import TROUBLE
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.errors import FlyError, NotFound
from flyasync.models.guest import Guest
from flyasync.models.volume import Volume

TRIES = 5
"""How often a create is sent while its responses are lost."""

LISTS = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Pauses in seconds before each list in the search for a volume whose create got no response; lists lag."""

POLL_EVERY = 2.0
"""Seconds between two polls of a volume that is being created."""

MOUNTABLE = frozenset({"created", "hydrating"})
"""The states in which a volume can be mounted by a new machine."""


class VolumeNotReady(FlyError):
    """A volume was not ready to be mounted in time."""


class VolumeProvider:
    """Creates and deletes the volumes of one deploy.

    Volumes have no unique names and no metadata to identify them by. So after a lost response, the app's volumes are
    listed for ten seconds: an unattached volume of the right name that was not `taken` before is the one just created.
    Only if none is found, another one is created. The creates in one region are sent one after another, so that none
    of them can mistake another's volume for its own.
    """

    def __init__(self, fly: FlyClient, spec: DeploySpec, *, taken: Iterable[str] = ()) -> None:
        self._fly = fly
        self._spec = spec
        self._taken = set(taken)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def make(self, desired: DesiredVolume, region: str, *, source: str | None, guest: Guest | None) -> str:
        """Create a volume in a region, on a host with room for a machine with this `guest`, and return its id.

        Raises NoCapacity if the region has no room.
        """
        async with self._locks[region]:
            for last in (*[False] * (TRIES - 1), True):
                try:
                    volume = await self._fly.volumes.create(
                        self._spec.app,
                        name=desired.name,
                        region=region,
                        size_gb=None if source else desired.size_gb,
                        source_volume_id=source,
                        snapshot_retention=desired.snapshot_retention,
                        auto_backup_enabled=desired.scheduled_snapshots,
                        compute=guest,
                    )
                except FlyError as error:
                    # 1. The volume was certainly not created: raise the error.
                    # 2. It may have been created, and a list shows it: use it.
                    # 3. No list shows it, even after the time that lists lag: send the create again.
                    if not error.may_have_happened:
                        raise
                    found = await self._unanswered(desired, region)
                    if found is None:
                        if last:
                            raise
                        continue
                    volume = found
                self._taken.add(volume.id)
                return volume.id
        raise AssertionError  # the last attempt returns or raises

    async def _unanswered(self, desired: DesiredVolume, region: str) -> Volume | None:
        """Return the volume whose create got no response, as soon as a list shows it; None if no list does."""
        for pause in LISTS:
            await asyncio.sleep(pause)
            with suppress(*TROUBLE):
                for volume in await self._fly.volumes.list(self._spec.app):
                    is_such_a_one = volume.name == desired.name and volume.region == region and volume.is_free
                    if is_such_a_one and volume.id not in self._taken:
                        return volume
        return None

    async def ready(self, volume_id: str) -> None:
        """Wait until a volume can be mounted: a new one immediately, a fork once its data is being copied."""
        try:
            async with asyncio.timeout(self._spec.timeout):
                while True:
                    with suppress(*TROUBLE):
                        if (await self._fly.volumes.get(self._spec.app, volume_id)).state in MOUNTABLE:
                            return
                    await asyncio.sleep(POLL_EVERY)
        except TimeoutError:
            raise VolumeNotReady(f"volume {volume_id} was not ready within {self._spec.timeout:g} s") from None

    async def delete(self, volume_id: str) -> None:
        """Delete a volume that this deploy created; a volume that is already gone is not an error."""
        with suppress(NotFound):
            await self._fly.volumes.delete(self._spec.app, volume_id)
