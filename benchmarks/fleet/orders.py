"""What is asked for: so many apps, each with an image and an environment of its own, in the same regions."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

VARIABLE = "TENANT"


@frozen
class Asked:
    """A row: what one app shall be."""

    app: str
    image: str
    tenant: str
    regions: tuple[str, ...]


def orders(count: int, regions: Sequence[str]) -> list[Asked]:
    """Ask for so many apps."""
    return [asked(number, regions) for number in range(count)]


def asked(number: int, regions: Sequence[str]) -> Asked:
    """Ask for the app of this number; no two of them are alike."""
    image = f"registry.fly.io/shop-{number % 7}:v{number}"
    return Asked(f"shop-{number:06}", image, f"tenant {number}", tuple(regions))


def write(rows: Iterable[Asked], path: Path) -> None:
    """Write the file that `flyasync bulk` reads."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["app", "image", "regions", f"env.{VARIABLE}"])
        table.writerows([each.app, each.image, ",".join(each.regions), each.tenant] for each in rows)
