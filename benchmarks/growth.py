"""What each machine costs as there are more of them: CPU and memory, for one app and for many.

Flat is the aim: a machine among many costs what it costs among few, so all of it grows in a straight line. Each figure
is of a process of its own, which does one size of one subject and nothing else; `benchmarks.parts.growth_sizes` says
what they do. The seconds of CPU are those of that process. The bytes are by how much its memory had grown at its peak,
as the operating system counts it, so Python's own reserves are in it. The size that others are set beside is done
twice: before the largest one, and after it, so that a host whose speed drifts slows both alike.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve, frozen

from benchmarks.parts.growth_sizes import Cost, cost
from benchmarks.shared.children import processes
from benchmarks.shared.table import Figure, Goal, Plot, Row, Spread, Table

MACHINES = "machines"
CPU = "us of CPU a machine"
CPU_RATIO = "x of CPU"
SLOPE = "slope"
MEMORY = "KiB a machine"
MEMORY_RATIO = "x of memory"
HELD = "KiB held"
KEPT = "KiB kept"
COLUMNS = {MACHINES: ",", CPU: ".0f", CPU_RATIO: ".2f", SLOPE: ".2f", MEMORY: ".1f", MEMORY_RATIO: ".2f",
           HELD: ".2f", KEPT: ".2f"}  # fmt: skip


@frozen(kw_only=True)
class Subject:
    """What grows, by its name in `growth_sizes`: its sizes, and the one that larger ones are set beside."""

    name: str
    title: str
    what: str
    sizes: Sequence[int]
    many: int


SUBJECTS = (
    Subject(name="plan", title="plan and report", what="machines", sizes=(10, 100, 1000, 10_000, 100_000), many=1000),
    Subject(name="uncollected", title="without collection", what="machines", sizes=(1000, 100_000), many=1000),
    Subject(name="deploy", title="deploy of one app", what="machines", sizes=(10, 100, 1000, 3000), many=1000),
    Subject(name="apps", title="deploys of one machine", what="apps", sizes=(1, 10, 100, 1000, 10_000), many=100),
)
TINY = tuple(evolve(subject, sizes=(10, 20), many=10) for subject in SUBJECTS)
ROUNDS = 2
"""How often a size is done that others are set beside; the others are done once."""
HELD_OF = 10_000
"""The machines of the deploy during which is looked at what is held."""

GOALS = (
    Goal(
        f"{CPU_RATIO} <= 1.1",
        "garbage collection pauses while plans, estimates and reports are made, which have no cycles; what remains is "
        "the same code for each machine, whose objects do not fit into the caches of the CPU, and that collections "
        "between them look at all objects of the deploy; beside a plan see the row without collection",
    ),
    Goal(
        f"{MEMORY_RATIO} <= 1.25",
        "what is kept of each machine is the same at every size, but Python reserves memory in steps",
    ),
)
LITTLE = (
    Goal(f"{HELD} <= 4", "a machine that waits has a task with its coroutines; one that is done has been read"),
    Goal(f"{KEPT} <= 4", "the report has each machine with its moments"),
)
BEYOND = (
    "more is not deployed here, for that takes minutes: `python -m benchmarks.parts.growth_sizes deploy 10000`, and "
    "100,000 apps of three machines by `python -m benchmarks.scaling --only simulation --apps 100000`"
)
LOOKED_AT = (
    "held, kept: all objects that the client and the task of a deploy refer to, at most at 20 looks between two "
    "requests, and the report and the client at its end; without the emulator, and without a response while it is read"
)
NOTES = (
    "x of CPU and x of memory: set beside the row of the same subject where they are 1.00",
    "slope: by which power of its size the whole grows from there on; 1 is a straight line",
    "the emulator works in the process that deploys, so its CPU and its memory are in those figures",
    LOOKED_AT,
    BEYOND,
)


def measure(*, tiny: bool) -> Iterator[Table]:
    """Do all sizes of all subjects, and set each beside the size it is compared with."""
    subjects = TINY if tiny else SUBJECTS
    taken: dict[str, dict[int, list[Cost]]] = {subject.name: {} for subject in subjects}
    for turn in range(1 if tiny else ROUNDS):
        for subject in subjects:
            for size in subject.sizes:
                if turn == 0 or size == subject.many:
                    taken[subject.name].setdefault(size, []).append(_cost(subject.name, size))
    held = _cost("held", 20 if tiny else HELD_OF)
    name, figures = f"during a deploy of one app: {held.machines:,} machines", dict.fromkeys(COLUMNS) | _objects(held)
    yield Table(
        title="what a machine costs, the more of them there are",
        subject="what is done",
        columns=COLUMNS,
        rows=[*(row for subject in subjects for row in rows(subject, taken[subject.name])), Row(name, figures, LITTLE)],
        notes=NOTES,
        plot=Plot(
            title="CPU of a machine, in microseconds",
            along=MACHINES,
            up="us",
            column=CPU,
            series=lambda row: row.name.split(":")[0],
        ),
    )


def rows(subject: Subject, costs: Mapping[int, Sequence[Cost]]) -> Iterator[Row]:
    """Yield a row for each size of a subject, from what it took each time."""
    base = costs[subject.many]
    for size, each in costs.items():
        figures = dict.fromkeys(COLUMNS) | _objects(each[0]) | {CPU: _cpu(each), MEMORY: _memory(each)}
        if size >= subject.many:
            figures[CPU_RATIO] = _cpu(each).median / _cpu(base).median
            if had := _memory(base).median:  # memory that was there already is not counted
                figures[MEMORY_RATIO] = _memory(each).median / had
        if size > subject.many:
            figures[SLOPE] = slope(each, base)
        goals = GOALS if size == max(costs) and subject.name != "uncollected" else ()
        yield Row(f"{subject.title}: {size:,} {subject.what}", figures, goals)


def slope(costs: Sequence[Cost], base: Sequence[Cost]) -> float:
    """Say by which power of the machines the whole CPU time grows: 1 if each costs the same, 2 if twice as many do."""
    more = costs[0].machines / base[0].machines
    return 1 + math.log(_cpu(costs).median / _cpu(base).median) / math.log(more)


def _cpu(costs: Iterable[Cost]) -> Spread:
    return Spread.of(each.cpu * 1e6 / each.machines for each in costs)


def _memory(costs: Iterable[Cost]) -> Spread:
    return Spread.of(each.memory / 1024 / each.machines for each in costs)


def _objects(spent: Cost) -> dict[str, Figure]:
    held, kept = (None if size is None else size / 1024 / spent.machines for size in (spent.held, spent.kept))
    return {MACHINES: spent.machines, HELD: held, KEPT: kept}


def _cost(subject: str, size: int) -> Cost:
    with processes() as pool:
        return pool.submit(cost, subject, size).result()
