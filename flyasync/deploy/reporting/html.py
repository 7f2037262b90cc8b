"""A DeployReport as one HTML page, to be looked at more than read; it loads nothing and runs no script."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise

from attrs import evolve, frozen

from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.run_state import Moment

LOOKS = {
    "making": ("creating", "created", "moving", "hedging", "adopted"),
    "changing": ("updating", "updated", "replacing", "cordoned", "stopping", "running", "releasing"),
    "starting": ("starting",),
    "checking": ("checking", "watching"),
    "good": ("started", "healthy", "kept", "settled", "uncordoned", "ended"),
    "bad": ("failed", "rolled back"),
    "gone": ("skipped", "stopped", "destroyed", "retired"),
    "other": (),
}
"""What is drawn alike, in the order of the legend; a phase that is not here is `other`."""

PHASES = {phase: look for look, phases in LOOKS.items() for phase in phases}
SIGNS = {"good": "✓", "bad": "✕", "gone": "⊘", "other": "?"}
RESULTS = {**PHASES, "running": "good", "resting": "good", "not begun": "gone"}
VERDICTS = {"ok": "good", "not verified": "other", "failed": "bad", "cancelled": "gone"}
MOST_TICKS = 8
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""The distances the ticks of the time axis may have, in seconds."""

LABELLED = 0.05
"""A segment at least this part of the axis has room for the begin of its phase's name."""


class Html(str):
    """Text that is HTML already; any other text is escaped on its way into an element."""

    __slots__ = ()


@frozen(kw_only=True)
class Segment:
    """A stretch of a machine's time in one phase, in seconds; a mere mark if `is_mark`, where the phase is an end."""

    begin: float
    end: float
    phase: str
    region: str
    detail: str | None = None
    is_mark: bool = False

    @property
    def look(self) -> str:
        """How it is drawn."""
        return PHASES.get(self.phase, "other")

    def __str__(self) -> str:
        time = f"at {self.begin:.1f} s" if self.is_mark else f"{self.begin:.1f} to {self.end:.1f} s"
        return f"{self.phase} in {self.region}, {time}" + (f": {self.detail}" if self.detail else "")


def page(report: DeployReport) -> str:
    """Draw a report as one page of HTML that needs nothing beside itself."""
    verdict = _verdict(report)
    title = _tag("title", f"{SIGNS[VERDICTS[verdict]]} {report.app}: {verdict}, launch {report.launch}")
    text = _more("the whole report as text", _tag("pre", str(report)))
    return f"{_HEAD}{title}{_STYLE}</head>\n<body>\n{_tag('main', _report(report, 0), text)}\n</body></html>\n"


def segments(moments: Sequence[Moment], until: float) -> tuple[Segment, ...]:
    """Cut a machine's time into phases that follow each other without a gap; the last one lasts `until`.

    A phase that goes on is named by a word in -ing. Any other is a state that was reached: where it is the last, the
    machine came to its end with it, and there is only a mark.
    """
    drawn = [_segment(begun, next_.at) for begun, next_ in pairwise(moments)]
    last = [_segment(moment, until) for moment in moments[-1:]]
    return (*drawn, *(segment if _lasts(segment.phase) else evolve(segment, is_mark=True) for segment in last))


def _segment(moment: Moment, end: float) -> Segment:
    return Segment(begin=moment.at, end=end, phase=str(moment.phase), region=moment.region, detail=moment.detail)


def _lasts(phase: str) -> bool:
    return phase.endswith("ing")


# --- elements -------------------------------------------------------------------------------------------------------

_NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def _escaped(text: str) -> str:
    """Make any text harmless: markup, colours of a terminal, control signs, and what turns the reading around."""
    return escape(_UNPRINTABLE.sub("\ufffd", _NOISE.sub("", text)))


def _tag(name: str, *inside: str, **attributes: str) -> Html:
    """Make an element; an attribute that Python has a word for is written with an underscore behind it."""
    opening = "".join(f' {key.rstrip("_")}="{_escaped(value)}"' for key, value in attributes.items() if value)
    return Html(f"<{name}{opening}>{_join(inside)}</{name}>")


