"""A DeployReport as one HTML page with a timeline. The page loads nothing and runs no script."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from flyasync.deploy.reporting.phase import Moment, Phase
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.status import Status
from flyasync.deploy.reporting.styles import Look

if TYPE_CHECKING:  # only for annotations: a report makes its page, so it imports this file
    from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport

_PHASES: Mapping[str, Phase] = {str(phase): phase for phase in Phase}

MOST_TICKS = 8
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""The possible distances between ticks of the time axis, in seconds."""

LABELLED = 0.05
"""The minimum width of a segment that shows the name of its phase, as a share of the axis."""


class Html(str):
    """Text that is HTML already; any other text is escaped when it is put into an element."""

    __slots__ = ()


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


def page(report: "DeployReport") -> str:
    """Return a report as one self-contained HTML page."""
    title = _tag("title", f"{report.status.look.sign} {report.app}: {report.status}, launch {report.launch}")
    text = _more("the whole report as text", _tag("pre", str(report)))
    return f"{_HEAD}{title}{_STYLE}</head>\n<body>\n{_tag('main', _report(report, 0), text)}\n</body></html>\n"


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

_NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def _escaped(text: str) -> str:
    """Return text with its markup escaped, and without terminal colours, control characters and bidi overrides."""
    return escape(_UNPRINTABLE.sub("\ufffd", _NOISE.sub("", text)))


def _tag(name: str, *inside: str, **attributes: str) -> Html:
    """Return an element. An attribute whose name is a Python keyword is passed with a trailing underscore."""
    opening = "".join(f' {key.rstrip("_")}="{_escaped(value)}"' for key, value in attributes.items() if value)
    return Html(f"<{name}{opening}>{_join(inside)}</{name}>")


def _join(parts: Iterable[str]) -> Html:
    return Html("".join(part if isinstance(part, Html) else _escaped(part) for part in parts))


def _more(summary: str, *inside: str) -> Html:
    return _tag("details", _tag("summary", summary), *inside)


def _chip(look: Look, text: str) -> Html:
    return _tag("span", _tag("b", look.sign or "•", class_=look), f" {text}", class_="chip")


# --- the report -----------------------------------------------------------------------------------------------------


def _report(report: "DeployReport", depth: int) -> Html:
    """Return a report as an article: its status, an overview of its regions, the timeline, and its rollback."""
    look = report.status.look
    badge = _tag("span", f"{look.sign} {report.status}", class_=f"badge {look}")
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
    terms = [_tag("div", _tag("dt", name), _tag("dd", value)) for name, value in facts.items() if value]
    header = _tag("header", _tag("h1" if depth == 0 else "h2", badge, f" {report.app}"), _tag("dl", *terms))

    notes = [_tag("li", note) for note in _notes(report)]
    # Each region is a link to its rows, with a square for each machine.
    tiles = [
        _tag("a", _count(region), _tag("span", *squares, class_="squares"), href=f"#region-{depth}-{number}")
        for number, region in enumerate(report.regions)
        for squares in [[_tag("i", class_=each.result.look) for each in (*region.machines, *region.retired)]]
    ]
    parts = [
        header,
        _tag("ul", *notes, class_="notes warning" if report.status is Status.DEGRADED else "notes")
        if notes
        else Html(),
        _tag("nav", *tiles) if len(tiles) != 1 else Html(),
        _legend(report),
        _timeline(report, depth),
    ]
    if report.rollback:
        how = "rolled back:" if report.rollback.ok else "rolled back incompletely:"
        parts.append(_tag("section", _tag("p", how), _report(report.rollback, depth + 1)))
    return _tag("article", *parts)


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
            items.append(_tag("li", _tag("i", class_=look), f"{look.sign} {', '.join(phases)}".strip()))
    return _tag("ul", *items, class_="legend") if items else Html()


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
    ticks = [
        _tag("span", f"{number * step:g} s", style=f"left:{_percent(number * step / span)}")
        for number in range(int(0.96 * span / step) + 1)
    ]
    axis = _tag("th", _tag("div", *ticks), class_="axis")
    names = [_tag("th", "machine", class_="name"), axis, _tag("th", "result", class_="result"), _tag("th", "id")]

    commands = ((report.release, "release command"), (report.seed, "seed command"))
    groups = [_group(name, [_rows(machine, span)]) for machine, name in commands if machine]
    for number, region in enumerate(report.regions):
        rows = [_rows(machine, span) for machine in region.machines]
        rows += [_rows(machine, span, kind="retired") for machine in region.retired]
        groups.append(_group(_count(region), rows, anchor=f"region-{depth}-{number}"))
    return _tag("table", _tag("thead", _tag("tr", *names)), *groups, style=f"--step:{_percent(step / span)}")


