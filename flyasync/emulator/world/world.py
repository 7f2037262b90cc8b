"""The state of the emulated platform: apps, machines, volumes, capacity, and scheduled transitions."""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

from attrs import Factory, define, field

from flyasync.emulator.core import ids
from flyasync.emulator.core.accepted_token import AcceptedToken
from flyasync.emulator.core.errors import not_found
from flyasync.emulator.core.faults import Faults
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import ImageRegistry
from flyasync.emulator.core.lifecycle import log_line
from flyasync.emulator.core.machine_text import MachineText
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.records import (
    AppRecord,
    CheckPhase,
    ClusterRecord,
    EventRecord,
    LimitedTokenRecord,
    LogRecord,
    MachineRecord,
    OrgRecord,
    Transition,
    VolumeRecord,
)
from flyasync.emulator.core.regions import CODES, RETIRED

# The seconds of history for stale lists; a fault with more seconds gets this much.
_PAST_KEPT = 120.0
# The lines of an app's log; older ones are dropped, since a world may run for days.
_LINES_KEPT = 10_000
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
ChangeObserver = Callable[[MachineRecord], None]


@define(kw_only=True, eq=False)
class World:
    """The state of the emulator. It does not read a clock: time is passed in, in seconds since the world began.

    The same seed and the same calls at the same times give the same ids and the same history. `boot` is the range of
    seconds from an accepted create to `started`, `startup` that until the process responds to checks. `capacity` is the
    number of machines that each region can hold, None or absent for no limit; `retired` regions accept nothing new.
    `lag`, `secrets_lag`, `linger` and `image_lag` are ranges of seconds too: until other nodes see a new app or
    machine, until secrets reach the hosts, until the volume of a destroyed machine is free, and until an image that was
    just pushed is found. `boots` are the seconds of machines with these names. `tag_moves` are the times at which tags
    move. `addresses` are the types of those that each new app gets. `tokens` are those that are accepted; if there are
    none, almost any is. `observers` are called with each machine that changes.
    """

    seed: int = 0
    epoch: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    boot: tuple[float, float] = (1.0, 3.0)
    boots: Mapping[str, float] = Factory(dict)
    startup: tuple[float, float] = (0.0, 0.0)
    lag: tuple[float, float] = (0.0, 0.0)
    secrets_lag: tuple[float, float] = (0.0, 0.0)
    linger: tuple[float, float] = (0.0, 0.0)
    image_lag: tuple[float, float] = (0.0, 0.0)
    tag_moves: dict[str, float] = Factory(dict)
    capacity: dict[str, int | None] = Factory(dict)
    faults: Faults = Factory(Faults)
    clock: float = 0.0
    apps: dict[str, AppRecord] = Factory(dict)
    machines: dict[str, MachineRecord] = Factory(dict)
    volumes: dict[str, VolumeRecord] = Factory(dict)
    clusters: dict[str, ClusterRecord] = Factory(dict)
    orgs: dict[str, OrgRecord] = Factory(dict)
    limited_tokens: dict[str, LimitedTokenRecord] = Factory(dict)
    addresses: tuple[str, ...] = ()
    tokens: list[AcceptedToken] = Factory(list)
    lines: dict[str, deque[LogRecord]] = Factory(dict)
    images: ImageRegistry = Factory(ImageRegistry)
    # The times from which tags, with their full names, are found.
    image_known_at: dict[str, float] = Factory(dict)
    commands: dict[str, Output] = Factory(dict)
    processes: dict[str, list[Json]] = Factory(dict)
    error_regions: set[str] = Factory(set)
    retired: set[str] = Factory(lambda: set(RETIRED))
    observers: list[ChangeObserver] = Factory(list)
    random: Random = Factory(lambda self: ids.seeded(self.seed, "world"), takes_self=True)
    # The past states of each machine with their times, oldest first; None until a stale list needs them.
    past: dict[str, list[tuple[float, MachineRecord]]] | None = None
    logged: int = 0
    # Indexes, derived from the records, so that the cost of listing one app does not depend on the number of apps.
    app_by_key: dict[tuple[str, str], AppRecord] = field(factory=dict, init=False)
    occupied: Counter[str] = field(factory=Counter, init=False)
    # The texts of the machines that were read.
    machine_texts: dict[str, MachineText] = field(factory=dict, init=False)
    _of_app: dict[str, dict[str, MachineRecord]] = field(factory=dict, init=False)
    _by_name: dict[tuple[str, str], MachineRecord] = field(factory=dict, init=False)
    # What is due when, the first one first; at the same time, in the order of the ids.
    _due: list[tuple[float, str]] = field(factory=list, init=False)
    _changed: set[str] = field(factory=set, init=False)
    _epoch_microseconds: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        demand_regions(self.capacity)
        self._epoch_microseconds = (self.epoch - _UNIX_EPOCH) // _MICROSECOND
        self.lines = {app: deque(lines, maxlen=_LINES_KEPT) for app, lines in self.lines.items()}
        self.app_by_key = {
            (app.org_slug, app.idempotency_key): app for app in self.apps.values() if app.idempotency_key
        }
        for machine in self.machines.values():
            self._index(machine)
            self.schedule(machine, machine.next_transition)
            # The checks have already changed at all times up to the present one.
            self.schedule_checks(machine, (phase for phase in machine.check_phases if phase.at > self.clock))

    def __repr__(self) -> str:
        due = "nothing" if (at := self.next_due()) is None else f"at {at:.2f}"
        return f"<World at {self.clock:.2f} s: {len(self.apps)} apps, {len(self.machines)} machines, due {due}>"

    def app(self, name: str) -> AppRecord:
        """Return an app; an unknown one raises 404."""
        if name not in self.apps:
            raise not_found("app")
        return self.apps[name]

    def machine(self, app: str, machine_id: str) -> MachineRecord:
        """Return a machine of an app, destroyed ones included; an unknown one raises 404."""
        found = self.machines.get(machine_id)
        if self.app(app).name != app or found is None or found.app != app:
            raise not_found("machine")
        return found

    def volume(self, app: str, volume_id: str) -> VolumeRecord:
        """Return a volume of an app, deleted ones included; an unknown one raises 404."""
        found = self.volumes.get(volume_id)
        if self.app(app).name != app or found is None or found.app != app:
            raise not_found("volume")
        return found

    def machines_of(self, app: str) -> list[MachineRecord]:
        """Return the machines of an app, oldest first, destroyed ones included."""
        return list(self._of_app.get(self.app(app).name, {}).values())

    def holder(self, app: str, name: str) -> MachineRecord | None:
        """Return the machine of an app with this name; a destroyed one no longer has it."""
        found = self._by_name.get((app, name))
        return None if found is None or found.is_destroyed else found

    def add(self, machine: MachineRecord) -> None:
        """Add a new machine."""
        self.machines[machine.id] = machine
        self._index(machine)

    def forget(self, app: str) -> None:
        """Remove the machines and the log of an app."""
        self.lines.pop(app, None)
        for machine in self._of_app.pop(app, {}).values():
            del self.machines[machine.id]
            self.machine_texts.pop(machine.id, None)
            self._by_name.pop((app, machine.name), None)

    def volumes_of(self, app: str) -> list[VolumeRecord]:
        """Return the volumes of an app, oldest first, deleted ones included."""
        name = self.app(app).name
        return [volume for volume in self.volumes.values() if volume.app == name]

    def room(self, region: str) -> int | None:
        """Return the number of machines that still fit in a region, None for no limit."""
        capacity = self.capacity.get(region)
        return None if capacity is None else max(0, capacity - self.occupied[region])

    def has_room(self, region: str) -> bool:
        """Whether one more machine fits."""
        return self.room(region) != 0

    def set_error_regions(self, regions: Iterable[str]) -> None:
        """Make exactly these regions unreadable to the lists of organizations."""
        self.error_regions = set(regions)

    def draw(self, bounds: tuple[float, float]) -> float:
        """Return random seconds between two bounds; with bounds of 0, no random number is drawn."""
        return self.random.uniform(*bounds) if any(bounds) else 0.0

    def schedule(self, machine: MachineRecord, transition: Transition | None) -> None:
        """Set the next transition of a machine, replacing the scheduled one."""
        machine.next_transition = transition
        if transition is not None:
            self._push_due(machine, transition.at)

    def schedule_checks(self, machine: MachineRecord, phases: Iterable[CheckPhase]) -> None:
        """Schedule the times at which the checks of a machine change."""
        for at in sorted({phase.at for phase in phases}):
            self._push_due(machine, at)

    def take_due(self, now: float) -> tuple[float, MachineRecord, Transition | None] | None:
        """Remove and return what is due first by `now`: time, machine and transition (None if only checks change)."""
        while self._due and self._due[0][0] <= now:
            at, machine_id = heapq.heappop(self._due)
            machine = self.machines.get(machine_id)
            if machine is None:
                continue
            # An entry has a machine and a time. It stays in the heap when its transition is replaced or the host
            # is lost: then nothing is due at its time, and it is skipped.
            transition = machine.next_transition
            if transition is not None and transition.at == at and machine.can_transition:
                machine.next_transition = None
                return at, machine, transition
            if any(phase.at == at for phase in machine.check_phases):
                return at, machine, None
        return None

    def next_due(self) -> float | None:
        """Return the time of the next entry, which may have been replaced."""
        return self._due[0][0] if self._due else None

    def record(
        self, machine: MachineRecord, event: str, status: str, *, source: str = "user", request: Json | None = None
    ) -> None:
        """Record an event of a machine, and log it if the platform does."""
        line = EventRecord(
            id=self.ulid(),
            type=event,
            status=status,
            source=source,
            at=self.clock,
            request=request,
        )
        machine.events.appendleft(line)
        if words := log_line(event, status, request):
            self.log(machine.app, words[1], level=words[0], machine=machine, provider="runner")

    def log(
        self,
        app: str,
        message: str,
        *,
        level: str = "info",
        machine: MachineRecord | None = None,
        provider: str = "app",
    ) -> None:
        """Append a line to an app's log."""
        self.app(app)
        self.logged += 1
        line = LogRecord(
            serial=self.logged,
            at=self.clock,
            message=message,
            level=level,
            instance=machine.id if machine else "",
            region=machine.region if machine else "",
            provider=provider,
        )
        self.lines.setdefault(app, deque(maxlen=_LINES_KEPT)).append(line)

    def keep_past(self) -> None:
        """Record the states of machines from now on, for stale lists."""
        if self.past is None:
            self.past = {}
            for machine in self.machines.values():
                self.keep(machine)

    def keep(self, machine: MachineRecord) -> None:
        """Drop the text of a machine that has changed, and record its present state, if states are recorded."""
        if (text := self.machine_texts.get(machine.id)) is not None:
            text.valid_until = -math.inf
        if self.past is None:
            return
        entries = self.past.setdefault(machine.id, [])
        entries.append((self.clock, machine.copy()))
        # One entry older than the bound stays: it is the state at the bound.
        while len(entries) > 1 and entries[1][0] < self.clock - _PAST_KEPT:
            del entries[0]

    def as_of(self, machine: MachineRecord, then: float) -> MachineRecord | None:
        """Return a machine as it was at a time, None if it did not exist; at least as recent as the oldest record."""
        if then >= self.clock:
            return machine
        if machine.created_at > then:
            return None
        entries = (self.past or {}).get(machine.id) or [(self.clock, machine)]
        known = [record for at, record in entries if at <= then]
        return known[-1] if known else entries[0][1]

    def note_change(self, machine: MachineRecord) -> None:
        """Notify the observers that a machine changed, and record it for the waiting requests."""
        self._changed.add(machine.id)
        self.keep(machine)
        for notify in tuple(self.observers):
            notify(machine)

    def take_changed(self) -> set[str]:
        """Return the machines that changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def moment(self, at: float) -> datetime:
        """Return the calendar time of a time of this world."""
        return self.epoch + timedelta(seconds=at)

    def stamp(self, at: float) -> str:
        """Return a time as the API formats it, RFC 3339 in UTC."""
        seconds, milliseconds = divmod(self._unix_microseconds(at) // 1000, 1000)
        return f"{_second(seconds)}.{milliseconds:03}Z"

    def milliseconds(self, at: float) -> int:
        """Return a time in milliseconds of Unix time, as in events."""
        return round(self._unix_microseconds(at) / 1_000_000 * 1000)

    def unix(self, at: float) -> int:
        """Return a time in whole seconds of Unix time, as in leases."""
        return int(self.moment(at).timestamp())

    def ulid(self) -> str:
        """Draw a ULID for a version or an event, with the present time in it."""
        return ids.ulid(self.random, self.clock, birth_ms=self.milliseconds(0.0))

    def _unix_microseconds(self, at: float) -> int:
        return self._epoch_microseconds + timedelta(0, at) // _MICROSECOND

    def _push_due(self, machine: MachineRecord, at: float) -> None:
        heapq.heappush(self._due, (at, machine.id))

    def _index(self, machine: MachineRecord) -> None:
        self._of_app.setdefault(machine.app, {})[machine.id] = machine
        self._by_name[machine.app, machine.name] = machine
        self.occupied[machine.region] += not machine.is_destroyed


# Cached: what happens in a world happens in few different seconds, and each machine shows several times.
@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return (_UNIX_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def demand_codes(name: str, regions: Iterable[str]) -> None:
    """Raise ValueError for an unknown region."""
    for region in regions:
        if region not in CODES:
            raise ValueError(f"{name}: there is no region {region!r}")


def demand_regions(capacity: Mapping[str, int | None]) -> None:
    """Raise ValueError for an unknown region or a negative capacity."""
    demand_codes("capacity", capacity)
    for region, machines in capacity.items():
        if machines is not None and machines < 0:
            raise ValueError(f"capacity: {region} is {machines}, but must be 0 or more")
