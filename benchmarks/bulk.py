"""`flyasync bulk` over a Dask cluster of which one process is killed half way: `python -W error -m benchmarks.bulk`.

1,000 apps in three regions each, no two rows alike, by four workers with their limits in a Valkey server. When half of
the machines are there, one worker is killed with `kill -9`; with `--kill command` it is the command itself, which is
then given once more with the same journal; with `--no-kill` nobody is. What comes of it is judged by what the emulator
holds five seconds after the end, never by what the deploy says: each app has one machine in each of its regions, with
the image and the environment of its row, and nothing else is there; and no request was told 429.

All of it is real: processes, time and the published limits. Requests travel for 5 to 20 ms and boots take 0.2 to 0.6 s,
for on one host it is the CPU that one waits for; the last lines tell whose. The emulator is one process that plays all
of Fly.io. The apps are made in its world directly, since the API makes one a second.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from attrs import define, frozen

from benchmarks.fleet.floor import floor
from benchmarks.fleet.judge import Holdings, Verdict, judge
from benchmarks.fleet.orders import orders, write
from benchmarks.fleet.processes import Child, Meter, Usage, spawned, tails
from benchmarks.fleet.stage import Stage, staged
from flyasync.cli.shared.signals import until_signalled
from flyasync.emulator.core.regions import CODES

LAUNCH = "bulk-1"
BOOT = (0.2, 0.6)
LATENCY = (0.005, 0.02)
SETTLE = 5.0
"""Seconds from the end of the command until the judge looks: what somebody still makes then would show."""

Victim = Literal["worker", "command"]


@frozen(kw_only=True)
class Options:
    """How large it is, and who is killed."""

    apps: int = 1000
    regions: int = 3
    workers: int = 4
    in_flight: int = 200
    victim: Victim | None = "worker"
    settle: float = SETTLE


@frozen(kw_only=True)
class Outcome:
    """What came of it: the exit status of the last command, what is there, and what it took."""

    status: int
    killed_at: int | None
    verdict: Verdict
    holdings: Holdings
    usage: Usage
    peaks: Mapping[str, float]
    logs: str

    @property
    def is_as_asked(self) -> bool:
        """Whether all is as it was asked for, and the command says so."""
        return self.status == 0 and self.verdict.is_flawless


@define
class Scene:
    """A run under way."""

    options: Options
    stage: Stage
    meter: Meter

    @property
    def half(self) -> int:
        """How many machines are half of them."""
        return self.options.apps * self.options.regions // 2

    @property
    def file(self) -> Path:
        """What the command reads."""
        return self.stage.directory / "apps.csv"

    @asynccontextmanager
    async def command(self) -> AsyncIterator[Child]:
        """Give the command, the same one each time: what is done is in its journal."""
        words = ["-W", "error", "-m", "flyasync", "bulk", str(self.file), "--launch", LAUNCH]
        words += ["--executor", self.stage.cluster.address.replace("tcp://", "dask://")]
        words += ["--apps-in-flight", str(self.options.in_flight), "--journal", str(self.file.with_suffix(".jsonl"))]
        log = self.stage.directory / "command.log"
        async with spawned("command", *words, env=self.stage.environment, log=log) as child:
            self.meter.add(child.gauge)
            yield child


async def bulk(options: Options) -> Outcome:
    """Have it deployed on a stage of its own, and look what is there."""
    async with staged(options.workers, boot=BOOT, latency=LATENCY) as stage:
        return await run(stage, options)


async def run(stage: Stage, options: Options) -> Outcome:
    """Have it deployed, and look what is there."""
    asked = orders(options.apps, CODES[: options.regions])
    await stage.pretend.begin([each.app for each in asked])
    scene = Scene(options, stage, Meter(stage.gauges))
    write(asked, scene.file)
    async with scene.meter.watching():
        status, killed_at = await _deployed(scene)
        usage = scene.meter.read()
    await asyncio.sleep(options.settle)
    holdings = await stage.pretend.holdings()
    return Outcome(
        status=status,
        killed_at=killed_at,
        verdict=judge(asked, LAUNCH, holdings),
        holdings=holdings,
        usage=usage,
        peaks=scene.meter.peaks(),
        logs=tails(sorted(stage.directory.glob("*.log"))),
    )


async def _deployed(scene: Scene) -> tuple[int, int | None]:
    """Give the command, and kill somebody half way; give its exit status, and how many machines there were then."""
    victim = scene.options.victim
    async with scene.command() as first:
        there = await _half_way(scene, first) if victim else None
        if victim == "worker":
            await scene.stage.cluster.workers[-1].kill()
        if victim != "command":
            return await first.process.wait(), there
        await first.kill()
    async with scene.command() as second:
        return await second.process.wait(), there


async def _half_way(scene: Scene, command: Child) -> int:
    while (there := await scene.stage.pretend.machines()) < scene.half and command.is_running:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # another process, in real time
    assert command.is_running, "it was over before it was half way"
    return there


# What is told of it


def tell(options: Options, outcome: Outcome) -> None:
    """Print the figures."""
    verdict, requests = outcome.verdict, outcome.holdings.requests
    fewest = floor(options.apps, at_once=options.in_flight, machines=options.regions, boot=sum(BOOT) / 2)
    per_app = {action: count / options.apps for action, count in sorted(requests.items(), key=lambda each: -each[1])}
    print(
        f"flyasync bulk: {options.apps} apps x {options.regions} regions, {options.workers} workers, "
        f"{options.in_flight} apps in flight; {_struck(options, outcome)}"
    )
    _row("exit status", str(outcome.status))
    _row("seconds", f"{outcome.usage.seconds:.1f}, {options.apps / outcome.usage.seconds:.1f} apps/s")
    _row("floor, by limits and boots", f"{fewest.published:.1f} s; {fewest.kept:.1f} s as the client keeps them")
    _row("apps exactly as their rows say", f"{verdict.exact} of {options.apps}")
    _row("machines", f"{verdict.wanted} desired, {verdict.there} found, {verdict.missing} missing")
    _row("too many", f"{verdict.extra} duplicates, {verdict.orphans} orphans")
    _row("429s", str(verdict.limited))
    _row("apps that were begun again", str(verdict.begun_again))
    told = ", ".join(f"{action} {count:.2f}" for action, count in per_app.items())
    _row("requests for each app", f"{sum(per_app.values()):.2f}: {told}")
    _row("most memory, MB", ", ".join(f"{name} {peak:.0f}" for name, peak in outcome.peaks.items()))
    _row("CPU for each app, ms", outcome.usage.each(options.apps))
    _row("CPUs busy", outcome.usage.busy)
    if not outcome.is_as_asked:
        for app, held in list(verdict.wrong.items())[:10]:
            _row(f"WRONG: {app}", held)
        print(outcome.logs)


def _struck(options: Options, outcome: Outcome) -> str:
    if outcome.killed_at is None:
        return "nobody killed"
    whom = "a worker" if options.victim == "worker" else "the command"
    return f"{whom} killed at {outcome.killed_at} of {options.apps * options.regions} machines"


def _row(name: str, text: str) -> None:
    print(f"  {name:32} {text}")


def options_of(words: list[str]) -> Options:
    """Read the command line."""
    usual = Options()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk")
    for name in ("apps", "regions", "workers", "in_flight"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(usual, name), metavar="N")
    parser.add_argument(
        "--kill", dest="victim", nargs="?", choices=["worker", "command"], const="worker", default="worker"
    )
    parser.add_argument("--no-kill", dest="victim", action="store_const", const=None)
    return Options(**vars(parser.parse_args(words)))


async def main(words: list[str]) -> int:
    """Do it, print what came of it, and give the exit status."""
    options = options_of(words)
    outcome = await bulk(options)
    tell(options, outcome)
    return int(not outcome.is_as_asked)


if __name__ == "__main__":
    sys.exit(asyncio.run(until_signalled(main(sys.argv[1:]), lambda _: None)))
