"""A deploy in GitHub Actions: what it shows becomes annotations, the job summary and the outputs of the step too."""

from attrs import define

from flyasync.cli.deploy.dry_run import plan_as_text
from flyasync.cli.deploy.lines import Display
from flyasync.cli.deploy.next_steps import Invocation, next_steps
from flyasync.cli.github.job import GitHubJob
from flyasync.cli.github.markdown import Markdown, heading, preformatted
from flyasync.cli.github.report_summary import annotations, job_summary
from flyasync.deploy.plan.addresses import no_address, url
from flyasync.deploy.plan.plan import Create, Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.events import Event, Finished, Planned
from flyasync.models.image import digest_of


@define
class GitHubDisplay:
    """A display that also writes to the job."""

    shown: Display
    job: GitHubJob
    called: Invocation
    is_public_api: bool = True
    url: str | None = None

    def show(self, event: Event) -> None:
        """Show the event; with `Finished` write annotations, the summary and the outputs."""
        self.shown.show(event)
        match event:
            case Planned() if self.url is None:  # a second plan is the rollback
                self.url = self._url(event.plan)
            case Finished(report=report):
                self.job.annotate(annotations(report))
                self.job.summarize(job_summary(report, next_steps(report, self.called)))
                self.job.set_outputs(
                    {
                        "launch": report.launch,
                        "digest": digest_of(report.image) or "",
                        "status": str(report.status),
                        "url": self.url or "",
                    }
                )

    def _url(self, plan: Plan) -> str:
        """Return the URL of the app, empty if its machines are not known to be reachable there."""
        tracks = (*plan.tracks, *plan.kept)
        created = (step.config for track in tracks for step in track.steps if isinstance(step, Create))
        configs = [config for config in (*(track.config for track in tracks), *created) if config is not None]
        lacks_address = no_address(plan.app, configs) in plan.remarks
        is_reachable = self.is_public_api and not self.called.is_local and not lacks_address
        return (url(plan.app, configs) if is_reachable else None) or ""

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
