"""What it costs to start: `python -m benchmarks.start [--quick]`, as ratios of importing aiohttp.

Each row is a fresh interpreter; the rows take turns, so that a machine whose speed drifts slows all of them alike. Time
is the process's own CPU time.
"""

import resource
import statistics
import subprocess
import sys

BARE = "pass"
AIOHTTP = "import aiohttp"
ROWS = {
    "a bare interpreter": BARE,
    "import aiohttp": AIOHTTP,
    "import flyasync": "import flyasync",
    "from flyasync import FlyClient": "from flyasync import FlyClient",
    "from flyasync import DeployBuilder": "from flyasync import DeployBuilder",
    "flyasync --help": "import sys; sys.argv = ['flyasync', '--help']; from flyasync.__main__ import main; main()",
}


def cpu_seconds(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own rows
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(*, quick: bool) -> None:
    rounds = 2 if quick else 15
    taken: dict[str, list[float]] = {name: [] for name in ROWS}
    for _ in range(rounds):
        for name, program in ROWS.items():
            taken[name].append(cpu_seconds(program))
    base = statistics.median(taken["import aiohttp"])
    print(f"{'started':36} {'min':>7} {'median':>7} {'max':>7}   of importing aiohttp")
    for name, seconds in taken.items():
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        print(f"{name:36} {low:6.3f}s {middle:6.3f}s {high:6.3f}s   {middle / base:.2f}")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
