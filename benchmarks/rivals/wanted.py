"""What all rivals are asked for: so many machines, spread over so many apps and over the regions."""

from attrs import frozen

from flyasync.emulator.core.regions import CODES

IMAGE = "nginx"
REGIONS = CODES[:30]
"""Codes alone, no aliases; the emulator accepts the retired ones among them too."""


@frozen
class Wanted:
    """One machine: which app it belongs to, and where it shall run."""

    app: str
    region: str


def wanted(machines: int, *, apps: int) -> list[Wanted]:
    """Ask for so many machines: each app gets the same number of them, in regions that follow each other."""
    each = machines // apps
    return [Wanted(f"shop-{number // each}", REGIONS[number % len(REGIONS)]) for number in range(each * apps)]
