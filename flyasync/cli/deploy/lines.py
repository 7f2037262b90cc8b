"""The output of a deploy for a log or a program: plain lines, or JSON lines."""

import json
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from attrs import define, field

from flyasync.cli.deploy.dry_run import config_as_json, plan_as_text
from flyasync.cli.deploy.event_text import event_text, plan_headline, region_text, time_left
from flyasync.cli.deploy.next_steps import Invocation, next_steps
from flyasync.cli.deploy.plan_progress import PlanProgress
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.event_json import event_as_json
from flyasync.deploy.reporting.events import Event, Finished, Planned, Progress


class Notes(Protocol):
    """Shows notes."""

    def note(self, text: str) -> None:
        """Show a note that is not an event."""


class Display(Notes, Protocol):
    """Shows a deploy."""

    def show(self, event: Event) -> None:
        """Show one event; with `Finished` also the report."""

    def show_plan(self, plan: Plan, spec: DeploySpec | None) -> None:
        """Show a plan that is not executed now, and the config of each machine that it would create."""

    def show_api(self, url: str) -> None:
        """Show the URL of an API other than the public one."""


@define
class TextStreams:
    """Lines of text: results go to `out`, notes to `err`."""

    out: TextIO
    err: TextIO

    def show_api(self, url: str) -> None:
        """Write the URL to `err`."""
        self.note(f"api: {url}")

    def note(self, text: str) -> None:
        """Write the note to `err`."""
        write_line(self.err, f"flyasync: {text}")

    def _write_at(self, at: float, text: str) -> None:
        write_line(self.out, f"{at:7.1f} s  {text}")


@define
class JSONStreams:
    """One JSON object per line of `out`; notes go to `err`."""

    out: TextIO
    err: TextIO
    called: Invocation = field(factory=Invocation)
    api: str | None = None

    def show_api(self, url: str) -> None:
        """Put the URL into each object from now on."""
        self.api = url

    def note(self, text: str) -> None:
        """Write the note to `err`."""
        write_line(self.err, f"flyasync: {text}")

    def _write(self, data: Mapping[str, Any]) -> None:
        # Each line shows the API and whether it was a rehearsal, for a program that reads only some of them.
        local = {"local": True} if self.called.is_local else {}
        api = {"api": self.api} if self.api else {}
        write_line(self.out, json.dumps({**data, **api, **local}))


@define
class Lines(TextStreams):
    """One line for each event and for each new stage, then the report; notes go to `err`."""

    called: Invocation = field(factory=Invocation)
    progress: PlanProgress | None = None

    def show(self, event: Event) -> None:
        """Write the event as one line; `Finished` as the report."""
        match event:
            case Planned():
                again = "rolling back: " if self.progress else ""  # a second plan is the rollback
                plan = event.plan
                for line in (again + plan_headline(plan), *plan.sizes, *plan.remarks, *plan.resource_lines()):
                    self._write_at(event.at, line)
                self.progress = PlanProgress(plan)
            case Progress() if self.progress:
                # The heading of a stage comes before the first event of it.
                if self.progress.advance(event) and self.progress.heading:
                    stage = [f"stage {self.progress.heading}", time_left(event.remaining)]
                    self._write_at(event.at, ", ".join(filter(None, stage)))
                text = event_text(event, self.progress)
                self._write_at(event.at, f"{region_text(event, '->')}  {event.name}  {text}")
            case Finished():
                write_line(self.out, "\n".join([str(event.report), *next_steps(event.report, self.called)]))

    def show_plan(self, plan: Plan, spec: DeploySpec | None) -> None:
        """Write the plan and the config as text."""
        write_line(self.out, plan_as_text(plan, spec))


@define
class JSONLines(JSONStreams):
    """One JSON object for each event."""

    def show(self, event: Event) -> None:
        """Write the event as one JSON object."""
        self._write(event_as_json(event))

    def show_plan(self, plan: Plan, spec: DeploySpec | None) -> None:
        """Write the plan as the event `planned`, with the config."""
        self._write({**event_as_json(Planned(at=0.0, plan=plan)), "config": config_as_json(plan, spec)})


def write_line(stream: TextIO, text: str) -> None:
    """Write a line and flush it, so that the reader of a pipe sees each event at once."""
    stream.write(f"{text}\n")
    stream.flush()
