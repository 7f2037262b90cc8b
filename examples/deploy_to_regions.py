"""Deploy one image to three regions at once; a region without capacity is replaced by the nearest one that has some.

With a token in the environment, it deploys to Fly.io; `APP` names the app. Without a token, it starts an emulator.
"""

import asyncio
import os
from contextlib import suppress

from flyasync import DeployBuilder, DeployReport, Emulator, Event, FlyClient, MissingToken, NameTaken, Progress

APP = os.environ.get("APP", "web")


def show(event: Event) -> None:
    if isinstance(event, Progress):
        print(f"{event.at:6.1f} s  {event.region}  {event.name}  {event.phase}  {event.detail or ''}")


async def deploy(fly: FlyClient) -> DeployReport:
    with suppress(NameTaken):  # the app exists
        await fly.apps.create(APP, org_slug="personal")
    return await (
        DeployBuilder(APP)
        .to_regions("iad", "lhr", "nrt")
        .with_image("registry.fly.io/web:v2")
        .with_guest(cpus=1, memory_mb=256)
        .with_service(internal_port=8080)
        .fallback("nearest")
        .require("all")
        .on_event(show)
        .execute(fly)
    )


async def main() -> None:
    try:
        async with FlyClient() as fly:
            report = await deploy(fly)
    except MissingToken:
        async with Emulator(capacity={"lhr": 0}) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
            report = await deploy(fly)
    print(report.raise_for_failure())


if __name__ == "__main__":
    asyncio.run(main())
