"""Launches in which 2 % of the machines never start: how long each takes, with and without a rival for a late one.

The time of a machine is that from its create until it, or its rival, is seen started, in virtual time. A machine can be
late only once its siblings are up, and then its rival takes a create and a boot, as they did: twice the median is the
least. A rival that is stuck too gets another one.
"""

from collections.abc import Iterator, Sequence
from contextlib import aclosing

from attrs import frozen

from benchmarks.rivals.pretend import pretended
from benchmarks.rivals.wanted import wanted
from benchmarks.rivals.with_flyasync import BASE, builders_of
from benchmarks.shared.table import Goal, Row, Table, percentile
from flyasync import Fault, FlyClient, MachineReport, Phase, deploy_many
from flyasync.testing import run_virtual

STUCK = Fault(does="stay_starting", probability=0.02)
TIMES = (None, 3.0, 1.1)
"""How often the median a machine may take before it gets a rival; 3 is the default."""
WHY = (
    "a machine can be late only once others are up, and its rival then takes a create and a boot as they did, which is "
    "twice the median; to that comes what is stated over 1, and the creates of its app that are sent before the rival's"
)
COLUMNS = {
    "started": "",
    "median, s": ".2f",
    "p99, s": ".2f",
    "worst, s": ".2f",
    "p99 / median": ".2f",
    "created": "",
    "left": "",
    "429s": "",
}


@frozen(kw_only=True)
class Hedged:
    """What came of one: the seconds that each machine took that has started, and what the emulator saw."""

    seconds: Sequence[float]
    created: int
    left: int
    limited: int


def hedging(machines: int, spreads: Sequence[int], *, boot: float) -> Table:
    """Launch so many machines in each of these numbers of apps, with each hedge."""
    rows = [_row(machines, apps, times, boot) for apps in spreads for times in TIMES]
    title = f"{machines} machines of which 2 % never start, in virtual time"
    return Table(title=title, subject="apps: hedge", columns=COLUMNS, rows=rows)


def _row(machines: int, apps: int, times: float | None, boot: float) -> Row:
    came = run_virtual(launched(machines, apps, times, boot))
    seconds = sorted(came.seconds)
    seconds += [float("inf")] * (machines - len(seconds))
    median, p99 = (percentile(seconds, hundredth) for hundredth in (50, 99))
    goals = (Goal("p99 / median <= 2", WHY), Goal(f"left <= {machines}"))
    return Row(
        name=f"{apps} app{'s' * (apps > 1)}: {'none' if times is None else f'{times:g} times the median'}",
        figures={
            "started": len(came.seconds),
            "median, s": median,
            "p99, s": p99,
            "worst, s": seconds[-1],
            "p99 / median": p99 / median,
            "created": came.created,
            "left": came.left,
            "429s": came.limited,
        },
        goals=() if times is None else (*goals, Goal("429s <= 0")),
    )


async def launched(machines: int, apps: int, times: float | None, boot: float) -> Hedged:
    """Launch machines in apps, on an emulator of their own."""
    base = BASE.wait_for(timeout=90)
    order = wanted(machines, apps=apps)
    builders = builders_of(order, base if times is None else base.hedge(times))
    async with pretended(order, boot=boot, faults=[STUCK]) as emulator:
        async with (
            FlyClient(emulator.token, base_url=emulator.url) as fly,
            aclosing(deploy_many(fly, builders.__getitem__, builders, at_once=apps)) as reports,
        ):
            seconds = [took async for report in reports for one in report.machines for took in _took(one)]
        records = emulator.world.machines.values()
        return Hedged(
            seconds=seconds,
            created=len(records),
            left=sum(record.state not in {"destroying", "destroyed"} for record in records),
            limited=sum(emulator.refused_by_limit().values()),
        )


def _took(machine: MachineReport) -> Iterator[float]:
    """Yield the seconds from the create until the start, if there was one."""
    at = {moment.phase: moment.at for moment in machine.moments}
    if Phase.STARTED in at:
        yield at[Phase.STARTED] - at[Phase.CREATING]
