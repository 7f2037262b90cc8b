"""The official flyctl, unmodified, deploys to the emulator: `python -m benchmarks.flyctl_deploys --flyctl PATH`.

For each strategy and each app, with the limits on and in real time: a first deploy and a later one; then a later one
that Ctrl-C (SIGINT) interrupts after so many requests, and the same command again. A deploy that nothing interrupts
must exit with 0 and leave one image everywhere, each machine running or on standby, none cordoned, and no free volume.
What the app holds then is printed, with the leases that still run. `--only PATTERN` selects rows by their names. Exits
with 1 if a row came out otherwise.

flyctl itself leaves the canaries of a deploy that is interrupted after their creation: the next deploy keeps and
updates them, so they are printed, but not wrong. After a bluegreen deploy that is interrupted with both sets in
service, flyctl refuses the next one and prints the command that destroys the old set; that command then runs before
another try.

Machines boot faster than at Fly.io, and a create takes half a second: flyctl creates machines one after the other and
does not repeat a create that the limit refuses, so it relies on the time that Fly.io takes. Leases, limits, checks and
the waits of flyctl have their real length.
"""

import asyncio
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import evolve, frozen

from benchmarks.shared.fly_toml import CRON, WORKER, web
from benchmarks.shared.options import options
from benchmarks.shared.programs import run
from benchmarks.shared.served import world
from flyasync import Emulator, Fault
from flyasync.emulator.world import leases
from flyasync.emulator.world.volumes import is_gone
from flyasync.models.image import without_digest

# After how many requests of a later deploy it is interrupted: before anything is created, midway, and near its end.
POINTS = {
    "rolling": (12, 36, 60, 84),
    "canary": (12, 44, 75, 100),
    "bluegreen": (12, 48, 70, 90),
    "immediate": (12, 28, 36, 44),
}
AT_ONCE, AT_REST, PATIENCE = 6, {"started", "stopped", "destroyed"}, 20.0


WEB = web('grace_period = "1s", interval = "2s"')


@frozen
class App:
    """An app, and the machines that flyctl's first deploy creates in each group."""

    text: str
    machines: Counter[str]
    has_mounts: bool = False


APPS = {
    "one group": App(WEB, Counter(web=2)),
    "two groups, standby": App(WEB + WORKER, Counter(web=2, worker=2)),
    "two groups, mount": App(WEB + CRON, Counter(web=2, cron=1), has_mounts=True),
}
INTERRUPTED = APPS["two groups, standby"]


@frozen(kw_only=True)
class Run:
    """How a run of flyctl ended; any exit status is accepted from one that was interrupted or refused."""

    status: int
    requests: int
    seconds: float
    output: str
    is_accepted: bool

    def __str__(self) -> str:
        return f"exit {self.status} ({self.requests} requests, {self.seconds:.0f} s)"

    @property
    def advice(self) -> list[str]:
        """The command that destroys the machines that flyctl advises to destroy, if it refuses to deploy."""
        # With the ids of the machines of this image instead of `--image`, for which flyctl asks a question.
        if advised := re.search(r"can be safely destroyed:\s+\[x\] (\S+)", self.output):
            ids = re.search(rf"{re.escape(advised[1])} - \d+ machine\(s\) \(([\w,]+)\)", self.output)
            assert ids, self.output
            return ["machine", "destroy", "--force", *ids[1].split(",")]
        return []


@frozen
class Row:
    """A row of the table: its name, an app, a strategy, and after how many requests the second deploy ends."""

    name: str
    app: App
    strategy: str
    interrupt_after: int | None = None

    async def deployed(self, flyctl: Path) -> bool:
        """Deploy one image and then another, again after an interruption; print the row, and return whether it is well.

        What flyctl prints is what is wrong with a run that failed.
        """
        faults = [Fault(does="delay", action="createMachine", seconds=0.5)]
        with TemporaryDirectory() as folder:
            Path(folder, "fly.toml").write_text(self.app.text)  # noqa: ASYNC240 - once, and small
            async with world(boot=(0.2, 0.6), faults=faults) as (emulator, _):
                box = Sandbox(flyctl, emulator, Path(folder))
                runs = [await box.deploy("nginx:1", self.strategy)]
                if self.interrupt_after is not None:
                    runs.append(await box.deploy("nginx:2", self.strategy, self.interrupt_after))
                runs.append(await box.deploy("nginx:2", self.strategy))
                if self.interrupt_after is not None and (advice := runs[-1].advice):
                    runs[-1] = evolve(runs[-1], is_accepted=True)
                    runs += [await box.run(*advice), await box.deploy("nginx:2", self.strategy)]
                wrong = [run.output for run in runs if run.status and not run.is_accepted]
                wrong += box.faults(self.app, "nginx:2")
                end = box.end()
        print(f"{self.name:34} {', '.join(map(str, runs))}", f"    {end}", sep="\n")
        print(*(f"    WRONG: {fault}\n" for fault in wrong), sep="", end="", flush=True)
        return not wrong


