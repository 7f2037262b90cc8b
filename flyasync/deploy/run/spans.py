"""The spans of one deploy, of its regions and of its machines, so that each request has a parent span."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from flyasync.api.client import FlyClient
from flyasync.api.spans import Outlasting, Span
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
        tracks = tuple(machines)
        self._tracks_of_machine = Counter(each.name for each in tracks)
        self._tracks_in_region = Counter(each.region for each in tracks)

    @contextmanager
    def track(self, machine: DesiredMachine) -> Iterator[None]:
        """Count one track of a machine, carried out or not.

        The machine's span ends after the last of its tracks, and the region's span after the last track in it.
        """
        try:
            yield
        finally:
            self._tracks_of_machine[machine.name] -= 1
            self._tracks_in_region[machine.region] -= 1
            if not self._tracks_of_machine[machine.name] and (span := self._machines.pop(machine.name, None)):
                self._spans.end(span)
            if not self._tracks_in_region[machine.region] and (span := self._regions.pop(machine.region, None)):
                self._spans.end(span)

    @contextmanager
    def machine(self, run: MachineRun) -> Iterator[None]:
        """Make the machine's span the parent of the requests in the block; its own parent is the region's span."""
        desired, before = run.desired, run.error
        if desired.region not in self._regions:
            self._regions[desired.region] = self._spans.begin("region", desired.region, self._facts)
        if desired.name not in self._machines:
            with self._spans.within(self._regions[desired.region]):
                report = partial(self._report, run)
                self._machines[desired.name] = self._spans.begin(
                    "machine", desired.name, self._facts, on_refusal=report
                )
        span = self._machines[desired.name]
        error: BaseException | None = None
        try:
            with self._spans.within(span):
                yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            moved_to = {"moved_to": run.region} if run.region != desired.region else {}
            span.learn(
                machine_id=run.machine.id if run.machine else None,
                **({"phase": run.phase.value} if run.phase else {}),
                **moved_to,
            )
            # The region's span fails with the first of its machines.
            error = run.error if run.error is not before and run.error is not None else error
            if error is not None:
                span.fail(type(error).__name__)
                if span.parent and span.parent.error is None:
                    span.parent.fail(type(error).__name__)

    def close(self) -> None:
        """End the spans that are still open: no track follows."""
        for spans in (self._machines, self._regions):
            while spans:
                self._spans.end(spans.popitem()[1])

    def _report(self, run: MachineRun, refusal: Outlasting) -> None:
        """Report a temporary refusal that a machine's request is retried for."""
        if run.phase and refusal.times == 1:
            words = " ".join(readable(refusal.message).split())
            self._context.notify(run, run.phase, f"{words}; retried for up to {refusal.within:.0f} s")
