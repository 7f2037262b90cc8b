"""A process that has one machine run, with many calls at once: `python -m benchmarks.pool.ensure ORDER`."""

import asyncio
import json
import sys
import tempfile

from benchmarks.pool.api import APP, ROOT, api
from benchmarks.pool.worker import SANDBOX
from flyasync import FlyClient

PROCESSES = 4
CALLS = 50


async def calls(url: str, token: str, limits: str, number: int) -> None:
    """Call `ensure_running` so many times at once, and print the ids of the machines."""
    async with FlyClient(token, base_url=url, limits=limits) as fly:
        ensured = await asyncio.gather(*(fly.machines.ensure_running(APP, "user-7", SANDBOX) for _ in range(number)))
    print(json.dumps(sorted({each.machine.id for each in ensured})))


async def one_create() -> int:
    """Have processes ask for one machine at once; print the result, and return the number of broken promises."""
    with tempfile.TemporaryDirectory(prefix="flyasync-pool-") as folder:
        async with api() as server:
            limits = f"file:{folder}/limits"
            async with FlyClient(server.token, base_url=server.url, limits=limits) as fly:
                await fly.apps.create(APP, org_slug="personal")
            order = json.dumps([server.url, server.token, limits, CALLS])
            command = (sys.executable, "-W", "error", "-m", "benchmarks.pool.ensure", order)
            pipe = asyncio.subprocess.PIPE
            processes = [
                await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe) for _ in range(PROCESSES)
            ]
            printed = [(await process.communicate())[0] for process in processes]
            found = {each for line in printed for each in json.loads(line or "[]")}
            seen = await server.seen()
    print(
        f"{PROCESSES * CALLS} calls of ensure_running in {PROCESSES} processes: {len(seen.machines)} machine created, "
        f"{seen.refused_creates} creates refused since its name was taken, {len(found)} returned, 429s: {seen.limited}"
    )
    return (len(seen.machines) != 1) + (len(found) != 1) + seen.limited + any(each.returncode for each in processes)


if __name__ == "__main__":
    asyncio.run(calls(*json.loads(sys.argv[1])))
