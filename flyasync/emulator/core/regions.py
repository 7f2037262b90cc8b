"""The regions of Fly.io, and the meaning of region expressions such as `lhr,eu`."""

import math
from collections.abc import Container
from functools import partial

from attrs import frozen

from flyasync.emulator.core.errors import bad_request

# The region of the emulator: the default for machines without a region, and the suffix of request ids.
NEAREST = "iad"


@frozen
class RegionRecord:
    """A region: its code, its name, and the properties that the platform lists."""

    code: str
    name: str
    latitude: float
    longitude: float
    geo_region: str
    gateway_available: bool = True
    requires_paid_plan: bool = False
    deprecated: bool = False


REGIONS = (
    RegionRecord("ams", "Amsterdam, Netherlands", 52.374342, 4.895439, "europe"),
    RegionRecord("arn", "Stockholm, Sweden", 59.6512, 17.9178, "europe"),
    RegionRecord("bom", "Mumbai, India", 19.097403, 72.874245, "asia_pacific", requires_paid_plan=True),
    RegionRecord("cdg", "Paris, France", 48.860875, 2.353477, "europe"),
    RegionRecord("dfw", "Dallas, Texas (US)", 32.778287, -96.7984, "north_america"),
    RegionRecord("ewr", "Secaucus, NJ (US)", 40.789543, -74.05653, "north_america"),
    RegionRecord("fra", "Frankfurt, Germany", 50.1167, 8.6833, "europe"),
    RegionRecord("gru", "Sao Paulo, Brazil", -23.549664, -46.65435, "south_america", gateway_available=False),
    RegionRecord("iad", "Ashburn, Virginia (US)", 39.02214, -77.462556, "north_america"),
    RegionRecord("jnb", "Johannesburg, South Africa", -26.13629, 28.20298, "africa", gateway_available=False),
    RegionRecord("lax", "Los Angeles, California (US)", 33.9416, -118.4085, "north_america"),
    RegionRecord("lhr", "London, United Kingdom", 51.516434, -0.125656, "europe"),
    RegionRecord("nrt", "Tokyo, Japan", 35.62161, 139.74185, "asia_pacific"),
    RegionRecord("ord", "Chicago, Illinois (US)", 41.891544, -87.63039, "north_america"),
    RegionRecord("sin", "Singapore, Singapore", 1.3, 103.8, "asia_pacific"),
    RegionRecord("sjc", "San Jose, California (US)", 37.3516, -121.89674, "north_america"),
    RegionRecord("syd", "Sydney, Australia", -33.86603, 151.20693, "asia_pacific"),
    RegionRecord("yyz", "Toronto, Canada", 43.64463, -79.38423, "north_america"),
    # Retired: still listed, but new resources are refused, and they are not part of any alias.
    RegionRecord("atl", "Atlanta, Georgia (US)", 33.6407, -84.4277, "north_america", deprecated=True),
    RegionRecord("bog", "Bogotá, Colombia", 4.7016, -74.1469, "south_america", deprecated=True),
    RegionRecord("bos", "Boston, Massachusetts (US)", 42.3656, -71.0096, "north_america", deprecated=True),
    RegionRecord("den", "Denver, Colorado (US)", 39.8561, -104.6737, "north_america", deprecated=True),
    RegionRecord("eze", "Ezeiza, Argentina", -34.8222, -58.5358, "south_america", deprecated=True),
    RegionRecord("gdl", "Guadalajara, Mexico", 20.5218, -103.3112, "north_america", deprecated=True),
    RegionRecord("gig", "Rio de Janeiro, Brazil", -22.8090, -43.2506, "south_america", deprecated=True),
    RegionRecord("hkg", "Hong Kong, Hong Kong", 22.3080, 113.9185, "asia_pacific", deprecated=True),
    RegionRecord("mad", "Madrid, Spain", 40.4983, -3.5676, "europe", deprecated=True),
    RegionRecord("mia", "Miami, Florida (US)", 25.7959, -80.2870, "north_america", deprecated=True),
    RegionRecord("otp", "Bucharest, Romania", 44.5711, 26.0850, "europe", deprecated=True),
    RegionRecord("phx", "Phoenix, Arizona (US)", 33.4352, -112.0101, "north_america", deprecated=True),
    RegionRecord("qro", "Queretaro, Mexico", 20.6173, -100.1857, "north_america", deprecated=True),
    RegionRecord("scl", "Santiago, Chile", -33.3930, -70.7858, "south_america", deprecated=True),
    RegionRecord("sea", "Seattle, Washington (US)", 47.4502, -122.3088, "north_america", deprecated=True),
    RegionRecord("waw", "Warsaw, Poland", 52.1657, 20.9671, "europe", deprecated=True),
    RegionRecord("yul", "Montreal, Canada", 45.4706, -73.7408, "north_america", deprecated=True),
)
# Names, coordinates and flags are those that Fly publishes; `gateway_available` and the paid plan as of 2026.
CODES = tuple(region.code for region in REGIONS)


def _codes_in(geo_region: str) -> tuple[str, ...]:
    return tuple(region.code for region in _CURRENT if region.geo_region == geo_region)


RETIRED = frozenset(region.code for region in REGIONS if region.deprecated)
_CURRENT = tuple(region for region in REGIONS if not region.deprecated)
_US = tuple(region.code for region in _CURRENT if region.name.endswith("(US)"))
ALIASES: dict[str, tuple[str, ...]] = {
    "any": tuple(region.code for region in _CURRENT),
    "apac": _codes_in("asia_pacific"),
    "eu": _codes_in("europe"),
    "na": _codes_in("north_america"),
    "sa": _codes_in("south_america"),
    "us": _US,
    "usa": _US,
}


def alternate(code: str, retired: Container[str] = ()) -> str:
    """Return the region nearest to this one that accepts new resources."""
    origin = next(region for region in REGIONS if region.code == code)
    others = [region for region in _CURRENT if region.code != code and region.code not in retired]
    return min(others, key=partial(_distance, origin)).code


def _distance(one: RegionRecord, other: RegionRecord) -> float:
    """Return the central angle between two regions."""
    here, there = math.radians(one.latitude), math.radians(other.latitude)
    apart = math.cos(math.radians(one.longitude - other.longitude))
    return math.acos(min(1.0, math.sin(here) * math.sin(there) + math.cos(here) * math.cos(there) * apart))


def choices(expression: str | None) -> list[tuple[str, ...]]:
    """Return the alternatives of a region expression, best first, each a tuple of region codes."""
    found = []
    # The default is "near the caller, else anywhere".
    for word in (expression or f"{NEAREST},any").split(","):
        if not (name := word.strip()):
            continue
        if name not in CODES and name not in ALIASES:
            raise bad_request(f"unknown region {name!r}")
        found.append((name,) if name in CODES else ALIASES[name])
    return found


def expand(expression: str | None) -> list[str]:
    """Return the region codes that an expression allows, best first, without duplicates."""
    return list(dict.fromkeys(code for choice in choices(expression) for code in choice))
