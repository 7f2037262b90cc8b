"""Rows: one for each machine of a deploy, as the events tell it; pure."""

from collections import Counter
from collections.abc import Iterable

from attrs import define, field

from flyasync.deploy.events import Planned, Progress
from flyasync.deploy.outcome import Phase
from flyasync.deploy.plan import Adopt, AwaitHealthy, AwaitStarted, Plan, Track

LOST = frozenset({Phase.SKIPPED, Phase.FAILED, Phase.DESTROYED})


@define
class Row:
    """One machine: where it is wanted and where it is, how far it came, and since when."""

    name: str
    label: str
    asked: str
    region: str
    last_phase: Phase
    phase: Phase | None = None
    machine_id: str | None = None
    why: str = ""
    since: float | None = None
    until: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it came as far as it should."""
        return self.phase is self.last_phase

    @property
    def is_lost(self) -> bool:
        """Whether it will not come any further."""
        return self.phase in LOST

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.is_ready or self.is_lost

    def seconds(self, now: float) -> float:
        """Say how long it has taken so far, or took."""
        end = now if self.until is None else self.until
        return 0.0 if self.since is None else max(end - self.since, 0.0)

    def take(self, event: Progress) -> None:
        """Note what an event says."""
        self.phase, self.region = event.phase, event.region
        self.machine_id = event.machine_id or self.machine_id
        self.why = " ".join((event.detail or self.why).split())
        self.since = event.at if self.since is None else self.since
        self.until = event.at if self.is_over else None


@define
class Rows:
    """All machines of one deploy, in the plan's order."""

    plan: Plan
    by_name: dict[str, Row] = field(factory=dict)

    @classmethod
    def of(cls, planned: Planned) -> "Rows":
        """Make a row for each machine of a plan."""
        plan = planned.plan
        rows = (_row(track, plan.launch) for lane in plan.lanes for track in lane.tracks)
        return cls(plan, {row.name: row for row in rows})

    def take(self, event: Progress) -> None:
        """Note what an event says of its machine."""
        self.by_name[event.name].take(event)

    @property
    def ready(self) -> int:
        """How many machines came as far as they should."""
        return sum(row.is_ready for row in self.by_name.values())

    def fit(self, lines: int) -> tuple[list[Row], list[Row]]:
        """Part the rows into those to show on so many lines and the others: what is ready gives way first."""
        rows = list(self.by_name.values())
        if len(rows) <= lines:
            return rows, []
        first = sorted(rows, key=_dullness)[: max(lines - 1, 0)]
        shown = {row.name for row in first}
        return [row for row in rows if row.name in shown], [row for row in rows if row.name not in shown]


def summary(rows: Iterable[Row]) -> str:
    """Count rows by what became of them: `12 started, 1 skipped`."""
    counts = Counter(row.phase or "waiting" for row in rows)
    return ", ".join(f"{count} {phase}" for phase, count in counts.items())


def _dullness(row: Row) -> int:
    return 2 if row.is_ready else 1 if row.is_lost else 0


def _row(track: Track, launch: str) -> Row:
    machine = track.machine
    return Row(
        name=machine.name,
        label=machine.name.removeprefix(f"{launch}-"),
        asked=machine.region,
        region=machine.region,
        last_phase=_last_phase(track),
    )


def _last_phase(track: Track) -> Phase:
    match track.steps[-1]:
        case AwaitHealthy():
            return Phase.HEALTHY
        case AwaitStarted():
            return Phase.STARTED
        case Adopt():
            return Phase.ADOPTED
        case _:
            return Phase.CREATED
