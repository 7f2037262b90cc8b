"""The result of each app, the counts of the whole run, and the reasons that failed apps have in common; pure."""

import re
from collections import Counter

from attrs import Factory, define, field, frozen

from flyasync.deploy.reporting.report import DeployReport, MachineReport
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.status import Status
from flyasync.deploy.reporting.wording import in_command_terms

NAMED = 3
"""How many apps are named where many have something in common."""

_APP, _ID = "APP", "ID"
# What differs between two failures of one cause: ids of requests and machines, and numbers that are not codes.
_REQUEST = re.compile(r",? ?\brequest [\w-]+")
_MACHINE_ID = re.compile(r"\b[0-9a-f]{14}\b")
_NUMBER = re.compile(r"(?<!HTTP )(?<!code )\b\d+(\.\d+)?\b")


@frozen(kw_only=True)
class AppResult:
    """The result of one app; `why` is the reason if it is not ok, or ok but not `complete`.

    It is `absent` if the app does not exist.
    """

    app: str
    ok: bool
    complete: bool
    absent: bool
    why: str | None
    seconds: float
    report: DeployReport = field(repr=False)

    @classmethod
    def of(cls, report: DeployReport) -> "AppResult":
        """Return the result of a report, in the terms of the command."""
        report = in_command_terms(report)
        # A degraded report can be ok, if a requirement was stated.
        complete = report.status is Status.OK
        # In the report of an app that does not exist, each machine has failed with NotFound.
        not_found = [
            machine.result is Result.NOT_BEGUN and machine.failure is not None and machine.failure.kind == "NotFound"
            for machine in report.machines
        ]
        return cls(
            app=report.app,
            ok=report.ok,
            complete=complete,
            absent=bool(not_found) and all(not_found),
            why=None if complete else main_reason(report),
            seconds=report.seconds,
            report=report,
        )


def main_reason(report: DeployReport) -> str:
    """Return in one line why a report is not ok: the most common reason of its machines.

    If no machine has a reason, it is the first of these that applies:

    1. The last list of machines, which verifies the report, could not be read.
    2. All machines are stopped, and none was verified.
    3. There are more machines than desired, and a deploy without a strategy destroys none.
    4. Machines do not run, for an unknown reason.
    """
    machines: list[MachineReport] = [*report.commands]
    for region in report.regions:
        machines += (*region.machines, *region.retired)
    # A release or seed command counts as a machine and comes first, as its failure explains that of all others.
    failed = [machine for machine in machines if not machine.is_running]
    found = [machine.failure or next(iter(machine.refusals), None) for machine in failed]
    reasons = [_one_line(str(reason)) for reason in found if reason]
    if reasons:
        counts = Counter(_masked(reason, report.app) for reason in reasons)
        commonest = counts.most_common(1)[0][0]
        return next(reason for reason in reasons if _masked(reason, report.app) == commonest)
    if report.unseen:
        return _one_line(str(report.unseen))
    if report.unverified:
        return report.why_unverified
    if report.surplus:
        return (
            f"too many machines: {', '.join(report.surplus)} have the tag of the launch too, and a deploy without a "
            "strategy destroys none; to destroy them: "
            f"flyasync machines destroy {report.app} {' '.join(report.surplus)} --force"
        )
    results = Counter(machine.result.value for machine in report.machines if not machine.is_running)
    counted = ", ".join(f"{count} {result}" for result, count in results.items())
    return f"{counted or 'not all machines run'}, {report.running_regions} of {report.needed} regions complete"


@define
class AppNames:
    """How many apps have something in common, with the first ones by name."""

    count: int = 0
    named: list[str] = Factory(list)

    def add(self, app: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.named) < NAMED:
            self.named.append(app)

    def __str__(self) -> str:
        more = self.count - len(self.named)
        return ", ".join(self.named) + (f" and {more} more" if more else "")


@define
class CommonReason:
    """A reason for failures, or a remark, and the apps that have it."""

    text: str
    apps: AppNames = Factory(AppNames)

    @property
    def count(self) -> int:
        """The number of apps."""
        return self.apps.count

    def add(self, app: str, masked: str) -> None:
        """Count one more app; from two on, the text is `masked`, without details of a single app."""
        self.apps.add(app)
        if self.count > 1:
            self.text = masked


@define
class BulkProgress:
    """The counts of a run: of `total` apps, `kept` were done before, and at most `at_once` run at a time.

    Of the apps that are done, `partial` meet their requirement but lack machines. Of those that failed, `absent` do not
    exist, and `unverified` have the status *not verified*. The `remarks` of all reports are counted too.
    """

    total: int
    at_once: int
    kept: int = 0
    begun: int = 0
    done: int = 0
    failed: int = 0
    partial: AppNames = Factory(AppNames)
    absent: AppNames = Factory(AppNames)
    unverified: AppNames = Factory(AppNames)
    _causes: dict[str, CommonReason] = Factory(dict)
    _remarks: dict[str, CommonReason] = Factory(dict)

    @property
    def left(self) -> int:
        """How many apps have not ended, including those in progress."""
        return self.total - self.kept - self.done - self.failed

    @property
    def lacks_only_proof(self) -> bool:
        """Whether no app failed except those that were not verified."""
        return not self.left and 0 < self.failed == self.unverified.count

    @property
    def under_way(self) -> int:
        """How many apps are in progress."""
        return self.begun - self.done - self.failed

    def begin(self) -> None:
        """Count an app that starts."""
        self.begun += 1

    def record(self, result: AppResult) -> None:
        """Count the result of an app."""
        for remark in result.report.remarks:
            text = _one_line(remark)
            masked = _masked(text, result.app)
            self._remarks.setdefault(masked, CommonReason(text)).add(result.app, masked)
        if result.ok:
            self.done += 1
            if not result.complete:
                self.partial.add(result.app)
            return
        self.failed += 1
        if result.absent:
            self.absent.add(result.app)
        if result.report.status is Status.NOT_VERIFIED:
            self.unverified.add(result.app)
        # Failures have the same cause if they differ only in the app, the machine, the request and in numbers that are
        # not codes. Numbers in remarks do matter: they are counts of machines.
        why = result.why or ""
        masked = _masked(why, result.app)
        self._causes.setdefault(_NUMBER.sub("#", masked), CommonReason(_without_request(why))).add(result.app, masked)

    @property
    def remarks(self) -> list[CommonReason]:
        """The remarks of reports with their apps, the most common first."""
        return sorted(self._remarks.values(), key=lambda remark: -remark.count)

    @property
    def causes(self) -> list[CommonReason]:
        """The causes of failures, the most common first."""
        return sorted(self._causes.values(), key=lambda cause: -cause.count)

    def per_second(self, seconds: float) -> float | None:
        """Return how many apps have ended per second, after `seconds`; None if that is not known yet.

        It is known once as many apps have ended as run at a time: the first ones to end are the fastest.
        """
        ended = self.done + self.failed
        return ended / seconds if ended >= self.at_once and seconds > 0 else None

    def seconds_left(self, seconds: float) -> float | None:
        """Return the seconds left at the current rate; None if that is not known."""
        rate = self.per_second(seconds)
        return self.left / rate if rate else None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _without_request(why: str) -> str:
    return _REQUEST.sub("", why).replace(" ()", "")


def _masked(why: str, app: str) -> str:
    """Return a reason without the name of the app, the ids of its machines, and the id of the request."""
    named = re.sub(rf"(?<![\w-]){re.escape(app)}(?![\w-])", _APP, _without_request(why))
    return _MACHINE_ID.sub(_ID, named)
