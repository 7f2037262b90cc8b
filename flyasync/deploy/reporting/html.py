"""A DeployReport as one HTML page with a timeline. It loads nothing, and runs only the script that replays it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from flyasync.deploy.markup import Html, join, tag
from flyasync.deploy.reporting.page_assets import asset
from flyasync.deploy.reporting.phase import Moment, Phase
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.status import Status
from flyasync.deploy.reporting.styles import Look
from flyasync.deploy.reporting.timeline_replay import TimelineReplay

if TYPE_CHECKING:  # only for annotations: a report makes its page, so it imports this file
    from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport

_PHASES: Mapping[str, Phase] = {str(phase): phase for phase in Phase}

MOST_TICKS = 8
NARROW_TICKS = 4
"""How many ticks of the time axis are labelled, at most: on a wide page, and on a narrow one."""

STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""The possible distances between ticks of the time axis, in seconds."""

LABELLED = 0.05
"""The minimum width of a segment that shows the name of its phase, as a share of the axis."""


@frozen(kw_only=True)
class TimelineSegment:
    """The time that a machine spent in one phase, in seconds; if `is_mark`, a point in time without a duration."""

    begin: float
    end: float
    phase: str
    region: str
    look: Look
    detail: str | None = None
    is_mark: bool = False

    def __str__(self) -> str:
        time = f"at {self.begin:.1f} s" if self.is_mark else f"{self.begin:.1f} to {self.end:.1f} s"
        return f"{self.phase} in {self.region}, {time}" + (f": {self.detail}" if self.detail else "")


def page(report: "DeployReport", replay: TimelineReplay | None = None, notice: str = "") -> str:
    """Return a report as one self-contained HTML page, which runs no script except that of the replay.

    The notice is shown first.
    """
    title = tag("title", f"{report.status.look.sign} {report.app}: {report.status}, launch {report.launch}")
    text = _more("the whole report as text", tag("pre", str(report)))
    shown = replay or TimelineReplay()
    above = tag("p", notice) if notice else Html()
    style = "".join((asset("looks.css"), asset("report.css"), shown.style))
    scripts = f" script-src {shown.allowed};" if replay else ""
    return (
        f"{_HEAD.format(scripts=scripts)}{title}<style>\n{style}</style></head>\n<body>\n"
        f"{tag('main', above, shown.elements, _report(report, 0), text)}\n{shown.script}</body></html>\n"
    )


def segments(moments: Sequence[Moment], until: float) -> tuple[TimelineSegment, ...]:
    """Split a machine's time into consecutive segments, one for each phase; the last one ends at `until`.

    If the last phase has no duration, its segment is a mark.
    """
    ends = [*(following.at for _, following in pairwise(moments)), until]
    cut: list[TimelineSegment] = []
    for number, (moment, end) in enumerate(zip(moments, ends, strict=False), start=1):
        phase = _PHASES.get(moment.phase)  # a report of another version may have other phases
        segment = TimelineSegment(
            begin=moment.at,
            end=end,
            phase=str(moment.phase),
            region=moment.region,
            look=phase.look if phase else Look.OTHER,
            detail=moment.detail,
            is_mark=number == len(moments) and not (phase and phase.lasts),
        )
        cut.append(segment)
    return tuple(cut)


# --- elements -------------------------------------------------------------------------------------------------------


def _more(summary: str, *inside: str) -> Html:
    return tag("details", tag("summary", summary), *inside)


def _chip(look: Look, text: str) -> Html:
    return tag("span", tag("b", look.sign or "•", class_=look), f" {text}", class_="chip")


# --- the report -----------------------------------------------------------------------------------------------------


