"""The report as a page: one row for each machine, a bar that adds up, and nothing in it that could do harm."""

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from flyasync.deploy.plan.launch_origin import LaunchOrigin
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.reporting.html import page, segments
from flyasync.deploy.reporting.phase import Moment, Phase
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Failure, Result
from flyasync.deploy.reporting.styles import Look
from flyasync.errors import Scope

WAY = ((0.0, Phase.CREATING), (1.5, Phase.CREATED), (1.5, Phase.STARTING), (4.0, Phase.CHECKING), (9.0, Phase.HEALTHY))
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "article", "header", "section", "nav", "details"),
    *("summary", "h1", "h2", "p", "ul", "li", "dl", "dt", "dd", "div", "span", "a", "i", "b", "small", "code", "pre"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name"} | {
    *("class", "id", "title", "style", "href", "colspan", "scope"),
}
PLACE = re.compile(r"(left|width|--step):[0-9.]+%(;width:[0-9.]+%)?")


class Read(HTMLParser):
    """A page, read strictly: what is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        had = {key: value or "" for key, value in attrs}
        self.tags[tag] += 1
        self.attributes += had.items()
        if tag == "tr" and "machine" in had.get("class", "").split():
            self.rows.append([])
        if "style" in had and tag in {"i", "b"}:
            self.rows[-1].append({"tag": tag, **had})
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, attribute: str) -> list[str]:
        return [value for key, value in self.attributes if key == attribute]

    @property
    def text(self) -> str:
        return "".join(self.words)


def machine(name: str = "v1-iad-1", region: str = "iad", **changes: Any) -> MachineReport:
    moments = tuple(Moment(at=at, phase=phase, region=region) for at, phase in WAY)
    told = {"region": region, "id": f"id-{name}", "result": Result.RUNNING, "moments": moments, "ready_after": 9.0}
    return MachineReport(**{"name": name, "asked": region, **told, **changes})


def region(code: str = "iad", *machines: MachineReport, **changes: Any) -> RegionReport:
    return RegionReport(region=code, asked=len(machines), machines=machines, **changes)


def report(*regions: RegionReport, **changes: Any) -> DeployReport:
    told = {"app": "web", "launch": "v1", "image": "nginx", "require": "all regions", "needed": len(regions)}
    return DeployReport(**{**told, "regions": regions or (region("iad", machine()),), "seconds": 10.0, **changes})


def moments(*way: tuple[float, str]) -> tuple[Moment, ...]:
    return tuple(Moment(at=at, phase=phase, region="iad") for at, phase in way)  # type: ignore[arg-type]


def full(text: str) -> DeployReport:
    """A report that says `text` wherever it can say anything."""
    failure = Failure(kind=text, message=text, code=text, request_id=text)
    refusal = Refusal(region=text, scope=Scope.REGION, status=422, code=text, message=text, request_id=text)
    hostile = machine(
        text,
        text,
        asked="iad",
        host=text,
        refusals=(refusal,),
        failure=failure,
        exit=text,
        logs=(text, text),
        moments=tuple(Moment(at=at, phase=phase, region=text, detail=text) for at, phase in WAY),
    )
    places = (region(text, hostile, retired=(hostile,)), region("lhr", machine(moments=moments((1.0, text)))))
    told = {"app": text, "launch": text, "image": text, "require": text, "surplus": (text,), "unseen": failure}
    one = report(*places, strategy=text, release=hostile, **told)
    return evolve(one, rollback=one)


def test_it_says_what_became_of_the_deploy() -> None:
    read = Read(page(report(strategy="rolling")))
    for word in ("✓ ok", "web", "v1", "nginx", "all regions", "10.0 s", "1 of 1 run", "rolling", "id-v1-iad-1"):
        assert word in read.text
    assert "rolled back" not in read.text


@pytest.mark.parametrize(
    ("changes", "verdict"), [({}, "✓ ok"), ({"needed": 2}, "✕ failed"), ({"cancelled": True}, "⊘ cancelled")]
)
def test_the_verdict_is_a_sign_and_a_word(changes: dict[str, Any], verdict: str) -> None:
    assert verdict in Read(page(report(**changes))).text


def test_it_says_why_what_and_by_whom_where_that_is_known() -> None:
    origin = LaunchOrigin(message="fix <b>", commit="a1b2c3d")
    text = page(report(region("iad", machine()), origin=origin))
    assert "<dt>message</dt><dd>fix &lt;b&gt;</dd>" in text
    assert "<dt>commit</dt><dd>a1b2c3d</dd>" in text
    assert "<dt>by</dt>" not in text


def test_each_machine_has_one_row() -> None:
    gone = machine("v0-iad-1", result=Result.RETIRED)
    release = machine("v1-release", result=Result.DESTROYED)
    iad = region("iad", machine("v1-iad-1"), machine("v1-iad-2"), retired=(gone,))
    read = Read(page(report(iad, region("lhr", machine("v1-lhr-1", "lhr")), release=release)))
    assert len(read.rows) == 5
    assert Counter(read.all("title"))["v0-iad-1"] == 1
    assert "v0-iad-1retired" in read.text
    assert "iad 2/2, 1/1 retired" in read.text
    assert "release command" in read.text


def test_a_bar_follows_the_phases_without_a_gap() -> None:
    cut = segments(machine().moments, 10.0)
    assert [segment.phase for segment in cut] == [phase for _, phase in WAY]
    assert all(first.end == second.begin for first, second in pairwise(cut))
    assert (cut[0].begin, cut[-1].end) == (0.0, 10.0)
    assert [segment.is_mark for segment in cut] == [False, False, False, False, True]


def test_what_is_drawn_adds_up_to_the_axis() -> None:
    (row,) = Read(page(report(region("iad", machine(moments=moments((0, "creating"), (4, "starting"))))))).rows
    assert [piece["style"] for piece in row] == ["left:0.00%;width:40.00%", "left:40.00%;width:60.00%"]
    assert [piece["title"] for piece in row] == ["creating in iad, 0.0 to 4.0 s", "starting in iad, 4.0 to 10.0 s"]


def test_an_end_is_a_mark_with_what_was_said() -> None:
    failed = Moment(at=5.0, phase=Phase.FAILED, region="iad", detail="exit code 137")
    (row,) = Read(page(report(region("iad", machine(moments=(*moments((0, "creating")), failed)))))).rows
    assert row[-1] == {
        "tag": "b",
        "class": "bad",
        "style": "left:50.00%",
        "title": "failed in iad, at 5.0 s: exit code 137",
    }


def test_a_thin_line_shows_what_stays_up() -> None:
    ways = [machine(moments=moments((0, "creating"), (5, phase))) for phase in ("healthy", "ended", "destroyed")]
    read = Read(page(report(region("iad", *ways))))
    assert [row[-1]["class"] for row in read.rows] == ["good stays", "good", "gone"]


def test_a_watch_ends_when_the_machine_is_ready() -> None:
    canary = machine(moments=moments((0, "creating"), (2, "watching")), ready_after=6.0)
    (row,) = Read(page(report(region("iad", canary)))).rows
    assert [(piece["tag"], piece["title"]) for piece in row] == [
        ("i", "creating in iad, 0.0 to 2.0 s"),
        ("i", "watching in iad, 2.0 to 6.0 s"),
        ("b", "running in iad, at 6.0 s"),
    ]
    assert row[-1]["class"] == "good stays"


def test_a_watch_that_does_not_end_lasts_until_the_deploy_does() -> None:
    canary = machine(moments=moments((0, "creating"), (2, "watching")), ready_after=None, result=Result.NOT_AWAITED)
    (row,) = Read(page(report(region("iad", canary)))).rows
    assert row[-1]["title"] == "watching in iad, 2.0 to 10.0 s"


@pytest.mark.parametrize(
    ("phase", "is_mark"),
    [("healthy", True), ("kept", True), ("rolled back", True), ("watching", False), ("unheard of", True)],
)
def test_a_phase_is_an_end_by_its_name(phase: str, is_mark: bool) -> None:  # noqa: FBT001 - a row of the table
    (segment,) = segments(moments((1.0, phase)), 3.0)
    assert (segment.is_mark, segment.end) == (is_mark, 3.0)


def test_a_phase_nobody_heard_of_is_drawn_nevertheless() -> None:
    (row,) = Read(page(report(region("iad", machine(moments=moments((1, "pondering"), (2, "pondered"))))))).rows
    assert [piece["class"] for piece in row] == ["other", "other"]


def test_every_phase_we_know_has_its_look() -> None:
    assert all(phase.look is not Look.OTHER for phase in Phase)


def test_a_region_that_is_left_is_not_a_wanted_one() -> None:
    left = RegionReport(region="lhr", asked=0, machines=(), retired=(machine("v0-lhr-1", result=Result.RETIRED),))
    read = Read(page(report(region("iad", machine()), left, needed=1)))
    assert "1 of 1 complete" in read.text
    assert "lhr 0/0, 1/1 retired" in read.text


def test_a_machine_without_a_past_has_an_empty_bar() -> None:
    unborn = MachineReport(name="v1-iad-1", asked="iad", result=Result.NOT_BEGUN)
    read = Read(page(report(region("iad", unborn))))
    assert read.rows == [[]]
    assert "not begun" in read.text


def test_the_axis_is_as_long_as_the_longest_machine() -> None:
    late = machine(moments=moments((0, "creating"), (20, "healthy")))
    (row,) = Read(page(report(region("iad", late)))).rows
    assert [piece["style"] for piece in row] == ["left:0.00%;width:100.00%", "left:100.00%"]


def test_a_deploy_without_duration_or_regions_is_a_page_too() -> None:
    assert Read(page(report(seconds=0.0))).rows
    assert not Read(page(evolve(report(), regions=()))).rows


def test_trouble_is_told_below_its_row() -> None:
    refusal = Refusal(region="iad", scope=Scope.REGION, status=422, code="full", message="no room", request_id="r1")
    trouble: dict[str, Any] = {
        "failure": Failure(kind="Seen", message="it is stopped"),
        "exit": "exit code 137",
        "logs": ("a", "b"),
    }
    read = Read(page(report(region("iad", machine(refusals=(refusal,), result=Result.FAILED, **trouble)))))
    assert read.tags["details"] == 3  # the machine's, what is left behind, and the text
    for word in ("it is stopped", "exit code 137", "no room", "a\nb"):
        assert word in read.text


def test_a_machine_without_trouble_says_nothing_more() -> None:
    assert Read(page(report())).tags["details"] == 1


def test_one_word_of_trouble_needs_no_opening() -> None:
    read = Read(page(report(region("iad", machine(exit="exit code 0")))))
    assert "exit code 0" in read.text
    assert read.tags["details"] == 1


def test_logs_alone_can_be_opened() -> None:
    assert "the last lines of its log" in Read(page(report(region("iad", machine(logs=("a",)))))).text


def test_remarks_stand_at_the_top() -> None:
    unseen = Failure(kind="ServerFault", message="the list is down")
    read = Read(page(report(surplus=("id-9",), unseen=unseen, needed=2)))
    for word in ("the list is down", "Surplus machines with this launch's tag: id-9", "1 left behind"):
        assert word in read.text


def test_a_rollback_is_a_report_of_its_own() -> None:
    read = Read(page(report(rollback=report(region("iad", machine("v0-iad-1")), launch="v0"), needed=2)))
    assert len(read.rows) == 2
    assert read.tags["h1"] == read.tags["h2"] == 1
    assert "rolled back:" in read.text


def test_a_rollback_that_failed_says_so() -> None:
    assert "rolled back incompletely" in Read(page(report(rollback=report(needed=2)))).text


def test_links_of_the_overview_lead_to_their_regions() -> None:
    two = report(region("iad", machine()), region("lhr", machine("v1-lhr-1", "lhr")))
    read = Read(page(evolve(two, rollback=two)))
    assert len(read.all("href")) == 4
    assert {f"#{id_}" for id_ in read.all("id")} == set(read.all("href"))


def test_the_legend_names_the_phases_that_came_about() -> None:
    read = Read(page(report()))
    assert "creating, created" in read.text
    assert f"{Look.GOOD.sign} healthy" in read.text
    assert "replacing" not in read.text


def test_the_text_of_the_report_is_at_the_end() -> None:
    assert Read(page(report())).text.strip().endswith(str(report()))


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "\"><img src=x onerror='alert(1)'>",
        "</style></title></pre></details><iframe src=https://example.com>",
        "' onmouseover=alert(1) x='",
        "javascript:alert(1)",
        "left:0;background:url(https://example.com/)",
        "&lt;b&gt; &amp;",
    ],
)
def test_nothing_a_report_says_becomes_markup(text: str) -> None:
    written = page(full(text))
    read = Read(written)
    assert "<script" not in written
    assert text in read.text
    assert not read.tags.keys() - TAGS
    assert not {key for key, _ in read.attributes} - ATTRIBUTES
    assert all(href.startswith("#region-") for href in read.all("href"))
    assert all(PLACE.fullmatch(style) for style in read.all("style"))


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=30))
def test_any_text_at_all_makes_a_sound_page(text: str) -> None:
    written = page(full(text))
    written.encode()
    assert not Read(written).tags.keys() - TAGS


def test_what_a_terminal_would_obey_is_taken_out() -> None:
    logs = ("\x1b[31mred\x1b[0m\r", "a\x00b", "left \u202eto right", "lone \udfff")
    written = page(report(region("iad", machine(logs=logs))))
    assert "red\na\ufffdb\nleft \ufffdto right\nlone \ufffd" in Read(written).text
    assert not re.search("[\x00\x1b\r\u202e\udfff]", written)


def test_it_loads_nothing() -> None:
    written = page(full("registry.fly.io/web:v2"))
    assert "default-src 'none'; style-src 'unsafe-inline'" in written
    assert not re.search(r"https?://|url\(|@import|src=|<script|<link", written)


def test_the_same_report_is_the_same_page() -> None:
    assert page(full("failed")) == page(full("failed")) == page(DeployReport.from_dict(full("failed").to_dict()))


def test_three_hundred_machines_fit_in_a_megabyte() -> None:
    regions = [
        region(f"r{n}", *(machine(f"v1-r{n}-{i}", f"r{n}", logs=("a line",) * 5) for i in range(10))) for n in range(30)
    ]
    written = page(report(*regions, rollback=report(*regions)))
    assert len(Read(written).rows) == 600
    assert len(written.encode()) < 2 * 500_000
