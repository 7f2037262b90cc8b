"""flyasync: a deploy for one app, `deploy_many` for several."""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing

from benchmarks.rivals.wanted import IMAGE, Wanted
from flyasync import DeployBuilder, FlyClient, deploy_many

BASE = DeployBuilder("shop").with_image(IMAGE).require("all")


async def launch(url: str, token: str, wanted: Sequence[Wanted]) -> None:
    """Launch all of them."""
    apps = list(dict.fromkeys(each.app for each in wanted))
    builders = {app: _builder(app, wanted) for app in apps}
    async with FlyClient(token, base_url=url) as fly:
        if len(apps) == 1:
            await builders[apps[0]].execute(fly)
            return
        async with aclosing(deploy_many(fly, builders.__getitem__, apps, at_once=len(apps))) as reports:
            async for _ in reports:
                pass


def _builder(app: str, wanted: Sequence[Wanted]) -> DeployBuilder:
    counts = Counter(each.region for each in wanted if each.app == app)
    return BASE.for_app(app).to_regions(*counts).count(**counts)
