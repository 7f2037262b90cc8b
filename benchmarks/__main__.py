"""Print what flyasync costs, and against whom: `python -m benchmarks [NAME ...] [--json] [--svg DIRECTORY] [--tiny]`.

Without a name all eight are measured, one after the other and each in a process of its own. `emulator` takes about
three minutes, the others under ten together. Every figure that depends on the machine is a ratio of something that was
measured beside it in the same run.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from importlib import import_module
from itertools import count
from pathlib import Path

from benchmarks.shared.table import show

NAMES = {
    "launch": "time until N machines run, against what one would write without flyasync",
    "session": "CPU of a call, against bare aiohttp and a generated httpx client",
    "decoding": "lists of machines into models, against json, orjson, pydantic and msgspec",
    "waiting": "10,000 waits at once: long polls against lists",
    "limiter": "permits of the rate limits, against aiolimiter and another library",
    "start": "imports and --help, against a bare interpreter, click and aiohttp",
    "emulator": "CPU of a request to the emulator, against a bare handler, json.dumps and mudflaps",
    "growth": "CPU and memory for each machine, from ten to 100,000 and from one app to 10,000",
}
OTHERS = {
    "deploy": "time to run, fallbacks, and creates that happen exactly once",
    "rolling": "an update of 300 machines meets one failing check, and is undone",
    "flight": "every strategy on every bad day; judged by what the emulator holds",
    "killed": "a deploy killed after each of its requests, then run again",
    "sigkill": "the command killed by SIGKILL, in real time, then run again",
    "estimate": "how close the estimates of a deploy come",
    "replay": "failing deploys, recorded and run again",
    "bulk": "1,000 apps over a Dask cluster of which one process is killed",
    "scaling": "apps by one to eight workers of a Dask cluster; 100,000 apps in virtual time",
    "budget": "one rate limit for many processes, by files and by a server",
    "pool": "machines on demand: what they cost, and a storm of kills",
    "emulator_state": "the emulator killed under load, and what its state file costs",
    "flyctl_commands": "which commands of flyctl work against the emulator",
    "flyctl_deploys": "flyctl deploys to the emulator, and is interrupted",
    "official_clients": "fly-autoscaler and Terraform against the emulator",
    "web": "the live page in Chromium: work and CPU of a frame",
}
"""Those with a command of their own, `python -m benchmarks.NAME`; its module's docstring says what is measured."""


def main(words: list[str]) -> int:
    """Measure what is asked for; not 0 only where a benchmark itself fails, for a missed goal is a result."""
    if words[:1] == ["compare"]:
        return int(import_module("benchmarks.compare").main(words[1:]))
    options = _options(words)
    try:
        if len(options.names) == 1:
            return _measure(options.names[0], options)
        return max(_alone(name, words, options) for name in options.names)
    except KeyboardInterrupt:
        return 130


def _options(words: list[str]) -> argparse.Namespace:
    listed, others = ("".join(f"  {name:17} {what}\n" for name, what in each.items()) for each in (NAMES, OTHERS))
    about = f"{listed}\nAgainst another commit, by instructions: python -m benchmarks compare BASE\n"
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        epilog=f"{about}\nWith a command of their own, python -m benchmarks.NAME:\n{others}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", default=[], help="what to measure; all of it without one")
    add("--json", action="store_true", help="print JSON, one object a line for each benchmark")
    add("--svg", type=Path, metavar="DIRECTORY", help="draw pictures there")
    add("--tiny", action="store_true", help="at the smallest size: that it runs, not what it measures")
    add("--mudflaps", type=Path, metavar="PATH", help="another emulator, for `emulator` to compare with")
    add("--flyctl", type=Path, metavar="PATH", help="the official command, for `launch`")
    options = parser.parse_args(words)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(NAMES)}")
    options.names = options.names or list(NAMES)
    return options


def _alone(name: str, words: list[str], options: argparse.Namespace) -> int:
    """Measure it in a process of its own, whose memory no other benchmark has used."""
    flags = [word for word in words if word not in options.names]
    python = [sys.executable, *(f"-W{option}" for option in sys.warnoptions)]
    return subprocess.run([*python, "-m", "benchmarks", name, *flags], check=False).returncode  # noqa: S603


def _measure(name: str, options: argparse.Namespace) -> int:
    try:
        module = import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as missing:
        print(f"{name} needs {missing.name}: pip install -e '.[bench]'", file=sys.stderr)
        return 1
    began, pictures, tables = time.monotonic(), count(1), []
    paths = {"emulator": {"mudflaps": options.mudflaps}, "launch": {"flyctl": options.flyctl}}
    for table in module.measure(tiny=options.tiny, **paths.get(name, {})):
        tables.append(table)
        if not options.json:
            show(table)
        if options.svg and table.plot:
            import_module("benchmarks.shared.picture").draw(table, options.svg / f"{name}-{next(pictures)}.svg")
    seconds = time.monotonic() - began
    if options.json:
        shown = [table.as_json() for table in tables]
        python, rounded = platform.python_version(), round(seconds, 1)
        print(json.dumps({"benchmark": name, "python": python, "seconds": rounded, "tables": shown}))
    else:
        print(f"{name}: {seconds:.0f} s\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
