"""The status of an app as text: a headline, and a table each for groups, machines, addresses and volumes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TextIO

from attrs import frozen

from flyasync.cli.oncall.app_status import AppStatus, serving
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.tables import Columns, cells, write_rows
from flyasync.models.image import digest_of, without_digest

SHOWN_DIGEST = len("sha256:") + 12
"""How many characters of a digest are shown, as many as Docker shows."""


def short_image(image: str | None) -> str:
    """Return a reference with the beginning of its digest."""
    digest = digest_of(image)
    return f"{without_digest(image)}@{digest[:SHOWN_DIGEST]}" if image and digest else image or ""


def release_text(launch: str | None, release: str | None) -> str:
    """Return the launch, and the release of flyctl."""
    return ", ".join([*([launch] if launch else []), *([f"flyctl v{release}"] if release else [])])


MACHINES: Columns = {
    "NAME": "name",
    "ID": "id",
    "GROUP": "group",
    "REGION": "region",
    "STATE": "state",
    "CHECKS": lambda each: f"{each.checks_passing}/{each.checks_expected}" if each.checks_expected else "",
    "REMARKS": lambda machine: list(machine.remarks),
    "LAUNCH": lambda machine: release_text(machine.launch, machine.release),
    "VERSION": "version",
    "IMAGE": lambda machine: short_image(machine.image),
}
# A terminal is narrow, and many machines share an image: it has a table of its own there.
_ONLY_IN_A_PIPE = ("VERSION", "IMAGE")
IN_A_TERMINAL: Columns = {head: column for head, column in MACHINES.items() if head not in _ONLY_IN_A_PIPE}
IMAGES = ("LAUNCH", "MACHINES", "IMAGE")
ADDRESSES: Columns = {"ADDRESS": "ip", "TYPE": "type", "REGION": "region"}
VOLUMES: Columns = {
    "ID": "id",
    "NAME": "name",
    "REGION": "region",
    "STATE": "state",
    "SIZE GB": "size_gb",
    "MACHINE": lambda volume: volume.attached_machine_id or "not attached",
    "HOST": "host_status",
}
GROUPS = ("GROUP", "MACHINES", "SERVING", "REGIONS")


@frozen
class Section:
    """One table; `kind` begins each of its lines in a pipe, and `styles` are those of its first rows in a terminal."""

    kind: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    styles: Sequence[str] = ()


def sections(status: AppStatus, *, in_a_terminal: bool) -> Iterator[Section]:
    """Yield the tables that have rows."""
    columns = IN_A_TERMINAL if in_a_terminal else MACHINES
    found = (
        Section("group", GROUPS, list(_groups(status))),
        Section(
            "machine",
            list(columns),
            [cells(each, columns) for each in status.machines],
            ["red"] * len(status.in_trouble),
        ),
        Section("image", IMAGES, list(_images(status)) if in_a_terminal else ()),
        Section("address", list(ADDRESSES), [cells(each, ADDRESSES) for each in status.addresses or ()]),
        Section("volume", list(VOLUMES), [cells(each, VOLUMES) for each in status.volumes or ()]),
    )
    return (section for section in found if section.rows)


def _images(status: AppStatus) -> Iterator[Sequence[str]]:
    counted = Counter((release_text(each.launch, each.release), short_image(each.image)) for each in status.machines)
    for (release, image), count in counted.most_common():
        yield release or "(none)", str(count), image


def _groups(status: AppStatus) -> Iterator[Sequence[str]]:
    for group, regions in status.groups.items():
        everyone = [machine for those in regions.values() for machine in those]
        counted = {code: [each for each in those if each.is_to_serve] for code, those in regions.items()}
        by_region = ", ".join(f"{code} {serving(those)}/{len(those)}" for code, those in counted.items() if those)
        # A standby that is stopped, or a machine that runs on a schedule, is not missing.
        others = Counter(each.role for each in everyone if not each.is_to_serve)
        besides = ", ".join(f"{count} {role}" for role, count in others.items())
        total = sum(map(len, counted.values()))
        yield group or "(none)", str(total), str(serving(everyone)), "; ".join(filter(None, [by_region, besides]))


def headline(status: AppStatus) -> str:
    """Return one line: how many machines there are, in which states, and how many are in trouble."""
    if not status.machines:
        return f"{status.app}: no machines are listed"
    states = Counter(machine.state for machine in status.machines)
    regions = {machine.region for machine in status.machines}
    counted = ", ".join(f"{count} {state}" for state, count in states.most_common())
    bad = f"; {len(status.in_trouble)} in trouble" if status.in_trouble else ""
    return f"{status.app}: {_count(states.total(), 'machine')} in {_count(len(regions), 'region')}: {counted}{bad}"


def unread_lines(status: AppStatus) -> Iterator[str]:
    """Yield a line for each part that could not be read."""
    return (f"the {part} could not be read: {why}" for part, why in status.unread.items())


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@frozen
class StatusOutput:
    """The status of an app: tables in a terminal, lines that begin with their kind in a pipe."""

    status: AppStatus

    @property
    def data(self) -> object:
        """The status as JSON."""
        return self.status.data

    @property
    def code(self) -> int:
        """Success, also if machines are in trouble; failure if a part could not be read."""
        return FAILED if self.status.unread else OK

    def write(self, out: TextIO) -> None:
        """Write the tables."""
        if not out.isatty():
            for section in sections(self.status, in_a_terminal=False):
                write_rows(out, ((section.kind, *row) for row in section.rows))
            return
        from flyasync.cli.oncall.status_screen import drawn  # rich loads slowly, and only a terminal needs it
        from flyasync.cli.shared.console import SafeConsole

        SafeConsole(out).print(drawn(self.status))
