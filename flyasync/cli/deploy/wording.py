"""What is said of a deploy, in words that lines and rows share; pure."""

import shlex
from collections.abc import Iterator

from attrs import frozen

from flyasync.cli.deploy.stage_progress import Stages
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.reporting.events import Progress
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.result import Result

LOCAL = "local rehearsal: it ran on the emulator in this process; nothing was deployed to Fly.io"


@frozen(kw_only=True)
class Setting:
    """What else is known of a deploy: that it is a rehearsal, where its journal is, and which group it changes."""

    is_local: bool = False
    journal: str | None = None
    group: str | None = None


def intent(plan: Plan) -> str:
    """Say in one line what is going to be done, and how long that takes."""
    if plan.strategy is not None:
        takes = f"; takes {plan.estimate}" if plan.estimate else ""
        return f"{str(plan).partition(chr(10))[0]}{takes}"
    regions = ", ".join(lane.region for lane in plan.lanes)
    there = sum(len(lane.tracks) for lane in plan.lanes) - plan.creates
    adopted = f", adopt {there}" if there else ""
    return f"{plan.app}: launch {plan.launch}, create {plan.creates} of {plan.image}{adopted} in {regions}"


def left(remaining: Estimate | None) -> str:
    """Say how long it still takes; nothing where nothing is known, or where that is over."""
    if remaining is None or not (remaining.likely or remaining.least >= 1):
        return ""
    return f"{remaining} left"


def where(event: Progress, arrow: str) -> str:
    """Name the region wanted, and the one it became if that is another."""
    return event.asked if event.region == event.asked else f"{event.asked}{arrow}{event.region}"


def what(event: Progress, stages: Stages) -> str:
    """Say what an event is about: phase, id, and why."""
    said = " ".join(
        [word(event.phase, retires=stages.retires(event.name)), *([event.machine_id] if event.machine_id else [])]
    )
    return f"{said}: {' '.join(event.detail.split())}" if event.detail else said


def word(phase: Phase, *, retires: bool) -> str:
    """Name a phase; what goes because it is not wanted any more is retired."""
    if phase is Phase.DESTROYED and retires:
        return "retired"
    return "resting" if phase is Phase.SETTLED else phase.value


def remarks(report: DeployReport, setting: Setting) -> tuple[str, ...]:
    """Say what to know after a report: that it was a rehearsal, or how to go on or back after one that is not ok."""
    if setting.is_local:
        return (LOCAL,)
    if report.ok:
        return ()
    return tuple(_ways_on(report, setting) if report.strategy else _ways_out(report, setting))


def _ways_out(report: DeployReport, setting: Setting) -> Iterator[str]:
    if setting.journal:
        yield f"to go on: {_resume(setting.journal)}"
    if report.left_behind:
        yield f"to destroy what this launch made: flyasync destroy {report.app} --launch {report.launch}"


def _ways_on(report: DeployReport, setting: Setting) -> Iterator[str]:
    if report.strategy == "undo":
        yield f"to go on: {_undo(report, setting)}"
        return
    if any(machine.result is Result.SKIPPED for machine in report.machines):
        yield "where there was no room: the same command with --fallback nearest"
    if report.rollback and report.rollback.ok:
        yield "once what failed is mended: the same command again"
        return
    or_resumed = f", or {_resume(setting.journal)}" if setting.journal else ""
    yield f"to go on: the same command again{or_resumed}"
    yield f"to go back to what was there before: {_undo(report, setting)}"


def _resume(journal: str) -> str:
    return f"flyasync deploy --resume {shlex.quote(journal)}"


def _undo(report: DeployReport, setting: Setting) -> str:
    """Name the launch: without, an undo that is asked for twice goes back by two."""
    if setting.journal:
        return f"{_resume(setting.journal)} --undo"
    group = f" --group {setting.group}" if setting.group else ""
    return f"flyasync deploy {report.app} --undo{group} --launch {report.launch}"
