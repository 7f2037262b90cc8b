"""A volume for a machine: one that no machine holds, a new one, or a fork; made once, as far as the API shows that."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
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

POLL_EVERY = 2.0
"""Seconds between two polls of a volume that is being made."""

MOUNTABLE = frozenset({"created", "hydrating"})
"""The states of a volume that a machine can be created with."""


class VolumeNotReady(FlyError):
    """A volume that could not be mounted in time."""


class VolumeProvider:
    """Makes and deletes the volumes of one deploy.

    Names of volumes are not unique, and they have no metadata to be known again by. So after a lost answer the app's
    volumes are listed for ten seconds, and one of the right name that no machine holds, and that was not `taken`
    before, is the one just made. Only when none is seen, another one is made. Creates in one region go one after the
    other, so that no two of them can take each other's.
    """

    def __init__(self, fly: FlyClient, deployment: DeploySpec, *, taken: Iterable[str] = ()) -> None:
        self._fly = fly
        self._deployment = deployment
        self._taken = set(taken)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def make(self, desired: DesiredVolume, region: str, *, source: str | None, guest: Guest | None) -> str:
        """Make a volume in a region and return its id; raises NoCapacity where there is no room.

        It is made on a host that has room for a machine with this `guest`.
        """
        async with self._locks[region]:
            for last in (*[False] * (TRIES - 1), True):
                try:
                    volume = await self._fly.volumes.create(
                        self._deployment.app,
                        name=desired.name,
                        region=region,
                        size_gb=None if source else desired.size_gb,
                        source_volume_id=source,
                        compute=guest,
                    )
                except FlyError as error:
                    # 1. It certainly was not made: that is the answer.
                    # 2. It may have been made, and a list shows it: it is found.
                    # 3. No list shows it, for as long as lists lag: it is sent again.
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
        """Return the volume whose create went unanswered, as soon as a list shows it."""
        for pause in LISTS:
            await asyncio.sleep(pause)
            with suppress(*TROUBLE):
                for volume in await self._fly.volumes.list(self._deployment.app):
                    is_such_a_one = volume.name == desired.name and volume.region == region and volume.is_free
                    if is_such_a_one and volume.id not in self._taken:
                        return volume
        return None

    async def ready(self, volume_id: str) -> None:
        """Wait until a volume can be mounted: a new one can at once, a fork once its data is on its way."""
        try:
            async with asyncio.timeout(self._deployment.timeout):
                while True:
                    with suppress(*TROUBLE):
                        if (await self._fly.volumes.get(self._deployment.app, volume_id)).state in MOUNTABLE:
                            return
                    await asyncio.sleep(POLL_EVERY)
        except TimeoutError:
            raise VolumeNotReady(f"volume {volume_id} was not ready within {self._deployment.timeout:g} s") from None

    async def delete(self, volume_id: str) -> None:
        """Delete a volume that this deploy made; one that is gone already is fine."""
        with suppress(NotFound):
            await self._fly.volumes.delete(self._deployment.app, volume_id)
