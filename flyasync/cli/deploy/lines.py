"""What a person, a log or a program is shown of a deploy: plain lines, or JSON lines."""

import json
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from attrs import define, field

from flyasync.cli.deploy.dry_run import config_as_json, outlined
from flyasync.cli.deploy.event_json import as_json
from flyasync.cli.deploy.stage_progress import Stages
from flyasync.cli.deploy.wording import Setting, intent, left, remarks, what, where
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.events import Event, Finished, Planned, Progress


class Display(Protocol):
    """Somewhere to show a deploy."""

    def show(self, event: Event) -> None:
        """Show one event; with `Finished` also the report."""

    def outline(self, plan: Plan, wanted: DeploySpec | None) -> None:
        """Show a plan that is not going to be carried out now, and what each machine made for it would be."""

    def goes_to(self, url: str) -> None:
        """Say that it goes to another API than the public one."""

    def note(self, text: str) -> None:
        """Say something that is not an event."""


@define
class TextStreams:
    """Lines of text: what there is to know goes to `out`, remarks to `err`."""

    out: TextIO
    err: TextIO

    def goes_to(self, url: str) -> None:
        """Write the URL to `err`."""
        self.note(f"api: {url}")

    def note(self, text: str) -> None:
        """Write the remark to `err`."""
        _write(self.err, f"flyasync: {text}")

    def _at(self, at: float, text: str) -> None:
        self._say(f"{at:7.1f} s  {text}")

    def _say(self, text: str) -> None:
        _write(self.out, text)


@define
class JSONStreams:
    """One JSON object on one line of `out` for each thing to know, and nothing else there; remarks go to `err`."""

    out: TextIO
    err: TextIO
    setting: Setting = field(factory=Setting)
    api: str | None = None

    def goes_to(self, url: str) -> None:
        """Put the URL into each object from now on."""
        self.api = url

    def note(self, text: str) -> None:
        """Write the remark to `err`."""
        _write(self.err, f"flyasync: {text}")

    def _say(self, data: Mapping[str, Any]) -> None:
        local = {"local": True} if self.setting.is_local else {}
        api = {"api": self.api} if self.api else {}
        _write(self.out, json.dumps({**data, **api, **local}))


@define
class Lines(TextStreams):
    """One line for each event and for each stage that begins, then the report; remarks go to `err`."""

    setting: Setting = field(factory=Setting)
    stages: Stages | None = None

    def show(self, event: Event) -> None:
        """Write the event as one line, and the report as it reads."""
        match event:
            case Planned():
                again = "rolling back: " if self.stages else ""
                for line in (again + intent(event.plan), *event.plan.remarks):
                    self._at(event.at, line)
                self.stages = Stages(event.plan)
            case Progress() if self.stages:
                self._progress(event, self.stages)
            case Finished():
                self._say("\n".join([str(event.report), *remarks(event.report, self.setting)]))

    def _progress(self, event: Progress, stages: Stages) -> None:
        if stages.take(event) and stages.heading:
            self._at(event.at, ", ".join(filter(None, [f"stage {stages.heading}", left(event.remaining)])))
        self._at(event.at, f"{where(event, '->')}  {event.name}  {what(event, stages)}")

    def outline(self, plan: Plan, wanted: DeploySpec | None) -> None:
        """Write the plan and the config as they read."""
        self._say(outlined(plan, wanted))


@define
class JSONLines(JSONStreams):
    """One JSON object for each event."""

    def show(self, event: Event) -> None:
        """Write the event as one JSON object."""
        self._say(as_json(event))

    def outline(self, plan: Plan, wanted: DeploySpec | None) -> None:
        """Write the plan as the event `planned`, with the config."""
        self._say({**as_json(Planned(at=0.0, plan=plan)), "config": config_as_json(plan, wanted)})


def _write(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()  # whoever reads along sees each event when it happens
