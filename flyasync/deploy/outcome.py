"""Outcome: what is known of every machine of a deploy, and what was there at the last look; no I/O."""

from collections.abc import Mapping
from enum import StrEnum

from attrs import define, field, frozen

from flyasync.deploy.deployment import Wanted
from flyasync.deploy.placement import Refusal
from flyasync.errors import FlyError
from flyasync.models.machine import Machine


class Phase(StrEnum):
    """Where a machine is on its way."""

    CREATING = "creating"  # in line for its create, or the create is under way
    MOVING = "moving"  # its region had no room; it goes to `region`
    STARTING = "starting"  # it is waited for
    STARTED = "started"
    CHECKING = "checking"  # it is started, and its checks are waited for
    HEALTHY = "healthy"
    CREATED = "created"  # this deploy made it
    ADOPTED = "adopted"  # it was there already, from an earlier run of the launch
    SKIPPED = "skipped"  # no region had room for it
    FAILED = "failed"
    DESTROYED = "destroyed"  # taken back, since the deploy missed its requirement


@define(eq=False)
class Run:
    """One machine on its way through its steps, and all that is known of it so far.

    `adopted` tells a machine that was there before from one that this deploy made; only the latter is ever taken back.
    `in_doubt` while a request for it is unexplained. Times are seconds from the deploy's begin.
    """

    wanted: Wanted
    region: str
    phase: Phase | None = None
    machine: Machine | None = None
    adopted: bool = False
    in_doubt: bool = False
    refusals: list[Refusal] = field(factory=list)
    error: FlyError | None = None
    created_after: float | None = None
    ready_after: float | None = None
    deadline: float | None = None

    @property
    def was_cut_short(self) -> bool:
        """Whether it neither came to its end nor met an error."""
        return self.ready_after is None and self.error is None

    @property
    def machine_id(self) -> str:
        """The id of its machine, which by now it has."""
        assert self.machine is not None  # noqa: S101 - a plan creates or adopts before it does anything else
        return self.machine.id


@frozen(kw_only=True)
class Outcome:
    """What became of every machine, and what was there at the last look.

    `seen` are the launch's machines by name. `unseen` says of each run that could not be looked at, by its name, why.
    """

    runs: tuple[Run, ...]
    seen: Mapping[str, tuple[Machine, ...]] = field(factory=dict)
    unseen: Mapping[str, FlyError] = field(factory=dict)

    @classmethod
    def blind(cls, runs: tuple[Run, ...], error: FlyError) -> "Outcome":
        """Say that nothing at all could be seen."""
        return cls(runs=runs, unseen={run.wanted.name: error for run in runs})

    def machine(self, run: Run) -> Machine | None:
        """Give the machine of a run as it was seen last."""
        seen = self.seen.get(run.wanted.name, ())
        mine = [machine for machine in seen if run.machine is None or machine.id == run.machine.id]
        return mine[0] if mine else None

    @property
    def surplus(self) -> tuple[str, ...]:
        """The ids of machines that have the name and launch of one of these runs, and are not it."""
        mine = {machine.id for run in self.runs if (machine := self.machine(run))}
        names = {run.wanted.name for run in self.runs}
        return tuple(
            machine.id
            for name, machines in self.seen.items()
            for machine in machines
            if name in names and machine.id not in mine
        )
