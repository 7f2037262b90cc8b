"""The events that observers of a deploy receive while it runs."""

from collections.abc import Callable

from attrs import field, frozen
from attrs.converters import optional

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.report import DeployReport
from flyasync.models.redaction import without_passwords


@frozen(kw_only=True)
class Planned:
    """The plan is made; nothing has changed yet."""

    at: float
    plan: Plan


@frozen(kw_only=True)
class Progress:
    """One machine came to another phase.

    `at` is in seconds since the deploy began; `asked` is the region desired, `region` the one it is in or goes to;
    `detail` is a reason or an explanation, such as the API's words; `remaining` how many seconds the whole deploy
    still takes, by the published limits and the times observed so far.
    """

    at: float
    name: str
    asked: str
    region: str
    phase: Phase
    machine_id: str | None = None
    detail: str | None = field(default=None, converter=optional(without_passwords))
    remaining: Estimate | None = None

    @property
    def left(self) -> float | None:
        """How many seconds the whole deploy is expected to take from here; None while not enough has been observed."""
        return self.remaining.likely if self.remaining else None


@frozen(kw_only=True)
class Finished:
    """The deploy is over; always the last event, also of a deploy that was cancelled."""

    at: float
    report: DeployReport


Event = Planned | Progress | Finished
OnEvent = Callable[[Event], None]
