"""How far a deploy has come in its plan: the stage under way, and the phase in which each machine ends; pure."""

from collections.abc import Iterable, Mapping

from attrs import define, field

from flyasync.deploy.plan.plan import Plan, Stage, Step, Target, Track
from flyasync.deploy.reporting.events import Progress
from flyasync.deploy.reporting.phase import STEP_PHASES, Phase


def phases(steps: Iterable[Step]) -> tuple[Phase, ...]:
    """Return the phases that steps come to, in order."""
    return tuple(phase for step in steps for phase in STEP_PHASES.get(type(step), ()))


def last_phase(track: Track) -> Phase:
    """Return the phase that a machine is in at the end of its steps."""
    return (Phase.STARTED, *phases(track.steps))[-1]


@define
class PlanProgress:
    """How far a deploy has come in its plan; `number` is the stage under way, 0 before the first one has begun."""

    plan: Plan
    number: int = 0
    _phases: tuple[Mapping[str, tuple[Phase, ...]], ...] = field(init=False, repr=False)
    _retired: frozenset[str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._phases = tuple(
            {track.machine.name: phases(track.steps) for track in stage.tracks} for stage in self.plan.stages
        )
        self._retired = frozenset(track.machine.name for track in self.plan.tracks if track.target is Target.GO)

    def retires(self, name: str) -> bool:
        """Whether a machine goes because it is not desired any more; an undo only destroys what was created."""
        return self.plan.strategy != "undo" and name in self._retired

    def advance(self, event: Progress) -> Stage | None:
        """Record what an event tells, and return the stage that begins with it, if one does."""
        # No event names its stage. A machine may be in several, so it is the first one, from the stage under way on,
        # in which its steps come to the phase of the event.
        for number in range(max(self.number, 1), len(self._phases) + 1):
            if event.phase in self._phases[number - 1].get(event.name, ()):
                has_begun, self.number = number > self.number, number
                return self.plan.stages[number - 1] if has_begun else None
        return None

    @property
    def heading(self) -> str:
        """The stage under way, as `2 of 3: the rest`; empty for a plan whose stages have no titles."""
        stage = self.plan.stages[self.number - 1] if self.number else None
        return f"{self.number} of {len(self.plan.stages)}: {stage.heading}" if stage and stage.heading else ""
