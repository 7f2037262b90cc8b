"""What `benchmarks.flight` checks during and after a deploy: what the emulator holds, not what the deploy says."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import Factory, define, frozen

from benchmarks.parts.flight_days import Day
from benchmarks.parts.flight_fleets import EACH, NEW, OLD, REGIONS, alive, in_group, is_member, tag
from flyasync import DeployReport, Emulator, FlyError, Phase, Result, Status
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.world.machines import serves

AWAY = {"rolling": 1, "canary": 1, "bluegreen": 0, "immediate": EACH}
"""How many of a region's serving machines each strategy may take away at once."""


@frozen
class Group:
    """The machines of the deployed group at one moment, and how many of each region serve."""

    machines: Sequence[MachineRecord]
    members: Sequence[MachineRecord]
    serving: Counter[str]

    @classmethod
    def of(cls, emulator: Emulator) -> "Group":
        machines = [each for each in alive(emulator) if in_group(each)]
        members = [each for each in machines if is_member(each)]
        return cls(machines, members, Counter(each.region for each in members if serves(emulator.world, each)))

    @property
    def up(self) -> Counter[str]:
        """How many serve, or are stopped until the proxy starts them."""
        stopped = (each for each in self.members if each.state == "stopped")
        return self.serving + Counter(each.region for each in stopped if _starts_on_request(each))

    def is_as_desired(self, count: int) -> bool:
        """Whether so many of each region are up with v2, no more are there, and the rest of the group has it too."""
        has_new = all(tag(each) == NEW for each in self.machines)
        return has_new and self.up == Counter(each.region for each in self.members) == dict.fromkeys(REGIONS, count)


def _starts_on_request(machine: MachineRecord) -> bool:
    return any(each.get("autostart") for each in machine.config.get("services") or ())


@define
class Watcher:
    """Counts at every change how many machines of each region serve, and keeps when all was last as desired."""

    emulator: Emulator
    strategy: str
    day: Day
    before: Counter[str] = Factory(lambda self: Group.of(self.emulator).serving, takes_self=True)
    least: Counter[str] = Factory(lambda self: Counter(self.before), takes_self=True)
    is_as_desired: bool = False
    as_desired_until: float = -math.inf
    seen_at: float = 0.0

    def see(self, _: MachineRecord | None = None) -> None:
        """Count anew."""
        group, was_as_desired, self.seen_at = Group.of(self.emulator), self.is_as_desired, self.emulator.world.clock
        self.least &= group.serving  # the smaller count of each region
        self.is_as_desired = group.is_as_desired(self.day.count)
        if was_as_desired or self.is_as_desired:
            self.as_desired_until = self.seen_at

    def wrong(self, report: DeployReport | None, error: FlyError | None) -> Iterator[str]:
        """Name what is wrong with what a deploy has left, or with its report."""
        group, now = Group.of(self.emulator), self.emulator.world.clock
        leased = [each.name for each in group.members if each.lease and each.lease.expires_at > now]
        twice = [name for name, count in Counter(each.name for each in group.members).items() if count > 1]
        new = [each for each in group.members if tag(each) == NEW]
        many = {
            region: count for region, count in Counter(each.region for each in new).items() if count > self.day.count
        }
        tags = [tag(each) for each in group.members]
        has_changed = tags != [OLD] * (EACH - self.day.loses) * len(REGIONS)
        checks: list[tuple[object, str]] = [
            (leased and not self.day.may_leave_leases, f"leases left on {leased}"),
            (twice, f"two of one name: {twice}"),
            (many, f"duplicates: {many}"),
            (has_changed and report is None, f"it raised {error!r}, and something has changed"),
        ]
        for region, count in self.before.items():
            is_dip = self.least[region] < count - AWAY[self.strategy]
            checks.append((is_dip, f"{region} was down to {self.least[region]} serving"))
        if report:
            moments = (moment.phase for each in report.machines for moment in each.moments)
            is_past_return = report.strategy == "bluegreen" and Phase.UNCORDONED in moments
            is_back = report.rollback and report.rollback.ok and not is_past_return
            has_digests = len({each.digest for each in new}) > 1
            checks += [
                (report.ok and has_digests, "called ok, and machines of one image run different digests"),
                (is_back and has_changed, f"called rolled back, and is not: {sorted(tags)}"),
                *self._agreement(report, group, len(new)),
                *self._unnamed(report, group),
            ]
        yield from (text for is_wrong, text in checks if is_wrong)

    def _agreement(self, report: DeployReport, group: Group, new: int) -> Iterator[tuple[object, str]]:
        # A machine that crashed while it was watched has failed, whether it is up again or not.
        is_as_desired = group.is_as_desired(self.day.count) and not any(each.restart_count for each in group.members)
        # Whether one whose check comes and goes is as desired is a matter of judgement; when it is called ok, all was
        # so within the last second that was watched.
        wavers = any(phase.flap for each in group.members for phase in each.check_phases)
        was_lately = self.as_desired_until >= self.seen_at - 1
        counts = f"of {len(group.members)} {new} are of v2, and {dict(group.serving)} serve"
        is_certain = report.unseen is None and not report.cancelled and not wavers
        yield is_certain and report.ok != is_as_desired, f"ok is {report.ok}; {counts}"
        yield report.ok and not (was_lately if wavers else is_as_desired), "called ok, and is not"
        is_missed = report.status is Status.MISSED and not report.cancelled
        yield is_missed and not group.serving, "called serving, and no machine serves"
        for machine in report.running:
            record = self.emulator.world.machines.get(machine.id or "")
            state = "stopped" if machine.result is Result.RESTING else "started"
            is_so = record and tag(record) == NEW and record.state == state
            yield not is_so, f"{machine.name} is called {machine.result}"
        # A deploy that states no services leaves the addresses to the app's owner.
        for port in self.emulator.reach("web") if report.ok and self.day.fleet is None else ():
            is_named = port.code == "no_address" and "has no IP address" in str(report)
            is_wrong = port.port is not None and not port.is_reachable and not is_named
            yield is_wrong, f"called ok, and port {port.port} is not reachable: {port.reason}"

    def _unnamed(self, report: DeployReport, group: Group) -> Iterator[tuple[object, str]]:
        """Name the machines of the group, and the volumes that no machine holds, that the report does not."""
        named: set[str | None] = set()
        for each in (report, *([report.rollback] if report.rollback else [])):
            named |= {*(machine.id for machine in each.everything), *each.surplus, *each.loose_volumes}
            named |= {id_ for machine in each.machines for id_ in machine.claimed_volumes}
        orphans = [f"{each.name} {each.state}" for each in group.machines if each.id not in named]
        yield orphans, f"orphans: {orphans}"
        now, volumes = self.emulator.world.clock, self.emulator.world.volumes.values()
        free = [each.id for each in volumes if each.machine_id is None and each.schedule.state(now) == "created"]
        loose = [id_ for id_ in free if id_ not in named]
        yield loose, f"volumes that are not named: {loose}"
