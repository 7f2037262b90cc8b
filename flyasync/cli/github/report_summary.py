"""A report as annotations and as a job summary; pure."""

from collections.abc import Iterable, Iterator

from flyasync.cli.github.gantt import gantt
from flyasync.cli.github.markdown import (
    Markdown,
    bold,
    details,
    escaped,
    heading,
    items,
    preformatted,
    several_lines,
    table,
)
from flyasync.cli.github.workflow_commands import Annotation, Level
from flyasync.deploy.reporting.report import DeployReport, MachineReport
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.status import Status
from flyasync.deploy.reporting.styles import Tone

_FINE = frozenset({Result.RUNNING, Result.RESTING, Result.RETIRED, Result.ENDED})
_CONSEQUENCES = frozenset({Result.NOT_BEGUN, Result.RESTORED, Result.DESTROYED})
_HEADS = ("Region", "Machine", "Result", "Id", "Ready after")


def headline(report: DeployReport) -> str:
    """Return the first line of a report, without the app and the status."""
    return str(report).partition("\n")[0].removeprefix(f"{report.app}: {report.status}: ")


def annotations(report: DeployReport) -> Iterator[Annotation]:
    """Yield what GitHub shows on the page of the run: failures, then warnings and remarks."""
    is_failed = report.is_failure
    if report.status is Status.PAUSED:
        yield Annotation(Level.NOTICE, f"{report.app}: {report.status}", headline(report))
    if is_failed:
        cause = f"\nstopped after the failure of {report.closed_by}" if report.closed_by else ""
        yield Annotation(Level.ERROR, f"{report.app}: {report.status}", f"{headline(report)}{cause}")
    for machine in _not_as_desired(report):
        has_failed = machine.result.tone is Tone.BAD or (machine.result in _CONSEQUENCES and machine.failure)
        level = Level.ERROR if is_failed and has_failed else Level.WARNING
        title = f"{report.app}: {_place(machine)}: {machine.result}"
        yield Annotation(level, title, "\n".join(_reasons(machine)) or str(machine.result))
    for warning in _warnings(report):
        yield Annotation(Level.WARNING, report.app, warning)
    for remark in report.remarks:
        yield Annotation(Level.NOTICE, report.app, remark)


def job_summary(report: DeployReport, next_steps: Iterable[str], *, level: int = 2) -> Markdown:
    """Return a report as Markdown: the status, what failed, all machines, the timeline, and what to do next."""
    parts = [
        heading(level, f"{report.status.look.sign} {report.app}: {report.status}".strip()),
        f"{escaped(headline(report))}\n",
    ]
    if origin := [each for each in (report.origin.message, report.origin.commit, report.origin.by) if each]:
        parts.append(f"{escaped(' · '.join(origin))}\n")
    if failed := list(_not_as_desired(report)):
        parts += [heading(level + 1, "Not as desired" if report.ok else "Failures"), *map(_failure, failed)]
    if steps := list(next_steps):
        parts += [heading(level + 1, "Next steps"), items(steps)]
    if notes := [*_warnings(report), *report.remarks]:
        parts += [heading(level + 1, "Notes"), items(notes)]
    if rows := list(_rows(report)):
        parts += [heading(level + 1, "Machines"), table(_HEADS, rows)]
    if chart := gantt(report):
        parts += [heading(level + 1, "Timeline"), chart]
    if report.rollback:
        is_whole = report.rollback.ok
        parts += [
            heading(level + 1, "Rolled back" if is_whole else "Rolled back incompletely"),
            job_summary(report.rollback, (), level=level + 2),
        ]
    return Markdown("\n".join(parts))


def _not_as_desired(report: DeployReport) -> Iterator[MachineReport]:
    """Yield the machines to explain: the one that ended the deploy, then the others in the order of the report."""
    everything = (
        *report.commands,
        *(machine for region in report.regions for machine in (*region.machines, *region.retired)),
        *report.others,
    )
    cause = report.closed_by.name if report.closed_by else None
    for machine in sorted(everything, key=lambda each: each.name != cause):
        # A machine that was not begun, or only restored, is a consequence: it has no reason of its own.
        if machine.result not in _FINE and (machine.result not in _CONSEQUENCES or machine.failure):
            yield machine


def _reasons(machine: MachineReport) -> Iterator[str]:
    """Yield why a machine is not as desired, in the words of the API and with the id of the request."""
    yield from map(str, machine.refusals)
    if machine.failure:
        text, request_id = str(machine.failure), machine.failure.request_id
        yield text if request_id is None or request_id in text else f"{text} (request {request_id})"
    if machine.exit:
        yield f"its process: {machine.exit}"


def _place(machine: MachineReport) -> str:
    return f"{machine.name} in {machine.region or machine.asked}"


def _failure(machine: MachineReport) -> Markdown:
    reasons = several_lines("\n".join(_reasons(machine)))
    text = f"- {bold(_place(machine))}: {escaped(machine.result)}" + (f"<br>{reasons}" if reasons else "") + "\n"
    if machine.logs:
        text += f"\n{details('the last lines of its log', preformatted(chr(10).join(machine.logs)))}"
    return Markdown(text)


def _warnings(report: DeployReport) -> Iterator[str]:
    """Yield what is not as desired besides the machines."""
    if report.unseen:
        yield f"the final check is incomplete: {report.unseen}"
    if report.status is Status.DEGRADED:
        yield report.why_degraded
    elif report.surplus:
        yield f"surplus machines with this launch's tag: {', '.join(report.surplus)}"
    if report.unverified:
        yield report.why_unverified
    if report.loose_volumes:
        yield f"created, but not attached to a machine; use or delete them: volumes {', '.join(report.loose_volumes)}"


def _rows(report: DeployReport) -> Iterator[tuple[str, ...]]:
    for region in report.regions:
        for machine in (*region.machines, *region.retired):
            seconds = machine.ready_after if machine.result in _FINE else None
            where = f"{region.region} → {machine.region}" if machine.fell_back else region.region
            sign = machine.result.look.sign
            took = "" if seconds is None else f"{seconds:.1f} s"
            yield where, machine.name, f"{sign} {machine.result}".strip(), machine.id or "", took
