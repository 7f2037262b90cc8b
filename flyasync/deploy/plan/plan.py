"""Plan: stages of lanes (regions) of tracks (machines) of steps, each with its cause."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from attrs import field, frozen

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.fleet import Fleet, oldest
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine, DesiredVolume, Fallback
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.image import digest_of
from flyasync.models.redaction import all_without_passwords, without_passwords
from flyasync.safe_text import readable


@frozen(kw_only=True)
class _Step:
    """Something to do with the machine of a track, or with the machine that `machine_id` names."""

    cause: str
    machine_id: str | None = None

    def _worded(self, what: str) -> str:
        return f"{what} {self.machine_id or 'it'}: {self.cause}"

    def lines(self) -> Iterator[str]:
        """Yield the step as text."""
        yield str(self)


@frozen(kw_only=True)
class TakeVolume(_Step):
    """Take a volume that nobody holds for the machine, or make one as `wanted`: new, or a fork of `source`."""

    wanted: DesiredVolume
    volume_id: str | None = None
    source: str | None = None

    def __str__(self) -> str:
        new = f"make a volume {self.wanted.name}" + ("" if self.source else f" of {self.wanted.size_gb} GB")
        what = f"take volume {self.volume_id}" if self.volume_id else new
        return f"{what + f' from {self.source}' if self.source else what}: {self.cause}"


@frozen(kw_only=True)
class Create(_Step):
    """Create the machine, exactly once; `cordoned` is outside routing.

    `config` lacks the id of the machine's volume, where it takes one; it is inherited from the machine named by `like`,
    but for `changes`. `name` is that of the track unless given, `replaces` the id of the machine whose place it takes.
    """

    config: MachineConfig = field(repr=False)
    cordoned: bool = False
    skip_launch: bool = False
    name: str | None = None
    replaces: str | None = None
    like: str | None = None
    changes: tuple[Change, ...] = ()

    def __str__(self) -> str:
        what = f"create {self.name or 'it'}{' outside routing' if self.cordoned else ''}"
        return f"{what}{f', like {self.like}' if self.like else ''}: {self.cause}"

    def lines(self) -> Iterator[str]:
        """Yield the step and every difference from the machine that it is like as text."""
        yield str(self)
        yield from (f"  {change}" for change in self.changes)


@frozen(kw_only=True)
class Adopt(_Step):
    """Take the machine that is there already."""

    machine_id: str

    def __str__(self) -> str:
        return f"adopt {self.machine_id}: {self.cause}"


@frozen(kw_only=True)
class Update(_Step):
    """Replace the machine's config: by the spec's merged into it, or by `config` as it stands.

    The latter is refused for a machine whose config is not `over`, as it was planned, any more. A machine that does
    not run stays so unless `launches`. When its host is full, `if_full` are the steps that put another machine in its
    place.
    """

    changes: tuple[Change, ...] = ()
    launches: bool = True
    config: MachineConfig | None = field(default=None, repr=False)
    over: MachineConfig | None = field(default=None, repr=False)
    if_full: tuple["Step", ...] = ()

    def __str__(self) -> str:
        return f"update it{'' if self.launches else ', and leave it stopped'}: {self.cause}"

    def lines(self) -> Iterator[str]:
        """Yield the step and every change it makes as text."""
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
        return f"wait until it is started: {self.cause}"


@frozen(kw_only=True)
class AwaitHealthy(_Step):
    """Wait until the machine's checks pass."""

    def __str__(self) -> str:
        return f"wait until its checks pass: {self.cause}"


@frozen(kw_only=True)
class AwaitSettled(_Step):
    """Wait until the machine has come to rest in its new version."""

    def __str__(self) -> str:
        return f"wait until it has settled: {self.cause}"


@frozen(kw_only=True)
class Watch(_Step):
    """Watch that the machine stays up for so many seconds."""

    seconds: float

    def __str__(self) -> str:
        return f"watch it for {self.seconds:g} s: {self.cause}"


@frozen(kw_only=True)
class Cordon(_Step):
    """Take the machine out of the proxy's routing, and give it `drain` seconds to finish what it has."""

    drain: float = 0.0

    def __str__(self) -> str:
        what = self._worded("take out of routing")
        return f"{what}; {self.drain:g} s to finish what it has" if self.drain else what


@frozen(kw_only=True)
class Uncordon(_Step):
    """Let the machine into the proxy's routing."""

    def __str__(self) -> str:
        return f"let it into routing: {self.cause}"


@frozen(kw_only=True)
class Stop(_Step):
    """Stop the machine, and wait until it is.

    One that `returns` is stopped only for its update. It is marked before, so that if this deploy is killed the next
    one starts it.
    """

    returns: bool = False

    def __str__(self) -> str:
        return self._worded("stop")


