"""Launches in which 2 % of the machines never start: how long each takes, with and without a rival for a late one.

The time of a machine is that from its create until it, or its rival, is seen started, in virtual time. A machine can be
late only once its siblings are up, and then its rival takes a create and a boot, as they did: twice the median is the
least. A rival that is stuck too gets another one.
"""

import math
from collections.abc import Sequence

from benchmarks.parts.flight_fleets import alive
from benchmarks.parts.launch_rivals import BASE, builders_of, emulated, wanted
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
SECONDS = dict.fromkeys(("median, s", "p99, s", "worst, s", "p99 / median"), ".2f")
COLUMNS = {"started": "", **SECONDS, "created": "", "left": "", "429s": ""}


def hedging(machines: int, spreads: Sequence[int], *, boot: float) -> Table:
    """Launch so many machines in each of these numbers of apps, with each hedge."""
    rows = [run_virtual(_row(machines, apps, times, boot)) for apps in spreads for times in TIMES]
    title = f"{machines} machines of which 2 % never start, in virtual time"
    return Table(title=title, subject="apps: hedge", columns=COLUMNS, rows=rows)


async def _row(machines: int, apps: int, times: float | None, boot: float) -> Row:
    """Launch machines in apps, on an emulator of their own."""
    base = BASE.wait_for(timeout=90)
    builders = builders_of(wanted(machines, apps=apps), base if times is None else base.hedge(times))
    async with emulated(builders, boot=boot, faults=[STUCK]) as emulator:
        async with FlyClient(emulator.token, base_url=emulator.url) as fly:
            reports = [each async for each in deploy_many(fly, builders.__getitem__, builders, at_once=apps)]
        took = sorted(_took(machine) for report in reports for machine in report.machines)
        median, p99 = (percentile(took, hundredth) for hundredth in (50, 99))
        figures = {
            "started": sum(seconds < math.inf for seconds in took),
            "median, s": median,
            "p99, s": p99,
            "worst, s": took[-1],
            "p99 / median": p99 / median,
            "created": len(emulator.world.machines),
            "left": len(alive(emulator)),
            "429s": sum(emulator.refused_by_limit().values()),
        }
    name = f"{apps} app{'s' * (apps > 1)}: {'none' if times is None else f'{times:g} times the median'}"
    goals = (Goal("p99 / median <= 2", WHY), Goal(f"left <= {machines}"), Goal("429s <= 0"))
    return Row(name, figures, () if times is None else goals)


def _took(machine: MachineReport) -> float:
    """Return the seconds from the create until the start, if there was one."""
    at = {moment.phase: moment.at for moment in machine.moments}
    return at[Phase.STARTED] - at[Phase.CREATING] if Phase.STARTED in at else math.inf
