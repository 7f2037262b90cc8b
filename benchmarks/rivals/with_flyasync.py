"""flyasync: a deploy for one app, `deploy_many` for several."""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing

from benchmarks.rivals.wanted import IMAGE, Wanted
from flyasync import DeployBuilder, FlyClient, deploy_many

BASE = DeployBuilder("shop").with_image(IMAGE).require("all")
PINNED = BASE.with_image(f"{IMAGE}@sha256:{'7' * 64}")


async def launch(url: str, token: str, wanted: Sequence[Wanted], base: DeployBuilder = BASE) -> None:
    """Launch all of them."""
    apps = list(dict.fromkeys(each.app for each in wanted))
    builders = {app: _builder(base, app, wanted) for app in apps}
    async with FlyClient(token, base_url=url) as fly:
        if len(apps) == 1:
            await builders[apps[0]].execute(fly)
            return
        async with aclosing(deploy_many(fly, builders.__getitem__, apps, at_once=len(apps))) as reports:
            async for _ in reports:
                pass


def _builder(base: DeployBuilder, app: str, wanted: Sequence[Wanted]) -> DeployBuilder:
    counts = Counter(each.region for each in wanted if each.app == app)
    return base.for_app(app).to_regions(*counts).count(**counts)