def _report(report: "DeployReport", depth: int) -> Html:
    """Return a report as an article: its status, an overview of its regions, the timeline, and its rollback."""
    look = report.status.look
    badge = tag("span", f"{look.sign} {report.status}", class_=f"badge {look}")
    facts = {
        "machines": f"{len(report.running)} of {len(report.machines)} run",
        "regions": f"{report.complete_regions} of {sum(region.asked > 0 for region in report.regions)} complete",
        "required": report.require,
        "took": f"{report.seconds:.1f} s",
        "launch": report.launch,
        "image": report.image,
        "strategy": report.strategy,
        "message": report.origin.message,
        "commit": report.origin.commit,
        "by": report.origin.by,
    }
    terms = [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items() if value]
    header = tag("header", tag("h1" if depth == 0 else "h2", badge, f" {report.app}"), tag("dl", *terms))

    notes = [tag("li", note) for note in _notes(report)]
    # Each region is a link to its rows, with a square for each machine.
    tiles = [
        tag("a", _count(region), tag("span", *squares, class_="squares"), href=f"#region-{depth}-{number}")
        for number, region in enumerate(report.regions)
        for squares in [[tag("i", class_=each.result.look) for each in (*region.machines, *region.retired)]]
    ]
    parts = [
        header,
        tag("ul", *notes, class_="notes warning" if report.status is Status.DEGRADED else "notes") if notes else Html(),
        tag("nav", *tiles) if len(tiles) != 1 else Html(),
        _legend(report),
        _timeline(report, depth),
    ]
    if report.rollback:
        how = "rolled back:" if report.rollback.ok else "rolled back incompletely:"
        parts.append(tag("section", tag("p", how), _report(report.rollback, depth + 1)))
    return tag("article", *parts)


def _notes(report: "DeployReport") -> Iterator[str]:
    """Yield the notes that are not about one machine."""
    if report.unseen:
        yield f"The final check is incomplete: {report.unseen}"
    if report.surplus:
        yield f"Surplus machines with this launch's tag: {', '.join(report.surplus)}"
    if report.status is Status.DEGRADED:
        yield f"{report.why_degraded[0].upper()}{report.why_degraded[1:]}"
    if report.unverified:
        yield report.why_unverified
    if not report.ok and report.closed_by:
        yield f"Stopped after the failure of {report.closed_by}"
    if not report.ok and (left := [each for each in report.left_behind if each not in report.surplus]):
        yield _more(f"{len(left)} left behind, keep or destroy them", ", ".join(left))
    if report.loose_volumes:
        yield f"Created, but not attached to a machine; use or delete them: volumes {', '.join(report.loose_volumes)}"


def _count(region: "RegionReport") -> Html:
    gone = sum(machine.result is Result.RETIRED for machine in region.retired)
    retired = f", {gone}/{len(region.retired)} retired" if region.retired else ""
    look = Look.GOOD if region.is_complete else Look.BAD
    return _chip(look, f"{region.region} {region.running}/{region.asked}{retired}")


def _legend(report: "DeployReport") -> Html:
    """Return a legend of the styles, each with the phases in this report that have it."""
    came = dict.fromkeys(str(moment.phase) for machine in _all(report) for moment in machine.moments)
    items = []
    for look in Look:
        phases = [word for word in came if (_PHASES[word].look if word in _PHASES else Look.OTHER) is look]
        if phases:
            items.append(tag("li", tag("i", class_=look), f"{look.sign} {', '.join(phases)}".strip()))
    return tag("ul", *items, class_="legend") if items else Html()


def _all(report: "DeployReport") -> Iterator["MachineReport"]:
    yield from report.commands
    for region in report.regions:
        yield from (*region.machines, *region.retired)


# --- the timeline ---------------------------------------------------------------------------------------------------


