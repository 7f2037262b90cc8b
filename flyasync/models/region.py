"""Regions: where machines can run, and the distances between them."""

import math
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from flyasync.models.model import Model, settled

_EARTH_RADIUS_KM: Final = 6371.0


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Region(Model):
    """A region with its three-letter `code`; `latitude` and `longitude` are in degrees.

    `capacity` is the number of machines of the smallest size that fit, for tokens that may see it. Lists may contain
    `deprecated` regions. docs: reference/regions
    """

    code: str
    name: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    gateway_available: bool | None = None
    requires_paid_plan: bool | None = None
    deprecated: bool | None = None
    capacity: int | None = None
    geo_region: str | None = None
    mpg_available: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Regions(Model):
    """All regions, and the code of the one `nearest` to the caller."""

    regions: Sequence[Region]
    nearest: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Placement(Model):
    """The number of machines that a region would get, in a simulation that reserves nothing."""

    region: str
    count: int | None = None
    concurrency: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Placements(Model):
    """The regions in which machines would be placed; regions without capacity are absent."""

    regions: Sequence[Placement]


def distance_km(a: Region, b: Region) -> float:
    """Return the great-circle distance of two regions in kilometres; infinite if a position is unknown."""
    if a.latitude is None or a.longitude is None or b.latitude is None or b.longitude is None:
        return math.inf
    # The haversine formula; `min` because of rounding errors for opposite points.
    south, north = math.radians(a.latitude), math.radians(b.latitude)
    rise = math.sin((north - south) / 2) ** 2
    turn = math.sin(math.radians(b.longitude - a.longitude) / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, rise + math.cos(south) * math.cos(north) * turn)))
