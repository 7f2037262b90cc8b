"""Deploy many apps from a CSV file, ten at a time; a failed app does not stop the others.

Usage: python examples/bulk_deploy.py [PATH [LAUNCH]]. Without a path, it deploys the two rows of ROWS.
"""

import asyncio
import csv
import sys
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path

from flyasync import DeployBuilder, FlyClient, NameTaken, deploy_many

ROWS = """\
app,image,regions
shop-a,registry.fly.io/shop:v7,iad lhr
shop-b,registry.fly.io/shop:v7,iad nrt
"""


def builders(rows: Iterable[Mapping[str, str]], *, launch: str) -> dict[str, DeployBuilder]:
    """Return a builder for each app; an invalid row raises ValueError before the first request."""
    base = DeployBuilder("base").with_size("shared-cpu-1x").fallback("nearest").with_launch(launch).require("all")
    return {
        row["app"]: base.for_app(row["app"]).with_image(row["image"]).to_regions(*row["regions"].split())
        for row in rows
    }


async def main(path: str | None = None, launch: str = "v7") -> None:
    """Print each report when its app is done; a second run with the same launch creates only what is missing."""
    text = Path(path).read_text(encoding="utf-8") if path else ROWS  # noqa: ASYNC240 - nothing else runs yet
    apps = builders(csv.DictReader(text.splitlines()), launch=launch)
    async with FlyClient() as fly:
        if path is None:
            for app in apps:
                with suppress(NameTaken):  # an earlier run created the app
                    await fly.apps.create(app, org_slug="personal")
        async with aclosing(deploy_many(fly, apps.__getitem__, apps, at_once=10)) as reports:
            async for report in reports:
                print(report)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
