"""One budget for many processes, judged from outside.

    python -m benchmarks.budget [--seconds S] [--processes N] [--tasks N] [--only PATTERN]

- Storms: processes with 100 tasks each on one bucket of 200 a second and 50 at once, and on buckets as the API has
  them. Each for itself, they exceed it; by files or by a server, they never do, and get what there is, evenly.
- Trouble: one of them is killed; the lock is held by a process that is killed, or that stands still; the server stands
  still, is killed and starts with all forgotten, is killed again at once. Nothing is exceeded, no call is lost. Only
  one that is cut off from a server which the others reach cannot know that: its share comes on top. What could be done
  about that, and at what price, is simulated by `python -m benchmarks.budget.shares`.
- Clients that ask an emulator, which counts by itself and refuses what is too much: 429s.

A storm goes on for S seconds; at the API's own rates twice as long, with half of the processes. PATTERN chooses rows by
`name/backing`, such as '*stopped*' or '*/redis'. The columns are

- grants, ideal: turns granted, and how many could have been from a full bucket between the first and the last;
- peak: the most that any window of time holds beyond what the rate allows for its length, by the clock of what granted:
  the server's own record of its commands, the clock that the files go by; where an API counts, by its clock;
- left: the same as the tasks left with their turns, which a busy host blurs, and burst: what may not be exceeded;
- most, fewest: turns of the luckiest process and of the unluckiest, when the first was through;
- missing: turns or calls that processes wanted and never had; 429s: what the API refused;
- recovery: seconds from the end of the trouble until the full rate flows for a whole second, from limits that all have
  back; lost, back: how often the processes lost the limits and had them back.

What is less than promised on a busy host, and only that, is tried twice more: 97 % of the ideal, shares within 1.5, and
no 429 from the API, which is what delays beyond the margin come to. The exit status is 1 for a broken promise.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from fnmatch import fnmatch

from benchmarks.budget.runs import AWAY, PUBLISHED, STORM, Case, Run, call, take
from benchmarks.shared.children import Child, spawned
from benchmarks.shared.options import options
from benchmarks.shared.table import Figure
from flyasync.cli.shared.signals import until_signalled

FORMS = {
    "backing": "", "grants": "d", "ideal": ".0f", "grants/ideal": ".3f", "peak": ".2f", "left": ".2f", "burst": "g",
    "most": "d", "fewest": "d", "most/fewest": ".2f", "missing": "d", "429s": "d", "recovery": ".2f", "lost": "d",
    "back": "d",
}  # fmt: skip
"""How each column is written."""
BUSY = ("grants/ideal", "most/fewest", "429s")
"""The figures that a busy host may spoil."""
TRIES = 3
LONG = 10.0
"""Seconds at least for a row in which something is away for a while."""
MOMENT = 0.2
"""Seconds for which a lock may be held without anybody giving up."""

# The trouble


async def worker_killed(run: Run) -> None:
    await run.workers[0].kill()


HOLD = """
import fcntl, os, sys
for name in os.listdir(sys.argv[1]):
    if name != "workers":
        fcntl.flock(os.open(f"{sys.argv[1]}/{name}", os.O_RDWR), fcntl.LOCK_EX)
