"""flyasync: a deploy for one app, `deploy_many` for several.

As a program, `python -m benchmarks.rivals.with_flyasync`, it is asked and answers as every program here: it says that
it is ready, reads where the API is and what is wanted, launches that, and says in how many seconds.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing

from benchmarks.rivals.wanted import IMAGE, Wanted
from flyasync import DeployBuilder, FlyClient, deploy_many

BASE = DeployBuilder("shop").with_image(IMAGE).require("all")
PINNED = BASE.with_image(f"{IMAGE}@sha256:{'7' * 64}")


async def launch(url: str, token: str, wanted: Sequence[Wanted], base: DeployBuilder = BASE) -> None:
    """Launch all of them."""
    builders = builders_of(wanted, base)
    apps = list(builders)
    async with FlyClient(token, base_url=url) as fly:
        if len(apps) == 1:
            await builders[apps[0]].execute(fly)
            return
        async with aclosing(deploy_many(fly, builders.__getitem__, apps, at_once=len(apps))) as reports:
            async for _ in reports:
                pass


def builders_of(wanted: Sequence[Wanted], base: DeployBuilder) -> dict[str, DeployBuilder]:
    """Make the builder of each app."""
    counts: dict[str, Counter[str]] = {}
    for each in wanted:
        counts.setdefault(each.app, Counter())[each.region] += 1
    return {app: base.for_app(app).to_regions(*regions).count(**regions) for app, regions in counts.items()}


if __name__ == "__main__":
    print("ready", flush=True)
    order = json.loads(sys.stdin.readline())
    began = time.monotonic()
    asyncio.run(launch(order["url"], order["token"], [Wanted(order["app"], region) for region in order["regions"]]))
    print(time.monotonic() - began)
