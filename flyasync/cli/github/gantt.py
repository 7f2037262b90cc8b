"""The timeline of a report as a Gantt chart in Mermaid, which GitHub draws; pure."""

import re
from itertools import groupby
from typing import Self

from attrs import frozen

from flyasync.cli.github.markdown import Markdown, fenced
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.styles import Tone

MOST = 50
"""How many machines a chart has; GitHub does not draw a text of more than 50,000 characters."""

_SHORT = 10_000  # milliseconds; a shorter axis shows fractions of a second
# A colon, semicolon, comma or hash is syntax in a chart, and so may be any other sign.
_SYNTAX = re.compile(r"[^\w .()/-]+", re.ASCII)
_TAGS = {Tone.GOOD: "done, ", Tone.BAD: "crit, ", Tone.CAUTION: "active, ", Tone.PLAIN: ""}


@frozen
class Bar:
    """The bar of a machine: its begin and end are in milliseconds since the deploy began."""

    region: str
    name: str
    begin: int
    end: int
    tone: Tone

    @classmethod
    def of(cls, region: RegionReport, machine: MachineReport) -> Self:
        """Return the bar of a machine that has reached a phase: until it was ready, or reached its last phase."""
        begin = round(machine.moments[0].at * 1000)
        end = round(max(machine.moments[-1].at, machine.ready_after or 0.0) * 1000)
        # A bar without a length would not be drawn.
        return cls(region.region, f"{machine.name} {machine.result}", begin, max(end, begin + 1), machine.result.tone)

    def __str__(self) -> str:
        return f"{_plain(self.name)} :{_TAGS[self.tone]}{self.begin}, {self.end}"


def gantt(report: DeployReport) -> Markdown:
    """Return a chart with a bar for each machine; empty if no machine reached any phase.

    The machines that failed come first, as in the report.
    """
    reached = ((region, each) for region in report.regions for each in (*region.machines, *region.retired))
    bars = [Bar.of(region, machine) for region, machine in reached if machine.moments]
    if not bars:
        return Markdown()
    shown = bars[:MOST]
    span = max(bar.end for bar in shown) - min(bar.begin for bar in shown)
    # Seconds since the epoch: any other format would depend on the reader's time zone.
    axis = "%s.%L s" if span < _SHORT else "%s s"
    lines = [
        "gantt",
        f"  title {_plain(report.app)} {_plain(report.launch)}",
        "  dateFormat x",
        f"  axisFormat {axis}",
        "  todayMarker off",
    ]
    for region, those in groupby(shown, key=lambda bar: bar.region):
        lines += [f"  section {_plain(region)}", *(f"    {bar}" for bar in those)]
    more = f"\nThe chart shows {MOST} of {len(bars)} machines.\n" if len(bars) > MOST else ""
    return Markdown(fenced("mermaid", "".join(f"{line}\n" for line in lines)) + more)


def _plain(text: str) -> str:
    return " ".join(_SYNTAX.sub(" ", text).split()) or "-"
