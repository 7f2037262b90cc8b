"""Events as JSON; a plan is written without configs, which may contain secrets."""

import re
from typing import Any

from attrs import asdict, fields

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Plan, Step, Update
from flyasync.deploy.reporting.events import Event, Finished, Planned, Progress

# Configs and earlier machines may contain secrets. For an update the differences are written, redacted.
_OMITTED = frozenset({"config", "over", "changes", "if_full"})


def event_as_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON ready to dump, its kind in `event`."""
    match event:
        case Planned():
            return {"event": "planned", "at": event.at, "plan": _plan(event.plan)}
        case Progress():
            # The estimate is written as three numbers, so that a program need not know the class. `detail` is in the
            # terms of the command already.
            values = asdict(event, filter=lambda one, _: one.name not in {"remaining", "for_command"})
            return {"event": "progress", **values, **_estimated("left", event.remaining)}
        case Finished():
            return {"event": "finished", "at": event.at, "report": event.report.to_dict()}


def _plan(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON: its stages, and each machine of each stage with its steps.

    The `width` of a stage's region is the number of serving machines that may be unavailable at once. A machine of
    several stages is listed once for each of them.
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
        "groups": list(plan.groups),
        "source": plan.source,
        "addresses": list(plan.addresses),
        **_estimated("seconds", plan.estimate),
        "resources": asdict(plan.resources) if plan.resources else None,
        "stages": stages,
        "kept": [track.machine.name for track in plan.kept],
        "sizes": list(plan.sizes),
        "remarks": list(plan.remarks),
        "machines": machines,
    }


def _step(step: Step) -> dict[str, Any]:
    """Return a step as JSON: its name and the fields that are set; of configs only the redacted changes."""
    # `AwaitStarted` is `await_started` in JSON; a field that is not set is left out.
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(step).__name__).lower()
    values = asdict(step, filter=lambda one, value: one.name not in _OMITTED and value is not None)
    defaults = {each.name: each.default for each in fields(type(step))}
    changes = {"changes": list(map(str, step.changes))} if isinstance(step, Update) else {}
    return {"step": name, **{key: value for key, value in values.items() if value != defaults[key]}, **changes}


def _estimated(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Return the expected seconds and their bounds; None where they are unknown."""
    least, most = (estimate.least, estimate.most) if estimate else (None, None)
    return {name: estimate.likely if estimate else None, f"{name}_least": least, f"{name}_most": most}
