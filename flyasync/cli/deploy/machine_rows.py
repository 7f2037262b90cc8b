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
    """One machine: its desired and its actual region, its phase, and its times.

    `watches` are the durations of the watches at the end of its steps, since no event reports the end of a watch.
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
        """Return the row of a track that has not started."""
        machine = track.machine
        # The launch, which all names share, is left out; the region is always shown.
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
        """Whether it has reached its last phase."""
        return self.phase is self.last_phase and not self.is_lost and self.until is not None and now >= self.until

    @property
    def is_lost(self) -> bool:
        """Whether it has ended before its last phase."""
        if self.phase is None or not self.phase.is_over:
            return False
        return not (self.phase is Phase.DESTROYED is self.last_phase)  # unless the plan destroys it

    def rank(self, now: float) -> int:
        """Return the priority for hiding rows that do not fit: first the ready ones, then the waiting, then the lost.

        Rows in progress have the rank 0 and are hidden last.
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
        """Return the seconds from its first event until now, or until its end."""
        end = now if self.until is None else min(now, self.until)
        return 0.0 if self.since is None else max(end - self.since, 0.0)

    def record(self, event: Progress) -> None:
        """Update the row from an event."""
        self.phase, self.region = event.phase, event.region
        self.machine_id = event.machine_id or self.machine_id
        self.why = " ".join((event.detail or self.why).split())
        self.since = event.at if self.since is None else self.since
        # Its seconds count until it reaches its last phase or is lost; a later event restarts the count.
        self.until = event.at if self.phase is self.last_phase or self.is_lost else None
        # A watch emits one event, at its start: it ends when its seconds and those of the watches after it have passed.
        if self.phase is Phase.WATCHING and self.until is not None:
            self.until += sum(self.watches)
            self.watches = self.watches[1:]


@define
class MachineRows:
    """All machines of one deploy in the order of the plan, its progress, and the time left."""

    plan: Plan = field(repr=False)
    by_name: dict[str, MachineRow]
    progress: PlanProgress
    left: Estimate | None = None
    left_at: float = 0.0
    kept: int = 0

    @classmethod
    def of(cls, planned: Planned) -> "MachineRows":
        """Return one row for each machine that the plan changes or watches, even if it is in several stages."""
        plan, progress = planned.plan, PlanProgress(planned.plan)
        rows: dict[str, MachineRow] = {}
        for track in (track for lane in plan.lanes for track in lane.tracks):
            name = track.machine.name
            rows[name] = MachineRow.of(track, plan.launch, is_retired=progress.retires(name))
        # A kept machine that is watched is in a lane, and has a row.
        kept = sum(track.machine.name not in rows for track in plan.kept)
        return cls(plan, rows, progress, left=plan.estimate, left_at=planned.at, kept=kept)

    def record(self, event: Progress) -> None:
        """Update the machine, the stage and the time left from an event."""
        self.progress.advance(event)
        if row := self.by_name.get(event.name):
            row.record(event)
        if event.remaining is not None:
            self.left, self.left_at = event.remaining, event.at

    def ready(self, now: float) -> int:
        """Return how many machines have reached their last phase."""
        return sum(row.is_ready(now) for row in self.by_name.values())

    def remaining(self, now: float) -> Estimate | None:
        """Return the time left, None if it is unknown."""
        return self.left and self.left.after(now - self.left_at)

    def fit(self, lines: int, now: float) -> tuple[list[MachineRow], list[MachineRow]]:
        """Split the rows into those to show on `lines` lines, and those to hide."""
        rows = list(self.by_name.values())
        if len(rows) <= lines:
            return rows, []
        # One line summarizes the hidden rows. The others stay in the order of the plan.
        first = sorted(rows, key=lambda row: row.rank(now))[: max(lines - 1, 0)]
        shown = {row.name for row in first}
        return [row for row in rows if row.name in shown], [row for row in rows if row.name not in shown]


def phase_counts(rows: Iterable[MachineRow], now: float) -> str:
    """Return how many rows are in each phase: `12 started, 1 skipped`."""
    counts = Counter(row.text(now) for row in rows)
    return ", ".join(f"{count} {phase}" for phase, count in counts.items())
