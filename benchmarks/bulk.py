"""`flyasync bulk` over a Dask cluster of which one process is killed half way: `python -W error -m benchmarks.bulk`.

1,000 apps in three regions each, no two rows alike, by four workers with their limits in a Valkey server. When half of
the machines are there, one worker is killed with `kill -9`; with `--kill command` it is the command itself, which is
then given once more with the same journal; with `--no-kill` nothing is. The result is what the emulator holds five
seconds after the end, never what the deploy says: each app has one machine in each of its regions, with the image and
the environment of its row, and nothing else is there; and no request got a 429.

All of it is real: processes, time and the published limits. Requests travel for 5 to 20 ms and boots take 0.2 to 0.6 s,
for on one host it is the CPU that one waits for; the last lines show whose. The emulator is one process that plays all
of Fly.io. The apps are made in its world directly, since the API makes one a second.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen

from benchmarks.fleet.apps import checked, orders, write
from benchmarks.fleet.cluster import Stage, staged
from benchmarks.fleet.floor import floor
from benchmarks.shared.children import Child, spawned, tails
from benchmarks.shared.served import begin, machines, requests
from benchmarks.shared.usage import Meter
from flyasync.cli.shared.signals import until_signalled
from flyasync.emulator.core.regions import CODES

LAUNCH = "bulk-1"
BOOT = (0.2, 0.6)
KILLED = {"worker": "a worker", "command": "the command"}


@frozen(kw_only=True)
class Options:
    """How large it is, and what is killed: "worker", "command" or nothing.

    `settle` are seconds from the end of the command until the check: what something still makes then would show.
    """

    apps: int = 1000
    regions: int = 3
    workers: int = 4
    in_flight: int = 200
    kill: str | None = "worker"
    settle: float = 5.0


async def run(stage: Stage, options: Options) -> tuple[bool, dict[str, object]]:
    """Have it deployed, and look what is there; return whether it is as asked, and the figures."""
    apps, regions = options.apps, options.regions
    asked, meter, struck = orders(apps, CODES[:regions]), Meter([*stage.gauges]), "nobody killed"
    await stage.emulator.ask(begin, [each.app for each in asked])
    write(asked, stage.directory / "apps.csv")
    async with meter.watching():
        async with command(stage, options, meter) as first:
            if options.kill:
                found = await half_way(stage, options, first)
                struck = f"{KILLED[options.kill]} killed at {found} of {apps * regions} machines"
                await (first if options.kill == "command" else stage.workers[-1]).kill()
            status = await first.process.wait()
        if options.kill == "command":
            async with command(stage, options, meter) as second:
                status = await second.process.wait()
        usage = meter.read()
    await asyncio.sleep(options.settle)
    check = await stage.emulator.ask(checked, asked, LAUNCH)
    sent = sorted((await stage.emulator.ask(requests)).items(), key=lambda each: -each[1])
    least = floor(apps, at_once=options.in_flight, machines=regions, boot=sum(BOOT) / 2)
    each = ", ".join(f"{action} {count / apps:.2f}" for action, count in sent)
    size = f"{apps} apps x {regions} regions, {options.workers} workers, {options.in_flight} apps in flight"
    return status == 0 and check.is_flawless, {
        "flyasync bulk": f"{size}; {struck}",
        "exit status": status,
        "seconds": f"{usage.seconds:.1f}, {apps / usage.seconds:.1f} apps/s",
        "floor, by limits and boots": f"{least.published:.1f} s; {least.kept:.1f} s as the client keeps them",
        "apps exactly as their rows say": f"{check.exact} of {apps}",
        "machines": f"{check.desired} desired, {check.found} found, {check.missing} missing",
        "too many": f"{check.extra} duplicates, {check.orphans} orphans",
        "429s": check.limited,
        "apps that were begun again": check.begun_again,
        "requests for each app": f"{sum(count for _, count in sent) / apps:.2f}: {each}",
        "most memory, MB": ", ".join(f"{name} {peak:.0f}" for name, peak in meter.peaks().items()),
        "CPU for each app, ms": usage.each(apps),
        "CPUs busy": usage.busy,
        **{f"WRONG: {app}": held for app, held in list(check.wrong.items())[:10]},
    }


@asynccontextmanager
async def command(stage: Stage, options: Options, meter: Meter) -> AsyncIterator[Child]:
    """Give the command, the same one each time: what is done is in its journal."""
    file = stage.directory / "apps.csv"
    words = ["-W", "error", "-m", "flyasync", "bulk", str(file), "--launch", LAUNCH]
    words += ["--executor", stage.address.replace("tcp://", "dask://")]
    words += ["--apps-in-flight", str(options.in_flight), "--journal", str(file.with_suffix(".jsonl"))]
    async with spawned("command", *words, env=stage.environment, log=file.with_name("command.log")) as child:
        meter.gauges.append(child.gauge)
        yield child


async def half_way(stage: Stage, options: Options, command: Child) -> int:
    """Wait until half of the machines are there; return their number."""
    half = options.apps * options.regions // 2
    while (found := await stage.emulator.ask(machines)) < half and command.is_running:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # another process, in real time
    assert command.is_running, "it was over before it was half way"
    return found


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk")
    for name in ("apps", "regions", "workers", "in_flight"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Options(), name), metavar="N")
    parser.add_argument("--kill", nargs="?", choices=["worker", "command"], const="worker", default="worker")
    parser.add_argument("--no-kill", dest="kill", action="store_const", const=None)
    options = Options(**vars(parser.parse_args()))
    async with staged(options.workers, boot=BOOT) as stage:
        is_as_asked, figures = await run(stage, options)
        print(*(f"  {name:32} {value}" for name, value in figures.items()), sep="\n")
        if not is_as_asked:
            print(tails(sorted(stage.directory.glob("*.log"))))
    return int(not is_as_asked)


if __name__ == "__main__":
    sys.exit(asyncio.run(until_signalled(main(), lambda _: None)))
