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

FLAT = 1.1
"""How much more CPU a machine may cost among the most than among the many with which it is compared."""
FLAT_MEMORY = 1.25
"""The same of memory."""

MACHINES = "machines"
CPU = "us of CPU a machine"
CPU_RATIO = "x of CPU"
SLOPE = "slope"
MEMORY = "KiB a machine"
MEMORY_RATIO = "x of memory"
KEPT = "KiB kept"
COLUMNS = {MACHINES: ",", CPU: ".0f", CPU_RATIO: ".2f", SLOPE: ".2f", MEMORY: ".1f", MEMORY_RATIO: ".2f", KEPT: ".2f"}


@frozen(kw_only=True)
class Subject:
    """What grows, by its name in `growth_sizes`: its sizes, and the one that larger ones are set beside."""

    name: str
    title: str
    what: str
    sizes: Sequence[int]
    many: int

    def row_name(self, size: int) -> str:
        """Name one of its sizes."""
        return f"{self.title}: {size:,} {self.what}"


SUBJECTS = (
    Subject(name="plan", title="plan and report", what="machines", sizes=(10, 100, 1000, 10_000, 100_000), many=1000),
    Subject(name="deploy", title="deploy of one app", what="machines", sizes=(10, 100, 1000, 3000), many=1000),
    Subject(name="apps", title="deploys of one machine", what="apps", sizes=(1, 10, 100, 1000, 10_000), many=100),
)
TINY = tuple(evolve(subject, sizes=(10, 20), many=10) for subject in SUBJECTS)
ROUNDS = 2
"""How often a size is done that others are set beside; the others are done once."""

WHY_CPU = (
    "garbage collection, which would find nothing, pauses while plans and reports are made, but not during a deploy; "
    "what remains is the same code for each machine, whose objects probably do not fit into the caches of the CPU"
)
WHY_MEMORY = "what is kept of each machine is the same at every size, but Python reserves memory in steps"
GOALS = (
    Goal(f"{CPU_RATIO} <= {FLAT}", WHY_CPU),
    Goal(f"{MEMORY_RATIO} <= {FLAT_MEMORY}", WHY_MEMORY),
)
LITTLE_KEPT = Goal(f"{KEPT} <= 4", "the report has each machine with its moments")
BEYOND = (
    "more is not deployed here, for that takes minutes: `python -m benchmarks.parts.growth_sizes deploy 10000`, and "
    "100,000 apps of three machines by `python -m benchmarks.scaling --only simulation --apps 100000`"
)
NOTES = (
    "x of CPU and x of memory: set beside the row of the same subject where they are 1.00",
    "slope: by which power of its size the whole grows from there on; 1 is a straight line",
    "the emulator works in the process that deploys, so its CPU and its memory are in those figures",
    "kept: the report of a deploy and what the client holds at its end, without the emulator",
    BEYOND,
)

Costs = Mapping[int, Sequence[Cost]]
"""What each size took, each time."""


def measure(*, tiny: bool) -> Iterator[Table]:
    """Do all sizes of all subjects, and set each beside the size it is compared with."""
    subjects = TINY if tiny else SUBJECTS
    taken: dict[str, dict[int, list[Cost]]] = {subject.name: {} for subject in subjects}
    for turn in range(1 if tiny else ROUNDS):
        for subject in subjects:
            for size in subject.sizes:
                if turn == 0 or size == subject.many:
                    taken[subject.name].setdefault(size, []).append(_cost(subject.name, size))
    yield Table(
        title="what a machine costs, the more of them there are",
        subject="what is done",
        columns=COLUMNS,
        rows=[row for subject in subjects for row in rows(subject, taken[subject.name])],
        notes=NOTES,
        plot=Plot(
            title="CPU of a machine, in microseconds",
            along="machines",
            up="us",
            column=CPU,
            series=lambda row: row.name.split(":")[0],
        ),
    )


def rows(subject: Subject, costs: Costs) -> Iterable[Row]:
    """Put the rows of a subject together, one for each size."""
    base = costs[subject.many]
    for size, each in costs.items():
        cpu, memory = _cpu(each), _memory(each)
        is_compared = size >= subject.many
        figures: dict[str, Figure] = {
            MACHINES: each[0].machines,
            CPU: cpu,
            CPU_RATIO: _ratio(cpu, _cpu(base)) if is_compared else None,
            SLOPE: slope(each, base) if size > subject.many else None,
            MEMORY: memory,
            MEMORY_RATIO: _ratio(memory, _memory(base)) if is_compared else None,
            KEPT: None if (kept := each[0].kept) is None else kept / 1024 / each[0].machines,
        }
        goals = (*GOALS, *((LITTLE_KEPT,) if figures[KEPT] is not None else ())) if size == max(costs) else ()
        yield Row(name=subject.row_name(size), figures=figures, goals=goals)


def slope(costs: Sequence[Cost], base: Sequence[Cost]) -> float:
    """Say by which power of the machines the whole CPU time grows: 1 if each costs the same, 2 if twice as many do."""
    more = costs[0].machines / base[0].machines
    return 1 + math.log(_cpu(costs).median / _cpu(base).median) / math.log(more)


def _ratio(figure: Spread, base: Spread) -> float | None:
    return figure.median / base.median if base.median else None  # memory that was there already is not counted


def _cpu(costs: Iterable[Cost]) -> Spread:
    return Spread.of(each.cpu * 1e6 / each.machines for each in costs)


def _memory(costs: Iterable[Cost]) -> Spread:
    return Spread.of(each.memory / 1024 / each.machines for each in costs)


def _cost(subject: str, size: int) -> Cost:
    with processes() as pool:
        return pool.submit(cost, subject, size).result()
