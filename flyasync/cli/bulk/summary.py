"""A run over many apps as text and as JSON: its start, progress, results and summary; pure."""

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from flyasync.cli.bulk.results import AppNames, AppResult, BulkProgress, CommonReason
from flyasync.cli.deploy.next_steps import LOCAL
from flyasync.deploy.plan.duration import duration

MOST_REASONS = 20
"""How many causes of failures and how many remarks are shown; JSON lines contain all."""

HEADS = ("apps", "why", "which")


@frozen(kw_only=True)
class BulkInvocation:
    """How a run was called: the file it reads, its launch, its journal, and whether it is a rehearsal."""

    source: str
    launch: str
    journal: str | None = None
    is_local: bool = False


@frozen(kw_only=True)
class BulkSummary:
    """The end of a run: its counts, the causes of failures, and the apps with a new config.

    `renamed` are the apps with a new config and its launch; `abandoned` are the earlier launches whose machines remain.
    """

    called: BulkInvocation
    progress: BulkProgress
    seconds: float
    is_cut: bool
    renamed: AppNames
    abandoned: AppNames

    @property
    def ok(self) -> bool:
        """Whether every app of the file is as its row states."""
        return not self.progress.failed and not self.progress.left


def opening(called: BulkInvocation, progress: BulkProgress) -> str:
    """Return the first line of the run."""
    kept = f"; already done: {progress.kept} of {progress.total}" if progress.kept else ""
    to_do = apps_text(progress.total - progress.kept)
    return f"{called.source}: {to_do} to deploy, {progress.at_once} at once, launch {called.launch}{kept}"


def changed_text(changed: AppNames) -> str:
    """Return the note on rows that have changed."""
    return f"changed since the journal was written, to be deployed again: {changed}"


def progress_text(progress: BulkProgress, seconds: float) -> str:
    """Return the counts, the rate and the time left."""
    rate = progress.per_second(seconds)
    return ", ".join(
        [
            f"{progress.done} of {progress.total - progress.kept} apps done",
            f"{progress.failed} failed",
            f"{progress.left} left",
            f"{progress.under_way} in progress",
            *([f"{rate:.3g} apps/s"] if rate else []),
            time_left(progress, seconds),
        ]
    )


def time_left(progress: BulkProgress, seconds: float) -> str:
    """Return the time left, or that it is not known yet."""
    if rest := progress.seconds_left(seconds):
        return f"about {duration(rest)} left"
    return "time left unknown" if progress.left else "none left"


def status_word(summary: BulkSummary) -> str:
    """Return the status of the run: ok, interrupted, not verified or failed."""
    failed = "not verified" if summary.progress.lacks_only_proof else "failed"
    # An interrupted run may have failures too; that it did not finish matters more.
    return "ok" if summary.ok else "interrupted" if summary.is_cut else failed


def headline(summary: BulkSummary) -> str:
    """Return the summary in one line."""
    progress = summary.progress
    before = f" ({progress.kept} before)" if progress.kept else ""
    counts = [
        f"{progress.done + progress.kept} of {progress.total} apps done{before}",
        f"{progress.failed} failed",
        f"{progress.left} left",
        f"{summary.seconds:.1f} s",
    ]
    return f"{summary.called.source}: {status_word(summary)}: {', '.join(counts)} (launch {summary.called.launch})"


def cause_rows(causes: list[CommonReason]) -> list[tuple[str, str, str]]:
    """Return the causes of failures as rows of a table."""
    rows = [(str(each.count), each.text, str(each.apps)) for each in causes[:MOST_REASONS]]
    if rest := causes[MOST_REASONS:]:
        rows.append((str(sum(each.count for each in rest)), f"{len(rest)} other causes", ""))
    return rows


def remarks(summary: BulkSummary) -> Iterator[str]:
    """Yield remarks, and the next steps."""
    progress, called = summary.progress, summary.called
    # 1. The apps that are not ok, or not complete.
    if summary.is_cut:
        yield f"in progress when the run was interrupted: {apps_text(progress.under_way)}; their machines keep running"
    elif progress.left:
        yield f"not started, because --max-failures was reached: {apps_text(progress.left)}"
    if progress.absent.count:
        yield f"not found: {progress.absent}; check the names, or add --create-app to create missing apps"
    if progress.partial.count:
        yield f"ok with --require, but some machines do not run: {progress.partial}"
    # 2. The remarks of reports, each one once for all apps that have it.
    yield from (f"{apps_text(each.count)} ({each.apps}): {each.text}" for each in progress.remarks[:MOST_REASONS])
    if len(progress.remarks) > MOST_REASONS:
        yield f"and {len(progress.remarks) - MOST_REASONS} other remarks; --json shows all"
    # 3. New launches, and the machines of the launches before.
    if summary.renamed.count:
        yield f"new config, so deployed under a new launch: {summary.renamed}"
    if summary.abandoned.count:
        yield f"machines of an earlier launch still exist; to destroy them: flyasync destroy {summary.abandoned}"
    # 4. The next steps.
    if called.is_local:
        yield LOCAL
    elif not summary.ok and called.journal:
        yield f"to continue: the same command again, with --journal {called.journal}; apps that are done are skipped"
    elif not summary.ok:
        yield (
            f"to continue: the same command with --launch {called.launch}, which creates only the machines that are "
            "missing"
        )


def apps_text(count: int) -> str:
    """Return a number of apps: `1 app`, `2 apps`."""
    return f"{count} app{'' if count == 1 else 's'}"


def app_as_json(at: float, result: AppResult) -> dict[str, Any]:
    """Return the result of an app as JSON, with its report."""
    return {
        "event": "app",
        "at": at,
        "app": result.app,
        "ok": result.ok,
        "complete": result.complete,
        "why": result.why,
        "seconds": result.seconds,
        "report": result.report.to_dict(),
    }


def summary_as_json(summary: BulkSummary) -> dict[str, Any]:
    """Return the end of a run as JSON."""
    progress = summary.progress
    return {
        "event": "finished",
        "at": summary.seconds,
        "ok": summary.ok,
        "cancelled": summary.is_cut,
        "launch": summary.called.launch,
        "journal": summary.called.journal,
        "apps": progress.total,
        "kept": progress.kept,
        "done": progress.done,
        "failed": progress.failed,
        "left": progress.left,
        "under_way": progress.under_way,
        "partial": progress.partial.count,
        "abandoned": summary.abandoned.count,
        "failures": [{"count": each.count, "why": each.text, "apps": each.apps.named} for each in progress.causes],
        "remarks": [{"count": each.count, "text": each.text, "apps": each.apps.named} for each in progress.remarks],
    }
