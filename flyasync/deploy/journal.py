"""The journal of a deploy: what was decided and done, one JSON line each."""

from flyasync.deploy.deployment import Deployment
from flyasync.deploy.outcome import Run
from flyasync.deploy.plan import Plan, Track
from flyasync.deploy.report import DeployReport


class Journal:
    """No journal at all."""

    def planned(self, deployment: Deployment, plan: Plan) -> None:
        """Write down what is wanted, and what was decided."""

    def began(self, track: Track, run: Run) -> None:
        """Write down that the steps of a machine begin."""

    def ended(self, run: Run) -> None:
        """Write down what became of a machine."""

    def finished(self, report: DeployReport) -> None:
        """Write down how it ended."""

    def close(self) -> None:
        """Write no more."""


class JournalFile(Journal):
    """A journal in a file."""

    def __init__(self, path: str) -> None:
        self._path = path
