"""The progress of a deploy in its plan: the current stage, and the last phase of each machine; pure."""

from collections.abc import Iterable, Mapping

from attrs import define, field

from flyasync.deploy.plan.plan import Plan, Stage, Step, Target, Track
from flyasync.deploy.reporting.events import Progress
from flyasync.deploy.reporting.phase import STEP_PHASES, Phase


def phases(steps: Iterable[Step]) -> tuple[Phase, ...]:
    """Return the phases of steps, in order."""
    return tuple(phase for step in steps for phase in STEP_PHASES.get(type(step), ()))


def last_phase(track: Track) -> Phase:
    """Return the phase that a machine is in at the end of its steps."""
    return (Phase.STARTED, *phases(track.steps))[-1]


@define
class PlanProgress:
    """The progress of a deploy in its plan; `number` is the current stage, 0 before the first one starts."""

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
        """Whether a machine is destroyed because it is no longer desired; an undo only destroys created machines."""
        return self.plan.strategy != "undo" and name in self._retired

    def advance(self, event: Progress) -> Stage | None:
        """Update the progress from an event, and return the stage that starts with it, if any."""
        # No event names its stage, and a machine may be in several stages. The stage of the event is the first one,
        # from the current stage on, in which a step of the machine has the phase of the event.
        for number in range(max(self.number, 1), len(self._phases) + 1):
            if event.phase in self._phases[number - 1].get(event.name, ()):
                has_begun, self.number = number > self.number, number
                return self.plan.stages[number - 1] if has_begun else None
        return None

    @property
    def heading(self) -> str:
        """The current stage, such as `2 of 3: the rest`; empty for a plan whose stages have no titles."""
        stage = self.plan.stages[self.number - 1] if self.number else None
        return f"{self.number} of {len(self.plan.stages)}: {stage.heading}" if stage and stage.heading else ""
