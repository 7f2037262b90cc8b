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

from attrs import frozen

from benchmarks.fleet.cluster import Stage, staged
from benchmarks.fleet.floor import floor
from benchmarks.fleet.judge import Holdings, Verdict, judge, orders, write
from benchmarks.shared.children import Child, spawned, tails
from benchmarks.shared.served import begin, machines
from benchmarks.shared.usage import Meter, Usage
from flyasync.cli.shared.signals import until_signalled
from flyasync.emulator.core.regions import CODES

LAUNCH = "bulk-1"
BOOT = (0.2, 0.6)
LATENCY = (0.005, 0.02)


@frozen(kw_only=True)
class Options:
    """How large it is, and who is killed: "worker", "command" or nobody.

    `settle` are seconds from the end of the command until the judge looks: what somebody still makes then would show.
    """

    apps: int = 1000
    regions: int = 3
    workers: int = 4
    in_flight: int = 200
    victim: str | None = "worker"
    settle: float = 5.0


@frozen(kw_only=True)
class Outcome:
    """What came of it: the exit status of the last command, what is there, and what it took."""

    status: int
    killed_at: int | None
    verdict: Verdict
    requests: Mapping[str, int]
    usage: Usage
    peaks: Mapping[str, float]
    logs: str

    @property
    def is_as_asked(self) -> bool:
        """Whether all is as it was asked for, and the command says so."""
        return self.status == 0 and self.verdict.is_flawless


async def run(stage: Stage, options: Options) -> Outcome:
    """Have it deployed, and look what is there."""
    asked, meter = orders(options.apps, CODES[: options.regions]), Meter(stage.gauges)
    await stage.emulator.ask(begin, [each.app for each in asked])
    write(asked, stage.directory / "apps.csv")
    async with meter.watching():
        status, killed_at = await _deployed(stage, options, meter)
        usage = meter.read()
    await asyncio.sleep(options.settle)
    holdings = await stage.emulator.ask(Holdings.of)
    return Outcome(
        status=status,
        killed_at=killed_at,
        verdict=judge(asked, LAUNCH, holdings),
        requests=holdings.requests,
        usage=usage,
        peaks=meter.peaks(),
        logs=tails(sorted(stage.directory.glob("*.log"))),
    )


async def _deployed(stage: Stage, options: Options, meter: Meter) -> tuple[int, int | None]:
    """Give the command, and kill somebody half way; give its exit status, and how many machines there were then."""
    async with _command(stage, options, meter) as first:
        there = await _half_way(stage, options, first) if options.victim else None
        if options.victim == "worker":
            await stage.workers[-1].kill()
        if options.victim != "command":
            return await first.process.wait(), there
        await first.kill()
    async with _command(stage, options, meter) as second:
        return await second.process.wait(), there


@asynccontextmanager
async def _command(stage: Stage, options: Options, meter: Meter) -> AsyncIterator[Child]:
    """Give the command, the same one each time: what is done is in its journal."""
    file = stage.directory / "apps.csv"
    words = ["-W", "error", "-m", "flyasync", "bulk", str(file), "--launch", LAUNCH]
    words += ["--executor", stage.address.replace("tcp://", "dask://")]
    words += ["--apps-in-flight", str(options.in_flight), "--journal", str(file.with_suffix(".jsonl"))]
    async with spawned("command", *words, env=stage.environment, log=file.with_name("command.log")) as child:
        meter.gauges.append(child.gauge)
        yield child


async def _half_way(stage: Stage, options: Options, command: Child) -> int:
    half = options.apps * options.regions // 2
    while (there := await stage.emulator.ask(machines)) < half and command.is_running:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # another process, in real time
    assert command.is_running, "it was over before it was half way"
    return there


def show(options: Options, outcome: Outcome) -> None:
    """Print the figures."""
    verdict, usage = outcome.verdict, outcome.usage
    struck = "nobody killed"
    if outcome.killed_at is not None:
        whom = "a worker" if options.victim == "worker" else "the command"
        struck = f"{whom} killed at {outcome.killed_at} of {options.apps * options.regions} machines"
    print(
        f"flyasync bulk: {options.apps} apps x {options.regions} regions, {options.workers} workers, "
        f"{options.in_flight} apps in flight; {struck}"
    )
    least = floor(options.apps, at_once=options.in_flight, machines=options.regions, boot=sum(BOOT) / 2)
    per_app = {action: count / options.apps for action, count in sorted(outcome.requests.items(), key=lambda x: -x[1])}
    told = ", ".join(f"{action} {count:.2f}" for action, count in per_app.items())
    rows = {
        "exit status": outcome.status,
        "seconds": f"{usage.seconds:.1f}, {options.apps / usage.seconds:.1f} apps/s",
        "floor, by limits and boots": f"{least.published:.1f} s; {least.kept:.1f} s as the client keeps them",
        "apps exactly as their rows say": f"{verdict.exact} of {options.apps}",
        "machines": f"{verdict.wanted} desired, {verdict.there} found, {verdict.missing} missing",
        "too many": f"{verdict.extra} duplicates, {verdict.orphans} orphans",
        "429s": verdict.limited,
        "apps that were begun again": verdict.begun_again,
        "requests for each app": f"{sum(per_app.values()):.2f}: {told}",
        "most memory, MB": ", ".join(f"{name} {peak:.0f}" for name, peak in outcome.peaks.items()),
        "CPU for each app, ms": usage.each(options.apps),
        "CPUs busy": usage.busy,
    }
    if not outcome.is_as_asked:
        rows |= {f"WRONG: {app}": held for app, held in list(verdict.wrong.items())[:10]}
    print(*(f"  {name:32} {value}" for name, value in rows.items()), sep="\n")
    if not outcome.is_as_asked:
        print(outcome.logs)


async def main(words: list[str]) -> int:
    """Do it, print what came of it, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk")
    for name in ("apps", "regions", "workers", "in_flight"):
        usual = getattr(Options(), name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=usual, metavar="N")
    parser.add_argument(
        "--kill", dest="victim", nargs="?", choices=["worker", "command"], const="worker", default="worker"
    )
    parser.add_argument("--no-kill", dest="victim", action="store_const", const=None)
    options = Options(**vars(parser.parse_args(words)))
    async with staged(options.workers, boot=BOOT, latency=LATENCY) as stage:
        outcome = await run(stage, options)
    show(options, outcome)
    return int(not outcome.is_as_asked)


if __name__ == "__main__":
    sys.exit(asyncio.run(until_signalled(main(sys.argv[1:]), lambda _: None)))
