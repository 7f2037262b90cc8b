"""A fleet as it was recorded in a file, and how the fleet observed now differs from it; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

from attrs import frozen

from flyasync.deploy.plan.fleet import in_order
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.reporting.spec_json import without_secrets
from flyasync.models.config import MachineConfig
from flyasync.models.diff import differences
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.machine import Machine


@frozen(kw_only=True)
class MachineRecord:
    """A machine as it was observed; `config` lacks the values at the paths `redacted`, which may be secret.

    `version` changes with every update.
    `activity` is `up`, `resting` for a machine that is stopped or suspended, or `failed`.
    """

    id: str
    name: str
    region: str
    activity: str
    version: str | None = None
    cordoned: bool = False
    config: MachineConfig | None = None
    redacted: tuple[str, ...] = ()

    @classmethod
    def of(cls, machine: Machine) -> Self:
        """Return the record of a machine."""
        config = machine.config or machine.incomplete_config
        public, redacted = without_secrets(unstructure(config or MachineConfig()))
        return cls(
            id=machine.id,
            name=machine.name,
            region=machine.region,
            activity=_activity(machine),
            version=machine.current_version,
            cordoned=bool(machine.cordoned),
            config=None if config is None else structure(public, MachineConfig),
            redacted=tuple(redacted),
        )

    def changes(self, now: Self) -> Iterator[str]:
        """Yield how the machine observed `now` differs, its activity aside."""
        before, after = self.config or MachineConfig(), now.config or MachineConfig()
        found = [str(change) for change in differences(before, after)]
        found += [f"+ {path} added" for path in now.redacted if path not in self.redacted]
        found += [f"- {path} removed" for path in self.redacted if path not in now.redacted]
        # Every update makes a new version, also one that changes only values that may be secret.
        if self.version != now.version and not found:
            found = ["updated; if a value has changed, it is one that may be secret"]
        if self.cordoned != now.cordoned:
            found.append("cordoned" if now.cordoned else "uncordoned")
        if found:
            yield f"{now}: {', '.join(found)}"

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


def recorded(machines: Iterable[Machine]) -> tuple[MachineRecord, ...]:
    """Return the records of machines, in the order of their names."""
    return tuple(map(MachineRecord.of, in_order(machines)))


def fleet_changes(before: Sequence[MachineRecord], now: Sequence[MachineRecord]) -> Iterator[str]:
    """Yield which machines were added, are gone, or have another config or version than before."""
    there = _by_id(now)
    known = _by_id(before)
    yield from (f"{each} is gone" for each in before if each.id not in there)
    yield from (f"{each} was added in {each.region}" for each in now if each.id not in known)
    for each in before:
        if each.id in there:
            yield from each.changes(there[each.id])


def activity_changes(before: Sequence[MachineRecord], now: Sequence[MachineRecord]) -> Iterator[tuple[str, str]]:
    """Yield the name of each machine that has started, stopped or failed since, and what has happened to it."""
    there = _by_id(now)
    for each in before:
        if (other := there.get(each.id)) and each.activity != other.activity:
            yield each.name, f"{other} was {each.activity}, and is {other.activity}"


def autostops(record: MachineRecord) -> bool:
    """Whether the proxy may stop and start a machine at any time."""
    services = (record.config and record.config.services) or ()
    return any(service.autostop not in {None, "off"} or service.autostart for service in services)


def _activity(machine: Machine) -> str:
    if machine.state == "failed" or machine.has_crashed or not machine.host_is_ok:
        return "failed"
    return "resting" if machine.state in RESTING else "up"


def _by_id(machines: Iterable[MachineRecord]) -> Mapping[str, MachineRecord]:
    return {each.id: each for each in machines}
