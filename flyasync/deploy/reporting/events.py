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
    """One machine reached another phase.

    `at` is in seconds since the deploy began. `asked` is the desired region, `region` the one where the machine is or
    will be. `detail` is a reason or an explanation, such as the API's message; `for_command` is the detail in the terms
    of the command `flyasync`, None if it is the same. `remaining` is the estimated time until the end of the whole
    deploy, from the published limits and the times observed so far.
    """

    at: float
    name: str
    asked: str
    region: str
    phase: Phase
    machine_id: str | None = None
    detail: str | None = field(default=None, converter=optional(without_passwords))
    for_command: str | None = field(default=None, converter=optional(without_passwords))
    remaining: Estimate | None = None

    @property
    def left(self) -> float | None:
        """The expected number of seconds until the end of the whole deploy; None while too little has been observed."""
        return self.remaining.likely if self.remaining else None


@frozen(kw_only=True)
class Finished:
    """The deploy is over. This is always the last event, also after a cancellation."""

    at: float
    report: DeployReport


Event = Planned | Progress | Finished
OnEvent = Callable[[Event], None]
