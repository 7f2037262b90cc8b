"""How deploys of many apps scale: `python -W error -m benchmarks.scaling [--only workers|simulation] [--apps 100000]`.

- By workers, in real time: `benchmarks.fleet.workers` says what is measured.
- By simulation, one client and up to 100,000 apps in virtual time: see `benchmarks.fleet.simulation`. Then some of them
  by a client as it is made without a word, which has 64 calls and 1,000 long polls under way at the most.

Each half takes some minutes; 100,000 apps take ten times as long as the 10,000 that are usual here.

The floor is what the published limits and the boots allow; `benchmarks.fleet.floor` says in plain words how it is
reckoned. Apps are made in the emulator's world directly: that the API makes one a second is not the point here.
"""

import argparse
import asyncio
import sys

from attrs import evolve

from benchmarks.fleet.simulation import Run, by_simulation
from benchmarks.fleet.workers import by_workers
from flyasync.cli.shared.signals import until_signalled


def main(words: list[str]) -> int:
    """Measure what is asked for, and give 0 if all of it came out right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--only", choices=["workers", "simulation"])
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2, 4), metavar="N")
    for name, usual in {"repeats": 3, "apps": 10_000, "at-once": 1000, "machines": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=usual, metavar="N")
    options = parser.parse_args(words)
    if options.only != "simulation":
        laps = by_workers(options.workers, options.repeats)
        if (status := asyncio.run(until_signalled(laps, lambda _: None))) or options.only:
            return status
    run = Run(apps=options.apps, at_once=options.at_once, machines=options.machines)
    return by_simulation(run) or by_simulation(evolve(run, apps=min(run.apps, 2 * run.at_once), is_usual=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
