"""What is said of a run over many apps: before it, on its way, and at its end; pure."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from flyasync.cli.bulk.tally import Cause, Ended, Some, Tally
from flyasync.cli.deploy.wording import LOCAL
from flyasync.deploy.plan.duration import duration

MOST_CAUSES = 20
"""How many causes of failures, and how many remarks, are told; the JSON lines have all."""

HEADS = ("apps", "why", "which")


@frozen(kw_only=True)
class Run:
    """Which run it is: the file it reads, its launch, its journal, and whether it is a rehearsal."""

    source: str
    launch: str
    journal: str | None = None
    is_local: bool = False


@frozen(kw_only=True)
class Outlook:
    """What a run would do: apps, machines by region, and how long it takes at least where all machines are made."""

    rows: int
    kept: int
    changed: int
    machines: int
    regions: Mapping[str, int]
    strategies: Mapping[str, int]
    seconds: float
    makes_apps_in: str | None = None


@frozen(kw_only=True)
class Summary:
    """How a run ended: its counts, why apps failed, and which had another config before.

    Those are `renamed`, with their launch; `abandoned` are the launches before, with their app, whose machines stayed.
    """

    run: Run
    tally: Tally
    seconds: float
    is_cut: bool
    renamed: Some
    abandoned: Some

    @property
    def ok(self) -> bool:
        """Whether every app of the file is as its row says."""
        return not self.tally.failed and not self.tally.left


def progress(tally: Tally, seconds: float) -> str:
    """Say how far it is, at which pace, and how long it still takes."""
    rate = tally.per_second(seconds)
    return ", ".join(
        [
            f"{tally.done} of {tally.total - tally.kept} apps done",
            f"{tally.failed} failed",
            f"{tally.left} left",
            f"{tally.under_way} under way",
            *([f"{rate:.3g} apps/s"] if rate else []),
            remaining(tally, seconds),
        ]
    )


def remaining(tally: Tally, seconds: float) -> str:
    """Say how long the rest takes, or that there is no telling yet."""
    if rest := tally.seconds_left(seconds):
        return f"about {duration(rest)} left"
    return "time left not known yet" if tally.left else "none left"


def opening(run: Run, tally: Tally) -> str:
    """Say what begins."""
    kept = f"; done already: {tally.kept} of {tally.total}" if tally.kept else ""
    to_do = _apps(tally.total - tally.kept)
    return f"{run.source}: {to_do} to deploy, {tally.at_once} at once, launch {run.launch}{kept}"


def headline(summary: Summary) -> str:
    """Say in one line how it ended."""
    tally = summary.tally
    failed = "not verified" if tally.lacks_only_proof else "failed"
    verdict = "ok" if summary.ok else "cut off" if summary.is_cut else failed
    counts = [
        f"{tally.done + tally.kept} of {tally.total} apps done" + (f" ({tally.kept} before)" if tally.kept else ""),
        f"{tally.failed} failed",
        f"{tally.left} left",
        f"{summary.seconds:.1f} s",
    ]
    return f"{summary.run.source}: {verdict}: {', '.join(counts)} (launch {summary.run.launch})"


def rows(causes: list[Cause]) -> list[tuple[str, str, str]]:
    """Give the causes of failures as rows of a table."""
    told = [(str(each.count), each.text, str(each.apps)) for each in causes[:MOST_CAUSES]]
    rest = causes[MOST_CAUSES:]
    if rest:
        told.append((str(sum(each.count for each in rest)), f"{len(rest)} other causes", ""))
    return told


def remarks(summary: Summary) -> Iterator[str]:
    """Say what else there is to know, and how to go on."""
    yield from _of_apps(summary.tally, is_cut=summary.is_cut)
    yield from _of_reports(summary.tally.remarks)
    if summary.renamed.count:
        yield f"another config than before, and so a launch of its own: {summary.renamed}"
    if summary.abandoned.count:
        yield f"what was made before is still there, and goes with flyasync destroy {summary.abandoned}"
    if summary.run.is_local:
        yield LOCAL
    elif not summary.ok:
        yield _way_on(summary.run)


def _of_apps(tally: Tally, *, is_cut: bool) -> Iterator[str]:
    if is_cut:
        yield f"under way when it was cut off: {_apps(tally.under_way)}; what is up there stays up"
    elif tally.left:
        yield f"not begun, for --max-failures had failed: {_apps(tally.left)}"
    if tally.absent.count:
        yield f"not there: {tally.absent}. Are the names right? To create such apps first, add: --create-app ORG"
    if tally.partial.count:
        yield f"ok, but not complete, which --require all would demand: {tally.partial}"


def _of_reports(said: list[Cause]) -> Iterator[str]:
    """Say what the reports remark, each remark once for all its apps."""
    yield from (f"{_apps(each.count)} ({each.apps}): {each.text}" for each in said[:MOST_CAUSES])
    if len(said) > MOST_CAUSES:
        yield f"and {len(said) - MOST_CAUSES} other remarks, which --json tells"


def _apps(count: int) -> str:
    return f"{count} app{'' if count == 1 else 's'}"


def _way_on(run: Run) -> str:
    if run.journal:
        return f"to go on: the same command again, with --journal {run.journal}; what is done is left out"
    return f"to go on: the same command with --launch {run.launch}, which finds what is there and makes what is missing"


def changed(some: Some) -> str:
    """Say that rows are not what they were."""
    return f"changed since the journal was written, and deployed again: {some}"


# As JSON


def app_as_json(at: float, ended: Ended) -> dict[str, Any]:
    """Give what became of an app as JSON, with its report."""
    return {
        "event": "app",
        "at": at,
        "app": ended.app,
        "ok": ended.ok,
        "complete": ended.complete,
        "why": ended.why,
        "seconds": ended.seconds,
        "report": ended.report.to_dict(),
    }


def summary_as_json(summary: Summary) -> dict[str, Any]:
    """Give the end of a run as JSON."""
    tally = summary.tally
    return {
        "event": "finished",
        "at": summary.seconds,
        "ok": summary.ok,
        "cancelled": summary.is_cut,
        "launch": summary.run.launch,
        "journal": summary.run.journal,
        "apps": tally.total,
        "kept": tally.kept,
        "done": tally.done,
        "failed": tally.failed,
        "left": tally.left,
        "under_way": tally.under_way,
        "partial": tally.partial.count,
        "abandoned": summary.abandoned.count,
        "failures": [{"count": each.count, "why": each.text, "apps": each.apps.named} for each in tally.causes],
        "remarks": [{"count": each.count, "text": each.text, "apps": each.apps.named} for each in tally.remarks],
    }


# A dry run


def outlined(run: Run, outlook: Outlook, at_once: int) -> Iterator[str]:
    """Say what would be done, a line each."""
    to_do = _apps(outlook.rows - outlook.kept)
    yield f"{run.source}: {to_do} to deploy, {at_once} at once, launch {run.launch}"
    if outlook.kept:
        yield f"  done already, as the journal says: {outlook.kept} of {outlook.rows}"
    if outlook.changed:
        yield f"  changed since the journal was written, and deployed again: {outlook.changed}"
    yield f"  machines wanted: {outlook.machines}{_counted(': ', outlook.regions)}"
    yield f"  by strategy: {_counted('', outlook.strategies) or 'none'}"
    if outlook.makes_apps_in:
        yield f"  apps that are not there are created in {outlook.makes_apps_in}, one a second"
    least = duration(outlook.seconds, math.floor)
    yield f"  takes at least {least} where all machines have to be made: no app is asked how long its boots take"
    yield "dry run: nothing was asked or changed"


def _counted(before: str, counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{name} {count}" for name, count in Counter(counts).most_common())
    return before + said if said else ""


def outlook_as_json(run: Run, outlook: Outlook, at_once: int) -> dict[str, Any]:
    """Give what would be done as JSON."""
    return {
        "event": "planned",
        "launch": run.launch,
        "apps": outlook.rows,
        "kept": outlook.kept,
        "changed": outlook.changed,
        "machines": outlook.machines,
        "regions": dict(outlook.regions),
        "strategies": dict(outlook.strategies),
        "at_once": at_once,
        "seconds": None,
        "seconds_least": round(outlook.seconds, 1),
    }
