"""Events as JSON: all that is known of a plan but the configs, which may hold secrets."""

import re
from collections.abc import Iterator
from typing import Any

from attrs import asdict, fields

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Plan, Stage, Step, Track, Update
from flyasync.deploy.reporting.events import Event, Finished, Planned, Progress


def as_json(event: Event) -> dict[str, Any]:
    """Give an event as JSON ready to dump, its kind in `event`."""
    match event:
        case Planned():
            return {"event": "planned", "at": event.at, "plan": _plan(event.plan)}
        case Progress():
            told = asdict(event, filter=lambda one, _: one.name != "remaining")
            return {"event": "progress", **told, **_estimated("left", event.remaining)}
        case Finished():
            return {"event": "finished", "at": event.at, "report": event.report.to_dict()}


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "app": plan.app,
        "launch": plan.launch,
        "image": plan.image,
        "fallback": plan.fallback,
        "strategy": plan.strategy,
        "group": plan.group,
        **_estimated("seconds", plan.estimate),
        "stages": [_stage(number, stage) for number, stage in enumerate(plan.stages, start=1)],
        "kept": [track.machine.name for track in plan.kept],
        "remarks": list(plan.remarks),
        "machines": list(_machines(plan)),
    }


def _estimated(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Give the expected seconds, null where they are not known, and between which bounds they are."""
    least, most = (estimate.least, estimate.most) if estimate else (None, None)
    return {name: estimate.likely if estimate else None, f"{name}_least": least, f"{name}_most": most}


def _stage(number: int, stage: Stage) -> dict[str, Any]:
    """Say what a stage is about, and how many of a region's serving machines it takes away at once."""
    return {
        "stage": number,
        "title": stage.title,
        "point_of_no_return": stage.point_of_no_return,
        "regions": [{"region": lane.region, "machines": len(lane.tracks), "width": lane.width} for lane in stage.lanes],
    }


def _machines(plan: Plan) -> Iterator[dict[str, Any]]:
    """Give every machine of every stage with its steps; one that is in several stages comes several times."""
    for number, stage in enumerate(plan.stages, start=1):
        place = {} if plan.strategy is None else {"stage": number}
        for track in (track for lane in stage.lanes for track in lane.tracks):
            yield {**place, **_track(track)}


def _track(track: Track) -> dict[str, Any]:
    steps = [_step(step) for step in track.steps]
    machine_id = {"machine_id": track.machine_id} if track.machine_id else {}
    return {"name": track.machine.name, "region": track.machine.region, **machine_id, "steps": steps}


def _step(step: Step) -> dict[str, Any]:
    """Give a step as JSON: its name, and what is set in it; of configs only what changes, without secrets."""
    told = {one.name: getattr(step, one.name) for one in fields(type(step)) if getattr(step, one.name) != one.default}
    changes = {"changes": list(map(str, step.changes))} if isinstance(step, Update) else {}
    known = {key: value for key, value in told.items() if key not in _UNTOLD}
    return {"step": _snake(type(step).__name__), **known, **changes}


_UNTOLD = {"config", "over", "changes", "if_full"}


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
