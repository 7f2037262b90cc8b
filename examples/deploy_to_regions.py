"""One image to three regions at once; a region without room gives way to the nearest that has some.

Runs on Fly.io with a token in the environment (`APP=web python examples/deploy_to_regions.py`), and on the embedded
emulator without one.
"""

import asyncio
import os

from flyasync import DeployBuilder, DeployReport, Emulator, Event, FlyClient, MissingToken, Progress


def show(event: Event) -> None:
    if isinstance(event, Progress):
        print(f"{event.at:6.1f} s  {event.region}  {event.name}  {event.phase}  {event.detail or ''}")


async def deploy(fly: FlyClient, app: str) -> DeployReport:
    return await (
        DeployBuilder(app)
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
            report = await deploy(fly, os.environ["APP"])
    except MissingToken:
        async with Emulator(capacity={"lhr": 0}) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
            await fly.apps.create("web", org_slug="personal")
            report = await deploy(fly, "web")
    print(report.raise_for_failure())


if __name__ == "__main__":
    asyncio.run(main())
