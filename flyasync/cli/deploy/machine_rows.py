"""Rows: one for each machine of a deploy, as the events tell it; pure."""

from collections import Counter
from collections.abc import Iterable

from attrs import define

from flyasync.cli.deploy.stage_progress import Stages, last_phase
from flyasync.cli.deploy.wording import word
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Plan, Track, Watch
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.events import Planned, Progress
from flyasync.deploy.reporting.phase import Phase

LOST = frozenset({Phase.SKIPPED, Phase.FAILED, Phase.DESTROYED})


@define
class Row:
    """One machine: where it is wanted and where it is, how far it came, and since when.

    `watches` are the seconds of each time that it has to stay up for at the end of its way, for no event tells when
    that is over.
    """

    name: str
    label: str
    asked: str
    region: str
    last_phase: Phase
    watches: tuple[float, ...] = ()
    retires: bool = False
    phase: Phase | None = None
    machine_id: str | None = None
    why: str = ""
    since: float | None = None
    until: float | None = None

    def is_ready(self, now: float) -> bool:
        """Tell whether it came as far as it should."""
        return self.phase is self.last_phase and not self.is_lost and self.until is not None and now >= self.until

    @property
    def is_lost(self) -> bool:
        """Whether it will not come any further."""
        return self.phase in LOST and not (self.phase is Phase.DESTROYED is self.last_phase)

    def dullness(self, now: float) -> int:
        """Say how soon it gives way to others: what moves stays, then what is lost, what waits, what is ready."""
        if self.is_ready(now):
            return 3
        return 1 if self.is_lost else 2 if self.phase is None else 0

    def word(self, now: float) -> str:
        """Name where it is on its way."""
        if self.phase is None:
            return "waiting"
        if self.phase is Phase.WATCHING and self.is_ready(now):
            return "steady"
        return word(self.phase, retires=self.retires)

    def seconds(self, now: float) -> float:
        """Say how long it has taken so far, or took."""
        end = now if self.until is None else min(now, self.until)
        return 0.0 if self.since is None else max(end - self.since, 0.0)

    def take(self, event: Progress) -> None:
        """Note what an event says."""
        self.phase, self.region = event.phase, event.region
        self.machine_id = event.machine_id or self.machine_id
        self.why = " ".join((event.detail or self.why).split())
        self.since = event.at if self.since is None else self.since
        self.until = event.at if self.phase is self.last_phase or self.is_lost else None
        if self.phase is Phase.WATCHING and self.until is not None:
            self.until += sum(self.watches)
            self.watches = self.watches[1:]


@define
class Rows:
    """All machines of one deploy, in the plan's order, the stage under way, and how long it still takes."""

    plan: Plan
    by_name: dict[str, Row]
    stages: Stages
    left: Estimate | None = None
    left_at: float = 0.0
    kept: int = 0

    @classmethod
    def of(cls, planned: Planned) -> "Rows":
        """Make a row for each machine of a plan that something is done with, however many stages it is in."""
        plan, stages = planned.plan, Stages(planned.plan)
        rows: dict[str, Row] = {}
        for track in (track for lane in plan.lanes for track in lane.tracks):
            name = track.machine.name
            rows[name] = _row(track, plan.launch, retires=stages.retires(name))
        kept = sum(track.machine.name not in rows for track in plan.kept)
        return cls(plan, rows, stages, left=plan.estimate, left_at=planned.at, kept=kept)

    def take(self, event: Progress) -> None:
        """Note what an event says of its machine, of the stage, and of the time left."""
        self.stages.take(event)
        if row := self.by_name.get(event.name):
            row.take(event)
        if event.remaining is not None:
            self.left, self.left_at = event.remaining, event.at

    def ready(self, now: float) -> int:
        """Count the machines that came as far as they should."""
        return sum(row.is_ready(now) for row in self.by_name.values())

    def remaining(self, now: float) -> Estimate | None:
        """Return how long it still takes; None where nothing is known of that."""
        return self.left and self.left.after(now - self.left_at)

    def fit(self, lines: int, now: float) -> tuple[list[Row], list[Row]]:
        """Part the rows into those to show on so many lines and the others: what is ready gives way first."""
        rows = list(self.by_name.values())
        if len(rows) <= lines:
            return rows, []
        first = sorted(rows, key=lambda row: row.dullness(now))[: max(lines - 1, 0)]
        shown = {row.name for row in first}
        return [row for row in rows if row.name in shown], [row for row in rows if row.name not in shown]


def summary(rows: Iterable[Row], now: float) -> str:
    """Count rows by what became of them: `12 started, 1 skipped`."""
    counts = Counter(row.word(now) for row in rows)
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _row(track: Track, launch: str, *, retires: bool) -> Row:
    machine = track.machine
    return Row(
        name=machine.name,
        label=_label(machine, launch),
        asked=machine.region,
        region=machine.region,
        last_phase=last_phase(track),
        watches=_last_watches(track),
        retires=retires,
    )


def _label(machine: DesiredMachine, launch: str) -> str:
    """Shorten a name, but not without the region."""
    short = machine.name.removeprefix(f"{launch}-")
    return short if machine.region in short.split("-") else f"{machine.region} {short}"


def _last_watches(track: Track) -> tuple[float, ...]:
    found: list[float] = []
    for step in reversed(track.steps):
        if not isinstance(step, Watch):
            break
        found.insert(0, step.seconds)
    return tuple(found)
