"""The releases of an app: read from its machines and from flyctl's records, and shown."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TextIO, TypeVar

from attrs import asdict, frozen

from flyasync.api.client import FlyClient
from flyasync.cli.oncall.release_list import FlyctlRelease, Release, releases
from flyasync.cli.oncall.status_text import short_image
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.output import note
from flyasync.cli.shared.tables import Columns, cells, write_table
from flyasync.deploy.plan.fleet import tags
from flyasync.errors import FlyError, NotFound, Unreadable
from flyasync.models.machine import Machine
from flyasync.models.machine_results import MachineVersion

T = TypeVar("T")


COLUMNS: Columns = {
    "RELEASE": "release",
    "WHEN": "at",
    "BY": "by",
    "COMMIT": lambda release: (release.commit or "")[:12],
    "GROUPS": "groups",
    "IMAGE": lambda release: short_image(release.image),
    "RESULT": "result",
    "MESSAGE": "message",
}


FLYCTL_RELEASES = """
query Releases($app: String!, $first: Int!) {
  app(name: $app) {
    releasesUnprocessed(first: $first) {
      nodes { version status description imageRef createdAt user { name email } }
    }
  }
}
"""


MOST = 100
"""How many of flyctl's releases are read."""


@frozen
class ReleasesOutput:
    """The releases, a row each."""

    releases: Sequence[Release]
    unread: Sequence[str]

    @property
    def code(self) -> int:
        """Failure if a part could not be read."""
        return FAILED if self.unread else OK

    @property
    def data(self) -> list[dict[str, Any]]:
        """The releases as JSON."""
        return [{**asdict(each), "result": each.result} for each in self.releases]

    def write(self, out: TextIO) -> None:
        """Write the table."""
        if not self.releases:
            note("no machine has the tag of a launch, and flyctl has recorded no release")
            return
        write_table(out, list(COLUMNS), [cells(each, COLUMNS) for each in self.releases])


async def _unless_unread(what: str, work: Awaitable[Sequence[T]], unread: list[str]) -> Sequence[T]:
    """Return what was read; if that fails, note and record it, and return nothing."""
    try:
        return await work
    except FlyError as error:
        note(f"{what} could not be read: {' '.join(error.for_command.split())}")
        unread.append(what)
        return ()


async def _versions(fly: FlyClient, app: str, machine: Machine) -> Sequence[MachineVersion]:
    try:
        return await fly.machines.versions(app, machine.id)
    except NotFound:
        return ()  # the versions of a destroyed machine may no longer be available


async def _recorded(fly: FlyClient, app: str, *, is_flyctls: bool) -> Sequence[FlyctlRelease]:
    """Return what flyctl has recorded for an app of flyctl's; raises Unreadable for an unexpected response."""
    if not is_flyctls:
        return ()
    response = await fly.graphql(FLYCTL_RELEASES, {"app": app, "first": MOST})
    try:
        return [_flyctl_release(node) for node in response["app"]["releasesUnprocessed"]["nodes"]]
    except (KeyError, TypeError, AttributeError) as error:
        what = f"the response contains no releases: {error}"
        raise Unreadable("graphql", "Releases", what, may_have_happened=False) from error


def _flyctl_release(node: Mapping[str, Any]) -> FlyctlRelease:
    user = node.get("user") or {}
    return FlyctlRelease(
        version=str(node["version"]),
        status=node.get("status"),
        description=node.get("description"),
        by=user.get("email") or user.get("name"),
        image=node.get("imageRef"),
        created_at=node.get("createdAt"),
    )


async def read_releases(fly: FlyClient, app: str) -> ReleasesOutput:
    """Read the releases of an app, and what its machines show of them."""
    machines = await fly.machines.list(app, include_deleted=True)
    unread: list[str] = []
    is_flyctls = any("fly_platform_version" in tags(machine) for machine in machines)
    # Each machine has a rate limit of its own, so all are read at once.
    recorded, versions = await asyncio.gather(
        _unless_unread("flyctl's releases", _recorded(fly, app, is_flyctls=is_flyctls), unread),
        asyncio.gather(
            *(_unless_unread(f"the versions of {each.id}", _versions(fly, app, each), unread) for each in machines)
        ),
    )
    by_machine = {machine.id: found for machine, found in zip(machines, versions, strict=True)}
    return ReleasesOutput(releases(machines, by_machine, recorded), unread)