def _join(parts: Iterable[str]) -> Html:
    return Html("".join(part if isinstance(part, Html) else _escaped(part) for part in parts))


def _more(summary: str, *inside: str) -> Html:
    return _tag("details", _tag("summary", summary), *inside)


def _chip(look: str, text: str) -> Html:
    return _tag("span", _tag("b", SIGNS.get(look, "•"), class_=look), f" {text}", class_="chip")


# --- the report -----------------------------------------------------------------------------------------------------


def _verdict(report: DeployReport) -> str:
    return str(report.status)


def _report(report: DeployReport, depth: int) -> Html:
    parts = [_header(report, depth), _notes(report), _overview(report, depth), _legend(report), _table(report, depth)]
    rollback = [_rollback(report.rollback, depth + 1)] if report.rollback else []
    return _tag("article", *parts, *rollback)


def _rollback(report: DeployReport, depth: int) -> Html:
    how = "rolled back, and all is as it was:" if report.ok else "rolled back, but not all of it:"
    return _tag("section", _tag("p", how), _report(report, depth))


def _header(report: DeployReport, depth: int) -> Html:
    verdict = _verdict(report)
    look = VERDICTS[verdict]
    badge = _tag("span", f"{SIGNS[look]} {verdict}", class_=f"badge {look}")
    facts = [_tag("div", _tag("dt", name), _tag("dd", value)) for name, value in _facts(report)]
    return _tag("header", _tag("h1" if depth == 0 else "h2", badge, f" {report.app}"), _tag("dl", *facts))


def _facts(report: DeployReport) -> Iterator[tuple[str, str]]:
    yield "machines", f"{len(report.running)} of {len(report.machines)} run"
    yield "regions", f"{report.running_regions} of {sum(region.asked > 0 for region in report.regions)} complete"
    yield "required", report.require
    yield "took", f"{report.seconds:.1f} s"
    yield "launch", report.launch
    yield "image", report.image
    if report.strategy:
        yield "strategy", report.strategy


def _notes(report: DeployReport) -> Html:
    notes = [_tag("li", note) for note in _remarks(report)]
    return _tag("ul", *notes, class_="notes") if notes else Html()


def _remarks(report: DeployReport) -> Iterator[str]:
    if report.unseen:
        yield f"Not everything could be seen at the end: {report.unseen}"
    if report.surplus:
        yield f"Too many, with this launch's tag: {', '.join(report.surplus)}"
    if report.unverified:
        yield report.why_unverified
    if not report.ok and report.closed_by:
        yield f"No further machine was begun after {report.closed_by}"
    if not report.ok and report.left_behind:
        yield _more(f"{len(report.left_behind)} left behind, to keep or to destroy", ", ".join(report.left_behind))
    if report.loose_volumes:
        yield f"Made and held by no machine, to use or to delete: volumes {', '.join(report.loose_volumes)}"


def _overview(report: DeployReport, depth: int) -> Html:
    """Show every region as a link to its rows, with a square for each machine."""
    if len(report.regions) == 1:
        return Html()
    return _tag("nav", *(_tile(region, _anchor(depth, n)) for n, region in enumerate(report.regions)))


def _tile(region: RegionReport, anchor: str) -> Html:
    squares = [_tag("i", class_=_look(machine)) for machine in (*region.machines, *region.retired)]
    return _tag("a", _count(region), _tag("span", *squares, class_="squares"), href=f"#{anchor}")


def _anchor(depth: int, number: int) -> str:
    return f"region-{depth}-{number}"


def _count(region: RegionReport) -> Html:
    gone = sum(machine.result is Result.RETIRED for machine in region.retired)
    retired = f", {gone}/{len(region.retired)} retired" if region.retired else ""
    return _chip("good" if region.is_running else "bad", f"{region.region} {region.running}/{region.asked}{retired}")


def _look(machine: MachineReport) -> str:
    return RESULTS.get(machine.result, "other")


