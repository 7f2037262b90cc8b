"""The package fly-python-sdk as a program, for a Python that has it: it asks for an httpx that is not ours.

`create_machines` is what it has for many machines. It knows no retry, raises the first refusal, and lets the other
creates go on. It has no wait either, so the machines that came to be are listed once a second, until all of them run.
"""

import asyncio
import json
import sys
import time
from typing import Any

from fly_python_sdk.exceptions import FlyError  # type: ignore[import-not-found]
from fly_python_sdk.fly.app import App  # type: ignore[import-not-found]
from fly_python_sdk.models.machine import FlyMachine, FlyMachineConfig  # type: ignore[import-not-found]


async def launch(order: dict[str, Any]) -> None:
    app = App(order["token"], "personal", order["app"])
    app.base_url = order["url"]
    config = FlyMachineConfig(image=order["image"])
    try:
        await app.create_machines([FlyMachine(region=region, config=config) for region in order["regions"]])
    except FlyError:
        await asyncio.sleep(1)  # the others are still under way
    while not all(machine.state == "started" for machine in await app.list_machines()):  # noqa: ASYNC110 - it is far away
        await asyncio.sleep(1)


if __name__ == "__main__":
    print("ready", flush=True)
    asked = json.loads(sys.stdin.readline())
    began = time.monotonic()
    asyncio.run(launch(asked))
    print(time.monotonic() - began)
