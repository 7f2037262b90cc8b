"""Plan: stages of lanes (regions) of tracks (machines) of steps; each step has its cause."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from attrs import evolve, field, frozen

from flyasync.deploy.markup import Html, tag
from flyasync.deploy.plan.addresses import AddressType, allocation, url
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.fleet import Fleet, oldest
from flyasync.deploy.plan.notes import public
from flyasync.deploy.plan.resources import ResourceChange
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine, Fallback, LaneKey
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.image import digest_of
from flyasync.models.machine import Machine
from flyasync.models.redaction import without_passwords
from flyasync.safe_text import readable


@frozen(kw_only=True)
class _Step:
    """A step of one machine: the machine of the track, or the one with the id `machine_id`."""

    cause: str
    machine_id: str | None = None

    def _worded(self, what: str) -> str:
        return f"{what} {self.machine_id}: {self.cause}" if self.machine_id else f"{what}: {self.cause}"

    def lines(self) -> Iterator[str]:
        """Yield the step as text."""
        yield str(self)


@frozen(kw_only=True)
class TakeVolume(_Step):
    """Attach an unattached volume to the machine, or create one like `volume`: new, or a fork of `source`."""

    volume: DesiredVolume
    volume_id: str | None = None
    source: str | None = None

    def __str__(self) -> str:
        if self.volume_id:
            return f"attach volume {self.volume_id}: {self.cause}"
        what = f"fork {self.source}" if self.source else f"{self.volume.size_gb} GB"
        return f"create volume {self.volume.name} ({what}): {self.cause}"


@frozen(kw_only=True)
class Create(_Step):
    """Create the machine, exactly once; with `cordoned` it gets no traffic yet.

    If the machine has a volume, `config` lacks the volume's id. `config` is inherited from the machine named by `like`,
    except for `changes`. `name` defaults to the track's name; `replaces` is the id of the machine that it replaces.
    """

    config: MachineConfig = field(repr=False)
    cordoned: bool = False
    skip_launch: bool = False
    name: str | None = None
    replaces: str | None = None
    like: str | None = None
    changes: tuple[Change, ...] = ()
    standby_for: str | None = None

    def __str__(self) -> str:
        what = ", ".join(
            [
                f"create {self.name}" if self.name else "create",
                *([f"a standby for {self.standby_for}"] if self.standby_for else []),
                *(["cordoned"] if self.cordoned else []),
                *([f"like {self.like}"] if self.like else []),
            ]
        )
        return f"{what}: {self.cause}"

    def lines(self) -> Iterator[str]:
        """Yield the step as text, with every difference from the machine `like`."""
        yield str(self)
        yield from (f"  {change}" for change in self.changes)


@frozen(kw_only=True)
class Adopt(_Step):
    """Adopt the machine that already exists."""

    machine_id: str

    def __str__(self) -> str:
        return f"adopt {self.machine_id}: {self.cause}"


@frozen(kw_only=True)
class Spare:
    """The machine called `name` that replaces `machine` if its host has no room for the update to `config`.

    Few hosts are full, so its steps are made when they are needed, by `replacement`.
    """

    name: str
    machine: Machine
    config: MachineConfig


@frozen(kw_only=True)
class Update(_Step):
    """Update the machine's config in place: merge the spec into it, or replace it with `config`.

    A `config` is refused if the machine's config is no longer `over`, the config it had when the plan was made. A
    machine that is not running stays stopped unless `launches`. If its host is full, the machine in `if_full` replaces
    it. `standby_for` is the name of the machine that a standby stands by for from now on.
    """

    changes: tuple[Change, ...] = ()
    launches: bool = True
    config: MachineConfig | None = field(default=None, repr=False)
    over: MachineConfig | None = field(default=None, repr=False)
    if_full: Spare | None = field(default=None, repr=False)
    standby_for: str | None = None

    def __str__(self) -> str:
        return f"update in place{'' if self.launches else ', leave stopped'}: {self.cause}"

    def lines(self) -> Iterator[str]:
        """Yield the step as text, with every change that it makes."""
        yield str(self)
        yield from (f"  {change}" for change in self.changes)


@frozen(kw_only=True)
class Start(_Step):
    """Start the machine."""

    def __str__(self) -> str:
        return self._worded("start")


@frozen(kw_only=True)
class AwaitStarted(_Step):
    """Wait until the machine is started."""

    def __str__(self) -> str:
        return f"wait until started: {self.cause}"


@frozen(kw_only=True)
class AwaitHealthy(_Step):
    """Wait until the machine's checks pass."""

    def __str__(self) -> str:
        return f"wait until healthy: {self.cause}"


