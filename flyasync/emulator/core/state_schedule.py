"""States that follow one another at known times, so that no timer is needed for them."""

from attrs import frozen


@frozen
class ScheduledState:
    """A state and the time from which it applies."""

    at: float
    state: str


@frozen
class StateSchedule:
    """The state at each time; the first state also applies to all times before it."""

    steps: tuple[ScheduledState, ...]

    @classmethod
    def start(cls, now: float, state: str) -> "StateSchedule":
        """Return a schedule with one state."""
        return cls((ScheduledState(now, state),))

    def then(self, seconds: float, state: str) -> "StateSchedule":
        """Return the schedule with another state, `seconds` after the last one."""
        return StateSchedule((*self.steps, ScheduledState(self.steps[-1].at + seconds, state)))

    def change(self, now: float, state: str) -> "StateSchedule":
        """Return the schedule with another state from now on, instead of those that would follow."""
        return StateSchedule((*(step for step in self.steps if step.at < now), ScheduledState(now, state)))

    def state(self, now: float) -> str:
        """Return the state at a time."""
        return self._step(now).state

    def since(self, now: float) -> float:
        """Return the time at which the present state began."""
        return self._step(now).at

    def _step(self, now: float) -> ScheduledState:
        return [self.steps[0], *(step for step in self.steps if step.at <= now)][-1]
