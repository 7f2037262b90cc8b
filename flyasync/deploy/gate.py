"""The gate of a deploy: whether another machine may begin, after what the others have met; no I/O."""

from collections.abc import Mapping

from flyasync.deploy.deployment import Deployment
from flyasync.deploy.outcome import Phase, Run
from flyasync.deploy.plan import Aim


class Gate:
    """Drain, don't cut: once a machine has failed no other begins, and those under way finish.

    A region without room closes its own lane; all of them only once the requirement can no longer be met. Where the
    deploy `presses_on`, nothing but a failed release command closes the gate.
    """

    def __init__(self, deployment: Deployment, runs: Mapping[str, Run], *, presses_on: bool) -> None:
        self._runs = runs
        self._regions = len(deployment.counts)
        self._needed = deployment.requirement.needed(self._regions)
        self._presses_on = presses_on

    @property
    def is_shut(self) -> bool:
        """Whether no further machine may begin."""
        if any(run.aim is Aim.END and _has_failed(run) for run in self._runs.values()):
            return True
        if self._presses_on:
            return False
        return any(run.error for run in self._runs.values()) or self._regions - len(self._lost) < self._needed

    @property
    def _lost(self) -> set[str]:
        return {run.wanted.region for run in self._runs.values() if run.phase is Phase.SKIPPED}

    def lets(self, region: str) -> bool:
        """Tell whether another machine of a region may begin."""
        return not self.is_shut and (self._presses_on or region not in self._lost)


def _has_failed(run: Run) -> bool:
    return run.error is not None or run.phase is Phase.SKIPPED
