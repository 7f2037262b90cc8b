"""flyasync: a deploy for one app, `deploy_many` for several.

As a program, `python -m benchmarks.rivals.with_flyasync`, it is asked and answers as every program here: it says that
it is ready, reads where the API is and what is wanted, launches that, and says in how many seconds.
"""

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from benchmarks.rivals.launches import IMAGE, Wanted
from flyasync import DeployBuilder, FlyClient, deploy_many

BASE = DeployBuilder("shop").with_image(IMAGE).require("all")
PINNED = BASE.with_image(f"{IMAGE}@sha256:{'7' * 64}")


async def launch(url: str, token: str, wanted: Sequence[Wanted], base: DeployBuilder = BASE) -> None:
    """Launch all of them."""
    builders = builders_of(wanted, base)
    async with FlyClient(token, base_url=url) as fly:
        if len(builders) == 1:
            await builders[wanted[0].app].execute(fly)
        else:
            _ = [each async for each in deploy_many(fly, builders.__getitem__, builders, at_once=len(builders))]


def builders_of(wanted: Sequence[Wanted], base: DeployBuilder) -> dict[str, DeployBuilder]:
    """Make the builder of each app."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in wanted:
        counts[each.app][each.region] += 1
    return {app: base.for_app(app).to_regions(*regions).count(**regions) for app, regions in counts.items()}


if __name__ == "__main__":
    print("ready", flush=True)
    order = json.loads(sys.stdin.readline())
    began = time.monotonic()
    asyncio.run(launch(order["url"], order["token"], [Wanted(order["app"], region) for region in order["regions"]]))
    print(time.monotonic() - began)