def rows() -> Iterator[Row]:
    for strategy, points in POINTS.items():
        for name, app in APPS.items():
            # flyctl refuses these two for an app with mounts.
            if not (app.has_mounts and strategy in {"canary", "bluegreen"}):
                yield Row(f"{strategy} {name}", app, strategy)
        for point in points:
            yield Row(f"{strategy} Ctrl-C after {point} requests", INTERRUPTED, strategy, point)


@frozen
class Sandbox:
    """An emulator with one app, and flyctl beside it."""

    flyctl: Path
    emulator: Emulator
    folder: Path

    async def deploy(self, image: str, strategy: str, interrupt_after: int | None = None) -> Run:
        """Run one deploy to its end, or send SIGINT to it after so many requests."""
        words = ("deploy", "--image", image, "--strategy", strategy, "--yes", "--dns-checks=false")
        return await self.run(*words, interrupt_after=interrupt_after)

    async def run(self, *words: str, interrupt_after: int | None = None) -> Run:
        """Run flyctl in the folder of the app."""
        begun, began = len(self.emulator.log), time.monotonic()

        async def interrupt(process: asyncio.subprocess.Process) -> None:
            after = begun + (interrupt_after or 0)
            while len(self.emulator.log) < after and process.returncode is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # real time, and another process
            if process.returncode is None:
                process.send_signal(signal.SIGINT)

        environment, meanwhile = os.environ | self.emulator.environment(), interrupt if interrupt_after else None
        ended = await run([str(self.flyctl), *words], self.folder, environment, meanwhile=meanwhile)
        requests, seconds = len(self.emulator.log) - begun, time.monotonic() - began
        # flyctl does not wait for every machine that it creates or destroys, and keeps one that boots stopped when it
        # updates it.
        async with asyncio.timeout(PATIENCE):
            while {each.state for each in self.emulator.world.machines.values()} - AT_REST:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        output, is_accepted = ended.out + ended.err, interrupt_after is not None
        return Run(status=ended.code or 0, requests=requests, seconds=seconds, output=output, is_accepted=is_accepted)

    def faults(self, app: App, image: str) -> Iterator[str]:
        """Yield what differs from the end of an undisturbed deploy of this image."""
        world = self.emulator.world
        machines = [each for each in world.machines.values() if not each.is_destroyed]
        marks = [each.config["metadata"] for each in machines]
        groups = Counter(each["fly_process_group"] for each in marks if "fly_canary" not in each)
        if groups != app.machines:
            yield f"machines are {dict(groups)}"
        images = Counter(without_digest(str(each.config["image"])) for each in machines)
        if set(images) != {f"docker.io/library/{image}"}:
            yield f"images are {dict(images)}"
        states = Counter(each.state for each in machines)
        if states["stopped"] != sum("standbys" in each.config for each in machines):
            yield f"states are {dict(states)}"
        if cordoned := sum(each.is_cordoned for each in machines):
            yield f"{cordoned} machines are cordoned"
        volumes = [each for each in world.volumes.values() if not is_gone(world, each)]
        if len(volumes) != app.has_mounts or any(each.machine_id is None for each in volumes):
            yield f"volumes are {volumes}"

    def end(self) -> str:
        """Return what the app holds, on one line."""
        world = self.emulator.world
        machines = [each for each in world.machines.values() if not each.is_destroyed]
        states = Counter(f"{each.config['metadata']['fly_process_group']} {each.state}" for each in machines)
        left = [lease.expires_at - world.clock for each in machines if (lease := leases.current(world, each))]
        held = f"{len(left)} leases, the last for {max(left):.0f} s" if left else "no lease"
        releases = Counter(each.status for each in world.apps["web"].releases)
        canaries = sum("fly_canary" in each.config["metadata"] for each in machines)
        counted = [", ".join(f"{count} {each}" for each, count in sorted(some.items())) for some in (states, releases)]
        return f"{counted[0]}; {canaries} canaries left; {held}; releases: {counted[1]}"


async def main() -> int:
    """Print the rows as they come, several at once; return how many are wrong."""
    given, slots = options(__doc__, flyctl=Path, only="*"), asyncio.Semaphore(AT_ONCE)

    async def one(row: Row) -> bool:
        async with slots:
            return await row.deployed(given.flyctl)

    done = await asyncio.gather(*(one(row) for row in rows() if fnmatch(row.name, given.only)))
    print(f"{len(done)} rows, {done.count(False)} wrong")
    return done.count(False)


if __name__ == "__main__":
    sys.exit(bool(asyncio.run(main())))
