"""A deploy in GitHub Actions: what it shows becomes annotations, the job summary and the outputs of the step too."""

from attrs import define

from flyasync.cli.deploy.dry_run import plan_as_text
from flyasync.cli.deploy.lines import Display
from flyasync.cli.deploy.next_steps import Invocation, next_steps
from flyasync.cli.github.job import GitHubJob
from flyasync.cli.github.markdown import Markdown, heading, preformatted
from flyasync.cli.github.report_summary import annotations, job_summary
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.events import Event, Finished
from flyasync.models.image import digest_of


@define
class GitHubDisplay:
    """A display that also writes to the job."""

    shown: Display
    job: GitHubJob
    called: Invocation
    is_public_api: bool = True

    def show(self, event: Event) -> None:
        """Show the event; with `Finished` write annotations, the summary and the outputs."""
        self.shown.show(event)
        if not isinstance(event, Finished):
            return
        report = event.report
        is_public = self.is_public_api and not self.called.is_local
        self.job.annotate(annotations(report))
        self.job.summarize(job_summary(report, next_steps(report, self.called)))
        self.job.set_outputs(
            {
                "launch": report.launch,
                "digest": digest_of(report.image) or "",
                "status": str(report.status),
                "url": (report.url if is_public else None) or "",
            }
        )

    def show_plan(self, plan: Plan, spec: DeploySpec | None) -> None:
        """Show the plan, and write it to the summary."""
        self.shown.show_plan(plan, spec)
        text = preformatted(plan_as_text(plan, spec))
        self.job.summarize(Markdown(f"{heading(2, f'{plan.app}: plan')}\n{text}"))

    def show_api(self, url: str) -> None:
        """Show the URL of the API; the app is not on the public internet then."""
        self.is_public_api = False
        self.shown.show_api(url)

    def note(self, text: str) -> None:
        """Show a note."""
        self.shown.note(text)