@frozen(kw_only=True)
class AwaitOthersStopped(_Step):
    """Wait until every machine of the lane that is to stop has stopped.

    Where one of them could not be stopped none of the others goes on: each is started again as it was.
    """

    def __str__(self) -> str:
        return f"wait until the others of the region have stopped: {self.cause}"


@frozen(kw_only=True)
class Destroy(_Step):
    """Destroy the machine, for good."""

    def __str__(self) -> str:
        return self._worded("destroy")


@frozen(kw_only=True)
class DeleteVolume(_Step):
    """Delete a volume that this deploy has made."""

    volume_id: str

    def __str__(self) -> str:
        return f"delete volume {self.volume_id}: {self.cause}"


@frozen(kw_only=True)
class Return(_Step):
    """Return a machine that was started only to verify it to its former state, whatever that has shown."""

    state: str

    def __str__(self) -> str:
        return f"return it to {self.state}: {self.cause}"


@frozen(kw_only=True)
class RunToEnd(_Step):
    """Run the release command on the machine until it ends; anything but exit code 0 is a failure."""

    seconds: float

    def __str__(self) -> str:
        return f"run it to its end, at most {self.seconds:g} s: {self.cause}"


@frozen(kw_only=True)
class GiveUp(_Step):
    """Leave the machine alone, and call that a failure: nothing that may be done here would help."""

    def __str__(self) -> str:
        return f"leave it alone: {self.cause}"


Step = (
    TakeVolume | Create | Adopt | Update | Start | AwaitStarted | AwaitHealthy | AwaitSettled | Watch | Cordon
    | Uncordon | Stop | AwaitOthersStopped | Destroy | DeleteVolume | Return | RunToEnd | GiveUp
)  # fmt: skip
WAITING = (AwaitStarted, AwaitHealthy, AwaitSettled, AwaitOthersStopped, Watch)
"""The steps that change nothing."""


ONLY_SECRETS = "secrets"
"""The strategy's name of a plan that changes nothing but the secrets that machines start with."""


class Target(StrEnum):
    """What a machine is to be in the end."""

    SERVE = "serve"  # it reaches its goal
    REST = "rest"  # it did not run before, and stays so
    APART = "apart"  # it stands by for another, or runs on a schedule: it has its config, and need not run
    GO = "go"  # not there any more
    END = "end"  # the release command: it runs to its end


@frozen(kw_only=True)
class Track:
    """The steps of one machine, one after the other.

    `machine_id` is that of a machine which is there already. While a track that `takes_a_place` is under way its
    machine does not serve; only so many of a lane may do that at once. `config` is what the machine will have, as far
    as that is known; None for one that goes. One that `stays_out` shall be outside routing in the end.
    """

    machine: DesiredMachine
    steps: tuple[Step, ...]
    machine_id: str | None = None
    target: Target = Target.SERVE
    takes_a_place: bool = False
    config: MachineConfig | None = field(default=None, repr=False)
    stays_out: bool = False

    @property
    def verifies(self) -> bool:
        """Whether its machine is started only to verify it."""
        return any(isinstance(step, Return) for step in self.steps)

    def lines(self) -> Iterator[str]:
        """Yield the track as text."""
        yield self.machine.name
        yield from (f"  {line}" for step in self.steps for line in step.lines())


@frozen(kw_only=True)
class Lane:
    """The tracks of one region; `width` is how many of its serving machines may be away at once, None for any."""

    region: str
    tracks: tuple[Track, ...]
    width: int | None = None

    def lines(self) -> Iterator[str]:
        """Yield the lane as text."""
        takers = sum(track.takes_a_place for track in self.tracks)
        yield f"{self.region}, {self.width} at a time" if self.width and takers > self.width else self.region
        yield from (f"  {line}" for track in self.tracks for line in track.lines())


