"""The run of each machine of a deploy, and the last observation of all machines; no I/O."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from attrs import define, field, frozen

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.fleet import tags
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import Target, Track
from flyasync.deploy.plan.spec import DesiredMachine, LaneKey
from flyasync.deploy.reporting.phase import Moment, Phase
from flyasync.errors import FlyError
from flyasync.models.config import MachineConfig
from flyasync.models.machine import ExitEvent, Machine


@define(eq=False, repr=False)
class MachineRun:
    """The progress of one machine through its steps, and all that is known of it so far.

    `adopted` is true for a machine that existed before, and false for one that this deploy created; only the latter is
    ever destroyed by a rollback. `in_doubt` is true while a request for it may have happened. `config` is the config
    that it will have, or that was sent last; None if unknown. A machine that `stays_out` stays outside routing. One
    that `verifies` is started only for verification; one that `awaits_proof` is verified from outside. `beside` are ids
    of machines that this one replaced or raced with.

    `volume` is the kind of volume that it gets, `volume_id` the volume that was chosen, `source` the volume to fork,
    `made_volumes` the volumes created for it, and `claimed_volumes` those that it could not use, as a machine that no
    longer exists still claims them.

    `exit` and `logs` show how its process failed; `old_exit` is how the process ended before the deploy. `taken` counts
    the completed steps. `begun_after` is when its steps last began, in seconds since the deploy began, like the other
    times. From the loop's time `checked_from` on, each of its checks has to pass; `was_healthy` once all have passed.

    What it collects are tuples: most stay empty, and empty lists would take more memory than all other fields.
    """

    desired: DesiredMachine
    region: str
    target: Target = Target.SERVE
    config: MachineConfig | None = None
    phase: Phase | None = None
    machine: Machine | None = None
    adopted: bool = False
    in_doubt: bool = False
    refusals: tuple[Refusal, ...] = ()
    error: FlyError | None = None
    exit: str | None = None
    old_exit: ExitEvent | None = None
    logs: tuple[str, ...] = ()
    stays_out: bool = False
    volume: DesiredVolume | None = None
    volume_id: str | None = None
    source: str | None = None
    made_volumes: tuple[str, ...] = ()
    claimed_volumes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    moments: tuple[Moment, ...] = ()
    taken: int = 0
    begun_after: float | None = None
    created_after: float | None = None
    ready_after: float | None = None
    deadline: float | None = None
    checked_from: float = 0.0
    was_healthy: bool = False
    verifies: bool = False
    awaits_proof: bool = False

    @classmethod
    def of(cls, track: Track, machine: Machine | None) -> "MachineRun":
        """Return the run of a track before its first step; `machine` is its existing machine, if there is one."""
        return cls(
            desired=track.machine,
            region=machine.region if machine else track.machine.region,
            target=track.target,
            config=track.config,
            stays_out=track.stays_out,
            verifies=track.verifies,
            awaits_proof=track.is_verified,
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

    # Progress through the steps.

    def begin_steps(self, at: float) -> None:
        """Record that its steps begin at `at`; all waits from here on share one timeout."""
        self.begun_after = at
        self.restart_timeout()

    def enter(self, phase: Phase, *, at: float, detail: str | None = None, for_command: str | None = None) -> None:
        """Record that it reached a phase at `at`."""
        self.phase = phase
        moment = Moment(at=at, phase=phase, region=self.region, detail=detail, for_command=for_command)
        self.moments = (*self.moments, moment)
        if phase in {Phase.CREATED, Phase.ADOPTED}:
            self.created_after = at

    def keep(self) -> None:
        """Record that its machine is as desired and has no steps."""
        self.phase, self.ready_after = Phase.KEPT, 0.0

    def step_done(self) -> None:
        """Record that one more step is done."""
        self.taken += 1

    def ready(self, at: float) -> None:
        """Record that its steps were done at `at`."""
        self.ready_after = at

    def fail(self, error: FlyError) -> None:
        """Record the error that ended it."""
        self.error = error

    def refuse(self, refusal: Refusal) -> None:
        """Record that a region or a host had no room for it."""
        self.refusals = (*self.refusals, refusal)

    def move(self, region: str) -> None:
        """Record the region where it is created instead."""
        self.region = region

    # The machine.

    def assign(self, machine: Machine, *, adopted: bool) -> None:
        """Record the created or adopted machine; an earlier machine of the run is added to `beside`."""
        if self.machine and self.machine.id != machine.id:
            self.beside = (*self.beside, self.machine.id)
        self.machine, self.region, self.adopted = machine, machine.region, adopted

    def adopt(self, machine: Machine) -> None:
        """Record the machine that existed already; only a later exit of its process counts for the deploy."""
        self.old_exit = machine.exit_event
        self.assign(machine, adopted=True)

    def observe(self, machine: Machine) -> None:
        """Record its machine as observed now."""
        self.machine = machine

    def win(self, winner: Machine, loser: Machine) -> None:
        """Record which of two racing machines is kept."""
        self.machine = winner
        self.beside = (*self.beside, loser.id)

    def find(self, machine: Machine | None, *, was_there: bool) -> None:
        """Record the machine that the final check found for it; one that `was_there` before the deploy is adopted."""
        self.machine = self.machine or machine
        self.adopted |= was_there and self.machine is not None

    def doubt(self, *, in_doubt: bool) -> None:
        """Record whether a request for it may have happened."""
        self.in_doubt = in_doubt

    def send(self, config: MachineConfig) -> MachineConfig:
        """Record and return the config that is sent now; from here on its machine is compared with it."""
        self.config = config
        return config

    # The volume.

    def choose_volume(self, volume: DesiredVolume, volume_id: str | None, source: str | None) -> None:
        """Record the volume that it gets, or the kind of volume that is created for it."""
        self.volume, self.volume_id, self.source = volume, volume_id, source

    def gain_volume(self, volume_id: str) -> None:
        """Record a volume that was created for it."""
        self.volume_id = volume_id
        self.made_volumes = (*self.made_volumes, volume_id)

    def leave_volume(self, *, is_claimed: bool = False) -> None:
        """Record that it leaves its volume, possibly one still claimed; another one is created for it."""
        if self.volume_id and is_claimed:
            self.claimed_volumes = (*self.claimed_volumes, self.volume_id)
        self.volume_id = None

    def lose_volume(self, volume_id: str) -> None:
        """Record that a volume that was created for it is deleted."""
        self.made_volumes = tuple(each for each in self.made_volumes if each != volume_id)

    # Waits and failures.

    def restart_timeout(self) -> None:
        """Restart the timeout with the next wait, since the machine was changed."""
        self.deadline = None

    def time_left(self, now: float, timeout: float) -> float:
        """Return the seconds left of the `timeout`, which begins with the first wait; `now` is the loop's time."""
        if self.deadline is None:
            self.deadline = now + timeout
        return max(self.deadline - now, 0.001)

    def start(self, *, checked_from: float) -> None:
        """Record that its machine is started; from `checked_from` on, failing checks count."""
        self.checked_from, self.was_healthy = checked_from, False

    def pass_checks(self) -> None:
        """Record that all checks of its machine have passed."""
        self.was_healthy = True

    def end(self, exit_: str | None) -> None:
        """Record how its process ended, as text."""
        self.exit = exit_

    def log(self, lines: tuple[str, ...]) -> None:
        """Record the last lines that its process logged."""
        self.logs = lines

    @property
    def was_cut_short(self) -> bool:
        """Whether it has neither completed its steps nor failed."""
        return self.ready_after is None and self.error is None

    @property
    def machine_id(self) -> str:
        """The id of its machine; the run must have one."""
        assert self.machine is not None  # noqa: S101 - a plan creates or adopts before it does anything else
        return self.machine.id


