"""The run of each machine of a deploy, and what was observed of all of them last; no I/O."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from attrs import define, field, frozen

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.fleet import tags
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import Target, Track
from flyasync.deploy.plan.spec import DesiredMachine, DesiredVolume
from flyasync.deploy.reporting.phase import Moment, Phase
from flyasync.errors import FlyError
from flyasync.models.config import MachineConfig
from flyasync.models.machine import ExitEvent, Machine


@define(eq=False, repr=False)
class MachineRun:
    """One machine on its way through its steps, and all that is known of it so far.

    `adopted` tells a machine that was there before from one that this deploy made; only the latter is ever taken back.
    `in_doubt` while a request for it is unexplained. Times are seconds from the deploy's begin. `config` is what it
    will have, and from its create or update on what was sent; None where that is not known. `volume` is the kind of
    volume that it gets, `volume_id` the one that was taken for it, `source` the one to fork; `made_volumes` are those
    made for it. `beside` are ids of machines that it had before this one, or that raced with it. One that `stays_out`
    shall be outside routing. `exit` and `logs` tell how it failed; `old_exit` is how its process ended last before all
    this. `taken` counts the steps done, `begun_after` is when its last turn began. `checked_from` is the time of the
    loop from which each of its checks has to pass, and `was_healthy` once all have. One that `verifies` is started only
    to see that it would run.
    """

    desired: DesiredMachine
    region: str
    target: Target = Target.SERVE
    config: MachineConfig | None = None
    phase: Phase | None = None
    machine: Machine | None = None
    adopted: bool = False
    in_doubt: bool = False
    refusals: list[Refusal] = field(factory=list)
    error: FlyError | None = None
    exit: str | None = None
    old_exit: ExitEvent | None = None
    logs: tuple[str, ...] = ()
    stays_out: bool = False
    volume: DesiredVolume | None = None
    volume_id: str | None = None
    source: str | None = None
    made_volumes: list[str] = field(factory=list)
    beside: list[str] = field(factory=list)
    moments: list[Moment] = field(factory=list)
    taken: int = 0
    begun_after: float | None = None
    created_after: float | None = None
    ready_after: float | None = None
    deadline: float | None = None
    checked_from: float = 0.0
    was_healthy: bool = False
    verifies: bool = False

    @classmethod
    def of(cls, track: Track, machine: Machine | None) -> "MachineRun":
        """Return the run of a track before its first step; `machine` is the one that is there already."""
        return cls(
            desired=track.machine,
            region=machine.region if machine else track.machine.region,
            target=track.target,
            config=track.config,
            stays_out=track.stays_out,
            verifies=track.verifies,
            machine=machine,
            adopted=machine is not None,
            old_exit=machine.exit_event if machine else None,
        )

    def __repr__(self) -> str:
        machine = self.machine.id if self.machine else "no machine yet"
        facts = [self.phase or "not begun", f"{self.taken} steps done", machine]
        facts += ["in doubt"] if self.in_doubt else []
        facts += [f"failed: {type(self.error).__name__}"] if self.error else []
        return f"<{type(self).__name__} {self.desired.name} in {self.region}: {', '.join(facts)}>"

    # Its way through the steps.

    def begin_turn(self, at: float) -> None:
        """Record that its turn came at `at`; whatever it waits for from here on shares one timeout."""
        self.begun_after = at
        self.restart_timeout()

    def enter(self, phase: Phase, *, at: float, detail: str | None = None) -> None:
        """Record that it came to a phase at `at`."""
        self.phase = phase
        self.moments.append(Moment(at=at, phase=phase, region=self.region, detail=detail))
        if phase in {Phase.CREATED, Phase.ADOPTED}:
            self.created_after = at

    def keep(self) -> None:
        """Record that its machine is as desired, so that it has no steps."""
        self.phase, self.ready_after = Phase.KEPT, 0.0

    def step_done(self) -> None:
        """Count one more step as done."""
        self.taken += 1

    def ready(self, at: float) -> None:
        """Record that all steps of its turn were done at `at`."""
        self.ready_after = at

    def fail(self, error: FlyError) -> None:
        """Record the error that ended it."""
        self.error = error

    def refuse(self, refusal: Refusal) -> None:
        """Record that a region or a host had no room for it."""
        self.refusals.append(refusal)

    def move(self, region: str) -> None:
        """Record the region where it is to be created instead."""
        self.region = region

    # Its machine.

    def assign(self, machine: Machine, *, adopted: bool) -> None:
        """Record the machine that was created or adopted for it; one that it had before stands beside it."""
        if self.machine and self.machine.id != machine.id:
            self.beside.append(self.machine.id)
        self.machine, self.region, self.adopted = machine, machine.region, adopted

    def adopt(self, machine: Machine) -> None:
        """Record the machine that was there already; only an exit after this one says anything of the deploy."""
        self.old_exit = machine.exit_event
        self.assign(machine, adopted=True)

    def observe(self, machine: Machine) -> None:
        """Record its machine as it was observed now."""
        self.machine = machine

    def win(self, winner: Machine, loser: Machine) -> None:
        """Record which of two machines that raced stays."""
        self.machine = winner
        self.beside.append(loser.id)

    def find(self, machine: Machine | None, *, was_there: bool) -> None:
        """Record the machine that belongs to it by the last check; one that `was_there` before it is adopted."""
        self.machine = self.machine or machine
        self.adopted |= was_there and self.machine is not None

    def doubt(self, *, in_doubt: bool) -> None:
        """Record whether a request for it is unexplained."""
        self.in_doubt = in_doubt

    def send(self, config: MachineConfig) -> MachineConfig:
        """Record, and return, the config that is sent now; its machine is judged by that from here on."""
        self.config = config
        return config

    # Its volume.

    def choose_volume(self, volume: DesiredVolume, volume_id: str | None, source: str | None) -> None:
        """Record which volume it takes, or which kind of volume is made for it."""
        self.volume, self.volume_id, self.source = volume, volume_id, source

    def gain_volume(self, volume_id: str) -> None:
        """Record a volume that was made for it."""
        self.volume_id = volume_id
        self.made_volumes.append(volume_id)

    def leave_volume(self) -> None:
        """Record that it does without the volume that it had; another is made for it."""
        self.volume_id = None

    def lose_volume(self, volume_id: str) -> None:
        """Record that a volume that was made for it is deleted."""
        self.made_volumes.remove(volume_id)

    # Its waits, and how it failed.

    def restart_timeout(self) -> None:
        """Have the next wait begin the timeout anew: the machine was changed."""
        self.deadline = None

    def time_left(self, now: float, timeout: float) -> float:
        """Return the seconds left at `now`, by the loop, of the `timeout` that begins with the first wait."""
        if self.deadline is None:
            self.deadline = now + timeout
        return max(self.deadline - now, 0.001)

    def start(self, *, checked_from: float) -> None:
        """Record that its machine is started; its checks count as failures from `checked_from` on."""
        self.checked_from, self.was_healthy = checked_from, False

    def pass_checks(self) -> None:
        """Record that all checks of its machine have passed."""
        self.was_healthy = True

    def end(self, exit_: str | None) -> None:
        """Record how its process ended, in words."""
        self.exit = exit_

    def log(self, lines: tuple[str, ...]) -> None:
        """Record what its process logged last."""
        self.logs = lines

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
class Observation:
    """The runs of all machines, and what was observed of the machines last.

    `seen` are the machines of the launch or of the group; those in `left_alone` the deploy does not manage. `others`
    are the app's machines that a launch is not about. `unseen` holds by the name of a run why its machine could not be
    observed. `settled` are the regions past the point of no return. Where `launch` is given, machines without its tag
    were made by others, whatever their names. `loose_volumes` appeared meanwhile and belong to no run; `closed_by` is
    the run after which none was begun.
    """

    runs: tuple[MachineRun, ...]
    seen: tuple[Machine, ...] = ()
    others: tuple[Machine, ...] = ()
    unseen: Mapping[str, FlyError] = field(factory=dict)
    left_alone: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()
    launch: str | None = None
    loose_volumes: tuple[str, ...] = ()
    closed_by: MachineRun | None = None

    @classmethod
    def blind(cls, runs: tuple[MachineRun, ...], error: FlyError) -> "Observation":
        """Return an observation where nothing at all could be seen."""
        return cls(runs=runs, unseen={run.desired.name: error for run in runs})

    def machine(self, run: MachineRun) -> Machine | None:
        """Return the machine of a run as it was observed last.

        A run that has no machine yet finds one by its name: a create whose answer was lost may have made it. Then it
        has the launch tag that was sent with the create.
        """
        by_id, by_name = self._index
        if run.machine is not None:
            return by_id.get(run.machine_id)
        launch = ((run.config and run.config.metadata) or {}).get(LAUNCH, self.launch)
        named = by_name.get(run.desired.name, ())
        return next((machine for machine in named if launch in {None, tags(machine).get(LAUNCH)}), None)

    @property
    def surplus(self) -> tuple[str, ...]:
        """The ids of machines that belong to this launch, and to none of these runs."""
        mine = self.left_alone.union(machine.id for run in self.runs if (machine := self.machine(run)))
        ours = (each for each in self.seen if self.launch in {None, tags(each).get(LAUNCH)})
        return tuple(machine.id for machine in ours if machine.id not in mine)

    @cached_property
    def _index(self) -> tuple[Mapping[str, Machine], Mapping[str, Sequence[Machine]]]:
        """The machines seen by their ids, and by their names: every run looks one up, more than once."""
        by_name: dict[str, list[Machine]] = {}
        for machine in self.seen:
            by_name.setdefault(machine.name, []).append(machine)
        return {machine.id: machine for machine in self.seen}, by_name
