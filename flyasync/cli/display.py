"""What a person, a log or a program is shown of a deploy: plain lines, or JSON lines."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from io import TextIOBase
from typing import Any, Protocol, TextIO, cast

from attrs import asdict, define, fields, frozen

from flyasync.cli.outline import config_as_json, outlined
from flyasync.deploy.events import Event, Finished, Planned, Progress
from flyasync.deploy.plan import Plan, Step, Track
from flyasync.deploy.report import DeployReport
from flyasync.models.config import MachineConfig

LOCAL = "local rehearsal: it ran on the emulator in this process; nothing was deployed to Fly.io"


class Display(Protocol):
    """Somewhere to show a deploy."""

    def show(self, event: Event) -> None:
        """Show one event; with `Finished` also the report."""

    def outline(self, plan: Plan, config: MachineConfig) -> None:
        """Show a plan that is not going to be carried out now, and what each machine would be."""

    def goes_to(self, url: str) -> None:
        """Say that it goes to another API than the public one."""

    def note(self, text: str) -> None:
        """Say something that is not an event."""


@frozen
class Lines:
    """One line for each event, then the report; remarks go to `err`."""

    out: TextIO
    err: TextIO
    is_local: bool = False

    def show(self, event: Event) -> None:
        """Write the event as one line, and the report as it reads."""
        self._say(str(event.report) if isinstance(event, Finished) else _line(event))
        if isinstance(event, Finished):
            for remark in remarks(event.report, is_local=self.is_local):
                self._say(remark)

    def outline(self, plan: Plan, config: MachineConfig) -> None:
        """Write the plan and the config as they read."""
        self._say(outlined(plan, config))

    def goes_to(self, url: str) -> None:
        """Write the URL to `err`."""
        self.note(f"api: {url}")

    def note(self, text: str) -> None:
        """Write the remark to `err`."""
        _write(self.err, f"flyasync: {text}")

    def _say(self, text: str) -> None:
        _write(self.out, text)


@define
class JSONLines:
    """One JSON object on one line for each event, and nothing else on `out`; remarks go to `err`."""

    out: TextIO
    err: TextIO
    is_local: bool = False
    api: str | None = None

    def show(self, event: Event) -> None:
        """Write the event as one JSON object."""
        self._say(as_json(event))

    def outline(self, plan: Plan, config: MachineConfig) -> None:
        """Write the plan as the event `planned`, with the config."""
        self._say({**as_json(Planned(at=0.0, plan=plan)), "config": config_as_json(plan, config)})

    def goes_to(self, url: str) -> None:
        """Put the URL into each object from now on."""
        self.api = url

    def note(self, text: str) -> None:
        """Write the remark to `err`."""
        _write(self.err, f"flyasync: {text}")

    def _say(self, data: Mapping[str, Any]) -> None:
        local = {"local": True} if self.is_local else {}
        api = {"api": self.api} if self.api else {}
        _write(self.out, json.dumps({**data, **api, **local}))


class _Sturdy(TextIOBase):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):  # the latter once it is closed
            self._stream.flush()


def sturdy(stream: TextIO) -> TextIO:
    """Make a stream drop what it cannot take: a closed terminal or pipe must not break a deploy off."""
    return cast("TextIO", _Sturdy(stream))


def remarks(report: DeployReport, *, is_local: bool) -> tuple[str, ...]:
    """Say what to know after a report: that it was a rehearsal, or how to take away what a failed deploy left."""
    if is_local:
        return (LOCAL,)
    if report.ok or not report.left_behind:
        return ()
    return (f"to destroy what this launch made: flyasync destroy {report.app} --launch {report.launch}",)


def _write(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()  # whoever reads along sees each event when it happens


def _line(event: Planned | Progress) -> str:
    if isinstance(event, Planned):
        return f"{event.at:7.1f} s  {_intent(event.plan)}"
    return f"{event.at:7.1f} s  {where(event, '->')}  {event.name}  {what(event)}"


def _intent(plan: Plan) -> str:
    regions = ", ".join(lane.region for lane in plan.lanes)
    there = sum(len(lane.tracks) for lane in plan.lanes) - plan.creates
    adopted = f", adopt {there}" if there else ""
    return f"{plan.app}: launch {plan.launch}, create {plan.creates} of {plan.image}{adopted} in {regions}"


def where(event: Progress, arrow: str) -> str:
    """Name the region wanted, and the one it became if that is another."""
    return event.asked if event.region == event.asked else f"{event.asked}{arrow}{event.region}"


def what(event: Progress) -> str:
    """Say what an event is about: phase, id, and why."""
    said = " ".join([event.phase, *([event.machine_id] if event.machine_id else [])])
    return f"{said}: {' '.join(event.detail.split())}" if event.detail else said


def as_json(event: Event) -> dict[str, Any]:
    """Give an event as JSON ready to dump, its kind in `event`."""
    match event:
        case Planned():
            return {"event": "planned", "at": event.at, "plan": _plan(event.plan)}
        case Progress():
            return {"event": "progress", **asdict(event)}
        case Finished():
            return {"event": "finished", "at": event.at, "report": event.report.to_dict()}


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "app": plan.app,
        "launch": plan.launch,
        "image": plan.image,
        "fallback": plan.fallback,
        "machines": [_track(track) for lane in plan.lanes for track in lane.tracks],
    }


def _track(track: Track) -> dict[str, Any]:
    steps = [_step(step) for step in track.steps]
    return {"name": track.machine.name, "region": track.machine.region, "steps": steps}



def _step(step: Step) -> dict[str, Any]:
    """Give a step as JSON: its name, and what is set in it, but no config, which may hold secrets."""
    told = {one.name: getattr(step, one.name) for one in fields(type(step)) if getattr(step, one.name) != one.default}
    return {"step": _snake(type(step).__name__), **{key: told[key] for key in told if key not in _UNTOLD}}


_UNTOLD = {"config", "changes", "if_full"}


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
