"""One budget for many processes, judged from outside.

    python -m benchmarks.budget [--seconds S] [--processes N] [--tasks N] [--only PATTERN]

- Storms: processes with 100 tasks each on one bucket of 200 a second and 50 at once, and on buckets as the API has
  them. Each for itself, they exceed it; by files or by a server, they never do, and get what there is, evenly.
- Trouble: one of them is killed; the lock is held by a process that is killed, or that stands still; the server stands
  still, is killed and starts with all forgotten, is killed again at once. Nothing is exceeded, no call is lost. Only
  one that is cut off from a server which the others reach cannot know that: its share comes on top. What could be done
  about that, and at what price, is simulated by `python -m benchmarks.budget.shares`.
- Clients that ask an emulator, which counts by itself and refuses what is too much: 429s.

Rows are chosen by a pattern of `name/backing`. The columns are

- grants / ideal: turns granted, and how many could have been from a full bucket between the first and the last;
- peak: the most that any window of time holds beyond what the rate allows for its length, by the clock of what granted:
  the server's own record of its commands, the clock that the files go by; where an API judges, by its clock;
- left: the same as the tasks left with their turns, which a busy host blurs, and burst: what may not be exceeded;
- most/fewest: turns of the luckiest process and of the unluckiest, when the first was through;
- missing: turns or calls that processes wanted and never had; 429s: what the API refused;
- recovery: from the end of the trouble until the full rate flows for a whole second, from limits that all have back;
- lost/back: how often the processes lost the limits and had them back.

What is less than promised on a busy host, and only that, is tried twice more: 97 % of the ideal, shares within 1.5, and
no 429 from the API, which is what delays beyond the margin come to. The exit status is 1 for a broken promise.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial

from benchmarks.budget import incidents
from benchmarks.budget.rows import STORM, Row, fly
from benchmarks.budget.verdict import HEAD, Seen
from flyasync.cli.shared.signals import until_signalled
from flyasync.transport.ratelimit.rates import Limits

TRIES = 3
LIMITS = Limits()
LIST, GET = LIMITS.rate("machines.list"), LIMITS.rate("machines.get")
LONG = 10.0
"""Seconds at least for a row in which something is away for a while."""


def rows(seconds: float, processes: int, tasks: int) -> Iterator[list[Row]]:
    """Give all rows; those in one list, which leave the host idle, run at the same time."""
    storm = partial(Row, seconds=seconds, processes=processes, tasks=tasks, rate=STORM)
    for backing in ("memory", "file", "redis"):
        yield [storm(name="200/s", backing=backing)]
    for backing in ("file", "redis"):
        yield [storm(name="200/s, one killed", backing=backing, incident=incidents.worker_killed)]
    yield [storm(name="200/s, holder killed", backing="file", incident=incidents.holder_killed)]
    trouble = partial(storm, seconds=max(seconds, LONG))
    yield [trouble(name="200/s, holder stopped", backing="file", incident=incidents.holder_stopped)]
    yield [trouble(name="200/s, server stopped", backing="redis", incident=incidents.server_stopped)]
    yield [trouble(name="200/s, server killed", backing="redis", incident=incidents.server_killed)]
    yield [trouble(name="200/s, one cut off", backing="redis", incident=incidents.one_cut_off, relayed=1)]
    yield [trouble(name="200/s, killed again", backing="redis", incident=incidents.server_killed_again)]
    yield [*_slow(2 * seconds, max(2, processes // 2), tasks)]


def _slow(seconds: float, processes: int, tasks: int) -> Iterator[Row]:
    """Give the rows under the API's own rates."""
    for backing in ("file", "redis"):
        for name, rate in {"1/s": LIST, "5/s": GET}.items():
            yield Row(name=name, backing=backing, seconds=seconds, processes=processes, tasks=tasks, rate=rate)
    api = partial(Row, name="API", seconds=seconds, processes=processes, rate=None)
    for backing in ("memory", "file", "redis"):
        yield api(backing=backing)
    yield api(name="API, one killed", backing="file", incident=incidents.worker_killed)
    trouble = partial(api, seconds=max(seconds, LONG))
    yield trouble(name="API, server stopped", backing="redis", incident=incidents.server_stopped)
    yield trouble(name="API, server killed", backing="redis", incident=incidents.server_killed)


async def run(row: Row, together: asyncio.Barrier) -> int:
    """Print what comes of a row; give the number of broken promises."""
    for attempt in range(TRIES):
        seen = await fly(row, together if not attempt else asyncio.Barrier(1))
        broken, slow = ([fault for each in seen for fault in faults(each)] for faults in (Seen.broken, Seen.slow))
        print(*seen, sep="\n")
        again = slow and not broken and attempt < TRIES - 1
        for fault in (*broken, *slow):
            print(f"    {'once more: ' if again else 'BROKEN: '}{fault}", flush=True)
        if not again:
            return len(broken) + len(slow)
    raise AssertionError


async def main(seconds: float, processes: int, tasks: int, only: str) -> int:
    """Print the table; give the number of broken promises."""
    print(HEAD, flush=True)
    broken = 0
    for group in rows(seconds, processes, tasks):
        chosen = [row for row in group if fnmatch(f"{row.name}/{row.backing}", only)]
        together = asyncio.Barrier(max(1, len(chosen)))
        broken += sum(await asyncio.gather(*(run(row, together) for row in chosen)))
    return broken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description="One budget for many processes.")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a storm goes on")
    parser.add_argument("--processes", type=int, default=8, help="in a storm; half of them at the API's own rates")
    parser.add_argument("--tasks", type=int, default=100, help="of each process")
    parser.add_argument("--only", default="*", help="rows by name/backing, such as '*stopped*' or '*/redis'")
    options = parser.parse_args()
    if options.processes < 2:
        parser.error("--processes: one of them may be killed, so there must be another")
    work = main(options.seconds, options.processes, options.tasks, options.only)
    # A signal leaves nothing behind either.
    sys.exit(bool(asyncio.run(until_signalled(work, lambda _: None))))