def _legend(report: DeployReport) -> Html:
    phases = dict.fromkeys(str(moment.phase) for machine in _everyone(report) for moment in machine.moments)
    words = {look: [phase for phase in phases if PHASES.get(phase, "other") == look] for look in LOOKS}
    items = [_tag("li", _tag("i", class_=look), _signed(look, named)) for look, named in words.items() if named]
    return _tag("ul", *items, class_="legend") if items else Html()


def _signed(look: str, phases: Iterable[str]) -> str:
    return f"{SIGNS.get(look, '')} {', '.join(phases)}".strip()


def _everyone(report: DeployReport) -> Iterator[MachineReport]:
    yield from [report.release] if report.release else []
    for region in report.regions:
        yield from (*region.machines, *region.retired)


# --- the timeline ---------------------------------------------------------------------------------------------------


def _table(report: DeployReport, depth: int) -> Html:
    span = _span(report)
    release = [_group("release command", _rows(report.release, span))] if report.release else []
    groups = [_region(region, span, _anchor(depth, number)) for number, region in enumerate(report.regions)]
    step = f"--step:{_percent(_step(span) / span)}"
    return _tag("table", _columns(span), *release, *groups, style=step)


def _span(report: DeployReport) -> float:
    """Say how long the time axis is: as long as the deploy, and as much longer as a machine says it went on."""
    return max(0.1, report.seconds, *(moment.at for machine in _everyone(report) for moment in machine.moments))


def _step(span: float) -> float:
    return next((step for step in STEPS if span / step <= MOST_TICKS), span / MOST_TICKS)


def _percent(part: float) -> str:
    return f"{100 * part:.2f}%"


def _columns(span: float) -> Html:
    step = _step(span)
    ticks = [_tick(number * step, span) for number in range(int(0.96 * span / step) + 1)]
    axis = _tag("th", _tag("div", *ticks), class_="axis")
    names = [_tag("th", "machine", class_="name"), axis, _tag("th", "result", class_="result"), _tag("th", "id")]
    return _tag("thead", _tag("tr", *names))


def _tick(at: float, span: float) -> Html:
    return _tag("span", f"{at:g} s", style=f"left:{_percent(at / span)}")


def _region(region: RegionReport, span: float, anchor: str) -> Html:
    rows = [_rows(machine, span) for machine in region.machines]
    retired = [_rows(machine, span, kind="retired") for machine in region.retired]
    return _group(_count(region), *rows, *retired, anchor=anchor)


def _group(name: str, *rows: Html, anchor: str = "") -> Html:
    return _tag("tbody", _tag("tr", _tag("th", name, colspan="4", scope="rowgroup")), *rows, id=anchor)


def _rows(machine: MachineReport, span: float, kind: str = "") -> Html:
    cells = [
        _tag("th", machine.name, _tag("small", kind) if kind else "", scope="row", title=machine.name),
        _tag("td", _bar(machine, span), class_="bar"),
        _tag("td", _chip(_look(machine), _result(machine))),
        _tag("td", _tag("code", machine.id or ""), title=machine.host or ""),
    ]
    return _join([Html("\n"), _tag("tr", *cells, class_=f"machine {kind}".strip()), _story(machine)])


def _result(machine: MachineReport) -> str:
    where = f" in {machine.region}" if machine.fell_back else ""
    return f"{machine.result}{where}" + (f", {machine.ready_after:.1f} s" if machine.ready_after else "")


def _bar(machine: MachineReport, span: float) -> Html:
    drawn = [
        _mark(segment, span) if segment.is_mark else _stretch(segment, span)
        for segment in segments(machine.moments, span)
        if segment.is_mark or segment.end > segment.begin
    ]
    return _tag("div", *drawn)


def _stretch(segment: Segment, span: float) -> Html:
    part = (segment.end - segment.begin) / span
    place = f"left:{_percent(segment.begin / span)};width:{_percent(part)}"
    return _tag("i", segment.phase if part >= LABELLED else "", class_=segment.look, style=place, title=str(segment))


