"""The time until N machines run: flyasync, what one would write without it, and what else there is to install.

All launch the same machines of the same apps in 30 regions, each on an emulator of its own that keeps the published
limits, whose requests travel 20 to 250 ms, and whose machines boot for two seconds. The apps are there beforehand. What
runs, and how often a limit said no, is the emulator's word. The floor is what the published limits, the boot and what
goes one after the other take: see `benchmarks.fleet.floor`. A tag takes one request more, since it has to be resolved
so that all machines run one digest. Where somebody is through earlier, both are listed request by request.

flyasync and the hand-written ones, both in `benchmarks/parts/launch_rivals.py`, run in virtual time: there is no CPU in
it, so the machine does not matter. The ready-made SDKs run as programs in real time, beside flyasync as a program, and
at a smaller size. They are installed for that; one that cannot be is not measured. `--flyctl PATH` adds the official
command, beside ours.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.fleet.floor import Floor, floor
from benchmarks.hedging import hedging
from benchmarks.parts import launch_rivals as rivals
from benchmarks.parts.launch_flyctl import beside_flyctl
from benchmarks.parts.launch_programs import FLYASYNC, KITS, Program, installed, side_by_side
from benchmarks.parts.launch_rivals import LATENCY, REGIONS, Launched, Wanted, wanted
from benchmarks.shared.table import Figure, Goal, Plot, Row, Table
from flyasync.testing import run_virtual

Rival = Callable[[str, str, Sequence[Wanted]], Awaitable[None]]
"""What launches machines by the API at a URL, with a token, and returns when it has done what it can."""

OURS = "flyasync"
PINNED = "flyasync, with the digest"
RIVALS: Mapping[str, Rival] = {
    OURS: rivals.with_flyasync,
    PINNED: partial(rivals.with_flyasync, base=rivals.PINNED),
    "aiohttp, gather": partial(rivals.by_hand, tries=1),
    "aiohttp, gather, a 429 once more after 2 s": partial(rivals.by_hand, tries=2, pause=2),
    "aiohttp, gather, a 429 again each second": rivals.by_hand,
    "aiohttp, aiolimiter, a 429 again": partial(rivals.by_hand, is_paced=True, pause=0),
}
SIZES = (60, 300)
APPS = (1, 3, 30)
BOOT = 2.0
REAL = 12
"""Machines of the launch in real time."""
CLOSE = 1.03
"""How often the floor a launch may take."""

COUNTS = {"429s": ",d", "requests each": ".2f", "waits each": ".2f"}
COLUMNS = {"started": "", "seconds": ".1f", "floor": ".1f", "ratio": ".3f", **COUNTS}
NOTES = (
    "Each: for each machine that was wanted. Waits are counted apart from other requests.",
    "A launch that does not start all has no ratio, and its time is when it gave up.",
    "A ratio below 1: nothing is asked after the last boot, so a machine that ends right then counts as started.",
)


def measure(*, tiny: bool, flyctl: Path | None = None) -> Iterator[Table]:
    """Launch at each size, by flyasync and its rivals, the flyctl at a path among them."""
    with TemporaryDirectory() as directory, ThreadPoolExecutor(1) as meanwhile:
        kits = meanwhile.submit(installed, {} if tiny else KITS, Path(directory))
        for machines in (6,) if tiny else SIZES:
            yield in_virtual_time(machines, APPS[:2] if tiny else APPS)
        yield in_real_time(3, *kits.result(), boot=0.2) if tiny else in_real_time(REAL, *kits.result(), boot=BOOT)
    yield hedging(40, (1, 10), boot=0.2) if tiny else hedging(SIZES[-1], (1, 30, 100), boot=BOOT)
    if flyctl:
        yield asyncio.run(beside_flyctl(flyctl, boot=BOOT))


def in_virtual_time(machines: int, spreads: Sequence[int]) -> Table:
    """Launch so many machines in each of these numbers of apps, by each rival."""
    rows: list[Row] = []
    ahead: list[str] = []
    for apps in spreads:
        spread = f"{apps} app{'s' * (apps > 1)}"
        least = floor(apps, at_once=apps, machines=machines // apps, boot=BOOT, travel=LATENCY)
        of_floor = {OURS: CLOSE * (1 + least.one_request / least.published), PINNED: CLOSE}
        close = {name: Goal(f"ratio <= {ratio:.4g}", why_slower(least)) for name, ratio in of_floor.items()}
        came = {name: virtually(rival, machines, apps) for name, rival in RIVALS.items()}
        for name, each in came.items():
            goals = (*_goals(machines), close[name]) if name in close else ()
            rows.append(Row(f"{spread}: {name}", figures(machines, least, each), goals))
        ahead += ahead_of_ours(f"{machines} in {spread}", machines, came)
    plot = Plot(
        title=f"How many of {machines} machines run in the end",
        along="apps that they are spread over",
        up="machines that run",
        column="started",
        series=lambda row: row.name.partition(": ")[2],
        place=lambda row: int(row.name.split()[0]),
    )
    title = f"{machines} machines in {len(REGIONS)} regions, in virtual time"
    return Table(title=title, subject="apps: by", columns=COLUMNS, rows=rows, notes=(*NOTES, *ahead), plot=plot)


def virtually(rival: Rival, machines: int, apps: int) -> Launched:
    """Have a rival launch so many machines in so many apps, in a loop of its own."""
    return run_virtual(launched(rival, wanted(machines, apps=apps)))


async def launched(rival: Rival, order: Sequence[Wanted]) -> Launched:
    """Have a rival launch these machines, on an emulator of its own."""
    now = asyncio.get_running_loop().time
    async with rivals.emulated(dict.fromkeys(each.app for each in order), boot=BOOT) as emulator:
        began = now()
        await rival(emulator.url, emulator.token, order)
        return Launched.of(emulator, now() - began)


def ahead_of_ours(what: str, machines: int, came: Mapping[str, Launched]) -> Iterator[str]:
    """List the requests of the fastest rival that is through before flyasync, and those of flyasync."""
    all_run = {name: each for name, each in came.items() if each.started == machines}
    fastest = min(all_run, key=lambda name: all_run[name].seconds)
    if fastest not in {OURS, PINNED}:
        yield f"The last machine of {what}, each request with when it was sent:"
        yield from (f"  {name}: {came[name].path}" for name in (OURS, PINNED, fastest) if name in came)


def in_real_time(machines: int, kits: Mapping[str, Program], missing: Mapping[str, str], *, boot: float) -> Table:
    """Launch so many machines in one app, by flyasync and these kits, side by side; `missing` says why others are."""
    programs = {OURS: FLYASYNC, **kits}
    came = asyncio.run(side_by_side(programs, wanted(machines, apps=1), boot=boot))
    least = floor(1, at_once=1, machines=machines, boot=boot, travel=LATENCY)
    rows = {name: figures(machines, least, each) for name, each in came.items()}
    broken = dict.fromkeys(programs.keys() - came.keys(), "it broke")
    rows |= {f"{name}, not measured: {why}": {} for name, why in {**missing, **broken}.items()}
    return Table(
        title=f"{machines} machines in one app, in real time",
        subject="by",
        columns=COLUMNS,
        rows=[Row(name, each, _goals(machines) if name.startswith(OURS) else ()) for name, each in rows.items()],
        notes=NOTES,
    )


def figures(machines: int, least: Floor, came: Launched) -> dict[str, Figure]:
    """Reckon a row's figures; there is no ratio where not all of the machines run."""
    assert came.started <= machines, "a machine was made twice"
    return {
        "started": came.started,
        "seconds": came.seconds,
        "floor": least.published,
        "ratio": came.seconds / least.published if came.started == machines else None,
        "429s": came.limited,
        "requests each": came.requests / machines,
        "waits each": came.waits / machines,
    }


def _goals(machines: int) -> tuple[Goal, ...]:
    return Goal(f"started >= {machines}"), Goal("429s <= 0"), Goal("requests each <= 3")


def why_slower(least: Floor) -> str:
    """Say what flyasync takes beyond a floor."""
    margin = least.kept - least.published
    kept_back = f"a margin in each burst, so that jitter causes no 429, takes {margin:g} s, and " if margin else ""
    return (
        f"{kept_back}a launch is read before its first create: an unknown region or app is an error before anything "
        "changes, and each machine is created with the mark of the secrets that the app had before"
    )
