"""Many apps from a CSV file: `app,image,regions`, a row each, ten at a time; one app's failure stops no other.

app,image,regions
shop-a,registry.fly.io/shop:v7,iad lhr
shop-b,registry.fly.io/shop:v7,iad nrt
"""

import asyncio
import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from flyasync import DeployBuilder, FlyClient, FlyError

AT_ONCE = 10


def builders(rows: Iterable[Mapping[str, str]], *, launch: str) -> list[DeployBuilder]:
    """Read all rows before the first request: a bad one stops the start, not the middle."""
    base = DeployBuilder("base").with_size("shared-cpu-1x").fallback("nearest").with_launch(launch)
    return [
        base.for_app(row["app"]).with_image(row["image"]).to_regions(*row["regions"].split()).require("all")
        for row in rows
    ]


async def deploy_all(fly: FlyClient, wanted: Iterable[DeployBuilder]) -> dict[str, str]:
    """Give the fate of each app; with the same launch again, only what is missing is made."""
    fates: dict[str, str] = {}
    at_once = asyncio.Semaphore(AT_ONCE)

    async def deploy(builder: DeployBuilder) -> None:
        async with at_once:
            try:
                fates[builder.app] = str(await builder.execute(fly))
            except FlyError as error:
                fates[builder.app] = f"{builder.app}: failed: {error}"

    async with asyncio.TaskGroup() as deploys:
        for builder in wanted:
            deploys.create_task(deploy(builder))
    return fates


async def main(path: str = "apps.csv", launch: str = "v7") -> None:
    rows = list(csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines()))  # noqa: ASYNC240 - before the work
    wanted = builders(rows, launch=launch)
    async with FlyClient() as fly:
        for fate in (await deploy_all(fly, wanted)).values():
            print(fate)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
