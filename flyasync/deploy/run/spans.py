"""What the client's onlooker is told of one deploy: itself, its regions and its machines, whose requests they are."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from flyasync.api.client import FlyClient
from flyasync.api.spans import Outlasting, Span, Spans
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.create import Tell
from flyasync.errors import DeployFailed
from flyasync.text import readable


@contextmanager
def deploying(fly: FlyClient, app: str, wanted: DeploySpec | None = None) -> Iterator[Span]:
    """Have all of the block be one deploy, an undo where nothing is `wanted`; it is ok only if a report says so."""
    with fly.spans.over("deploy", app, **(_facts(wanted) if wanted else {"strategy": "undo"})) as span:
        try:
            yield span
        finally:
            span.facts.setdefault("ok", False)


def _facts(wanted: DeploySpec) -> dict[str, str | None]:
    return {"launch": wanted.launch, "image": wanted.image, "strategy": wanted.strategy_name}


def reported(span: Span, report: DeployReport) -> DeployReport:
    """Give the report, which says how the deploy ended."""
    span.facts.update(launch=report.launch, image=report.image, ok=report.ok)
    if not report.ok:
        span.error = DeployFailed.__name__
    return report


class Walking:
    """The regions and machines of one walk, each from its first step to its last, across stages."""

    def __init__(self, spans: Spans, wanted: Iterable[DesiredMachine], tell: Tell, *, rollback: bool = False) -> None:
        self._spans = spans
        self._tell = tell
        self._facts = {"rollback": True} if rollback else {}
        self._regions: dict[str, Span] = {}
        self._machines: dict[str, Span] = {}
        turns = tuple(wanted)
        self._turns = Counter(each.name for each in turns)
        self._turns_there = Counter(each.region for each in turns)

    @contextmanager
    def turn(self, wanted: DesiredMachine) -> Iterator[None]:
        """Count one turn of a machine, taken or not; after the last one it is over, and its region with its last."""
        try:
            yield
        finally:
            self._turns[wanted.name] -= 1
            self._turns_there[wanted.region] -= 1
            if not self._turns[wanted.name]:
                self._end(self._machines.pop(wanted.name, None))
            if not self._turns_there[wanted.region]:
                self._end(self._regions.pop(wanted.region, None))

    @contextmanager
    def machine(self, run: MachineRun) -> Iterator[None]:
        """Have what is asked for in the block be asked for the machine of a run."""
        span, before = self._machine(run), run.error
        try:
            with self._spans.within(span):
                yield
        except BaseException as error:
            _fail(span, error)
            raise
        finally:
            _note(span, run)
            if run.error is not None and run.error is not before:
                _fail(span, run.error)

    def close(self) -> None:
        """End what is not over: no turn comes any more."""
        for spans in (self._machines, self._regions):
            while spans:
                self._end(spans.popitem()[1])

    def _machine(self, run: MachineRun) -> Span:
        wanted = run.wanted
        if wanted.name not in self._machines:
            with self._spans.within(self._region(wanted.region)):
                span = self._spans.begin("machine", wanted.name, self._facts, on_refusal=partial(self._report, run))
                self._machines[wanted.name] = span
        return self._machines[wanted.name]

    def _report(self, run: MachineRun, refusal: Outlasting) -> None:
        """Report what a machine waits for: a refusal that clears by itself."""
        if run.phase and refusal.times == 1:
            words = " ".join(readable(refusal.message).split())
            self._tell(run, run.phase, f"{words}; asked again for up to {refusal.within:.0f} s")

    def _region(self, code: str) -> Span:
        if code not in self._regions:
            self._regions[code] = self._spans.begin("region", code, self._facts)
        return self._regions[code]

    def _end(self, span: Span | None) -> None:
        if span:
            self._spans.end(span)


def _note(span: Span, run: MachineRun) -> None:
    """Note what is known of the machine by now."""
    span.machine_id = run.machine.id if run.machine else None
    if run.phase:
        span.facts["phase"] = run.phase.value
    if run.region != run.wanted.region:
        span.facts["moved_to"] = run.region


def _fail(span: Span, error: BaseException) -> None:
    """Note how a machine failed; its region failed with the first of its machines."""
    span.error = type(error).__name__
    if span.parent and span.parent.error is None:
        span.parent.error = span.error
