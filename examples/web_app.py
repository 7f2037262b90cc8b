"""Run a web app: create the app, and deploy two machines behind the Fly Proxy, with a health check."""

import asyncio

from flyasync import Check, DeployBuilder, DeployReport, FlyClient, NameTaken


async def launch_web_app(
    fly: FlyClient,
    app: str,
    image: str,
    *,
    org_slug: str = "personal",
    port: int = 8080,
    region: str = "iad",
    cpus: int = 1,
    memory_mb: int = 256,
) -> DeployReport:
    """Create the app if it does not exist, and run two machines that serve ports 80 and 443."""
    try:
        await fly.apps.create(app, org_slug=org_slug)
    except NameTaken:
        await fly.apps.get(app)  # raises Forbidden if the app belongs to another organization
    report = await (
        DeployBuilder(app)
        .to_regions(region)
        .count(2)
        .with_image(image)
        .with_guest(cpus=cpus, memory_mb=memory_mb)
        .with_service(internal_port=port)
        .with_check("up", Check(type="http", port=port, path="/", interval=15, timeout=10))
        .require("all")
        .roll_back_on_failure()
        .execute(fly)
    )
    return report.raise_for_failure()


async def main() -> None:
    async with FlyClient() as fly:
        print(await launch_web_app(fly, "my-web-app", "my-docker-image:latest", port=3000, memory_mb=512))


if __name__ == "__main__":
    asyncio.run(main())
