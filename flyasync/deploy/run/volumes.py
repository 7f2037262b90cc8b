"""A volume for a machine: one that nobody holds, a new one, or a fork; made once, as far as the API lets one know."""

import asyncio
from collections import defaultdict
from contextlib import suppress

from flyasync.api.client import FlyClient
from flyasync.api.resource import TROUBLE
from flyasync.deploy.plan.spec import DeploySpec, DesiredVolume
from flyasync.errors import FlyError, NotFound
from flyasync.models.guest import Guest
from flyasync.models.volume import Volume

TRIES = 5
"""How often a create is sent whose answers are lost."""


LISTS = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Seconds before each list that is to show a volume whose create went unanswered: lists lag for seconds."""

LOOK_EVERY = 2.0
"""Seconds between two looks at a volume that is being made."""

MOUNTABLE = frozenset({"created", "hydrating"})
"""The states of a volume that a machine can be created with."""


class VolumeNotReady(FlyError):
    """A volume that could not be mounted in time."""


class Volumes:
    """The volumes of one deploy.

    Names of volumes are not unique, and they have no metadata to be known again by. So after a lost answer the app is
    looked at for ten seconds, and a volume of the right name that nobody holds, and that was not there before, is taken
    for the one just made; only when none is seen, another one is made. Creates in one region go one after the other, so
    that no two of them can take each other's.
    """

    def __init__(self, fly: FlyClient, spec: DeploySpec) -> None:
        self._fly = fly
        self._spec = spec
        self._claimed: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def claim(self, *volume_ids: str) -> None:
        """Note that these volumes are not to be taken for one just made: they were there, or a machine has got them."""
        self._claimed.update(volume_ids)

    async def make(self, wanted: DesiredVolume, region: str, *, source: str | None, guest: Guest | None) -> str:
        """Make a volume in a region and give its id; raises NoCapacity where there is no room.

        It is made on a host that has room for a machine with this `guest`.
        """
        async with self._locks[region]:
            volume = await self._persistently(wanted, region, source, guest)
            self.claim(volume.id)
            return volume.id

    async def ready(self, volume_id: str) -> None:
        """Wait until a volume can be mounted: a new one can at once, a fork once its data is on its way."""
        try:
            async with asyncio.timeout(self._spec.timeout):
                await self._until_mountable(volume_id)
        except TimeoutError:
            raise VolumeNotReady(f"volume {volume_id} was not ready within {self._spec.timeout:g} s") from None

    async def _until_mountable(self, volume_id: str) -> None:
        while True:
            with suppress(*TROUBLE):
                if (await self._fly.volumes.get(self._spec.app, volume_id)).state in MOUNTABLE:
                    return
            await asyncio.sleep(LOOK_EVERY)

    async def _persistently(
        self, wanted: DesiredVolume, region: str, source: str | None, guest: Guest | None
    ) -> Volume:
        for last in (*[False] * (TRIES - 1), True):
            try:
                return await self._create(wanted, region, source, guest)
            except FlyError as error:
                if not error.may_have_happened:
                    raise
                if found := await self._found(wanted, region):
                    return found
                if last:
                    raise
        raise AssertionError

    async def _create(self, wanted: DesiredVolume, region: str, source: str | None, guest: Guest | None) -> Volume:
        return await self._fly.volumes.create(
            self._spec.app,
            name=wanted.name,
            region=region,
            size_gb=None if source else wanted.size_gb,
            source_volume_id=source,
            compute=guest,
        )

    async def _found(self, wanted: DesiredVolume, region: str) -> Volume | None:
        """Give the volume whose create went unanswered, as soon as a list shows it."""
        for pause in LISTS:
            await asyncio.sleep(pause)
            if volume := await self._free(wanted, region):
                return volume
        return None

    async def _free(self, wanted: DesiredVolume, region: str) -> Volume | None:
        """Give a volume of this name that nobody holds, as far as the API shows one."""
        try:
            volumes = await self._fly.volumes.list(self._spec.app)
        except TROUBLE:
            return None
        mine = (each for each in volumes if each.name == wanted.name and each.region == region and each.is_free)
        return next((each for each in mine if each.id not in self._claimed), None)

    async def delete(self, volume_id: str) -> None:
        """Delete a volume that this deploy made."""
        with suppress(NotFound):
            await self._fly.volumes.delete(self._spec.app, volume_id)
