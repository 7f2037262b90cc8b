"""Events as JSON: all that is known of a plan but the configs, which may hold secrets."""

import re
from typing import Any

from attrs import asdict, fields

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Plan, Step, Update
from flyasync.deploy.reporting.events import Event, Finished, Planned, Progress

# Configs and machines before the deploy may hold secrets. Of an update the differences are written, redacted.
_WITHHELD = frozenset({"config", "over", "changes", "if_full"})


def event_as_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON ready to dump, its kind in `event`."""
    match event:
        case Planned():
            return {"event": "planned", "at": event.at, "plan": _plan(event.plan)}
        case Progress():
            # What is left is written as three numbers, so that a program need not know the class.
            values = asdict(event, filter=lambda one, _: one.name != "remaining")
            return {"event": "progress", **values, **_estimated("left", event.remaining)}
        case Finished():
            return {"event": "finished", "at": event.at, "report": event.report.to_dict()}


def _plan(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON: its stages, and each machine of each stage with its steps.

    A stage tells how many of a region's serving machines it takes away at once, as `width`. A machine that is in
    several stages comes several times.
    """
    stages: list[dict[str, Any]] = []
    machines: list[dict[str, Any]] = []
    for number, stage in enumerate(plan.stages, start=1):
        lanes = [{"region": lane.region, "machines": len(lane.tracks), "width": lane.width} for lane in stage.lanes]
        stages.append(
            {
                "stage": number,
                "title": stage.title,
                "point_of_no_return": stage.point_of_no_return,
                "regions": lanes,
            }
        )
        machines += (
            {
                **({} if plan.strategy is None else {"stage": number}),  # a launch has one stage, without a title
                "name": track.machine.name,
                "region": track.machine.region,
                **({"machine_id": track.machine_id} if track.machine_id else {}),
                "steps": [_step(step) for step in track.steps],
            }
            for lane in stage.lanes
            for track in lane.tracks
        )
    return {
        "app": plan.app,
        "launch": plan.launch,
        "image": plan.image,
        "fallback": plan.fallback,
        "strategy": plan.strategy,
        "group": plan.group,
        **_estimated("seconds", plan.estimate),
        "stages": stages,
        "kept": [track.machine.name for track in plan.kept],
        "remarks": list(plan.remarks),
        "machines": machines,
    }


def _step(step: Step) -> dict[str, Any]:
    """Return a step as JSON: its name, and what is set in it; of configs only what changes, without secrets."""
    # `AwaitStarted` is `await_started` in JSON, and a field that is not set is left out.
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(step).__name__).lower()
    values = {each.name: getattr(step, each.name) for each in fields(type(step)) if each.name not in _WITHHELD}
    defaults = {each.name: each.default for each in fields(type(step))}
    changes = {"changes": list(map(str, step.changes))} if isinstance(step, Update) else {}
    return {"step": name, **{key: value for key, value in values.items() if value != defaults[key]}, **changes}


def _estimated(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Return the expected seconds, None where they are not known, and between which bounds they are."""
    least, most = (estimate.least, estimate.most) if estimate else (None, None)
    return {name: estimate.likely if estimate else None, f"{name}_least": least, f"{name}_most": most}
