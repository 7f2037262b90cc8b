"""The official flyctl, unmodified, deploys to the emulator: `python -m benchmarks.flyctl_deploys --flyctl PATH`.

For each strategy and each app, with the limits on and in real time: a first deploy and a later one; then a later one
that Ctrl-C (SIGINT) interrupts after so many requests, and the same command again. A deploy
that nothing interrupts must exit with 0 and leave one image everywhere, each machine running or on standby, none
cordoned, and no free volume. What the app holds then is printed, with the leases that still run. `--only PATTERN`
selects rows by their names. Exits with 1 if a row came out otherwise.

flyctl itself leaves the canaries of a deploy that is interrupted after their creation: the next deploy keeps and
updates them, so they are printed, but not wrong. It leases a machine that it creates for `wait_timeout`, and the next
deploy waits 60 s for such a lease: with the default of 5 minutes that deploy would fail, so here it is 30 s. After a
bluegreen deploy that is interrupted with both sets in service, flyctl refuses the next one and prints the command that
destroys the old set; that command then runs before another try.

Machines boot faster than at Fly.io, and a create takes half a second: flyctl creates machines one after the other and
does not repeat a create that the limit refuses, so it relies on the time that Fly.io takes. Leases, limits, checks and
the waits of flyctl have their real length.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

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
BOOT = (0.2, 0.6)
CREATING = Fault(does="delay", action="createMachine", seconds=0.5)
PATIENCE = 20.0
AT_ONCE = 6
AT_REST = {"started", "stopped", "destroyed"}

HEAD = """
app = "web"
primary_region = "iad"

[deploy]
release_command = "bin/migrate"
wait_timeout = "30s"

[http_service]
internal_port = 8080
processes = ["web"]

[[http_service.checks]]
path = "/"
grace_period = "1s"
interval = "2s"
timeout = "2s"

[processes]
web = "serve"
"""
MOUNT = '[mounts]\nsource = "data"\ndestination = "/data"\nprocesses = ["db"]\n'


@frozen(kw_only=True)
class App:
    """An app, and the machines that flyctl's first deploy creates in each group."""

    text: str
    machines: Mapping[str, int]
    has_mounts: bool = False

    def suits(self, strategy: str) -> bool:
        """Whether flyctl deploys it with this strategy: it refuses two of them for an app with mounts."""
        return not (self.has_mounts and strategy in {"canary", "bluegreen"})


APPS = {
    "one group": App(text=HEAD, machines={"web": 2}),
    "two groups, standby": App(text=HEAD + 'worker = "work"\n', machines={"web": 2, "worker": 2}),
    "two groups, mount": App(text=HEAD + 'db = "store"\n' + MOUNT, machines={"web": 2, "db": 1}, has_mounts=True),
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
class Sandbox:
    """One emulator with one app, and flyctl beside it."""

    flyctl: Path
    emulator: Emulator
    folder: Path

    async def deploy(self, image: str, strategy: str, *, interrupt_after: int | None = None) -> Run:
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

        ended = await run(
            [str(self.flyctl), *words],
            self.folder,
            {**os.environ, **self.emulator.environment()},
            meanwhile=interrupt if interrupt_after is not None else None,
        )
        requests, seconds = len(self.emulator.log) - begun, time.monotonic() - began
        await self._settle()
        return Run(
            status=ended.code or 0,
            requests=requests,
            seconds=seconds,
            output=ended.out + ended.err,
            is_accepted=interrupt_after is not None,
        )

    async def _settle(self) -> None:
        # flyctl does not wait for every machine that it creates or destroys, and keeps one that boots stopped when it
        # updates it.
        machines = self.emulator.world.machines
        async with asyncio.timeout(PATIENCE):
            while {each.state for each in machines.values()} - AT_REST:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def faults(self, app: App, image: str) -> Iterator[str]:
        """Yield what differs from the end of an undisturbed deploy of this image."""
        world = self.emulator.world
        machines = [each for each in world.machines.values() if not each.is_destroyed]
        marks = [each.config["metadata"] for each in machines]
        groups = Counter(each["fly_process_group"] for each in marks if "fly_canary" not in each)
        if groups != Counter(app.machines):
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
        return f"{_counted(states)}; {canaries} canaries left; {held}; releases: {_counted(releases)}"


@asynccontextmanager
async def sandbox(flyctl: Path, app: App) -> AsyncIterator[Sandbox]:
    """Serve a new world with an empty app, and write its fly.toml."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "fly.toml").write_text(app.text)  # noqa: ASYNC240 - once, and small
        async with world(boot=BOOT, faults=[CREATING]) as (emulator, _):
            yield Sandbox(flyctl, emulator, Path(folder))


@frozen(kw_only=True)
class Row:
    """One row of the table: each run of flyctl, what the app holds at the end, and what is wrong with it."""

    name: str
    runs: Sequence[Run]
    end: str
    faults: Sequence[str]

    def __str__(self) -> str:
        wrong = "".join(f"\n    WRONG: {fault}" for fault in self.faults)
        return f"{self.name:34} {', '.join(map(str, self.runs))}\n    {self.end}{wrong}"


async def deployed(name: str, flyctl: Path, strategy: str, app: App, interrupt_after: int | None) -> Row:
    """Deploy one image and then another; interrupt the second deploy after so many requests, and run it again."""
    async with sandbox(flyctl, app) as box:
        runs = [await box.deploy("nginx:1", strategy)]
        if interrupt_after is not None:
            runs.append(await box.deploy("nginx:2", strategy, interrupt_after=interrupt_after))
        runs.append(await box.deploy("nginx:2", strategy))
        if interrupt_after is not None and (advice := runs[-1].advice):
            runs[-1] = evolve(runs[-1], is_accepted=True)
            runs += [await box.run(*advice), await box.deploy("nginx:2", strategy)]
        failed = [run.output for run in runs if run.status and not run.is_accepted]
        return Row(name=name, runs=runs, end=box.end(), faults=[*failed, *box.faults(app, "nginx:2")])


def _counted(what: Counter[str]) -> str:
    return ", ".join(f"{number} {each}" for each, number in sorted(what.items()))


Make = Callable[[str], Awaitable[Row]]


def rows(flyctl: Path) -> Iterator[tuple[str, Make]]:
    """Yield the name of each row, and what makes it."""
    for strategy, points in POINTS.items():
        make = partial(deployed, flyctl=flyctl, strategy=strategy)
        for name, app in APPS.items():
            if app.suits(strategy):
                yield f"{strategy} {name}", partial(make, app=app, interrupt_after=None)
        for point in points:
            yield f"{strategy} Ctrl-C after {point} requests", partial(make, app=INTERRUPTED, interrupt_after=point)


async def main() -> int:
    """Print the rows as they come, several at once; return how many are wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flyctl_deploys")
    parser.add_argument("--flyctl", type=Path, required=True, help="the flyctl to run")
    parser.add_argument("--only", default="*", metavar="PATTERN")
    options = parser.parse_args()
    slots = asyncio.Semaphore(AT_ONCE)

    async def show(name: str, make: Make) -> Row:
        async with slots:
            row = await make(name)
        print(row, flush=True)
        return row

    made = await asyncio.gather(*(show(*row) for row in rows(options.flyctl) if fnmatch(row[0], options.only)))
    wrong = sum(bool(row.faults) for row in made)
    print(f"{len(made)} rows, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(asyncio.run(main())))
