"""The events that the live page and the recording in a report's page are drawn from, as JSON."""

from collections.abc import Iterable, Iterator
from itertools import takewhile

from flyasync.deploy.plan.plan import Plan, Track, Watch
from flyasync.deploy.reporting.event_json import event_as_json
from flyasync.deploy.reporting.events import Event, Finished, Planned, Progress
from flyasync.deploy.reporting.phase import STEP_PHASES, Phase
from flyasync.deploy.reporting.report import DeployReport, MachineReport
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.styles import Look
from flyasync.deploy.reporting.timeline_replay import Json

MOST_REASONS = 5
"""How many different reasons of one of many deploys are shown."""


def page_event(event: Event) -> Json:
    """Return an event in the format of `--json`, without what the page does not show.

    A plan also has, by the names of the machines, `last`, the phase at the end of their steps, and `watch`, the seconds
    for which they are watched after it.
    """
    match event:
        case Planned(plan=plan):
            return {**event_as_json(event), **_ends(plan)}
        case Progress():
            return {key: value for key, value in event_as_json(event).items() if value is not None}
        case Finished():
            return _finished(event.report, event.at)


def event_in_app(app: str, event: Planned | Progress) -> Json:
    """Return an event of one of many deploys, with its `app`; a plan is `expected`, without its steps and causes."""
    match event:
        case Planned(plan=plan):
            machines = [
                {"name": track.machine.name, "region": track.machine.region, "machine_id": track.machine_id}
                for track in plan.tracks
            ]
            return {"event": "expected", "app": app, "machines": machines, **_ends(plan)}
        case Progress():
            return {**page_event(event), "app": app}


def ended_event(report: DeployReport, *, ok: bool, why: str | None) -> Json:
    """Return the end of one of many deploys: its status, why it is not ok, and the result of each machine.

    A machine is `done`, or `lost` if it is not as desired; the others are neither, such as those not awaited.
    """
    machines = [
        {
            **row,
            "asked": each.asked,
            "region": each.region or each.asked,
            "done": each.result.look is Look.GOOD or each.result is Result.RETIRED,
            "lost": each.result.look is Look.BAD
            or each.result in _LOST
            or (not ok and each.result is Result.NOT_BEGUN),
        }
        for each, row in zip(report.everything, _results(report.everything), strict=True)
    ]
    lost = [row for row in machines if row["lost"]]
    reasons = dict.fromkeys(reason for row in lost for reason in row.get("reasons", ()))
    requests = (row["request_id"] for row in lost if "request_id" in row)
    return {
        "event": "ended",
        "app": report.app,
        "ok": ok,
        "status": str(report.status),
        "seconds": report.seconds,
        "reasons": [*reasons][:MOST_REASONS] or ([why] if why else []),
        "where": ", ".join(dict.fromkeys(row["region"] for row in lost)),
        "request_id": next(requests, report.unseen.request_id if report.unseen else None),
        "ids": [row["machine_id"] for row in lost if "machine_id" in row],
        "machines": machines,
    }


_LOST = frozenset({Result.SKIPPED, Result.UNKNOWN})


def without_machines(ended: Json) -> Json:
    """Return the same end of a deploy with `regions` instead of its machines: how many, how many done, and lost."""
    regions: dict[str, list[int]] = {}
    for row in ended["machines"]:
        counts = regions.setdefault(row["region"], [0, 0, 0])
        for index, each in enumerate((True, row["done"], row["lost"])):
            counts[index] += each
    return {**ended, "machines": [], "regions": regions}


def _ends(plan: Plan) -> Json:
    last = {track.machine.name: str(last_phase(track)) for track in plan.tracks}
    watch = {track.machine.name: seconds for track in plan.tracks if (seconds := watched_seconds(track))}
    return {"last": last, "watch": watch}


def last_phase(track: Track) -> Phase:
    """Return the phase that a machine is in at the end of its steps."""
    # No event reports the end of a watch: what precedes it is the last phase that the machine is known to reach.
    steps = (step for step in track.steps if not isinstance(step, Watch))
    return (Phase.STARTED, *(phase for step in steps for phase in STEP_PHASES.get(type(step), ())))[-1]


def watched_seconds(track: Track) -> float:
    """Return for how many seconds a machine is watched at the end of its steps."""
    watches = takewhile(lambda step: isinstance(step, Watch), reversed(track.steps))
    return sum(step.seconds for step in watches if isinstance(step, Watch))


def recorded_events(report: DeployReport) -> tuple[Json, ...]:
    """Return the events of a deploy as far as its report contains them: without the plan's steps and causes."""
    rollback = report.rollback
    begun = min((moment.at for each in rollback.everything for moment in each.moments), default=0) if rollback else 0
    events = [_planned(report, 0.0), *_progress(report)]
    if rollback:  # its moments are on the same clock
        events += [_planned(rollback, begun), *_progress(rollback)]
    # A sort keeps the order of what happened at the same time.
    return (*sorted(events, key=lambda event: event["at"]), _finished(report, report.seconds))


def _planned(report: DeployReport, at: float) -> Json:
    machines = [{"name": each.name, "region": each.asked, "steps": []} for each in report.everything]
    plan = {
        "app": report.app,
        "launch": report.launch,
        "image": report.image,
        "strategy": report.strategy,
        "stages": [],
        "remarks": [],
        "machines": machines,
    }
    came = [each for each in report.everything if each.moments and each.result.look in {Look.GOOD, Look.GONE}]
    last = {each.name: str(each.moments[-1].phase) for each in came if each.moments[-1].phase != Phase.WATCHING}
    watch = {
        each.name: round(each.ready_after - each.moments[-1].at, 3)
        for each in came
        if each.name not in last and each.ready_after is not None
    }
    return {"event": "planned", "at": at, "plan": plan, "last": last, "watch": watch}


def _progress(report: DeployReport) -> Iterator[Json]:
    for each in report.everything:
        for moment in each.moments:
            event: Json = {
                "event": "progress",
                "at": moment.at,
                "name": each.name,
                "asked": each.asked,
                "region": moment.region,
                "phase": str(moment.phase),
            }
            yield {**event, **({"detail": moment.detail} if moment.detail else {})}


def _finished(report: DeployReport, at: float) -> Json:
    return {
        "event": "finished",
        "at": at,
        "status": str(report.status),
        "summary": str(report).partition("\n")[0],
        "machines": list(_results(report.everything)),
        "rollback": list(_results(report.rollback.everything)) if report.rollback else [],
    }


def _results(machines: Iterable[MachineReport]) -> Iterator[Json]:
    for each in machines:
        failure = each.failure
        reasons = [*([failure.message] if failure else []), *map(str, each.refusals)]
        reasons += [f"its process: {each.exit}"] if each.exit else []
        last = each.refusals[-1] if each.refusals else None
        found = failure.request_id if failure else last and last.request_id
        row: Json = {"name": each.name, "result": str(each.result), "machine_id": each.id, "request_id": found}
        yield {key: value for key, value in {**row, "reasons": reasons}.items() if value}
