"""A run over many apps in GitHub Actions: annotations, the job summary and the outputs of the step."""

from collections.abc import Iterator

from attrs import Factory, define

from flyasync.cli.bulk.dry_run import BulkPlan, plan_as_text
from flyasync.cli.bulk.lines import BulkDisplay
from flyasync.cli.bulk.results import AppResult, BulkProgress
from flyasync.cli.bulk.summary import HEADS, BulkInvocation, BulkSummary, cause_rows, headline, remarks, status_word
from flyasync.cli.github.job import GitHubJob
from flyasync.cli.github.markdown import Markdown, details, escaped, heading, items, preformatted, table
from flyasync.cli.github.report_summary import job_summary
from flyasync.cli.github.workflow_commands import Annotation, Level

MOST_FAILED = 50
"""How many apps that are not ok are shown with their reports; GitHub shows no summary of more than 1 MiB."""

MOST_OTHERS = 500
"""How many of the other apps are listed; a file may have 100,000."""

_HEADS = ("App", "Status", "Machines", "Took", "Why")


@define
class GitHubBulkDisplay:
    """A display that also writes to the job."""

    shown: BulkDisplay
    job: GitHubJob
    failed: list[AppResult] = Factory(list)
    others: list[tuple[str, ...]] = Factory(list)

    def begin(self, called: BulkInvocation, progress: BulkProgress) -> None:
        """Show the start."""
        self.shown.begin(called, progress)

    def show(self, result: AppResult) -> None:
        """Show the result of an app, and keep what the summary needs of it."""
        self.shown.show(result)
        if not result.ok and len(self.failed) < MOST_FAILED:
            self.failed.append(result)
        elif result.ok and len(self.others) < MOST_OTHERS:
            self.others.append(_row(result))

    def finish(self, summary: BulkSummary) -> None:
        """Show the summary, and write annotations, the job's summary and the outputs."""
        self.shown.finish(summary)
        self.job.annotate(self._annotations(summary))
        self.job.summarize(self._summary(summary))
        self.job.set_outputs({"launch": summary.called.launch, "status": status_word(summary)})

    def _annotations(self, summary: BulkSummary) -> Iterator[Annotation]:
        if not summary.ok:
            yield Annotation(Level.ERROR, "flyasync bulk", headline(summary))
        for each in self.failed:
            yield Annotation(Level.ERROR, f"{each.app}: {each.report.status}", each.why or "")
        for remark in remarks(summary):
            yield Annotation(Level.NOTICE, "flyasync bulk", remark)

    def _summary(self, summary: BulkSummary) -> Markdown:
        sign = "✓" if summary.ok else "✕"
        parts = [
            heading(2, f"{sign} {summary.called.source}: {status_word(summary)}"),
            f"{escaped(headline(summary))}\n",
        ]
        if causes := cause_rows(summary.progress.causes):
            parts += [heading(3, "Failures"), table([each.capitalize() for each in HEADS], causes)]
        if notes := list(remarks(summary)):
            parts += [heading(3, "Notes"), items(notes)]
        if rows := [*map(_row, self.failed), *self.others]:
            ended = summary.progress.done + summary.progress.failed
            parts += [heading(3, "Apps"), table(_HEADS, rows)]
            parts += [f"The table has {len(rows)} of {ended} apps.\n"] if ended > len(rows) else []
        parts += (details(each.app, job_summary(each.report, (), level=4)) for each in self.failed)
        return Markdown("\n".join(parts))

    def show_plan(self, called: BulkInvocation, plan: BulkPlan) -> None:
        """Show the plan, and write it to the summary."""
        self.shown.show_plan(called, plan)
        text = preformatted("\n".join(plan_as_text(called, plan)))
        self.job.summarize(Markdown(f"{heading(2, f'{called.source}: plan')}\n{text}"))

    def show_api(self, url: str) -> None:
        """Show the URL of the API."""
        self.shown.show_api(url)

    def note(self, text: str) -> None:
        """Show a note."""
        self.shown.note(text)

    def refresh(self) -> None:
        """Show the current progress."""
        self.shown.refresh()

    def close(self) -> None:
        """Restore the terminal."""
        self.shown.close()


def _row(result: AppResult) -> tuple[str, ...]:
    report = result.report
    machines = f"{len(report.running)}/{len(report.machines)}"
    return result.app, str(report.status), machines, f"{result.seconds:.1f} s", result.why or ""
