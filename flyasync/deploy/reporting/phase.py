"""The phases of a machine during a deploy."""

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
    Verify,
    Watch,
)
from flyasync.deploy.reporting.styles import Look
from flyasync.models.json.codec import omit_if_unset
from flyasync.models.redaction import without_passwords


class Extent(Enum):
    """How a phase extends in time."""

    LASTS = "lasts"  # something is in progress until the next phase
    REACHED = "reached"  # a state that the machine has reached
    OVER = "over"  # the last state that the deploy brings the machine to


class Phase(StrEnum):
    """The phase of a machine, in the order in which a machine may reach them.

    `look` is its style on the page, `extent` whether it has a duration.
    """

    look: Look
    extent: Extent

    def __new__(cls, word: str, look: Look = Look.OTHER, extent: Extent = Extent.REACHED) -> Self:
        """Create a member from its word, look and extent."""
        phase = str.__new__(cls, word)
        phase._value_ = word
        phase.look = look
        phase.extent = extent
        return phase

    QUEUED = "queued", Look.WAITING, Extent.LASTS  # its create waits behind other creates and has not been sent
    CREATING = "creating", Look.MAKING, Extent.LASTS  # its create has been sent, and the response is awaited
    MOVING = "moving", Look.MAKING, Extent.LASTS  # its region had no room; it is created in `region`
    CREATED = "created", Look.MAKING, Extent.REACHED  # this deploy created it
    ADOPTED = "adopted", Look.MAKING, Extent.REACHED  # an earlier run of the launch created it
    KEPT = "kept", Look.GOOD, Extent.REACHED  # it was as desired already
    UPDATING = "updating", Look.CHANGING, Extent.LASTS  # its update is queued or in progress
    REPLACING = (
        "replacing",
        Look.CHANGING,
        Extent.LASTS,
    )  # its host had no room for the update; a new machine replaces it
    UPDATED = "updated", Look.CHANGING, Extent.REACHED  # it has its new config
    STARTING = "starting", Look.STARTING, Extent.LASTS  # its start is awaited
    HEDGING = "hedging", Look.MAKING, Extent.LASTS  # it is slow to start, so a second machine is created
    STARTED = "started", Look.GOOD, Extent.REACHED
    CHECKING = "checking", Look.CHECKING, Extent.LASTS  # it is started, and its checks are awaited
    HEALTHY = "healthy", Look.GOOD, Extent.REACHED
    WATCHING = "watching", Look.CHECKING, Extent.LASTS  # it must stay up for some time
    VERIFYING = "verifying", Look.CHECKING, Extent.LASTS  # it is verified from outside
    VERIFIED = "verified", Look.GOOD, Extent.REACHED
    RUNNING = "running", Look.CHANGING, Extent.LASTS  # the release command runs
    ENDED = "ended", Look.GOOD, Extent.REACHED  # the release command ended with exit code 0
    UNCORDONED = "uncordoned", Look.GOOD, Extent.REACHED  # it takes traffic
    CORDONED = "cordoned", Look.CHANGING, Extent.REACHED  # it gets no new traffic
    STOPPING = "stopping", Look.CHANGING, Extent.LASTS
    STOPPED = "stopped", Look.GONE, Extent.REACHED
    SETTLED = "settled", Look.GOOD, Extent.REACHED  # it is updated, and stopped as before
    SKIPPED = "skipped", Look.GONE, Extent.OVER  # no region had room for it
    FAILED = "failed", Look.BAD, Extent.OVER
    DESTROYED = "destroyed", Look.GONE, Extent.OVER  # by a rollback, or because it is no longer desired

    @property
    def lasts(self) -> bool:
        """Whether it has a duration."""
        return self.extent is Extent.LASTS

    @property
    def is_over(self) -> bool:
        """Whether the deploy takes the machine no further."""
        return self.extent is Extent.OVER


STEP_PHASES: Mapping[type[Step], tuple[Phase, ...]] = {
    Create: (Phase.QUEUED, Phase.CREATING, Phase.MOVING, Phase.CREATED),
    Adopt: (Phase.ADOPTED,),
    Update: (Phase.UPDATING, Phase.REPLACING, Phase.UPDATED),
    AwaitStarted: (Phase.STARTING, Phase.HEDGING, Phase.STARTED),
    AwaitHealthy: (Phase.CHECKING, Phase.HEALTHY),
    AwaitSettled: (Phase.SETTLED,),
    Watch: (Phase.WATCHING,),
    Verify: (Phase.VERIFYING, Phase.VERIFIED),
    Cordon: (Phase.CORDONED,),
    Uncordon: (Phase.UNCORDONED,),
    Stop: (Phase.STOPPING, Phase.STOPPED),
    Destroy: (Phase.DESTROYED,),
    Return: (Phase.STOPPING, Phase.STOPPED, Phase.SETTLED),
    RunToEnd: (Phase.RUNNING, Phase.ENDED),
    GiveUp: (Phase.FAILED,),
}
"""The phases of each step; the machine reaches the last one when the step is done. Other steps have no phase."""


@frozen(kw_only=True)
class Moment:
    """When and where a machine reached a phase; `at` is in seconds since the deploy began.

    `for_command` is the detail in the terms of the command `flyasync`; None if it is the same.
    """

    at: float
    phase: Phase
    region: str
    detail: str | None = field(default=None, converter=optional(without_passwords))
    for_command: str | None = field(default=None, converter=optional(without_passwords))


omit_if_unset(Moment, "for_command")