def _timeline(report: "DeployReport", depth: int) -> Html:
    """Return a table with a time axis, and a row for each machine below the name of its region."""
    # The axis covers the whole deploy, or the time until the last phase of a machine if that is longer.
    span = max(0.1, report.seconds, *(moment.at for machine in _all(report) for moment in machine.moments))
    step = next((step for step in STEPS if span / step <= MOST_TICKS), span / MOST_TICKS)
    numbers = range(int(0.96 * span / step) + 1)
    every = -(-len(numbers) // NARROW_TICKS)
    ticks = [
        tag(
            "span",
            f"{number * step:g} s",
            style=f"left:{_percent(number * step / span)}",
            class_="minor" if number % every else "",
        )
        for number in numbers
    ]
    axis = tag("th", tag("div", *ticks), class_="axis")
    names = [tag("th", "machine", class_="name"), axis, tag("th", "result", class_="result"), tag("th", "id")]

    commands = ((report.release, "release command"), (report.seed, "seed command"))
    groups = [_group(name, [_rows(machine, span)]) for machine, name in commands if machine]
    for number, region in enumerate(report.regions):
        rows = [_rows(machine, span) for machine in region.machines]
        rows += [_rows(machine, span, kind="retired") for machine in region.retired]
        groups.append(_group(_count(region), rows, anchor=f"region-{depth}-{number}"))
    return tag("table", tag("thead", tag("tr", *names)), *groups, style=f"--step:{_percent(step / span)}")


def _percent(part: float) -> str:
    return f"{100 * part:.2f}%"


def _group(name: str, rows: Iterable[Html], anchor: str = "") -> Html:
    return tag("tbody", tag("tr", tag("th", name, colspan="4", scope="rowgroup")), *rows, id=anchor)


def _rows(machine: "MachineReport", span: float, kind: str = "") -> Html:
    """Return the row of a machine, followed by a row with the reasons if there are any."""
    # No phase marks the end of a watch: it ends when the last step of the machine is done.
    cut, ready = segments(machine.moments, span), machine.ready_after
    if cut and cut[-1].phase == Phase.WATCHING and ready is not None and ready >= cut[-1].begin:
        watch = evolve(cut[-1], end=ready)
        end = TimelineSegment(
            begin=ready, end=ready, phase=machine.result, region=watch.region, look=machine.result.look, is_mark=True
        )
        cut = (*cut[:-1], watch, end)
    drawn = [_drawn(segment, span) for segment in cut if segment.is_mark or segment.end > segment.begin]
    where = f" in {machine.region}" if machine.fell_back else ""
    result = f"{machine.result}{where}" + (f", {machine.ready_after:.1f} s" if machine.ready_after else "")
    cells = [
        tag("th", machine.name, tag("small", kind) if kind else "", scope="row", title=machine.name),
        tag("td", tag("div", *drawn), class_="bar"),
        tag("td", _chip(machine.result.look, result)),
        tag("td", tag("code", machine.id or ""), title=machine.host or ""),
    ]
    rows = [Html("\n"), tag("tr", *cells, class_=f"machine {kind}".strip())]

    # The first line is visible; the others are in a part that can be opened.
    reasons = [str(machine.failure)] if machine.failure else []
    reasons += [f"its process: {machine.exit}"] if machine.exit else []
    first, *rest = [*reasons, *map(str, machine.refusals), ""]
    more = [tag("p", reason) for reason in rest if reason]
    more += [tag("pre", "\n".join(machine.logs))] if machine.logs else []
    if first or more:
        below = _more(first or "the last lines of its log", *more) if more else tag("p", first)
        rows.append(tag("tr", tag("td", below, colspan="4"), class_="reasons"))
    return join(rows)


def _drawn(segment: TimelineSegment, span: float) -> Html:
    """Return a segment of a bar, or the sign of a last phase, with a thin line after it if the machine stays up."""
    left = f"left:{_percent(segment.begin / span)}"
    if segment.is_mark:
        stays = " stays" if segment.look is Look.GOOD and segment.phase != Phase.ENDED else ""
        return tag("b", segment.look.sign or "•", class_=segment.look + stays, style=left, title=str(segment))
    part = (segment.end - segment.begin) / span
    label = segment.phase if part >= LABELLED else ""
    style = f"{left};width:{_percent(part)}"
    return tag("i", label, class_=segment.look, style=style, title=str(segment))


# --- constant parts -------------------------------------------------------------------------------------------------

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';{scripts} style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
"""
