"""Any number of apps deployed by one client in virtual time, on an emulator in the same process.

The loop's clock jumps over every wait, so a run shows what the API and the client make apps wait for; the CPU takes no
virtual time. Each app is made in the emulator's world as it is asked for, since the API makes one a second, and is
compared with what that world holds when its report comes. Soon the emulator forgets it: what stays in memory is the
client's. At each power of ten the table shows the seconds beside the floor, the CPU, and what of the client is in
memory: `objects` of this package's own, and all that the process has; at the end, the requests.
"""

import asyncio
import gc
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing

from attrs import Factory, define, frozen

from benchmarks.fleet.apps import Asked, Held, asked, base
from benchmarks.fleet.floor import Floor, floor
from benchmarks.shared.served import requests
from benchmarks.shared.usage import resident
from flyasync import DeployBuilder, DeployReport, Emulator, FlyClient, deploy_many
from flyasync.emulator.core.regions import CODES
from flyasync.emulator.world import apps
from flyasync.testing import run_virtual
from flyasync.transport.session import Timeouts

LAUNCH = "scale-1"
BOOT, LATENCY = 2.0, (0.02, 0.25)
FORGET_EVERY = 200
"""So many reports from one time that the emulator forgets apps, and what it was asked, to the next."""
_NOT_THE_CLIENT = ("flyasync.emulator", "flyasync.testing")


@frozen(kw_only=True)
class Run:
    """How many apps of how many machines, and how many of them at once.

    The client has room for as many calls and long polls as so many apps can use, unless it `is_usual`.
    """

    apps: int
    at_once: int
    machines: int = 3
    is_usual: bool = False

    @property
    def timeouts(self) -> Timeouts:
        most = self.at_once * self.machines
        # Waits leave a fifth of the places for polls to others.
        return Timeouts() if self.is_usual else Timeouts(calls=most, polls=2 * most)

    @property
    def regions(self) -> Sequence[str]:
        """Where the machines go, one in each."""
        return CODES[: self.machines]

    def floor(self, done: int) -> Floor:
        return floor(done, at_once=self.at_once, machines=self.machines, boot=BOOT)


@frozen(kw_only=True)
class Mark:
    """How things stood when so many apps were done: the virtual seconds that had passed, and what was in memory."""

    apps: int = 0
    virtual: float = 0
    cpu: float = 0
    memory_mb: float = 0
    objects: int = 0


def by_simulation(run: Run) -> int:
    """Run it once, print the table as it goes, and return 0 if no app came out wrong and no request got a 429."""
    room = "as it is" if run.is_usual else "with room for all calls"
    print(f"{run.machines} machines an app, {run.at_once} apps at once by one client {room}, in virtual time")
    print("     apps   seconds   of the floor: published  kept  1,000 more: seconds     CPU   memory  objects")
    marks = [Mark()]

    def note(mark: Mark) -> None:
        before, least, thousands = marks[-1], run.floor(mark.apps), (mark.apps - marks[-1].apps) / 1000
        print(
            f"  {mark.apps:7} {mark.virtual:9.1f} {mark.virtual / least.published:25.2f} "
            f"{mark.virtual / least.kept:5.2f} {(mark.virtual - before.virtual) / thousands:20.2f} "
            f"{(mark.cpu - before.cpu) / thousands:7.1f} {mark.memory_mb:5.0f} MB {mark.objects:8}",
            flush=True,
        )
        marks.append(mark)

    seen = run_virtual(simulate(run, note))
    each = ", ".join(f"{action} {count / run.apps:.2f}" for action, count in seen.requests.most_common())
    print(f"  requests for each app {seen.requests.total() / run.apps:.2f}: {each}")
    print(f"  {run.apps - len(seen.wrong)} apps exactly as asked for, {len(seen.wrong)} wrong, {seen.limited} x 429")
    return int(bool(seen.wrong or seen.limited))


async def simulate(run: Run, note: Callable[[Mark], None] = lambda _: None) -> "Simulation":
    """Deploy to all of its apps, `note` how things stand at each power of ten and at the end."""
    async with (
        Emulator(seed=1, boot=(BOOT, BOOT), latency=LATENCY, retired=()) as emulator,
        FlyClient(emulator.token, base_url=emulator.url, timeout=run.timeouts) as fly,
    ):
        simulation = Simulation(run, emulator, base(run.regions, LAUNCH))
        marks = {run.apps, *(10**power for power in range(3, 7))}
        began, cpu, done = asyncio.get_running_loop().time(), time.process_time(), 0
        many = deploy_many(fly, simulation.builder, simulation.names(), at_once=run.at_once)
        async with aclosing(many) as reports:
            async for report in reports:
                simulation.take(report)
                done += 1
                if done % FORGET_EVERY == 0 or done in marks:
                    simulation.forget()
                if done in marks:
                    virtual, spent = asyncio.get_running_loop().time() - began, time.process_time() - cpu
                    gc.collect()
                    objects = sum(_is_the_clients(type(each).__module__) for each in gc.get_objects())
                    memory = resident() / 2**20
                    note(Mark(apps=done, virtual=virtual, cpu=spent, memory_mb=memory, objects=objects))
        return simulation


@define
class Simulation:
    """A run, and the emulator whose memory is kept short; `wrong` apps were not exactly as asked for when reported."""

    run: Run
    _emulator: Emulator
    _base: DeployBuilder
    requests: Counter[str] = Factory(Counter)
    limited: int = 0
    wrong: list[str] = Factory(list)
    _under_way: dict[str, Asked] = Factory(dict)
    _deployed: deque[str] = Factory(deque)

    def names(self) -> Iterator[str]:
        """Yield the apps one by one, each of them made by then."""
        for number in range(self.run.apps):
            row = asked(number, self.run.regions)
            self._under_way[row.app] = row
            apps.create(self._emulator.world, row.app, org_slug="personal", network="")
            yield row.app

    def builder(self, app: str) -> DeployBuilder:
        return self._under_way[app].builder(self._base)

    def take(self, report: DeployReport) -> None:
        """Compare an app with what was asked for."""
        held = [Held.of(machine) for machine in self._emulator.world.machines_of(report.app)]
        if not (report.ok and self._under_way.pop(report.app).is_exactly(held, LAUNCH)):
            self.wrong.append(report.app)
        self._deployed.append(report.app)

    def forget(self) -> None:
        """Count what the emulator was asked, and have it forget that, and all apps but the last ten.

        In one of those, tags of images are being resolved.
        """
        log = self._emulator._opened().request_log  # noqa: SLF001 - no user needs an emulator with a short memory
        self.requests += requests(self._emulator)
        self.limited += sum(log.limited.values())
        for kept in (log.counts, log.limited, log.entries):
            kept.clear()
        while len(self._deployed) > 10:
            apps.delete(self._emulator.world, self._deployed.popleft())


def _is_the_clients(module: object) -> bool:
    return isinstance(module, str) and module.startswith("flyasync.") and not module.startswith(_NOT_THE_CLIENT)
