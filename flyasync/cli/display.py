"""What a person, a log or a program is shown of a deploy: plain lines, or JSON lines."""

import json
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from attrs import asdict, frozen

from flyasync.deploy.events import Event, Finished, Planned, Progress
from flyasync.deploy.plan import Adopt, AwaitHealthy, AwaitStarted, Create, Plan, Start, Step, Track

LOCAL = "local rehearsal: it ran on the emulator in this process; nothing was deployed to Fly.io"


class Display(Protocol):
    """Somewhere to show a deploy."""

    def show(self, event: Event) -> None:
        """Show one event; with `Finished` also the report."""

    def outline(self, plan: Plan) -> None:
        """Show a plan that is not going to be carried out now."""

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
        if isinstance(event, Finished) and self.is_local:
            self._say(LOCAL)

    def outline(self, plan: Plan) -> None:
        """Write the plan as it reads."""
        self._say(f"{plan}\ndry run: nothing was changed")

    def note(self, text: str) -> None:
        """Write the remark to `err`."""
        _write(self.err, f"flyasync: {text}")

    def _say(self, text: str) -> None:
        _write(self.out, text)


@frozen
class JSONLines:
    """One JSON object on one line for each event, and nothing else on `out`; remarks go to `err`."""

    out: TextIO
    err: TextIO
    is_local: bool = False

    def show(self, event: Event) -> None:
        """Write the event as one JSON object."""
        local = {"local": True} if self.is_local else {}
        _write(self.out, json.dumps({**as_json(event), **local}))

    def outline(self, plan: Plan) -> None:
        """Write the plan as the event `planned`."""
        self.show(Planned(at=0.0, plan=plan))

    def note(self, text: str) -> None:
        """Write the remark to `err`."""
        _write(self.err, f"flyasync: {text}")


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
    steps = [{"step": _STEPS[type(step)], **asdict(step)} for step in track.steps]
    return {"name": track.machine.name, "region": track.machine.region, "steps": steps}


_STEPS: Mapping[type[Step], str] = {
    Create: "create",
    Adopt: "adopt",
    Start: "start",
    AwaitStarted: "await_started",
    AwaitHealthy: "await_healthy",
}
