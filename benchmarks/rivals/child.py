"""flyasync as a program: `python -m benchmarks.rivals.child`, asked and answering as every program here.

It says that it is ready, reads where the API is and what is wanted, launches that, and says in how many seconds.
"""

import asyncio
import json
import sys
import time

from benchmarks.rivals import with_flyasync
from benchmarks.rivals.wanted import Wanted


def main() -> None:
    """Be asked once."""
    print("ready", flush=True)
    order = json.loads(sys.stdin.readline())
    wanted = [Wanted(order["app"], region) for region in order["regions"]]
    began = time.monotonic()
    asyncio.run(with_flyasync.launch(order["url"], order["token"], wanted))
    print(time.monotonic() - began)


if __name__ == "__main__":
    main()
