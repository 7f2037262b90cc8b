"""How far a run over many apps has come, and what went wrong with how many of them; pure."""

import re
from collections import Counter
from collections.abc import Iterator

from attrs import Factory, define, frozen

from flyasync.deploy.reporting.report import DeployReport, MachineReport, Status
from flyasync.deploy.reporting.result import Result

NAMED = 3
"""How many apps of many are named."""

_APP, _ID = "APP", "ID"
_REQUEST = re.compile(r",? ?\brequest [\w-]+")
_MACHINE_ID = re.compile(r"\b[0-9a-f]{14}\b")
_NUMBER = re.compile(r"(?<!HTTP )(?<!code )\b\d+(\.\d+)?\b")


@frozen(kw_only=True)
class Ended:
    """What became of one app: why it is not ok, or, of one that is, why it is not `complete`.

    It is `absent` when the API knows no such app.
    """

    app: str
    ok: bool
    complete: bool
    absent: bool
    why: str | None
    seconds: float
    report: DeployReport

    @classmethod
    def of(cls, report: DeployReport) -> "Ended":
        """Say what a report comes to."""
        complete = report.ok and all(region.is_running for region in report.regions)
        why = None if complete else why_not(report)
        return cls(
            app=report.app,
            ok=report.ok,
            complete=complete,
            absent=all(map(_is_absent, report.machines)) and bool(report.machines),
            why=why,
            seconds=report.seconds,
            report=report,
        )


@define
class Some:
    """A count of apps, with the first ones by name."""

    count: int = 0
    named: list[str] = Factory(list)

    def take(self, app: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.named) < NAMED:
            self.named.append(app)

    def __str__(self) -> str:
        more = self.count - len(self.named)
        return ", ".join(self.named) + (f" and {more} more" if more else "")


@define
class Cause:
    """Why apps failed, or what else is to be known of them, and which they are."""

    text: str
    apps: Some = Factory(Some)

    @property
    def count(self) -> int:
        """How many apps they are."""
        return self.apps.count


@define
class Tally:
    """The count of a run: of `total` apps `kept` were done before, and at most `at_once` are under way.

    Of those that are done, `partial` are ok by their requirement, but lack machines; of those that failed, `absent` are
    not there, and `unverified` have the status *not verified*. The `remarks` of all reports are counted too, whether ok
    or not.
    """

    total: int
    at_once: int
    kept: int = 0
    begun: int = 0
    done: int = 0
    failed: int = 0
    partial: Some = Factory(Some)
    absent: Some = Factory(Some)
    unverified: Some = Factory(Some)
    _causes: dict[str, Cause] = Factory(dict)
    _remarks: dict[str, Cause] = Factory(dict)

    @property
    def left(self) -> int:
        """How many apps have not come to an end, those under way included."""
        return self.total - self.kept - self.done - self.failed

    @property
    def lacks_only_proof(self) -> bool:
        """Whether every app is as its row says, but for some that were not verified."""
        return not self.left and 0 < self.failed == self.unverified.count

    @property
    def under_way(self) -> int:
        """How many apps are under way."""
        return self.begun - self.done - self.failed

    def take(self, ended: Ended) -> None:
        """Count what became of an app."""
        for remark in ended.report.remarks:
            self._remark(ended.app, _line(remark))
        if ended.ok:
            self.done += 1
            if not ended.complete:
                self.partial.take(ended.app)
            return
        self.failed += 1
        if ended.absent:
            self.absent.take(ended.app)
        if ended.report.status is Status.NOT_VERIFIED:
            self.unverified.take(ended.app)
        masked = _masked(ended.why or "", ended.app)
        cause = self._causes.setdefault(_NUMBER.sub("#", masked), Cause(_plain(ended.why or "")))
        cause.apps.take(ended.app)
        if cause.count > 1:
            cause.text = masked

    def _remark(self, app: str, text: str) -> None:
        masked = _masked(text, app)
        remark = self._remarks.setdefault(masked, Cause(text))
        remark.apps.take(app)
        if remark.count > 1:
            remark.text = masked

    @property
    def remarks(self) -> list[Cause]:
        """What deploys left alone, and in which apps, the commonest first."""
        return sorted(self._remarks.values(), key=lambda remark: -remark.count)

    @property
    def causes(self) -> list[Cause]:
        """The causes of failures, the commonest first."""
        return sorted(self._causes.values(), key=lambda cause: -cause.count)

    def per_second(self, seconds: float) -> float | None:
        """Say how many apps have come to an end a second, in so many seconds.

        Until as many have as are under way at once there is no telling: the first ones are the quickest.
        """
        ended = self.done + self.failed
        return ended / seconds if ended >= self.at_once and seconds > 0 else None

    def seconds_left(self, seconds: float) -> float | None:
        """Say how many seconds the rest takes at the rate so far; None where that is not known."""
        rate = self.per_second(seconds)
        return self.left / rate if rate else None


def why_not(report: DeployReport) -> str:
    """Say in one line why a report is not ok: the reason that most of its machines give."""
    reasons = [reason for machine in _machines(report) if (reason := _reason(machine))]
    counts = Counter(_masked(reason, report.app) for reason in reasons)
    commonest = counts.most_common(1)
    if not commonest:
        return _of_all(report)
    return next(reason for reason in reasons if _masked(reason, report.app) == commonest[0][0])


def _machines(report: DeployReport) -> Iterator[MachineReport]:
    if report.release:
        yield report.release
    for region in report.regions:
        yield from (*region.machines, *region.retired)


def _reason(machine: MachineReport) -> str | None:
    said = machine.failure or next(iter(machine.refusals), None) if not machine.is_running else None
    return _line(str(said)) if said else None


def _is_absent(machine: MachineReport) -> bool:
    return machine.result is Result.NOT_BEGUN and machine.failure is not None and machine.failure.kind == "NotFound"


def _of_all(report: DeployReport) -> str:
    if report.unseen:
        return _line(str(report.unseen))
    if report.unverified:
        return report.why_unverified
    if report.surplus:
        return (
            f"too many: {', '.join(report.surplus)} carry the launch's tag besides the machines wanted, and no deploy "
            "without a strategy takes any away; this does: "
            f"flyasync machines destroy {report.app} {' '.join(report.surplus)} --force"
        )
    machines = Counter(machine.result.value for machine in report.machines if not machine.is_running)
    said = ", ".join(f"{count} {result}" for result, count in machines.items())
    return f"{said or 'not all machines run'}, {report.running_regions} of {report.needed} regions complete"


def _line(text: str) -> str:
    return " ".join(text.split())


def _plain(why: str) -> str:
    return _REQUEST.sub("", why).replace(" ()", "")


def _masked(why: str, app: str) -> str:
    """Leave out what is true of one app alone."""
    named = re.sub(rf"(?<![\w-]){re.escape(app)}(?![\w-])", _APP, _plain(why))
    return _MACHINE_ID.sub(_ID, named)
