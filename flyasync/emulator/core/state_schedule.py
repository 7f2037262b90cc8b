"""States that follow one another at known times, so that nothing has to move the things that have them."""

from attrs import frozen


@frozen
class ScheduledState:
    """The moment from which on something is in a state."""

    at: float
    state: str


@frozen
class StateSchedule:
    """What state something is in at any time; the first state counts for all the time before it too."""

    steps: tuple[ScheduledState, ...]

    @classmethod
    def start(cls, now: float, state: str) -> "StateSchedule":
        """Return a schedule with one state, which lasts until another follows."""
        return cls((ScheduledState(now, state),))

    def then(self, seconds: float, state: str) -> "StateSchedule":
        """Return the schedule with one more state, `seconds` after the last one."""
        return StateSchedule((*self.steps, ScheduledState(self.steps[-1].at + seconds, state)))

    def state(self, now: float) -> str:
        """Return the state at a moment."""
        return self._step(now).state

    def since(self, now: float) -> float:
        """Return the moment at which the present state began."""
        return self._step(now).at

    def _step(self, now: float) -> ScheduledState:
        return [self.steps[0], *(step for step in self.steps if step.at <= now)][-1]
