"""The spans of one deploy, of its regions and of its machines, so that each request has a parent span."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from flyasync.api.client import FlyClient
from flyasync.api.spans import Outlasting, Span, Within
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.errors import DeployFailed
from flyasync.safe_text import readable


@contextmanager
def deploying(fly: FlyClient, app: str, spec: DeploySpec | None = None) -> Iterator[Span]:
    """Open a span for the block: of a deploy, or without a `spec` of an undo. It is ok only if the report is ok."""
    facts: dict[str, str | None] = {"strategy": "undo"}
    if spec:
        facts = {"launch": spec.launch, "image": spec.image, "strategy": spec.strategy_name}
    with fly.spans.over("deploy", app, **facts) as span:
        try:
            yield span
        finally:
            span.learn(ok=span.facts.get("ok", False))


def reported(span: Span, report: DeployReport) -> DeployReport:
    """Record the result of the deploy in its span, and return the report."""
    span.learn(launch=report.launch, image=report.image, ok=report.ok)
    if report.is_failure:
        span.fail(DeployFailed.__name__)
    return report


class DeploySpans:
    """The spans of the regions and machines of one plan, each from its first step to its last, across stages.

    `machines` has one entry for each track: a machine with a track in two stages is listed twice.
    """

    def __init__(
        self, context: DeployContext, machines: Iterable[DesiredMachine], *, is_rollback: bool = False
    ) -> None:
        self._context = context
        self._spans = context.fly.spans
        self._facts = {"rollback": True} if is_rollback or context.is_rollback else {}
        self._regions: dict[str, Span] = {}
        self._machines: dict[str, Span] = {}
        self._on_refusal = partial(_report, context)  # one for all machines
        tracks = tuple(machines)
        self._tracks_of_machine = Counter(each.name for each in tracks)
        self._tracks_in_region = Counter(each.region for each in tracks)

    def end_track(self, machine: DesiredMachine) -> None:
        """Count one track of a machine, carried out or not.

        The machine's span ends after the last of its tracks, and the region's span after the last track in it.
        """
        self._tracks_of_machine[machine.name] -= 1
        self._tracks_in_region[machine.region] -= 1
        if not self._tracks_of_machine[machine.name] and (span := self._machines.pop(machine.name, None)):
            self._spans.end(span)
        if not self._tracks_in_region[machine.region] and (span := self._regions.pop(machine.region, None)):
            self._spans.end(span)

    def machine(self, run: MachineRun) -> "MachineSpan":
        """Make the machine's span the parent of the requests in the block; its own parent is the region's span."""
        desired = run.desired
        if desired.region not in self._regions:
            self._regions[desired.region] = self._spans.begin("region", desired.region, self._facts)
        if desired.name not in self._machines:
            with self._spans.within(self._regions[desired.region]):
                self._machines[desired.name] = self._spans.begin(
                    "machine", desired.name, self._facts, on_refusal=self._on_refusal
                )
        return MachineSpan(self._machines[desired.name], run)

    def close(self) -> None:
        """End the spans that are still open: no track follows."""
        for spans in (self._machines, self._regions):
            while spans:
                self._spans.end(spans.popitem()[1])


def _report(context: DeployContext, refusal: Outlasting) -> None:
    """Report a temporary refusal that a machine's request is retried for."""
    assert refusal.span is not None  # noqa: S101 - it is the machine's
    run = context.runs[refusal.span.name]
    if run.phase and refusal.times == 1:
        words = " ".join(readable(refusal.message).split())
        context.notify(run, run.phase, f"{words}; retried for up to {refusal.within:.0f} s")


class MachineSpan(Within):
    """The block of a track, whose requests belong to the span of its machine; the span learns how the block ended."""

    __slots__ = ("_error", "_machine_span", "_run")

    def __init__(self, span: Span, run: MachineRun) -> None:
        super().__init__(span)
        self._machine_span, self._run, self._error = span, run, run.error

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        super().__exit__(kind, *raised)
        span, run = self._machine_span, self._run
        moved_to = {"moved_to": run.region} if run.region != run.desired.region else {}
        span.learn(
            machine_id=run.machine.id if run.machine else None,
            **({"phase": run.phase.value} if run.phase else {}),
            **moved_to,
        )
        # The region's span fails with the first of its machines.
        error = type(run.error) if run.error is not self._error and run.error is not None else kind
        if error is not None:
            span.fail(error.__name__)
            if span.parent and span.parent.error is None:
                span.parent.fail(error.__name__)