print(0, flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def held(run: Run) -> AsyncIterator[Child]:
    """Have another process hold the lock of each bucket, until it ends."""
    async with spawned("holder", "-c", HOLD, run.url.removeprefix("file:")) as holder:
        await holder.hear()
        yield holder


async def holder_killed(run: Run) -> None:
    for _ in range(5):
        async with held(run) as holder:
            await asyncio.sleep(MOMENT)
            await holder.kill()


async def holder_stopped(run: Run) -> None:
    async with held(run) as holder:
        holder.signal(signal.SIGSTOP)
        await asyncio.sleep(AWAY)
        holder.signal(signal.SIGCONT)


async def server_stopped(run: Run) -> None:
    assert run.server
    os.kill(run.server.gauge.pid, signal.SIGSTOP)
    await asyncio.sleep(AWAY)
    os.kill(run.server.gauge.pid, signal.SIGCONT)


async def server_killed(run: Run) -> None:
    assert run.server
    await run.server.kill()
    await asyncio.sleep(AWAY)
    await run.server.start()


async def server_killed_again(run: Run) -> None:
    """Kill the server, start it again, and kill it once more as soon as the first process has noticed."""
    await server_killed(run)
    while not any(worker.said("back") for worker in run.workers):  # noqa: ASYNC110 - they are other processes
        await asyncio.sleep(0.01)
    await asyncio.sleep(MOMENT)
    await server_killed(run)


async def one_cut_off(run: Run) -> None:
    run.is_open.clear()
    await asyncio.sleep(AWAY)
    run.is_open.set()


# The rows


STORMS = (
    ("200/s", "memory file redis", None, None),
    ("200/s, one killed", "file redis", worker_killed, 0),
    ("200/s, holder killed", "file", holder_killed, 0),
    ("200/s, holder stopped", "file", holder_stopped, 1),
    ("200/s, server stopped", "redis", server_stopped, 1),
    ("200/s, server killed", "redis", server_killed, 1),
    ("200/s, one cut off", "redis", one_cut_off, None),
    ("200/s, killed again", "redis", server_killed_again, None),
)
CLIENTS = (
    ("API", "memory file redis", None, None),
    ("API, one killed", "file", worker_killed, 0),
    ("API, server stopped", "redis", server_stopped, 1),
    ("API, server killed", "redis", server_killed, 1),
)
"""The name of a row, its backings, its trouble, and how often each process has to lose the limits by it."""


def groups(seconds: float, processes: int, tasks: int) -> Iterator[list[Case]]:
    """Yield all rows; those in one list, which leave the host idle, run at the same time."""
    for name, backings, trouble, losses in STORMS:
        size = (max(seconds, LONG) if trouble and losses != 0 else seconds, processes, tasks)
        for backing in backings.split():
            yield [Case(name, backing, *size, STORM, trouble, losses, is_cut_off=trouble is one_cut_off)]
    half = max(2, processes // 2)
    slow = [
        Case(f"{rate.per_second:g}/s", backing, 2 * seconds, half, tasks, rate)
        for backing in ("file", "redis")
        for rate in (PUBLISHED["list"], PUBLISHED["get"])
    ]
    for name, backings, trouble, losses in CLIENTS:
        longer = (max(2 * seconds, LONG if losses else 0), half)
        slow.extend(Case(name, each, *longer, trouble=trouble, losses=losses) for each in backings.split())
    yield slow


async def show(case: Case, together: asyncio.Barrier) -> int:
    """Print the rows of a case; return the number of broken promises."""
    for attempt in range(1, TRIES + 1):
        seen = await (take(case, case.rate, together) if case.rate else call(case, together))
        rows = [each.row for each in seen]
        missed = [(row, goal) for row in rows for goal, is_met in row.checked() if not is_met]
        again = attempt < TRIES and missed and all(goal.column in BUSY for _, goal in missed)
        for row in rows:
            print(f"{row.name:24}", *(cell(row.figures.get(name), name) for name in FORMS))
        for row, goal in missed:
            fault = f"{goal.text}, but it is {row.figures.get(goal.column)}"
            print("    once more:" if again else "    BROKEN:", fault, goal.why)
        sys.stdout.flush()
        if not again:
            break
        together = asyncio.Barrier(1)
    return len(missed)


def cell(figure: Figure, column: str) -> str:
    return ("-" if figure is None else format(figure, FORMS[column])).rjust(max(6, len(column)))


async def main(seconds: float, processes: int, tasks: int, only: str) -> int:
    """Print the table; return the number of broken promises."""
    print(f"{'row':24}", *(f"{name:>6}" for name in FORMS), flush=True)
    broken = 0
    for group in groups(seconds, processes, tasks):
        chosen = [case for case in group if fnmatch(f"{case.name}/{case.backing}", only)]
        together = asyncio.Barrier(max(1, len(chosen)))
        broken += sum(await asyncio.gather(*(show(case, together) for case in chosen)))
    return broken


if __name__ == "__main__":
    given = options(__doc__, seconds=5.0, processes=8, tasks=100, only="*")
    if given.processes < 2:
        sys.exit("--processes: one of them may be killed, so there must be another")
    # A signal leaves nothing behind either.
    sys.exit(bool(asyncio.run(until_signalled(main(**vars(given)), lambda _: None))))