@frozen(kw_only=True)
class AwaitSettled(_Step):
    """Wait until an update of a stopped machine is complete: it is stopped again, in its new version."""

    def __str__(self) -> str:
        return f"wait until the update is complete: {self.cause}"


@frozen(kw_only=True)
class Watch(_Step):
    """Watch that the machine stays up for `seconds`."""

    seconds: float

    def __str__(self) -> str:
        return f"watch for {self.seconds:g} s: {self.cause}"


@frozen(kw_only=True)
class Verify(_Step):
    """Verify the machine from outside: `check` has to succeed within `seconds`."""

    check: str
    seconds: float

    def __str__(self) -> str:
        return f"verify with {self.check}, at most {self.seconds:g} s: {self.cause}"


@frozen(kw_only=True)
class Cordon(_Step):
    """Cordon the machine, so that the proxy sends it no new requests, and wait `drain` seconds for the others."""

    drain: float = 0.0

    def __str__(self) -> str:
        what = self._worded("cordon")
        return f"{what}; drain for {self.drain:g} s" if self.drain else what


@frozen(kw_only=True)
class Uncordon(_Step):
    """Uncordon the machine, so that the proxy routes requests to it."""

    def __str__(self) -> str:
        return f"uncordon: {self.cause}"


@frozen(kw_only=True)
class Stop(_Step):
    """Stop the machine, and wait until it is stopped.

    A machine that `returns` is stopped only for its update. It is marked before the stop, so that the next deploy
    starts it if this one is killed.
    """

    returns: bool = False

    def __str__(self) -> str:
        return self._worded("stop")


@frozen(kw_only=True)
class AwaitOthersStopped(_Step):
    """Wait until all machines of the lane that are to stop have stopped.

    If one of them cannot be stopped, none is updated: the others are started again with their old config.
    """

    def __str__(self) -> str:
        return f"wait until the other machines of the region are stopped: {self.cause}"


@frozen(kw_only=True)
class Destroy(_Step):
    """Destroy the machine."""

    def __str__(self) -> str:
        return self._worded("destroy")


@frozen(kw_only=True)
class DeleteVolume(_Step):
    """Delete a volume that this deploy created."""

    volume_id: str

    def __str__(self) -> str:
        return f"delete volume {self.volume_id}: {self.cause}"


@frozen(kw_only=True)
class Unmark(_Step):
    """Remove the mark of a machine whose group was new: the group is complete."""

    def __str__(self) -> str:
        return f"mark as complete: {self.cause}"


@frozen(kw_only=True)
class Return(_Step):
    """Return a machine that was started only for verification to its former state, even if the verification failed."""

    state: str

    def __str__(self) -> str:
        return f"return to {self.state}: {self.cause}"


@frozen(kw_only=True)
class RunToEnd(_Step):
    """Wait until the release or seed command on the machine exits; any exit code but 0 is a failure."""

    seconds: float

    def __str__(self) -> str:
        return f"wait for it to exit, at most {self.seconds:g} s: {self.cause}"


@frozen(kw_only=True)
class GiveUp(_Step):
    """Leave the machine unchanged and report it as failed: the deploy has no permitted way to update it."""

    def __str__(self) -> str:
        return f"cannot update: {self.cause}"


Step = (
    TakeVolume | Create | Adopt | Update | Start | AwaitStarted | AwaitHealthy | AwaitSettled | Watch | Verify | Cordon
    | Uncordon | Stop | AwaitOthersStopped | Destroy | DeleteVolume | Unmark | Return | RunToEnd | GiveUp
)  # fmt: skip
OBSERVING = (Adopt, TakeVolume, AwaitStarted, AwaitHealthy, AwaitSettled, Watch, Verify)
"""The steps that neither create, change, start, stop nor destroy a machine."""

WAITING = (AwaitStarted, AwaitHealthy, AwaitSettled, AwaitOthersStopped, Watch, Verify)
"""The steps that change nothing."""


ONLY_SECRETS = "secrets"
"""The strategy name of a plan that changes only the secrets that machines start with."""


