"""Chooses the next region if one has no room: none, a named one, or the nearest; pure."""

from collections.abc import Iterable, Sequence

from attrs import frozen

from flyasync.errors import NoCapacity, Scope
from flyasync.models.region import Region, Regions, distance_km

HOST_TRIES = 3
"""How often a create is tried in a region of which only a host was full: each may land on another host."""

MOVES = frozenset({Scope.REGION, Scope.HOST, Scope.QUOTA})
"""The scopes for which another region can help; a machine with a volume cannot leave the volume's host."""


@frozen(kw_only=True)
class Refusal:
    """A region that had no room, with the API's response."""

    region: str
    scope: Scope
    status: int
    code: str | None
    message: str
    request_id: str | None

    @classmethod
    def of(cls, region: str, error: NoCapacity) -> "Refusal":
        """Return the refusal from the API's response."""
        return cls(
            region=region,
            scope=error.scope,
            status=error.status,
            code=error.code,
            message=error.message,
            request_id=error.request_id,
        )

    @property
    def is_of_the_region(self) -> bool:
        """Whether the region would refuse every other machine of the same size too."""
        return self.scope in {Scope.REGION, Scope.QUOTA}

    def __str__(self) -> str:
        code = f" {self.code}" if self.code else ""
        request = f", request {self.request_id}" if self.request_id else ""
        return f'{self.region} has no room ({self.scope}): "{self.message}" (HTTP {self.status}{code}{request})'


def next_region(refusals: Sequence[Refusal], alternatives: Iterable[str], full: Iterable[str]) -> str | None:
    """Return the region to try after `refusals` of one machine, or None if the machine is skipped.

    `alternatives` are in order of preference; `full` are regions that refused other machines.
    """
    last = refusals[-1]
    if last.scope not in MOVES:
        return None
    # Another host of the same region may have room, and each create may land on another one.
    if last.scope is Scope.HOST and sum(refusal.region == last.region for refusal in refusals) < HOST_TRIES:
        return last.region
    out = {refusal.region for refusal in refusals} | set(full)
    return next((region for region in alternatives if region not in out), None)


def by_distance(home: str, regions: Regions, *, without: Iterable[str], room: Iterable[str] | None) -> tuple[str, ...]:
    """Return the regions by their distance to `home`, nearest first.

    Regions in `without` are omitted, as are deprecated ones, those that require a paid plan, and, if `room` is known,
    those without room.
    """
    here = next((region for region in regions.regions if region.code == home), Region(code=home))
    out, roomy = {home, *without}, None if room is None else set(room)
    near = sorted(regions.regions, key=lambda region: (distance_km(here, region), region.code))
    return tuple(
        region.code
        for region in near
        if region.code not in out
        and not region.deprecated
        and not region.requires_paid_plan
        and (roomy is None or region.code in roomy)
    )