def _percent(part: float) -> str:
    return f"{100 * part:.2f}%"


def _group(name: str, rows: Iterable[Html], anchor: str = "") -> Html:
    return _tag("tbody", _tag("tr", _tag("th", name, colspan="4", scope="rowgroup")), *rows, id=anchor)


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
        _tag("th", machine.name, _tag("small", kind) if kind else "", scope="row", title=machine.name),
        _tag("td", _tag("div", *drawn), class_="bar"),
        _tag("td", _chip(machine.result.look, result)),
        _tag("td", _tag("code", machine.id or ""), title=machine.host or ""),
    ]
    rows = [Html("\n"), _tag("tr", *cells, class_=f"machine {kind}".strip())]

    # The first line is visible; the others are in a part that can be opened.
    reasons = [str(machine.failure)] if machine.failure else []
    reasons += [f"its process: {machine.exit}"] if machine.exit else []
    first, *rest = [*reasons, *map(str, machine.refusals), ""]
    more = [_tag("p", reason) for reason in rest if reason]
    more += [_tag("pre", "\n".join(machine.logs))] if machine.logs else []
    if first or more:
        below = _more(first or "the last lines of its log", *more) if more else _tag("p", first)
        rows.append(_tag("tr", _tag("td", below, colspan="4"), class_="reasons"))
    return _join(rows)


def _drawn(segment: TimelineSegment, span: float) -> Html:
    """Return a segment of a bar, or the sign of a last phase, with a thin line after it if the machine stays up."""
    left = f"left:{_percent(segment.begin / span)}"
    if segment.is_mark:
        stays = " stays" if segment.look is Look.GOOD and segment.phase != Phase.ENDED else ""
        return _tag("b", segment.look.sign or "•", class_=segment.look + stays, style=left, title=str(segment))
    part = (segment.end - segment.begin) / span
    label = segment.phase if part >= LABELLED else ""
    style = f"{left};width:{_percent(part)}"
    return _tag("i", label, class_=segment.look, style=style, title=str(segment))