def _mark(segment: Segment, span: float) -> Html:
    """Draw a sign where the machine came to its end, and a thin line for as long as it stays up."""
    place = f"left:{_percent(segment.begin / span)}"
    stays = " stays" if segment.look == "good" and segment.phase != "ended" else ""
    return _tag("b", SIGNS.get(segment.look, "•"), class_=segment.look + stays, style=place, title=str(segment))


# --- what there is to read ------------------------------------------------------------------------------------------


def _story(machine: MachineReport) -> Html:
    """Tell below its row what happened to a machine: the most telling line, and the rest to open."""
    first, *rest = [*_reasons(machine), ""]
    logs = _tag("pre", "\n".join(machine.logs)) if machine.logs else ""
    more = [_tag("p", reason) for reason in rest if reason] + [logs]
    told = _more(first or "the last lines of its log", *more) if any(more) else _tag("p", first)
    return _tag("tr", _tag("td", told, colspan="4"), class_="story") if first or logs else Html()


def _reasons(machine: MachineReport) -> Iterator[str]:
    if machine.failure:
        yield str(machine.failure)
    if machine.exit:
        yield f"its process: {machine.exit}"
    yield from map(str, machine.refusals)


# --- what never changes ---------------------------------------------------------------------------------------------

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
"""

# Colours that colour-blind eyes can tell apart, after Okabe and Ito, each with a pattern of its own besides.
_STYLE = """<style>
:root { --ink: #1b1f24; --soft: #5b636d; --paper: #fff; --card: #f3f5f7; --line: #d5dae0;
  --making: #4a94d8; --changing: #cc79a7; --starting: #e69f00; --checking: #a9dcf5; --good: #008a64; --bad: #d04a00;
  --gone: #8d949c; --other: #d9c400; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3abb5; --paper: #14171a;
  --card: #22272c; --line: #3a4148; --good: #1fbf92; --bad: #ff7a3c; } }
* { box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 13px/1.45 system-ui, sans-serif; }
main { max-width: 110em; margin: auto; padding: 1.5em; }
h1, h2 { display: flex; align-items: center; gap: .5em; margin: 0 0 .6em; font-size: 2em; }
h2 { font-size: 1.5em; }
.badge { padding: .1em .6em; border-radius: .3em; color: var(--paper); background: var(--look); white-space: nowrap; }
dl { display: flex; flex-wrap: wrap; gap: .6em 2em; margin: 0 0 1.2em; }
dt { color: var(--soft); font-size: .85em; }
dd { margin: 0; font-size: 1.15em; font-weight: 600; }
dd, h1, h2, p, li, details { overflow-wrap: anywhere; }
.notes { margin: 0 0 1.2em; padding: .7em 1em .7em 2em; border-left: 4px solid var(--bad); background: var(--card); }
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
.making { --look: var(--making); --pattern: none; }
.changing { --look: var(--changing); --pattern: repeating-linear-gradient(45deg, #fff9 0 2px, #0000 2px 6px); }
.starting { --look: var(--starting); --pattern: repeating-linear-gradient(135deg, #fff9 0 2px, #0000 2px 6px); }
.checking { --look: var(--checking); --pattern: repeating-linear-gradient(90deg, #0072b255 0 1px, #0000 1px 5px); }
.good { --look: var(--good); --pattern: none; }
.bad { --look: var(--bad); --pattern: repeating-linear-gradient(45deg, #fff9 0 1px, #0000 1px 5px),
  repeating-linear-gradient(135deg, #fff9 0 1px, #0000 1px 5px); }
.gone { --look: var(--gone); --pattern: repeating-linear-gradient(0deg, #fff9 0 1px, #0000 1px 4px); }
.other { --look: var(--other); --pattern: repeating-linear-gradient(0deg, #0003 0 1px, #0000 1px 5px),
  repeating-linear-gradient(90deg, #0003 0 1px, #0000 1px 5px); }
.machine:hover { background: var(--card); }
.retired { color: var(--soft); }
.chip b { color: var(--look); }
.story td { padding: 0 0 .4em 1.2em; color: var(--soft); white-space: normal; }
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
  .story details::details-content { display: block; content-visibility: visible; } }
</style>
"""
