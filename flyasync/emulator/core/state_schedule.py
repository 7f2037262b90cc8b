"""States that follow one another by themselves, so that nobody has to move the things that have them."""

from attrs import frozen


@frozen
class ScheduledState:
    """From when on something is in a state."""

    at: float
    state: str


@frozen
class StateSchedule:
    """What something is at any time; the first state counts for all the time before it too."""

    steps: tuple[ScheduledState, ...]

    @classmethod
    def start(cls, now: float, state: str) -> "StateSchedule":
        """Begin in a state that lasts until another follows."""
        return cls((ScheduledState(now, state),))

    def then(self, seconds: float, state: str) -> "StateSchedule":
        """Add the state that follows the last one after so many seconds."""
        return StateSchedule((*self.steps, ScheduledState(self.steps[-1].at + seconds, state)))

    def state(self, now: float) -> str:
        """Give the state at a moment."""
        return self._step(now).state

    def since(self, now: float) -> float:
        """Give the moment at which the present state began."""
        return self._step(now).at

    def _step(self, now: float) -> ScheduledState:
        return [self.steps[0], *(step for step in self.steps if step.at <= now)][-1]