# --- constant parts -------------------------------------------------------------------------------------------------

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
"""

# Colours that are distinct to colour-blind readers (Okabe and Ito); each style also has its own pattern.
_STYLE = """<style>
:root { --ink: #1b1f24; --soft: #5b636d; --paper: #fff; --card: #f3f5f7; --line: #d5dae0;
  --making: #4a94d8; --changing: #cc79a7; --starting: #e69f00; --checking: #a9dcf5; --good: #008a64; --bad: #d04a00;
  --warning: #e69f00; --gone: #8d949c; --other: #d9c400; --waiting: #c3c9d0; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3abb5; --paper: #14171a;
  --card: #22272c; --line: #3a4148; --good: #1fbf92; --bad: #ff7a3c; } }
* { box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 13px/1.45 system-ui, sans-serif; }
main { max-width: 110em; margin: auto; padding: 1.5em; }
h1, h2 { display: flex; align-items: center; gap: .5em; margin: 0 0 .6em; font-size: 2em; }
h2 { font-size: 1.5em; }
.badge { padding: .1em .6em; border-radius: .3em; color: var(--paper); background: var(--look); white-space: nowrap; }
.badge.warning { color: #111; }
dl { display: flex; flex-wrap: wrap; gap: .6em 2em; margin: 0 0 1.2em; }
dt { color: var(--soft); font-size: .85em; }
dd { margin: 0; font-size: 1.15em; font-weight: 600; }
dd, h1, h2, p, li, details { overflow-wrap: anywhere; }
.notes { margin: 0 0 1.2em; padding: .7em 1em .7em 2em; border-left: 4px solid var(--look, var(--bad));
  background: var(--card); }
nav, .legend { display: flex; flex-wrap: wrap; gap: .4em; margin: 0 0 1.2em; padding: 0; list-style: none; }
nav a { padding: .3em .6em; border-radius: .3em; background: var(--card); color: inherit; text-decoration: none; }
nav a:hover, nav a:focus { outline: 2px solid var(--making); }
.squares { display: flex; flex-wrap: wrap; gap: 2px; max-width: 10em; margin-top: .2em; }
.squares i { width: 8px; height: 8px; border: 1px solid var(--look); background: var(--look); }
.squares .bad { clip-path: polygon(25% 0, 50% 25%, 75% 0, 100% 25%, 75% 50%, 100% 75%, 75% 100%, 50% 75%, 25% 100%,
  0 75%, 25% 50%, 0 25%); }
.squares .gone, .squares .other { background: none; }
.legend { gap: .4em 1.6em; }
.legend li { white-space: nowrap; }
.legend i { display: inline-block; width: 26px; height: 12px; margin-right: .5em; vertical-align: -1px; }
table { width: 100%; table-layout: fixed; border-collapse: collapse; }
th, td { padding: 1px .6em 1px 0; text-align: left; vertical-align: middle; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; font-weight: 400; }
thead th { position: sticky; top: 0; z-index: 1; width: 12%; padding-block: .4em; background: var(--paper);
  color: var(--soft); border-bottom: 1px solid var(--line); }
thead .name { width: 15%; }
thead .axis { width: auto; }
thead .result { width: 16%; }
.axis, .bar { padding-right: 2em; }
.axis div, .bar div { position: relative; height: 1.4em; }
.axis span { position: absolute; padding-left: 3px; border-left: 1px solid var(--line); }
tbody th[scope=rowgroup] { padding-top: .9em; font-weight: 600; }
th small { margin-left: .6em; color: var(--soft); }
.bar div { height: 15px; background: linear-gradient(90deg, var(--line) 1px, #0000 1px) 0 0 / var(--step) 100%; }
.bar i, .bar b { position: absolute; top: 0; height: 15px; }
.bar i { min-width: 1px; padding-left: 3px; overflow: hidden; color: #111; font: 10px/15px system-ui, sans-serif;
  text-shadow: 0 0 2px #fff, 0 0 2px #fff; }
.bar b { right: 0; min-width: 1.2em; padding-left: 3px; color: var(--look); line-height: 15px; }
.bar b.stays::after { content: ""; position: absolute; top: 6px; right: 0; left: 1.4em; height: 2px;
  background: var(--good); }
.bar i, .legend i { background-color: var(--look); background-image: var(--pattern); }
.waiting { --look: var(--waiting); --pattern: repeating-linear-gradient(90deg, #fff9 0 3px, #0000 3px 9px); }
.making { --look: var(--making); --pattern: none; }
.changing { --look: var(--changing); --pattern: repeating-linear-gradient(45deg, #fff9 0 2px, #0000 2px 6px); }
.starting { --look: var(--starting); --pattern: repeating-linear-gradient(135deg, #fff9 0 2px, #0000 2px 6px); }
.checking { --look: var(--checking); --pattern: repeating-linear-gradient(90deg, #0072b255 0 1px, #0000 1px 5px); }
.good { --look: var(--good); --pattern: none; }
.warning { --look: var(--warning); --pattern: none; }
.bad { --look: var(--bad); --pattern: repeating-linear-gradient(45deg, #fff9 0 1px, #0000 1px 5px),
  repeating-linear-gradient(135deg, #fff9 0 1px, #0000 1px 5px); }
.gone { --look: var(--gone); --pattern: repeating-linear-gradient(0deg, #fff9 0 1px, #0000 1px 4px); }
.other { --look: var(--other); --pattern: repeating-linear-gradient(0deg, #0003 0 1px, #0000 1px 5px),
  repeating-linear-gradient(90deg, #0003 0 1px, #0000 1px 5px); }
.machine:hover { background: var(--card); }
.retired { color: var(--soft); }
.chip b { color: var(--look); }
.reasons td { padding: 0 0 .4em 1.2em; color: var(--soft); white-space: normal; }
p { margin: .2em 0; }
summary { cursor: pointer; }
pre { max-height: 30em; margin: .4em 0; padding: .7em 1em; overflow: auto; background: var(--card); color: var(--ink);
  font-size: 12px; white-space: pre-wrap; unicode-bidi: isolate; }
main > details, section { margin-top: 2.5em; padding-top: 1em; border-top: 1px solid var(--line); }
@media (max-width: 60em) { main { padding: .8em; } thead .name, thead .result { width: 24%; }
  th:nth-child(4), .machine td:nth-child(4) { display: none; } }
@page { size: landscape; margin: 12mm; }
@media print { main { padding: 0; } tr, header { break-inside: avoid; } thead th { position: static; }
  pre { max-height: none; } main > details { display: none; }
  .reasons details::details-content { display: block; content-visibility: visible; } }
</style>
"""
