"""Roll out an update that fails, and roll it back: a release command, then a canary, and a report as an HTML page.

Version 2 never passes its health check. Only the canary runs it, and is restored to version 1; the other eight machines
are not changed. It runs in virtual time, without an account.
"""

import asyncio
from pathlib import Path

from flyasync import Check, DeployBuilder, Emulator, Fault, FlyClient
from flyasync.testing import run_virtual

BASE = (
    DeployBuilder("shop")
    .to_regions("iad", "lhr", "nrt")
    .count(3)
    .with_service(internal_port=8080)
    .with_check("up", Check(type="http", port=8080, path="/health", interval=10, timeout=2))
    .wait_for("healthy", timeout=60)
    .with_release_command("bin/migrate --to latest")
    .canary(machines=1, soak=30)
    .roll_back_on_failure()
)
BROKEN = Fault(does="checks_never_pass", image="shop:2")


async def main(page: str | None = None) -> None:
    async with Emulator(seed=3) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create("shop", org_slug="personal")
        print(await BASE.with_image("shop:1").execute(fly))

        emulator.faults.add(BROKEN)
        update = BASE.with_image("shop:2").with_launch("v2")
        print(await update.plan(fly))
        report = await update.execute(fly)
        print(report)
        print("serving:", dict(emulator.serving("shop")))
        if page:
            await asyncio.to_thread(Path(page).write_text, report.to_html(), encoding="utf-8")


if __name__ == "__main__":
    run_virtual(main())