@frozen(kw_only=True)
class Observation:
    """The runs of all machines, and the last observation of the machines.

    `seen` are the machines of the launch or of the group; those in `left_alone` are not managed by the deploy. `others`
    are the machines of the app that are not of the launch. `unseen` maps the name of a run to the error that prevented
    the observation of its machine. `settled` are the lanes past the point of no return. If `launch` is set, machines
    without its tag are not of this deploy, whatever their names. `loose_volumes` are ids of volumes that appeared
    during the deploy and belong to no run. `closed_by` is the run after which no other was begun.
    """

    runs: tuple[MachineRun, ...]
    seen: tuple[Machine, ...] = ()
    others: tuple[Machine, ...] = ()
    unseen: Mapping[str, FlyError] = field(factory=dict)
    left_alone: frozenset[str] = frozenset()
    settled: frozenset[LaneKey] = frozenset()
    launch: str | None = None
    loose_volumes: tuple[str, ...] = ()
    closed_by: MachineRun | None = None

    @classmethod
    def blind(cls, runs: tuple[MachineRun, ...], error: FlyError) -> "Observation":
        """Return an observation in which nothing could be seen."""
        return cls(runs=runs, unseen={run.desired.name: error for run in runs})

    def machine(self, run: MachineRun) -> Machine | None:
        """Return the machine of a run as it was observed last.

        For a run without a machine, search by name and launch tag: a create whose response was lost may have made it.
        """
        if run.machine is not None:
            return self._by_id.get(run.machine_id)
        launch = ((run.config and run.config.metadata) or {}).get(LAUNCH, self.launch)
        named = self._by_name.get(run.desired.name, ())
        return next((machine for machine in named if launch in {None, tags(machine).get(LAUNCH)}), None)

    def beside(self, run: MachineRun) -> tuple[str, ...]:
        """Return the ids of the machines that were observed beside the one of a run, apart from surplus ones."""
        return tuple(each for each in dict.fromkeys(run.beside) if each in self._by_id and each not in self.surplus)

    @cached_property
    def surplus(self) -> tuple[str, ...]:
        """The ids of machines that belong to this launch, but to none of these runs."""
        mine = self.left_alone.union(machine.id for run in self.runs if (machine := self.machine(run)))
        ours = (each for each in self.seen if self.launch in {None, tags(each).get(LAUNCH)})
        return tuple(machine.id for machine in ours if machine.id not in mine)

    @cached_property
    def _by_id(self) -> Mapping[str, Machine]:
        """The observed machines by id; each run looks one up several times."""
        return {machine.id: machine for machine in self.seen}

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[Machine]]:
        """The observed machines by name, for runs without a machine, of which most deploys have none."""
        named: dict[str, list[Machine]] = {}
        for machine in self.seen:
            named.setdefault(machine.name, []).append(machine)
        return named
