"""Many apps from a CSV file: `app,image,regions`, a row each, ten at a time; one app's failure stops no other.

app,image,regions
shop-a,registry.fly.io/shop:v7,iad lhr
shop-b,registry.fly.io/shop:v7,iad nrt
"""

import asyncio
import csv
import sys
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from pathlib import Path

from flyasync import DeployBuilder, FlyClient, deploy_many


def builders(rows: Iterable[Mapping[str, str]], *, launch: str) -> dict[str, DeployBuilder]:
    """Read all rows before the first request: a bad one stops the start, not the middle."""
    base = DeployBuilder("base").with_size("shared-cpu-1x").fallback("nearest").with_launch(launch).require("all")
    return {
        row["app"]: base.for_app(row["app"]).with_image(row["image"]).to_regions(*row["regions"].split())
        for row in rows
    }


async def main(path: str = "apps.csv", launch: str = "v7") -> None:
    """Print each app's report as it comes; with the same launch again, only what is missing is made."""
    rows = list(csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines()))  # noqa: ASYNC240 - before the work
    wanted = builders(rows, launch=launch)
    async with FlyClient() as fly, aclosing(deploy_many(fly, wanted.__getitem__, wanted, at_once=10)) as reports:
        async for report in reports:
            print(report)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