class Target(StrEnum):
    """What a machine is at the end of the deploy, if nothing fails."""

    SERVE = "serve"  # it runs, and reaches its goal
    REST = "rest"  # it was not running before, and stays stopped
    APART = "apart"  # a standby or a scheduled machine: it has its config, and need not run
    GO = "go"  # it is destroyed
    END = "end"  # the release command: it runs until it exits
    SEED = "seed"  # the seed command: it runs until it exits

    @property
    def command(self) -> str | None:
        """What the machine runs to its end, if it is a temporary one: `release command` or `seed command`."""
        return {"end": "release command", "seed": "seed command"}.get(self)


@frozen(kw_only=True)
class Track:
    """The steps of one machine, in order.

    `machine_id` is set if the machine already exists. A track that `takes_slot` makes a serving machine unavailable
    while it runs; the lane's `width` limits how many do so at once. `config` is the config that the machine will have,
    as far as it is known; None for a machine that is destroyed. A machine that `stays_out` stays cordoned.
    """

    machine: DesiredMachine
    steps: tuple[Step, ...]
    machine_id: str | None = None
    target: Target = Target.SERVE
    takes_slot: bool = False
    config: MachineConfig | None = field(default=None, repr=False)
    stays_out: bool = False

    @property
    def verifies(self) -> bool:
        """Whether the machine is started only for verification."""
        return any(isinstance(step, Return) for step in self.steps)

    @property
    def is_verified(self) -> bool:
        """Whether the machine is verified from outside."""
        return any(isinstance(step, Verify) for step in self.steps)

    def lines(self) -> Iterator[str]:
        """Yield the track as text."""
        yield self.machine.name
        yield from (f"  {line}" for line in self.step_lines())

    def step_lines(self) -> Iterator[str]:
        """Yield its steps as text."""
        yield from (line for step in self.steps for line in step.lines())


Widths = Mapping[LaneKey, int]
"""How many serving machines of a lane may be unavailable at once; no entry stands for no limit."""


@frozen(kw_only=True)
class Lane:
    """The tracks of one group in one region.

    `width` is how many serving machines may be unavailable at once, None for no limit. A launch has no `group`.
    """

    region: str
    tracks: tuple[Track, ...]
    group: str = ""
    width: int | None = None

    @property
    def key(self) -> LaneKey:
        """The key of the lane, unique within its stage."""
        return self.region, self.group

    def lines(self) -> Iterator[str]:
        """Yield the lane as text."""
        takers = sum(track.takes_slot for track in self.tracks)
        yield f"{self.region}, {self.width} at a time" if self.width and takers > self.width else self.region
        yield from (f"  {line}" for track in self.tracks for line in track.lines())


