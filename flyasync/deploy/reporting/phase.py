"""Phases: where a machine is on its way through a deploy."""

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Self

from attrs import field, frozen
from attrs.converters import optional

from flyasync.deploy.plan.plan import (
    Adopt,
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    Destroy,
    GiveUp,
    Return,
    RunToEnd,
    Step,
    Stop,
    Uncordon,
    Update,
    Watch,
)
from flyasync.deploy.reporting.styles import Look
from flyasync.models.redaction import without_passwords


class Extent(Enum):
    """How a phase extends in time."""

    LASTS = "lasts"  # something is under way, until the next phase
    REACHED = "reached"  # a state that the machine has come to
    OVER = "over"  # such a state from which the deploy takes the machine no further


class Phase(StrEnum):
    """Where a machine is on its way, in the order in which a machine may come there.

    `look` is how it is drawn, `extent` whether it has a duration.
    """

    look: Look
    extent: Extent

    def __new__(cls, word: str, look: Look = Look.OTHER, extent: Extent = Extent.REACHED) -> Self:
        """Make a member of its word, look and extent."""
        phase = str.__new__(cls, word)
        phase._value_ = word
        phase.look = look
        phase.extent = extent
        return phase

    QUEUED = "queued", Look.WAITING, Extent.LASTS  # its create waits behind others, and has not been sent yet
    CREATING = "creating", Look.MAKING, Extent.LASTS  # its create has been sent, and the answer is awaited
    MOVING = "moving", Look.MAKING, Extent.LASTS  # its region had no room; it goes to `region`
    CREATED = "created", Look.MAKING, Extent.REACHED  # this deploy made it
    ADOPTED = "adopted", Look.MAKING, Extent.REACHED  # it was there already, from an earlier run of the launch
    KEPT = "kept", Look.GOOD, Extent.REACHED  # it was as desired already
    UPDATING = "updating", Look.CHANGING, Extent.LASTS  # in line for its update, or the update is under way
    REPLACING = "replacing", Look.CHANGING, Extent.LASTS  # its host had no room for the update; another takes its place
    UPDATED = "updated", Look.CHANGING, Extent.REACHED  # it has its new config
    STARTING = "starting", Look.STARTING, Extent.LASTS  # its start is awaited
    HEDGING = "hedging", Look.MAKING, Extent.LASTS  # it is late, so another one is made beside it
    STARTED = "started", Look.GOOD, Extent.REACHED
    CHECKING = "checking", Look.CHECKING, Extent.LASTS  # it is started, and its checks are awaited
    HEALTHY = "healthy", Look.GOOD, Extent.REACHED
    WATCHING = "watching", Look.CHECKING, Extent.LASTS  # it has to stay up for a while
    RUNNING = "running", Look.CHANGING, Extent.LASTS  # the release command is under way
    ENDED = "ended", Look.GOOD, Extent.REACHED  # the release command ended well
    UNCORDONED = "uncordoned", Look.GOOD, Extent.REACHED  # it takes traffic
    CORDONED = "cordoned", Look.CHANGING, Extent.REACHED  # it gets no new traffic
    STOPPING = "stopping", Look.CHANGING, Extent.LASTS
    STOPPED = "stopped", Look.GONE, Extent.REACHED
    SETTLED = "settled", Look.GOOD, Extent.REACHED  # it is updated, and stopped as before
    SKIPPED = "skipped", Look.GONE, Extent.OVER  # no region had room for it
    FAILED = "failed", Look.BAD, Extent.OVER
    DESTROYED = "destroyed", Look.GONE, Extent.OVER  # by a rollback, or because it is not desired any more

    @property
    def lasts(self) -> bool:
        """Whether it has a duration."""
        return self.extent is Extent.LASTS

    @property
    def is_over(self) -> bool:
        """Whether the machine goes no further from here."""
        return self.extent is Extent.OVER


STEP_PHASES: Mapping[type[Step], tuple[Phase, ...]] = {
    Create: (Phase.QUEUED, Phase.CREATING, Phase.MOVING, Phase.CREATED),
    Adopt: (Phase.ADOPTED,),
    Update: (Phase.UPDATING, Phase.REPLACING, Phase.UPDATED),
    AwaitStarted: (Phase.STARTING, Phase.HEDGING, Phase.STARTED),
    AwaitHealthy: (Phase.CHECKING, Phase.HEALTHY),
    AwaitSettled: (Phase.SETTLED,),
    Watch: (Phase.WATCHING,),
    Cordon: (Phase.CORDONED,),
    Uncordon: (Phase.UNCORDONED,),
    Stop: (Phase.STOPPING, Phase.STOPPED),
    Destroy: (Phase.DESTROYED,),
    Return: (Phase.STOPPING, Phase.STOPPED, Phase.SETTLED),
    RunToEnd: (Phase.RUNNING, Phase.ENDED),
    GiveUp: (Phase.FAILED,),
}
"""The phases that a machine comes to in each step, the last one when it is done; a step that is not here has none."""


@frozen(kw_only=True)
class Moment:
    """When a machine came to a phase, in seconds from the begin of the deploy, and where."""

    at: float
    phase: Phase
    region: str
    detail: str | None = field(default=None, converter=optional(without_passwords))
