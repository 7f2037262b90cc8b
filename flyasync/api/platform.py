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
        """Return where machines would be placed now; regions without capacity are absent.

        Nothing is reserved, so a create right after it can still find the region full.

        Args:
            org_slug: the organization.
            region: codes and aliases in order of preference, such as `iad,eu,any`.
            count: the number of machines.
            compute: their hardware; by default performance-1x.
            volume_name: the name of the volume that each would mount.
            volume_size_bytes: the size of that volume in bytes.
            weights: the weights of the criteria `region` and `spread`.
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
