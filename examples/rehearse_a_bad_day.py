"""Rehearse a bad day: a full region, lost responses and a failing machine, in virtual time and without an account.

The same seeds give the same run, to the millisecond: one seed for the emulator, one for the client's jitter.
"""

import random

from flyasync import DeployBuilder, Emulator, Fault, FlyClient
from flyasync.testing import run_virtual

BAD_DAY = [
    Fault(does="lose_answer", action="createMachine", times=1),
    Fault(does="refuse", action="waitMachine", status=502, times=3),
    Fault(does="fail", region="nrt"),
]


async def main() -> None:
    random.seed(7)
    async with (
        Emulator(seed=7, capacity={"lhr": 0}, faults=BAD_DAY) as emulator,
        FlyClient(emulator.token, base_url=emulator.url) as fly,
    ):
        await fly.apps.create("web", org_slug="personal")
        builder = DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("nginx").with_launch("v2")
        report = await builder.fallback("nearest").require(2).execute(fly)
        print(report)
        for entry in emulator.log:
            print(f"{entry.at:7.3f} s  {entry.action:15} {entry.identifier:20} {entry.status} {' '.join(entry.faults)}")


if __name__ == "__main__":
    run_virtual(main())