@frozen(kw_only=True)
class Stage:
    """Lanes that run together.

    In a stage that is a `point_of_no_return` new machines start to take traffic; from its start on, no failure deletes
    the machines that the deploy created in its regions. In a stage that `relies_on_others` a lane starts only after the
    remaining machines of its region have been checked and are up. `wave` is the number of its wave, from 1; None for a
    stage before or after all waves.
    """

    lanes: tuple[Lane, ...]
    title: str | None = None
    point_of_no_return: bool = False
    relies_on_others: bool = False
    wave: int | None = None

    @classmethod
    def of(cls, title: str, tracks: Iterable[Track], widths: Widths | None = None, **kind: bool) -> "Stage":
        """Return a stage with these tracks, in one lane per region and group."""
        by_lane: dict[LaneKey, list[Track]] = {}
        for track in tracks:
            by_lane.setdefault(track.machine.lane, []).append(track)
        lanes = (
            Lane(region=key[0], group=key[1], tracks=tuple(those), width=(widths or {}).get(key))
            for key, those in by_lane.items()
        )
        return cls(title=title, lanes=tuple(lanes), **kind)

    @classmethod
    def together(cls, stages: Iterable["Stage"]) -> "Stage":
        """Return one stage with the lanes of all of these, which are the same stage of several groups.

        If their titles differ, its title names the groups of each.
        """
        every = [stage for stage in stages if stage.lanes]
        if not every:
            return cls(lanes=())
        titled: dict[str | None, list[str]] = {}
        for stage in every:
            titled.setdefault(stage.title, []).extend(lane.group for lane in stage.lanes)
        title = every[0].title
        if len(titled) > 1:
            title = "; ".join(f"{' and '.join(dict.fromkeys(groups))}: {each}" for each, groups in titled.items())
        return evolve(every[0], title=title, lanes=tuple(lane for stage in every for lane in stage.lanes))

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks in the order to start them: the first machine of every region before the second of any."""
        tracks = (track for lane in self.lanes for track in lane.tracks)
        return tuple(sorted(tracks, key=lambda track: track.machine.number))

    @property
    def heading(self) -> str | None:
        """The title of the stage, as the plan shows it."""
        return f"{self.title} (point of no return)" if self.point_of_no_return else self.title


@frozen(kw_only=True)
class Plan:
    """What a deploy would do, in order; `str(plan)` is the text to show.

    A launch, which only adds machines, has no `strategy` and no `groups`. `source` is the file with the desired state,
    and `addresses` are the types of the IP addresses to allocate. A plan that `keeps_config` changes no image, and of
    the configs only what is stated. It stops after the wave `pause_after`, and continues later. `before` is the fleet
    that the plan was made from, `kept` are the machines that are already up to date, `sizes` show where the regions
    and counts come from that are not stated, and `remarks` list what the plan leaves unchanged. If the app
    `lacks_address`, none of its services can be reached from outside. `estimate` is how long the plan takes, from the
    published limits and the times observed in this app; None if it was not estimated. `resources` are the machines,
    CPUs, memory and volumes before and after, of the groups that are deployed or retired, and of the whole app for a
    launch; None if they were not counted.
    """

    app: str
    launch: str
    image: str = field(converter=without_passwords)
    fallback: Fallback
    stages: tuple[Stage, ...]
    strategy: str | None = None
    groups: tuple[str, ...] = ()
    source: str | None = None
    addresses: tuple[AddressType, ...] = ()
    keeps_config: bool = False
    pause_after: int | None = None
    before: Fleet | None = field(default=None, repr=False)
    kept: tuple[Track, ...] = ()
    sizes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=(), converter=public)
    lacks_address: bool = False
    estimate: Estimate | None = None
    resources: ResourceChange | None = None

    @property
    def seconds(self) -> float | None:
        """The expected number of seconds; None if unknown, in which case only `estimate.least` may be known."""
        return self.estimate.likely if self.estimate else None

    @property
    def group(self) -> str | None:
        """The first group; None for a launch."""
        return self.groups[0] if self.groups else None

    @property
    def url(self) -> str | None:
        """The URL of the app; None if its machines have no public web server, or if it is known to lack an address."""
        tracks = (*self.tracks, *self.kept)
        created = (step.config for track in tracks for step in track.steps if isinstance(step, Create))
        configs = (config for config in (*(track.config for track in tracks), *created) if config is not None)
        return None if self.lacks_address else url(self.app, configs)

    @property
    def locks(self) -> Mapping[str, str]:
        """The id of the machine whose lease locks each group; every deployer chooses the same machine."""
        if self.before is None:
            return {}
        first = ((group, oldest(self.before.own(self.before.group(group)))) for group in self.groups)
        return {group: machine.id for group, machine in first if machine}

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All lanes of all stages."""
        return tuple(lane for stage in self.stages for lane in stage.lanes)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks of all stages."""
        return tuple(track for lane in self.lanes for track in lane.tracks)

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of all tracks."""
        return tuple(step for track in self.tracks for step in track.steps)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    def before_pause(self, wave: int | None) -> tuple[Stage, ...]:
        """Return the stages to execute before a pause after a wave; all stages for None.

        If nothing is to do up to that wave, there are none: what precedes the waves waits for the first of them.
        """
        if wave is None:
            return self.stages
        done = [number for number, stage in enumerate(self.stages, 1) if stage.wave is not None and stage.wave <= wave]
        return self.stages[: max(done, default=0)]

    @property
    def pauses(self) -> bool:
        """Whether it pauses before its last stage is done."""
        return self.before_pause(self.pause_after) != self.stages

    @property
    def has_changes(self) -> bool:
        """Whether any step creates, changes, starts, stops or destroys a machine."""
        # A launch adopts the machines that exist already, and waits for them.
        return not all(isinstance(step, OBSERVING) for step in self.steps)

    @property
    def creates(self) -> int:
        """The number of machines to create, without the temporary ones of commands."""
        lasting = (track for track in self.tracks if not track.target.command)
        return sum(isinstance(step, Create) for track in lasting for step in track.steps)

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that run first, on temporary machines: the release command, the seed command."""
        return tuple(track.target.command for track in self.tracks if track.target.command)

    @property
    def updates(self) -> int:
        """The number of machines to update."""
        return sum(isinstance(step, Update) for step in self.steps)

    @property
    def destroys(self) -> int:
        """The number of machines to destroy."""
        return sum(isinstance(step, Destroy) for step in self.steps)

    def __str__(self) -> str:
        lines = [self._headline()]
        # The stages, in order.
        for number, stage in enumerate(self.stages, start=1):
            indent = "    " if stage.heading else "  "
            if stage.heading:
                lines.append(f"  {number}. {stage.heading}")
            lines += (f"{indent}{line}" for lane in stage.lanes for line in lane.lines())
        if self.addresses:
            lines.append(f"  {allocation(self.addresses)}")
        # What else to know before confirming.
        lines += (f"  {line}" for line in (*self.sizes, *self.remarks))
        if self.creates or self.strategy is None:
            ways = {"skip": "skip it", "nearest": "go to the nearest region with room"}
            others = f"try {', '.join(self.fallback)}, in this order"
            way = ways[self.fallback] if isinstance(self.fallback, str) else others
            lines.append(f"  if a region has no room: {way}")
        lines += (f"  {line}" for line in self.resource_lines())
        if self.estimate:
            unknown = " and ".join(self.estimate.unobserved)
            basis = "from the published limits and the times observed in this app"
            if unknown:
                basis = f"not observed in this app yet: {unknown}"
            if self.pauses:
                basis += f"; without the pause after wave {self.pause_after}"
            lines.append(f"  estimated time: {self.estimate} ({basis})")
        return readable("\n".join(lines))

    def _repr_html_(self) -> str:
        """Return the plan for a notebook: a table with a row for each machine of each stage, and the causes."""
        cells = (
            (stage.heading or "", lane.region, track.machine.name, tag("pre", "\n".join(track.step_lines())))
            for stage in self.stages
            for lane in stage.lanes
            for track in lane.tracks
        )
        rows = [tag("tr", *(tag("td", cell, style="text-align:left") for cell in row)) for row in cells]
        heads = tag("tr", *(tag("th", head) for head in ("stage", "region", "machine", "steps and causes")))
        table = tag("table", tag("thead", heads), tag("tbody", *rows)) if rows else Html()
        return tag("div", tag("p", self._headline()), table, *(tag("p", remark) for remark in self.remarks))

    def resource_lines(self) -> Iterator[str]:
        """Yield as text what it uses before and after; nothing if it changes nothing."""
        if self.resources and not self.is_empty:
            yield from self.resources.lines()

    def _headline(self) -> str:
        """Return the app, the strategy, and how many machines are created, updated, destroyed and kept."""
        first = "".join(f"run the {command}, " for command in self.commands)
        if self.strategy is None:
            return f"{self.app}, launch {self.launch} adds: {first}create {self.creates} of {self.image}"
        what = f" converges{f' to {self.source}' if self.source else ''}, {self.strategy} to {self.image}"
        if self.strategy == "undo":
            what = f", undo of launch {self.launch}"
        if self.keeps_config:
            what = f" keeps its images and configs, {self.strategy}"
        if self.strategy == ONLY_SECRETS:
            what = ", current secrets"
        if self.is_empty:
            # Equal digests prove more than equal tags, so the text mentions that digests were compared.
            by = " (image digests compared)" if digest_of(self.image) and self.strategy != "undo" else ""
            return f"{self.app}{what}: nothing to do, all {len(self.kept)} up to date{by}"
        counted = ((self.creates, "create"), (self.updates, "update"), (self.destroys, "destroy"))
        work = ", ".join(f"{what} {count}" for count, what in counted if count) or "no machine changes"
        kept = f", keep {len(self.kept)}" if self.kept else ""
        launch = "" if self.strategy == "undo" else f", launch {self.launch}"
        return f"{self.app}{what}{launch}: {first}{work}{kept}"


@frozen(kw_only=True)
class Decision:
    """A plan, and the spec that it implements, with the observed digest and secrets filled in."""

    spec: DeploySpec
    plan: Plan

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The observed machines that the deploy is about: those of its groups, or of its launch."""
        groups = {*self.spec.group_names, *self.spec.retired_groups}
        fleet = self.plan.before or Fleet(self.plan.app, ())
        return tuple(each for each in fleet.machines if self.plan.group is None or fleet.group_of(each) in groups)
