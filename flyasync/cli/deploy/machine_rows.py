"""One row for each machine of a deploy, kept up to date by its events; pure."""

from collections import Counter
from collections.abc import Iterable
from itertools import takewhile

from attrs import define, field

from flyasync.cli.deploy.event_text import phase_text
from flyasync.cli.deploy.plan_progress import PlanProgress, last_phase
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Plan, Track, Watch
from flyasync.deploy.reporting.events import Planned, Progress
from flyasync.deploy.reporting.phase import Phase


@define
class MachineRow:
    """One machine: the region asked for and the one it is in, its phase, and since when.

    `watches` are the seconds of each time that it has to stay up for at the end of its steps, since no event tells when
    those are over.
    """

    name: str
    label: str
    asked: str
    region: str
    last_phase: Phase
    watches: tuple[float, ...] = ()
    is_retired: bool = False
    phase: Phase | None = None
    machine_id: str | None = None
    why: str = ""
    since: float | None = None
    until: float | None = None

    @classmethod
    def of(cls, track: Track, launch: str, *, is_retired: bool) -> "MachineRow":
        """Return the row of a track that has not begun."""
        machine = track.machine
        # The name is shortened by the launch, which all of them share, but never shown without the region.
        short = machine.name.removeprefix(f"{launch}-")
        label = short if machine.region in short.split("-") else f"{machine.region} {short}"
        watches = takewhile(lambda step: isinstance(step, Watch), reversed(track.steps))
        return cls(
            name=machine.name,
            label=label,
            asked=machine.region,
            region=machine.region,
            last_phase=last_phase(track),
            watches=tuple(step.seconds for step in watches if isinstance(step, Watch))[::-1],
            is_retired=is_retired,
        )

    def is_ready(self, now: float) -> bool:
        """Whether it has come as far as it should."""
        return self.phase is self.last_phase and not self.is_lost and self.until is not None and now >= self.until

    @property
    def is_lost(self) -> bool:
        """Whether it will not come any further."""
        if self.phase is None or not self.phase.is_over:
            return False
        return not (self.phase is Phase.DESTROYED is self.last_phase)  # where that is what the plan is about

    def rank(self, now: float) -> int:
        """Return how soon it is hidden where rows do not fit: what is ready first, then what waits, then what is lost.

        What is under way has the rank 0 and is hidden last.
        """
        if self.is_ready(now):
            return 3
        return 1 if self.is_lost else 2 if self.phase is None else 0

    def text(self, now: float) -> str:
        """Return the word for its phase."""
        if self.phase is None:
            return "waiting"
        if self.phase is Phase.WATCHING and self.is_ready(now):
            return "steady"
        return phase_text(self.phase, is_retired=self.is_retired)

    def seconds(self, now: float) -> float:
        """Return the seconds it has taken so far, or took."""
        end = now if self.until is None else min(now, self.until)
        return 0.0 if self.since is None else max(end - self.since, 0.0)

    def record(self, event: Progress) -> None:
        """Record what an event tells."""
        self.phase, self.region = event.phase, event.region
        self.machine_id = event.machine_id or self.machine_id
        self.why = " ".join((event.detail or self.why).split())
        self.since = event.at if self.since is None else self.since
        # It counts its seconds until it is where its steps end, or goes no further; a later event starts it again.
        self.until = event.at if self.phase is self.last_phase or self.is_lost else None
        # A watch emits one event, as it begins: it is over once its seconds, and those of the watches after it, have
        # passed.
        if self.phase is Phase.WATCHING and self.until is not None:
            self.until += sum(self.watches)
            self.watches = self.watches[1:]


@define
class MachineRows:
    """All machines of one deploy, in the plan's order, how far it has come, and how long it still takes."""

    plan: Plan = field(repr=False)
    by_name: dict[str, MachineRow]
    progress: PlanProgress
    left: Estimate | None = None
    left_at: float = 0.0
    kept: int = 0

    @classmethod
    def of(cls, planned: Planned) -> "MachineRows":
        """Return a row for each machine of a plan that anything is done with, however many stages it is in."""
        plan, progress = planned.plan, PlanProgress(planned.plan)
        rows: dict[str, MachineRow] = {}
        for track in (track for lane in plan.lanes for track in lane.tracks):
            name = track.machine.name
            rows[name] = MachineRow.of(track, plan.launch, is_retired=progress.retires(name))
        # A machine that is kept and watched is in a lane, and has a row.
        kept = sum(track.machine.name not in rows for track in plan.kept)
        return cls(plan, rows, progress, left=plan.estimate, left_at=planned.at, kept=kept)

    def record(self, event: Progress) -> None:
        """Record what an event tells of its machine, of the stage, and of the time left."""
        self.progress.advance(event)
        if row := self.by_name.get(event.name):
            row.record(event)
        if event.remaining is not None:
            self.left, self.left_at = event.remaining, event.at

    def ready(self, now: float) -> int:
        """Return how many machines have come as far as they should."""
        return sum(row.is_ready(now) for row in self.by_name.values())

    def remaining(self, now: float) -> Estimate | None:
        """Return how long it still takes, None where that is not known."""
        return self.left and self.left.after(now - self.left_at)

    def fit(self, lines: int, now: float) -> tuple[list[MachineRow], list[MachineRow]]:
        """Split the rows into those to show on `lines` lines, and those to hide."""
        rows = list(self.by_name.values())
        if len(rows) <= lines:
            return rows, []
        # One line tells of those that are hidden. The others stay in the order of the plan.
        first = sorted(rows, key=lambda row: row.rank(now))[: max(lines - 1, 0)]
        shown = {row.name for row in first}
        return [row for row in rows if row.name in shown], [row for row in rows if row.name not in shown]


def phase_counts(rows: Iterable[MachineRow], now: float) -> str:
    """Return how many rows are in each phase: `12 started, 1 skipped`."""
    counts = Counter(row.text(now) for row in rows)
    return ", ".join(f"{count} {phase}" for phase, count in counts.items())
