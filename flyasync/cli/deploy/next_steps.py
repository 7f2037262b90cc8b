"""What to do after a report: how to go on, how to go back, and how to destroy what is left; pure."""

import shlex
from collections.abc import Iterator

from attrs import frozen

from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.result import Result

LOCAL = "local rehearsal: it ran on the emulator in this process; nothing was deployed to Fly.io"


@frozen(kw_only=True)
class Invocation:
    """How the command was called, as far as its output tells of it: on an emulator, with a journal, for a group."""

    is_local: bool = False
    journal: str | None = None
    group: str | None = None


def next_steps(report: DeployReport, called: Invocation) -> Iterator[str]:
    """Yield what to know after a report: that it was a rehearsal, or what to do after one that is not ok."""
    resume = f"flyasync deploy --resume {shlex.quote(called.journal)}" if called.journal else ""
    # The undo names its launch: without, an undo that is asked for twice would go back by two launches.
    group = f" --group {called.group}" if called.group else ""
    undo = f"{resume} --undo" if resume else f"flyasync deploy {report.app} --undo{group} --launch {report.launch}"
    # 1. Of a rehearsal and of a success nothing is left to do.
    if called.is_local:
        yield LOCAL
    elif report.ok:
        return
    # 2. Without a strategy only the same launch finds its machines again, and nothing was there before.
    elif report.strategy is None:
        if resume:
            yield f"to go on: {resume}"
        if report.left_behind:
            yield f"to destroy what this launch made: flyasync destroy {report.app} --launch {report.launch}"
    # 3. An undo goes on as it began.
    elif report.strategy == "undo":
        yield f"to go on: {undo}"
    # 4. A strategy finds what it left with the same command; after a rollback there is nothing to go back from.
    else:
        if any(machine.result is Result.SKIPPED for machine in report.machines):
            yield "where there was no room: the same command with --fallback nearest"
        if report.rollback and report.rollback.ok:
            yield "once what failed is mended: the same command again"
            return
        yield "to go on: the same command again" + (f", or {resume}" if resume else "")
        yield f"to go back to what was there before: {undo}"
