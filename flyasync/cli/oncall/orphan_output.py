"""The orphans of an organization: read twice, and shown."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, TextIO, TypeVar

from attrs import asdict, frozen

from flyasync.api.client import FlyClient
from flyasync.cli.oncall.orphan_list import AppHoldings, Orphan, is_candidate, is_managed, orphans
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import note
from flyasync.cli.shared.tables import Columns, cells, write_table
from flyasync.errors import FlyError, NotFound
from flyasync.models.machine import GONE, OrgMachine
from flyasync.models.volume import Volume

T = TypeVar("T")


APART = 10.0
"""Seconds between the two observations of an app."""


COLUMNS: Columns = {
    "KIND": "kind",
    "APP": "app",
    "ID": "id",
    "NAME": "name",
    "REGION": "region",
    "WHY": "why",
    "TO REMOVE IT": lambda orphan: orphan.command or "in use: look again later",
}


@frozen(kw_only=True)
class OrphansOutput:
    """The orphans of an organization, and what could not be read."""

    org: str
    orphans: Sequence[Orphan]
    not_managed: Sequence[OrgMachine]
    unread: Mapping[str, str]

    @property
    def code(self) -> int:
        """Failure if a part could not be read."""
        return FAILED if self.unread else OK

    @property
    def data(self) -> dict[str, Any]:
        """The findings as JSON."""
        return {
            "org": self.org,
            "orphans": [asdict(each) for each in self.orphans if each.command],
            "in_use": [asdict(each) for each in self.orphans if not each.command],
            "not_managed": [
                {"app": each.app_name, "id": each.id, "name": each.name, "region": each.region, "state": each.state}
                for each in self.not_managed
            ],
            "unread": dict(self.unread),
        }

    def write(self, out: TextIO) -> None:
        """Write a row for each orphan."""
        write_table(out, list(COLUMNS), [cells(each, COLUMNS) for each in self.orphans])
        if not self.orphans:
            note(f"no orphans found in {self.org}")
        if by_app := Counter(each.app_name or "?" for each in self.not_managed):
            counted = ", ".join(f"{app} {count}" for app, count in sorted(by_app.items()))
            note(f"not managed by flyasync, so not listed: {counted}")


@frozen(kw_only=True)
class OrgLists:
    """The lists of an organization, which show where to look: they lag, and show only a part of each config."""

    apps: Sequence[str]
    machines: Sequence[OrgMachine]
    volumes: Sequence[Volume]

    @classmethod
    async def read(cls, fly: FlyClient, org: str, unread: dict[str, str]) -> "OrgLists":
        """Read the lists; regions that the API could not read are added to `unread`."""

        def lack(regions: Sequence[str]) -> None:
            unread.update((f"region {region}", "the API could not read it") for region in regions)

        async def rows(pages: AsyncIterator[T]) -> list[T]:
            return [row async for row in pages]

        apps, machines, volumes = await asyncio.gather(
            fly.apps.list(org),
            rows(fly.machines.list_org(org, on_error_regions=lack)),
            rows(fly.volumes.list_org(org, on_error_regions=lack)),
        )
        # A row that is listed again has changed since.
        latest = {machine.id: machine for machine in machines}
        return cls(apps=[app.name for app in apps], machines=list(latest.values()), volumes=volumes)

    def candidates(self) -> Collection[str]:
        """Return the apps that may have orphans."""
        with_machines = {machine.app_name for machine in self.machines if machine.state not in GONE}
        with_leftovers = {machine.app_name for machine in self.machines if is_candidate(machine)}
        with_volumes = {volume.app_name for volume in self.volumes if not volume.is_attached}
        return [app for app in self.apps if app not in with_machines or app in with_leftovers | with_volumes]


async def _observed(fly: FlyClient, apps: Collection[str], unread: dict[str, str]) -> list[Orphan]:
    """Read apps by lists of their own, and return their orphans; an app that cannot be read is added to `unread`."""

    async def of_one(app: str) -> Iterable[Orphan]:
        try:
            machines, volumes = await asyncio.gather(fly.machines.list(app, include_leases=True), fly.volumes.list(app))
            is_empty = all(machine.state in GONE for machine in machines)
            addresses = await fly.ip_assignments.list(app) if is_empty else ()
        except NotFound:
            return ()  # the app has been deleted meanwhile
        except FlyError as error:
            unread[f"app {app}"] = " ".join(error.for_command.split())
            return ()
        return orphans(AppHoldings(app=app, machines=machines, volumes=volumes, addresses=addresses))

    # Each app has rate limits of its own, so all are read at once.
    return [orphan for found in await asyncio.gather(*map(of_one, apps)) for orphan in found]


async def read_orphans(fly: FlyClient, org: str) -> OrphansOutput:
    """Read an organization, and its apps with candidates twice; return what is an orphan both times."""
    unread: dict[str, str] = {}
    listed = await OrgLists.read(fly, org, unread)
    first = await _observed(fly, listed.candidates(), unread)
    second: list[Orphan] = []
    if first:
        await asyncio.sleep(APART)
        second = await _observed(fly, {each.app for each in first}, unread)
    keys = {each.key for each in first}
    found = sorted((each for each in second if each.key in keys), key=lambda each: each.key)
    for part, why in unread.items():
        note(f"{part} could not be read: {why}")
    others = [each for each in listed.machines if each.state not in GONE and not is_managed(each)]
    return OrphansOutput(org=org, orphans=found, not_managed=others, unread=unread)
