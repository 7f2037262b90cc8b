"""The platform: its regions, and where it would place machines."""

from attrs import frozen

from flyasync.api.resource import Caller, given, request
from flyasync.models.guest import Guest
from flyasync.models.json.codec import unstructure
from flyasync.models.region import Placements, Regions
from flyasync.transport.request import Repeat


@frozen
class Platform:
    """`fly.platform`: regions and simulated placements.

    (docs: reference/regions, machines/guides-examples/machine-placement)
    """

    _caller: Caller

    async def regions(self) -> Regions:
        """List the regions with their coordinates, and which one is nearest to the caller.

        Deprecated regions may be included: see `Region.deprecated`.
        """
        return await self._caller.read(
            request("platform.regions", to="GET platform/regions", repeat=Repeat.ANYTIME), Regions
        )

    async def placements(
        self,
        org_slug: str,
        *,
        region: str | None = None,
        count: int | None = None,
        compute: Guest | None = None,
        volume_name: str | None = None,
        volume_size_bytes: int | None = None,
        weights: dict[str, int] | None = None,
    ) -> Placements:
        """Return where `count` machines would be placed now; a region without capacity is absent from the answer.

        `region` is a list of codes and aliases in order of preference (`iad,eu,any`). Nothing is reserved, so a create
        right after can still find the region full. Without `compute`, the API assumes performance-1x.
        """
        return await self._caller.read(
            request(
                "platform.placements",
                org_slug,
                to="POST platform/placements",
                repeat=Repeat.ANYTIME,
                changes=False,
                body={
                    "org_slug": org_slug,
                    **given(
                        region=region,
                        count=count,
                        compute=unstructure(compute) if compute else None,
                        volume_name=volume_name,
                        volume_size_bytes=volume_size_bytes,
                        weights=weights,
                    ),
                },
            ),
            Placements,
        )