@frozen(kw_only=True)
class Stage:
    """Lanes that go together.

    Once a stage that is a `point_of_no_return` has begun, what the deploy made in its regions takes traffic, and no
    failure deletes it any more. In one that `relies_on_others` a lane begins only once the machines of its region that
    stay are seen to be as they shall.
    """

    lanes: tuple[Lane, ...]
    title: str | None = None
    point_of_no_return: bool = False
    relies_on_others: bool = False

    @classmethod
    def of(cls, title: str, tracks: Iterable[Track], widths: Mapping[str, int] | None = None, **kind: bool) -> "Stage":
        """Make a stage of tracks, a lane for each of their regions."""
        by_region: dict[str, list[Track]] = {}
        for track in tracks:
            by_region.setdefault(track.machine.region, []).append(track)
        lanes = (
            Lane(region=region, tracks=tuple(those), width=(widths or {}).get(region))
            for region, those in by_region.items()
        )
        return cls(title=title, lanes=tuple(lanes), **kind)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks in the order to begin them: the first machine of every region before the second of any."""
        tracks = (track for lane in self.lanes for track in lane.tracks)
        return tuple(sorted(tracks, key=lambda track: track.machine.number))

    @property
    def heading(self) -> str | None:
        """What the stage is about, as text."""
        return f"{self.title} (no way back from here)" if self.point_of_no_return else self.title


@frozen(kw_only=True)
class Plan:
    """What a deploy would do, in order; `str` shows it.

    `strategy` names it and `group` the machines it is about, None for a launch that only adds machines. `before` is
    what was there when it was made, `kept` are the machines that are as wanted already, and `remarks` say what it
    leaves alone. `estimate` is how long it takes by the published limits and the times observed in this app, None where
    it was not estimated.
    """

    app: str
    launch: str
    image: str = field(converter=without_passwords)
    fallback: Fallback
    stages: tuple[Stage, ...]
    strategy: str | None = None
    group: str | None = None
    before: Fleet | None = field(default=None, repr=False)
    kept: tuple[Track, ...] = ()
    remarks: tuple[str, ...] = field(default=(), converter=all_without_passwords)
    estimate: Estimate | None = None

    @property
    def seconds(self) -> float | None:
        """How many seconds it is expected to take; None where that is not known, or not beyond `estimate.least`."""
        return self.estimate.likely if self.estimate else None

    @property
    def locking(self) -> str | None:
        """The id of the machine whose lease keeps other deployers out: the one that each of them chooses."""
        first = oldest(self.before.group(self.group)) if self.before and self.group is not None else None
        return first.id if first else None

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

    @property
    def creates(self) -> int:
        """How many machines it would create."""
        return sum(isinstance(step, Create) for step in self.steps)

    @property
    def updates(self) -> int:
        """How many machines it would update."""
        return sum(isinstance(step, Update) for step in self.steps)

    @property
    def destroys(self) -> int:
        """How many machines it would destroy."""
        return sum(isinstance(step, Destroy) for step in self.steps)

    def __str__(self) -> str:
        lines = [self._headline()]
        # The stages, in order.
        for number, stage in enumerate(self.stages, start=1):
            indent = "    " if stage.heading else "  "
            if stage.heading:
                lines.append(f"  {number}. {stage.heading}")
            lines += (f"{indent}{line}" for lane in stage.lanes for line in lane.lines())
        # What else there is to know before saying yes.
        lines += (f"  {remark}" for remark in self.remarks)
        if self.creates or self.strategy is None:
            ways = {"skip": "skip it", "nearest": "go to the nearest region with room"}
            others = f"try {', '.join(self.fallback)}, in this order"
            way = ways[self.fallback] if isinstance(self.fallback, str) else others
            lines.append(f"  where a region has no room: {way}")
        if self.estimate:
            unknown = " and ".join(self.estimate.unobserved)
            basis = ", by the published limits and the times observed"
            if unknown:
                basis = f": how long {unknown} take here has not been observed yet"
            lines.append(f"  takes {self.estimate}{basis}")
        return readable("\n".join(lines))

    def _headline(self) -> str:
        """Return what the plan is about, and how many machines it creates, updates, destroys and keeps."""
        if self.strategy is None:
            return f"{self.app}, launch {self.launch}: create {self.creates} of {self.image}"
        what = f"{self.strategy} to {self.image}"
        if self.strategy == "undo":
            what = f"undo of launch {self.launch}"
        if self.strategy == ONLY_SECRETS:
            what = "the secrets as they are now"
        if self.is_empty:
            # Equal digests prove more than equal tags, so it is said that they were compared.
            by = ", by the digest of the image" if digest_of(self.image) and self.strategy != "undo" else ""
            return f"{self.app}, {what}: nothing to do, all {len(self.kept)} are as wanted{by}"
        counted = ((self.creates, "create"), (self.updates, "update"), (self.destroys, "destroy"))
        work = ", ".join(f"{what} {count}" for count, what in counted if count) or "change no machine"
        kept = f", keep {len(self.kept)}" if self.kept else ""
        launch = "" if self.strategy == "undo" else f", launch {self.launch}"
        return f"{self.app}, {what}{launch}: {work}{kept}"


@frozen(kw_only=True)
class Decision:
    """A plan, and the spec that it carries out: with what was observed beside the machines filled in."""

    spec: DeploySpec
    plan: Plan
