"""The gate of a deploy: whether another machine may begin, after what the others have met; no I/O."""

from flyasync.deploy.plan.plan import Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun


class Gate:
    """Drain, don't cut: once a machine has failed no other begins, and those under way finish.

    A region without room closes its own lane; all of them only once the requirement can no longer be met. Where the
    deploy `presses_on`, nothing but a failed release command closes the gate. It is told of each machine that comes to
    nothing, and remembers only that: asked before every machine, it must not look at all of them. `closed_by` is the
    machine after which no other may begin.
    """

    def __init__(self, spec: DeploySpec, *, presses_on: bool) -> None:
        self._regions = len(spec.counts)
        self._needed = spec.requirement.needed(self._regions)
        self._presses_on = presses_on
        self._is_unreleased = False
        self._failed: set[str] = set()
        self._lost: set[str] = set()
        self.closed_by: MachineRun | None = None

    def note(self, run: MachineRun) -> None:
        """Take note of a machine that has failed, or that found no room."""
        self._is_unreleased |= run.target is Target.END
        if run.error is not None:
            self._failed.add(run.wanted.region)
        if run.phase is Phase.SKIPPED:
            self._lost.add(run.wanted.region)
        if self.closed_by is None and self.is_shut:
            self.closed_by = run

    @property
    def is_shut(self) -> bool:
        """Whether no further machine may begin."""
        if self._is_unreleased or self._presses_on:
            return self._is_unreleased
        return bool(self._failed) or self._regions - len(self._lost) < self._needed

    def lets(self, region: str) -> bool:
        """Tell whether another machine of a region may begin."""
        return not self.is_shut and (self._presses_on or region not in self._lost)

    def has_lost_one(self, region: str) -> bool:
        """Tell whether a machine of a region has come to nothing."""
        return region in self._failed | self._lost
