"""The commands to run after a report: to continue, to undo, or to destroy what is left; pure."""

import shlex
from collections.abc import Collection, Iterable, Iterator

from attrs import field, frozen

from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.saved_deploy import SavedDeploy
from flyasync.deploy.reporting.spec_json import RELEASE_COMMAND, SEED_COMMAND, VERIFICATION, write_spec
from flyasync.deploy.reporting.status import Status

LOCAL = "local rehearsal: this ran on an emulator; nothing was deployed to Fly.io"
LOCAL_NOTICE = "Local rehearsal on an emulator: nothing is deployed to Fly.io."
"""What a page shows during and after a rehearsal."""


@frozen(kw_only=True)
class Invocation:
    """How the command was called, as far as its output shows it: on an emulator, with a journal, for a group.

    `command` is the command that deploys the same again, and `spec` the deploy that its journal contains.
    """

    is_local: bool = False
    journal: str | None = None
    groups: tuple[str, ...] = ()
    command: str = "the same command"
    spec: DeploySpec | None = field(default=None, repr=False)


def restated(spec: DeploySpec, done: Collection[str] = ()) -> str:
    """Return the options for the values of a deploy that no file contains, because they may be secret; or nothing.

    `--env NAME` takes the value from the environment of the command. Other values are to be inserted. Of the release
    and seed commands, those `done` are not run again.
    """
    redacted = tuple(write_spec(spec)[1])
    saved = SavedDeploy(spec=spec, fingerprint="", redacted=redacted)

    def names(part: str) -> Iterable[str]:
        found = (name for group in spec.group_names for name in sorted(saved.redacted_names(part, group)))
        return map(shlex.quote, dict.fromkeys(found))

    words = [word for name in names("env") for word in ("--env", name)]
    words += [word for name in names("metadata") for word in ("--metadata", f"{name}=VALUE")]
    commands = {RELEASE_COMMAND: "--release-command", SEED_COMMAND: "--seed-command", VERIFICATION: "--verify"}
    words += [word for path, name in commands.items() if path in {*redacted} - {*done} for word in (name, "CMD")]
    return "".join(f" {word}" for word in words)


def next_steps(report: DeployReport, called: Invocation) -> Iterator[str]:
    """Yield the lines after a report: that it was a rehearsal, or what to do where it is not ok."""
    journal = f"flyasync deploy --resume {shlex.quote(called.journal)}" if called.journal else ""
    ran = {RELEASE_COMMAND: report.release, SEED_COMMAND: report.seed}
    done = [path for path, machine in ran.items() if machine and machine.result is Result.ENDED]
    resume = f"{journal}{restated(called.spec, done) if called.spec else ''}" if journal else ""
    # The undo names its launch: without it, running the undo twice would undo two launches.
    group = "".join(f" --group {name}" for name in called.groups)
    undo = f"{journal} --undo" if journal else f"flyasync deploy {report.app} --undo{group} --launch {report.launch}"
    # 1. Nothing is left to do after a rehearsal or a success.
    if called.is_local:
        yield LOCAL
    elif report.ok:
        return
    # 2. It has paused: only its journal continues with the next wave.
    elif report.status is Status.PAUSED:
        yield f"to continue with the next wave: {resume}"
        yield f"to restore the previous release: {undo}"
    # 3. What runs is kept; what is missing may come with the same launch, or be accepted.
    elif report.status is Status.DEGRADED:
        same = resume or f"{called.command} with --launch {report.launch}"
        if report.running_regions < sum(region.asked > 0 for region in report.regions):
            yield f"to continue: {same}, which keeps what runs and creates what is missing"
            yield f"to accept missing regions: state how many are required, such as --require {report.running_regions}"
        elif report.strategy:
            yield f"to continue: {called.command} again" + (f", or {resume}" if resume else "")
        if report.surplus:
            machines = " ".join(report.surplus)
            yield f"to destroy the surplus machines: flyasync machines destroy {report.app} {machines} --force"
    # 4. Without a strategy only the same launch finds its machines again, and there is nothing to restore.
    elif report.strategy is None:
        if resume:
            yield f"to continue: {resume}"
        if report.left_behind:
            yield f"to destroy the machines of this launch: flyasync destroy {report.app} --launch {report.launch}"
    # 5. An undo continues by the command that began it.
    elif report.strategy == "undo":
        yield f"to continue: {undo}"
    # 6. The same command continues a deploy by a strategy. After a rollback there is nothing left to undo.
    else:
        if any(machine.result is Result.SKIPPED for machine in report.machines):
            yield f"for regions without room: {called.command} with --fallback nearest"
        if report.status is Status.NOT_VERIFIED:
            yield f"to verify one stopped machine per region: {called.command} with --verify-stopped always"
        if report.rollback and report.rollback.ok:
            yield f"once the cause is fixed: {called.command} again"
            return
        yield f"to continue: {called.command} again" + (f", or {resume}" if resume else "")
        # After a release command that has failed, no machine has changed.
        if any(machine.result is not Result.NOT_BEGUN for machine in (*report.machines, *report.others)):
            yield f"to restore the previous release: {undo}"
