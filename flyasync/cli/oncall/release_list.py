"""The releases of an app, from the versions of its machines and from flyctl's own records; pure.

Each version of a machine has the metadata of its release: flyasync's launch, flyctl's release, or both, if the one has
changed a machine of the other. The release that a version belongs to is the one that differs from the version before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from attrs import Factory, define, frozen

from flyasync.api.machines.create_once import LAUNCH
from flyasync.cli.oncall.app_status import FLYCTL_RELEASE, trouble
from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.launch_origin import LaunchOrigin
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.models.config import MachineConfig
from flyasync.models.image import digest_of
from flyasync.models.machine import GONE, Machine
from flyasync.models.machine_results import MachineVersion

_TIME_DIGITS: Final = 10  # of a ULID: milliseconds since 1970
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class ReleaseKey(NamedTuple):
    """What identifies a release: a launch of flyasync, or the number of a release of flyctl."""

    tool: Literal["flyasync", "flyctl"]
    name: str


@frozen(kw_only=True)
class FlyctlRelease:
    """A release as flyctl has recorded it."""

    version: str
    status: str | None
    description: str | None
    by: str | None
    image: str | None
    created_at: str | None


@frozen(kw_only=True)
class Release:
    """One release; None where nothing shows a value.

    `machines` is how many machines have it now, `of` how many machines its groups have, and `in_trouble` how many of
    those that have it are in trouble. `status` is flyctl's own word for its end.
    """

    release: str
    tool: str
    at: str | None
    by: str | None
    commit: str | None
    message: str | None
    image: str | None
    digest: str | None
    groups: Sequence[str]
    machines: int
    of: int
    in_trouble: int
    was_rolled_back: bool
    status: str | None

    @property
    def result(self) -> str:
        """What became of the release, as far as the machines show it."""
        if self.machines:
            what = "current" if self.machines == self.of else f"on {self.machines} of {self.of} machines"
        elif self.was_rolled_back:
            what = "rolled back"
        else:
            what = "no machine has it" if self.status else "replaced"
        bad = [f"{self.in_trouble} in trouble"] if self.in_trouble else []
        return "; ".join([*([self.status] if self.status else []), what, *bad])


@define
class _Trace:
    """What the machines show of one release."""

    moments: list[datetime] = Factory(list)
    images: list[str] = Factory(list)
    origin: LaunchOrigin = Factory(LaunchOrigin)
    groups: set[str] = Factory(set)
    current: list[Machine] = Factory(list)
    undone: int = 0


def releases(
    machines: Sequence[Machine], versions: Mapping[str, Sequence[MachineVersion]], recorded: Iterable[FlyctlRelease]
) -> tuple[Release, ...]:
    """Return the releases, newest first.

    Args:
        machines: The machines of the app, destroyed ones included.
        versions: The versions of machines by their ids; a machine without versions shows its current config only.
        recorded: What flyctl has recorded.
    """
    members = [machine for machine in machines if group_of(machine) != RELEASE_GROUP]
    traces: dict[ReleaseKey, _Trace] = {}
    for machine in members:
        _trace(machine, versions.get(machine.id, ()), traces)
    records = {ReleaseKey("flyctl", each.version): each for each in recorded}
    there = [machine for machine in members if machine.state not in GONE]
    found = [_release(key, traces.get(key, _Trace()), records.get(key), there) for key in {**traces, **records}]
    return tuple(sorted(found, key=lambda each: (each.at is not None, each.at or "", each.release), reverse=True))


def _trace(machine: Machine, versions: Sequence[MachineVersion], traces: dict[ReleaseKey, _Trace]) -> None:
    """Add what one machine shows of each release."""
    seen: list[ReleaseKey] = []
    last: ReleaseKey | None = None
    for key, version, config in _attributed(machine, versions):
        trace = traces.setdefault(key, _Trace())
        if moment := moment_of(version):
            trace.moments.append(moment)
        if config.image:
            trace.images.append(config.image)
        trace.origin = LaunchOrigin.of(config.metadata or {})
        trace.groups.add(group_of(machine) or "")
        # An earlier release again: what came in between was rolled back.
        if key != last and key in seen:
            for undone in dict.fromkeys(seen[seen.index(key) + 1 :]):
                traces[undone].undone += 1
            seen = seen[: seen.index(key)]
        if key != last:
            seen.append(key)
        last = key
    if last and machine.state not in GONE:
        traces[last].current.append(machine)
        if machine.image:
            traces[last].images.append(machine.image)


def _attributed(
    machine: Machine, versions: Sequence[MachineVersion]
) -> Iterator[tuple[ReleaseKey, str, MachineConfig]]:
    """Yield the versions of a machine that belong to a release, oldest first."""
    # Within a millisecond the API's order, newest first, decides, since the rest of a version id is random.
    oldest_first = sorted(reversed(versions), key=lambda each: each.version[:_TIME_DIGITS])  # noqa: C414 - stable
    shown = [(each.version, each.user_config) for each in oldest_first]
    if not any(config for _, config in shown):
        shown = [(machine.current_version or "", machine.config or machine.incomplete_config)]
    launch = number = None
    key: ReleaseKey | None = None
    for version, config in shown:
        if config is None:
            continue
        now, then = ((config.metadata or {}).get(each) for each in (LAUNCH, FLYCTL_RELEASE))
        if now and now != launch:
            key = ReleaseKey("flyasync", now)
        elif then and then != number:
            key = ReleaseKey("flyctl", then)
        launch, number = now, then
        if key:
            yield key, version, config


def _release(key: ReleaseKey, trace: _Trace, record: FlyctlRelease | None, there: Sequence[Machine]) -> Release:
    # The reference with a digest says most.
    image = max(
        (*trace.images, *([record.image] if record and record.image else [])),
        key=lambda image: digest_of(image) is not None,
        default=None,
    )
    first = min(trace.moments).isoformat(timespec="milliseconds").replace("+00:00", "Z") if trace.moments else None
    # A machine of flyasync that flyctl has deployed since still names the origin of its launch.
    origin = trace.origin if key.tool == "flyasync" else LaunchOrigin()
    return Release(
        release=key.name if key.tool == "flyasync" else f"v{key.name}",
        tool=key.tool,
        at=(record and record.created_at) or first,
        by=record.by if record else origin.by,
        commit=origin.commit,
        message=record.description if record else origin.message,
        image=image,
        digest=digest_of(image),
        groups=sorted(trace.groups - {""}),
        machines=len(trace.current),
        of=sum((group_of(machine) or "") in trace.groups for machine in there),
        in_trouble=sum(trouble(machine) is not None for machine in trace.current),
        was_rolled_back=bool(trace.undone) and not trace.current,
        status=record.status if record else None,
    )


def moment_of(version: str) -> datetime | None:
    """Return the time in the id of a version, a ULID; None if it is not one."""
    digits = [_CROCKFORD.find(letter) for letter in version[:_TIME_DIGITS].upper()]
    if len(digits) < _TIME_DIGITS or -1 in digits:
        return None
    milliseconds = 0
    for digit in digits:
        milliseconds = milliseconds * len(_CROCKFORD) + digit
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
