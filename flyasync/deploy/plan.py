"""Plan: stages of lanes (regions) of tracks (machines) of steps, each with its cause."""

from collections.abc import Iterator

from attrs import frozen

from flyasync.deploy.deployment import Fallback, Wanted


@frozen(kw_only=True)
class Create:
    """Create the machine, exactly once."""

    cause: str

    def __str__(self) -> str:
        return f"create it: {self.cause}"


@frozen(kw_only=True)
class Adopt:
    """Take the machine that is there already."""

    machine_id: str
    cause: str

    def __str__(self) -> str:
        return f"adopt {self.machine_id}: {self.cause}"


@frozen(kw_only=True)
class Start:
    """Start the machine."""

    cause: str

    def __str__(self) -> str:
        return f"start it: {self.cause}"


@frozen(kw_only=True)
class AwaitStarted:
    """Wait until the machine is started."""

    cause: str

    def __str__(self) -> str:
        return f"wait until it is started: {self.cause}"


@frozen(kw_only=True)
class AwaitHealthy:
    """Wait until the machine's checks pass."""

    cause: str

    def __str__(self) -> str:
        return f"wait until its checks pass: {self.cause}"


Step = Create | Adopt | Start | AwaitStarted | AwaitHealthy


@frozen(kw_only=True)
class Track:
    """The steps of one machine, one after the other."""

    machine: Wanted
    steps: tuple[Step, ...]

    def lines(self) -> Iterator[str]:
        """Give the track as text."""
        yield self.machine.name
        yield from (f"  {step}" for step in self.steps)


@frozen(kw_only=True)
class Lane:
    """The tracks of one region."""

    region: str
    tracks: tuple[Track, ...]

    def lines(self) -> Iterator[str]:
        """Give the lane as text."""
        yield self.region
        yield from (f"  {line}" for track in self.tracks for line in track.lines())


@frozen(kw_only=True)
class Stage:
    """Lanes that go together."""

    lanes: tuple[Lane, ...]

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks in the order to begin them: the first machine of every region before the second of any."""
        return tuple(sorted((track for lane in self.lanes for track in lane.tracks), key=_number))


def _number(track: Track) -> int:
    return track.machine.number


@frozen(kw_only=True)
class Plan:
    """What a deploy would do, in order; `str` shows it."""

    app: str
    launch: str
    image: str
    fallback: Fallback
    stages: tuple[Stage, ...]

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All lanes of all stages."""
        return tuple(lane for stage in self.stages for lane in stage.lanes)

    @property
    def creates(self) -> int:
        """How many machines it would create."""
        return sum(isinstance(step, Create) for lane in self.lanes for track in lane.tracks for step in track.steps)

    def __str__(self) -> str:
        head = f"{self.app}, launch {self.launch}: create {self.creates} of {self.image}"
        lines = [f"  {line}" for lane in self.lanes for line in lane.lines()]
        return "\n".join([head, *lines, f"  where a region has no room: {_fallback(self.fallback)}"])


def _fallback(fallback: Fallback) -> str:
    if fallback == "skip":
        return "skip it"
    if fallback == "nearest":
        return "go to the nearest region with room"
    return f"try {', '.join(fallback)}, in this order"
