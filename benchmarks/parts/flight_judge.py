"""What `benchmarks.flight` judges a deploy by: what the emulator holds, not what the deploy says."""

import math
from collections import Counter
from collections.abc import Iterator

from attrs import Factory, define

from benchmarks.parts.flight_days import Day
from benchmarks.parts.flight_fleets import EACH, GONE, NEW, OLD, REGIONS, in_group, is_asleep, is_member, tag
from flyasync import DeployReport, Emulator, FlyError, Phase, Result, Status
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.world.machines import serves

AWAY = {"rolling": 1, "canary": 1, "bluegreen": 0, "immediate": EACH}
"""How many of a region's serving machines each strategy may take away at once."""


@define
class Watcher:
    """Counts at every change how many machines of each region serve, and keeps when all was last as desired."""

    emulator: Emulator
    count: int
    before: Counter[str] = Factory(lambda self: serving(self.emulator), takes_self=True)
    least: Counter[str] = Factory(lambda self: Counter(self.before), takes_self=True)
    is_as_desired: bool = False
    as_desired_until: float = -math.inf
    seen_at: float = 0.0

    def see(self, _: MachineRecord | None = None) -> None:
        """Count anew."""
        self.seen_at = self.emulator.world.clock
        serve = serving(self.emulator)
        for region in REGIONS:
            self.least[region] = min(self.least[region], serve[region])
        if self.is_as_desired:
            self.as_desired_until = self.seen_at
        self.is_as_desired = _is_as_desired(self.emulator, self.count)

    @property
    def was_lately_as_desired(self) -> bool:
        """Whether all was as desired within the last second that was watched."""
        return self.is_as_desired or self.as_desired_until >= self.seen_at - 1

    def dips(self, strategy: str) -> Iterator[str]:
        """Name the regions in which fewer served than the strategy promises."""
        for region, least in self.least.items():
            if least < self.before[region] - AWAY[strategy]:
                yield f"{region} was down to {least} serving"


def judged(
    emulator: Emulator, report: DeployReport | None, error: FlyError | None, day: Day, watcher: Watcher
) -> Iterator[str]:
    """Name what is wrong with what a deploy has left, or with its report."""
    alive = _members(emulator)
    leased = [each.name for each in alive if each.lease and each.lease.expires_at > emulator.world.clock]
    if leased and not day.may_leave_leases:
        yield f"leases left on {leased}"
    names = Counter(each.name for each in alive)
    if twice := [name for name, count in names.items() if count > 1]:
        yield f"two of one name: {twice}"
    new = Counter(_home(each) for each in alive if tag(each) == NEW)
    if many := {region: count for region, count in new.items() if count > day.count}:
        yield f"duplicates: {many}"
    if report and report.ok and len({each.digest for each in alive if tag(each) == NEW}) > 1:
        yield "called ok, and machines of one image run different digests"
    is_as_before = [tag(each) for each in alive] == [OLD] * (EACH - day.loses) * len(REGIONS)
    if report is None:
        if not is_as_before:
            yield f"it raised {error!r}, and something has changed"
        return
    if report.rollback and report.rollback.ok and not _past_return(report) and not is_as_before:
        yield f"called rolled back, and is not: {sorted(map(tag, alive))}"
    yield from _agreement(emulator, report, watcher)
    # A deploy that states no services leaves the addresses to the app's owner.
    if report.ok and day.fleet is None:
        yield from _unreachable(emulator, report)


def _unreachable(emulator: Emulator, report: DeployReport) -> Iterator[str]:
    """Name the ports that the proxy cannot serve; that an app has no address must be in the report."""
    for port in emulator.reach("web"):
        is_named = port.code == "no_address" and "has no IP address" in str(report)
        if port.port is not None and not port.is_reachable and not is_named:
            yield f"called ok, and port {port.port} is not reachable: {port.reason}"


def _past_return(report: DeployReport) -> bool:
    return report.strategy == "bluegreen" and any(moment.phase is Phase.UNCORDONED
                                                  for each in report.machines for moment in each.moments)  # fmt: skip


def _agreement(emulator: Emulator, report: DeployReport, watcher: Watcher) -> Iterator[str]:
    alive = _members(emulator)
    # A machine that crashed while it was watched has failed, whether it is up again or not.
    is_as_desired = _is_as_desired(emulator, watcher.count) and not any(each.restart_count for each in alive)
    # Whether one whose check comes and goes is as desired is a matter of judgement; when it is called ok, all was so.
    wavers = any(phase.flap for each in alive for phase in each.check_phases)
    if report.unseen is None and not report.cancelled and not wavers and report.ok != is_as_desired:
        new = [each for each in alive if tag(each) == NEW]
        yield f"ok is {report.ok}; of {len(alive)} {len(new)} are of v2, and {dict(serving(emulator))} serve"
    if report.status is Status.MISSED and not report.cancelled and not serving(emulator):
        yield "called serving, and no machine serves"
    if report.ok and not (watcher.was_lately_as_desired if wavers else is_as_desired):
        yield "called ok, and is not"
    for machine in report.running:
        record = emulator.world.machines.get(machine.id or "")
        state = "stopped" if machine.result is Result.RESTING else "started"
        if record is None or tag(record) != NEW or record.state != state:
            yield f"{machine.name} is called {machine.result}"
    yield from _unnamed(emulator, report)


def _unnamed(emulator: Emulator, report: DeployReport) -> Iterator[str]:
    reports = [report, *([report.rollback] if report.rollback else [])]
    regions = [region for each in reports for region in each.regions]
    named = {machine.id for region in regions for machine in (*region.machines, *region.retired)}
    named |= {machine.id for each in reports for machine in each.others}
    named |= {id_ for each in reports for id_ in (*each.surplus, *each.loose_volumes)}
    named |= {id_ for each in reports for machine in each.machines for id_ in machine.claimed_volumes}
    group = [each for each in _alive(emulator) if in_group(each)]
    if orphans := [f"{each.name} {each.state}" for each in group if each.id not in named]:
        yield f"orphans: {orphans}"
    now = emulator.world.clock
    free = [each for each in emulator.world.volumes.values() if each.machine_id is None]
    if loose := [each.id for each in free if each.schedule.state(now) == "created" and each.id not in named]:
        yield f"volumes that are not named: {loose}"


def _is_as_desired(emulator: Emulator, count: int) -> bool:
    """Whether so many of each region are up with v2, no more are there, and the rest of the group has it too."""
    has_new = all(tag(each) == NEW for each in _alive(emulator) if in_group(each))
    return has_new and up(emulator) == Counter(map(_home, _members(emulator))) == dict.fromkeys(REGIONS, count)


def _alive(emulator: Emulator) -> list[MachineRecord]:
    return [each for each in emulator.world.machines.values() if each.state not in GONE]


def _members(emulator: Emulator) -> list[MachineRecord]:
    return [each for each in _alive(emulator) if is_member(each)]


def serving(emulator: Emulator) -> Counter[str]:
    """Count the machines of the group that serve by the region they are desired in."""
    return Counter(_home(each) for each in _members(emulator) if serves(emulator.world, each))


def up(emulator: Emulator) -> Counter[str]:
    """Count the machines of the group that serve, or are asleep until there is traffic."""
    return serving(emulator) + Counter(_home(each) for each in _members(emulator) if is_asleep(each))


def _home(machine: MachineRecord) -> str:
    return str((machine.config.get("metadata") or {}).get("flyasync_region", machine.region))
