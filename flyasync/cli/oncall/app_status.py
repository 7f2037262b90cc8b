"""The observed state of an app as one value: its machines, addresses and volumes, machines in trouble first."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import asdict, field, frozen

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.list_lag import fetch, is_behind
from flyasync.deploy.plan.fleet import group_of, serves, tags
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.errors import FlyError
from flyasync.models.image import at_digest
from flyasync.models.ip_assignment import IPAssignment
from flyasync.models.machine import Machine, expected_checks
from flyasync.models.volume import Volume

FLYCTL_RELEASE: Final = "fly_release_version"
"""The metadata key with the version of the release in which flyctl deployed the machine last."""


@frozen(kw_only=True)
class MachineStatus:
    """One machine as observed; `trouble` is what is wrong with it, if anything is.

    `launch` is the launch of flyasync whose tag it has, `release` the version of flyctl's release. `checks` have their
    output; `checks_expected` is the number of checks of its config.
    """

    group: str | None
    region: str
    name: str
    id: str
    state: str
    serves: bool
    trouble: str | None
    checks_passing: int
    checks_expected: int
    checks: Sequence[Mapping[str, str | None]]
    launch: str | None
    release: str | None
    version: str | None
    image: str | None
    cordoned: bool
    host_status: str | None
    role: str

    @classmethod
    def of(cls, machine: Machine) -> "MachineStatus":
        """Return the status of a machine."""
        config = machine.config or machine.incomplete_config
        reported = machine.reported_checks
        image = machine.image or (config.image if config else None)
        return cls(
            group=group_of(machine),
            region=machine.region,
            name=machine.name,
            id=machine.id,
            state=machine.state,
            serves=serves(machine),
            trouble=trouble(machine),
            checks_passing=sum(check.status == "passing" for check in reported),
            checks_expected=max(expected_checks(config), len(reported)),
            checks=[{"name": each.name, "status": each.status, "output": each.output} for each in reported],
            launch=tags(machine).get(LAUNCH),
            release=tags(machine).get(FLYCTL_RELEASE),
            version=machine.current_version,
            image=image and at_digest(image, machine.image_ref.digest if machine.image_ref else None),
            cordoned=bool(machine.cordoned),
            host_status=machine.host_status,
            role=str(role(config)),
        )

    @property
    def is_to_serve(self) -> bool:
        """Whether it counts for its group: scheduled machines do not, nor standbys while they do not serve."""
        return self.role == Role.MEMBER or (self.role == Role.STANDBY and self.serves)

    @property
    def urgency(self) -> tuple[int, str, str, int, str]:
        """The sort key: trouble first, then what is out of routing or changing, then the rest by group and region."""
        rank = 0 if self.trouble else 1 if self.cordoned or self.state not in _AT_EASE else 2
        return rank, self.group or "", self.region, len(self.name), self.name

    @property
    def remarks(self) -> Iterator[str]:
        """What to know about the machine besides its state."""
        if self.trouble:
            yield self.trouble
        if self.cordoned:
            yield "cordoned"
        if self.role != Role.MEMBER:
            yield self.role


_AT_EASE: Final = frozenset({"started", "stopped", "suspended"})


def trouble(machine: Machine) -> str | None:
    """Return what is wrong with a machine according to the API; None if nothing is."""
    # The first that applies: without its host, the rest of what the API shows is outdated.
    end = machine.exit_event
    how = str(end) if end else ""
    if not machine.host_is_ok:
        return f"host is {machine.host_status}"
    if machine.state == "failed":
        return "failed"
    if machine.is_crash_looping:
        # The API keeps the last events for long: only their time shows whether the machine has recovered since.
        times = (event.timestamp for event in machine.events or () if event.type == "exit" and event.timestamp)
        last = datetime.fromtimestamp(max(times, default=0) / 1000, UTC).isoformat(timespec="seconds")
        return f"restarts repeatedly, last at {last.replace('+00:00', 'Z')}: {how}"
    if machine.has_crashed:
        return f"crashed: {how}"
    if end and end.restarting and not end.requested_stop and end.exit_code and machine.state != "started":
        return f"restarting: {how}"
    failing = machine.failing_checks if machine.state == "started" else ()
    return ", ".join(f"check {check.name} is {check.status}" for check in failing) or None


@frozen(kw_only=True)
class AppStatus:
    """The observed state of an app; `unread` are the parts that could not be read, with the reasons.

    `addresses` or `volumes` that could not be read are None. `observed` are the machines as the API returned them.
    """

    app: str
    machines: Sequence[MachineStatus]
    addresses: Sequence[IPAssignment] | None
    volumes: Sequence[Volume] | None
    unread: Mapping[str, str]
    observed: Sequence[Machine] = field(repr=False)

    @property
    def in_trouble(self) -> Sequence[MachineStatus]:
        """The machines with which something is wrong."""
        return tuple(machine for machine in self.machines if machine.trouble)

    @property
    def groups(self) -> Mapping[str, Mapping[str, Sequence[MachineStatus]]]:
        """The machines by group, and in each group by region."""
        found: dict[str, dict[str, list[MachineStatus]]] = {}
        for machine in sorted(self.machines, key=lambda each: (each.group or "", each.region)):
            found.setdefault(machine.group or "", {}).setdefault(machine.region, []).append(machine)
        return found

    def rows(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """Return each machine, address and volume as JSON, by its kind and id."""
        return {
            **{("machine", each.id): asdict(each) for each in self.machines},
            **{("address", each.ip or ""): _address(each) for each in self.addresses or ()},
            **{("volume", each.id): _volume(each) for each in self.volumes or ()},
        }

    @property
    def data(self) -> dict[str, Any]:
        """The status as JSON."""
        return {
            "app": self.app,
            "groups": [
                {
                    "group": group or None,
                    "regions": [
                        {
                            "region": region,
                            "machines": sum(each.is_to_serve for each in those),
                            "serving": serving(those),
                            "others": sum(not each.is_to_serve for each in those),
                        }
                        for region, those in regions.items()
                    ],
                }
                for group, regions in self.groups.items()
            ],
            "machines": [asdict(each) for each in self.machines],
            "addresses": None if self.addresses is None else [_address(each) for each in self.addresses],
            "volumes": None if self.volumes is None else [_volume(each) for each in self.volumes],
            "unread": dict(self.unread),
        }


def serving(machines: Iterable[MachineStatus]) -> int:
    """Return how many of the machines that are to serve do so."""
    return sum(each.serves for each in machines if each.is_to_serve)


def _address(address: IPAssignment) -> dict[str, Any]:
    return {"ip": address.ip, "type": address.type, "region": address.region, "shared": address.shared}


def _volume(volume: Volume) -> dict[str, Any]:
    names = ("id", "name", "state", "region", "size_gb", "attached_machine_id", "host_status")
    return {name: getattr(volume, name) for name in names}


async def read_status(fly: FlyClient, app: str, earlier: AppStatus | None = None) -> AppStatus:
    """Read the machines, addresses and volumes of an app, one list each.

    Lists lag behind the `earlier` state: a row that is older does not count, and a machine that is no longer listed is
    read by its id.
    Raises what the list of machines raises. Addresses or volumes that cannot be read, such as with a token that may not
    list them, are named in `unread`.
    """
    machines, addresses, volumes = await asyncio.gather(
        fly.machines.list(app), fly.ip_assignments.list(app), fly.volumes.list(app), return_exceptions=True
    )
    if isinstance(machines, BaseException):
        raise machines
    unread: dict[str, str] = {}
    for part, result in (("addresses", addresses), ("volumes", volumes)):
        if isinstance(result, FlyError):
            unread[part] = " ".join(result.for_command.split())
        elif isinstance(result, BaseException):
            raise result
    observed = machines if earlier is None else await _caught_up(fly, app, machines, earlier.observed)
    there = (MachineStatus.of(machine) for machine in observed if machine.state != "destroyed")
    return AppStatus(
        app=app,
        machines=sorted(there, key=lambda each: each.urgency),
        addresses=None if isinstance(addresses, BaseException) else addresses,
        volumes=None if isinstance(volumes, BaseException) else volumes,
        unread=unread,
        observed=observed,
    )


async def _caught_up(
    fly: FlyClient, app: str, rows: Sequence[Machine], earlier: Sequence[Machine]
) -> tuple[Machine, ...]:
    """Return the newest known state of each machine."""
    known = {machine.id: machine for machine in earlier}
    current = [known[row.id] if row.id in known and is_behind(row, known[row.id]) else row for row in rows]
    missing = known.keys() - {row.id for row in rows}
    read = await asyncio.gather(*(fetch(fly, app, machine_id) for machine_id in sorted(missing)))
    return (*current, *(machine for machine in read if machine and machine.state != "destroyed"))
