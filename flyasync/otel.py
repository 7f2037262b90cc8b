"""OpenTelemetry spans and metrics for a client. Needs the extra `otel`, and an OpenTelemetry SDK.

    from flyasync import DeployBuilder, FlyClient
    from flyasync.otel import Telemetry
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    tracing = TracerProvider()
    tracing.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())]))

    async with FlyClient(on_event=Telemetry()) as fly:
        await DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx").execute(fly)

Spans:

    deploy                  one `execute` or `undo`, including its rollback; a child of your current span, if any
      region iad            from the first step of its first machine to the last step of its last one, in all stages;
                            a rollback has region and machine spans of its own
        machine             from its first step to its last
          POST machines.create      one attempt to send a request, until its response is read; a CLIENT span
          queued machines.create    the time in the queue before it, for the rate limit and a slot; from 1 ms on

Requests for the whole deploy are its direct children: lists, plans, and the lease that locks out other deploys. A list
that serves many waits is a child of the machine whose wait requested it. Requests outside of deploys are children of
your current span. The span of a request is created when the request ends, with its actual start and end times.

Jobs of `deploy_many` that an executor sends to other processes take the current trace context along, in the format of
the global propagators (by default W3C `traceparent` and `baggage`). With a Telemetry in the client of a worker, its
deploys are children of your span, in the same trace:

    def connect() -> FlyClient:  # runs on each worker, which sets its providers itself
        return FlyClient(on_event=Telemetry())

    executor = DaskExecutor(dask, connect=connect)

Attributes of spans:

    fly.app                    every span that concerns an app
    fly.region                 regions, machines, and their requests: the desired region
    fly.machine_name           machines, and their requests
    fly.machine_id             machines, as soon as it is known; requests about one machine, and their queue spans
    fly.volume_id              requests about one volume, and their queue spans
    fly.launch, fly.image      deploys
    fly.strategy               deploys with a strategy; `undo` for an undo
    fly.ok                     deploys: whether the report is ok
    fly.phase                  machines: the last phase reached, such as `started` or `skipped`
    fly.moved_to               machines: the region they fell back to
    fly.rollback               regions and machines: true in a rollback
    fly.operation              requests and queue spans, such as `machines.create`
    fly.request_id             requests: the id that Fly.io's support asks for
    fly.poll                   long polls: the number of seconds for which the API may hold the response
    fly.granted                queue spans: false if the wait ended without a permit, for example when cancelled
    http.request.method, http.response.status_code, server.address      requests
    http.request.resend_count  requests: 1 for the second attempt
    error.type                 the class name of the error

A span that ended with an error has the status ERROR, with the class name of the error as its description:
`CancelledError` if it was cancelled, `DeployFailed` for a deploy whose report is not ok. A region has the first error
of its machines. A long poll that ended with "not yet" is not an error. No span contains the message of an error, a
body, a URL, a token or a secret.

Metrics; all but the last have the attribute `fly.operation`:

    fly.client.request.duration      histogram, s             attempts; with http.response.status_code and error.type
    fly.client.request.retries       counter, {retry}         attempts after the first
    fly.client.request.rate_limited  counter, {request}       attempts that received a 429
    fly.client.queue.duration        histogram, s             time in the queue; with fly.granted
    fly.client.queue.depth           up-down counter, {request}      attempts in the queue
    fly.client.limits.lost           gauge, 1                 1 while the shared limits of fly.limits.backing are lost

If aiohttp is instrumented too, each request has two spans; the metrics of that instrumentation have other names.

`PoolTelemetry` records the events of pools of machines on demand:

    async with MachinePool(fly, "web", config, ready=3, max=50, on_event=PoolTelemetry("web")) as pool: ...

Its metrics have the attributes `fly.app` and `fly.pool`. The numbers of machines are what `MachinePool.status` counts,
so they are recorded when a program passes them to `record_status`, for example once a minute from one process:

    fly.pool.claim.duration          histogram, s             time to claim; with fly.source, or with error.type
    fly.pool.claim.held              histogram, s             time from a claim to its end
    fly.pool.claims                  up-down counter, {claim}        machines that this process has claimed
    fly.pool.cold_starts             counter, {machine}       machines that were created for a claim
    fly.pool.machines.created        counter, {machine}       machines that were created to be ready
    fly.pool.machines.destroyed      counter, {machine}       with fly.reason, such as `evicted` or `abandoned`
    fly.pool.machines                gauge, {machine}         with fly.state: `ready`, `claimed`, `kept`
    fly.pool.max                     gauge, {machine}         how many machines the pool may have

No metric contains a key or the id of a machine.
"""

import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Final

from attrs import frozen
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider

from flyasync.pool.events import (
    ClaimFailed,
    ClaimSource,
    MachineClaimed,
    MachineCreated,
    MachineDestroyed,
    MachineReleased,
    PoolEvent,
)
from flyasync.pool.keeper import PoolStatus
from flyasync.transport.events import (
    Attempt,
    Began,
    ClientEvent,
    Dequeued,
    Ended,
    LimitsBack,
    LimitsLost,
    OnClientEvent,
    Queued,
    Span,
    log_event,
)

Attributes = dict[str, str | bool | int | float]

LEAST_WAIT: Final = 0.001
"""Times in the queue of at least this many seconds get a span; the metrics include shorter ones."""

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Bounds of the histograms in seconds: unlike the default bounds, they cover the longest waits."""

_NAMES: Final = {"deploy": "fly.app", "region": "fly.region", "machine": "fly.machine_name"}
_PARTS: Final = {"machines": "fly.machine_id", "leases": "fly.machine_id", "volumes": "fly.volume_id"}
_OF_APPS: Final = {*_PARTS, "apps", "certificates", "images", "ip_assignments", "logs", "secret_keys", "secrets"}
_OF_ORGS: Final = {"apps.create", "apps.list", "machines.list_org", "volumes.list_org"}


@frozen
class _Parent:
    """The parent of request spans: its context, and the attributes that they inherit from it."""

    context: Context | None
    attributes: Attributes


@frozen(eq=False)
class _OpenSpan(_Parent):
    """The open span of a deploy, a region or a machine, begun at `start`."""

    span: trace.Span
    start: int


_NO_PARENT: Final = _Parent(None, {})


class Telemetry:
    """An observer that records a client's events with OpenTelemetry, and then passes them to `also`.

        async with FlyClient(on_event=Telemetry()) as fly: ...

    `also` is another observer, by default the log, as for a client without telemetry; None for no other. If no
    providers are passed, the global ones are used, even if they are set later. `clock` returns the time of day in
    nanoseconds; durations are measured by the event loop's clock. One Telemetry may serve many clients. The client logs
    exceptions that Telemetry raises.
    """

    def __init__(
        self,
        also: OnClientEvent | None = log_event,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._also = also
        self._clock = clock
        self._tracer = trace.get_tracer("flyasync", version("flyasync"), tracer_provider)
        self._figures = _Figures(metrics.get_meter("flyasync", version("flyasync"), meter_provider))
        self._open: dict[Span, _OpenSpan] = {}

    def __call__(self, event: ClientEvent) -> None:
        """Record one event."""
        try:
            self._figures.record(event)
            match event:
                case Dequeued() if event.waited >= LEAST_WAIT:
                    self._request_span(f"queued {event.operation}", event, event.waited, SpanKind.INTERNAL)
                case Attempt():
                    name = f"{event.method} {event.operation}" if event.method else event.operation
                    self._request_span(name, event, event.seconds, SpanKind.CLIENT)
                case Began():
                    self._begin(event.span)
                case Ended():
                    if opened := self._open.pop(event.span, None):
                        if opened.span.is_recording():
                            opened.span.set_attributes(_facts(event.span))
                            _fail(opened.span, event.span.error)
                        opened.span.end(opened.start + _ns(event.seconds))
        finally:
            if self._also:
                self._also(event)

    def _parent(self, span: Span | None) -> _Parent:
        """Return the nearest enclosing span that is still open: a request may outlive the span in which it began."""
        while span:
            if opened := self._open.get(span):
                return opened
            span = span.parent
        return _NO_PARENT

    def _begin(self, span: Span) -> None:
        parent, start = self._parent(span.parent), self._clock()
        inherited = {**parent.attributes, _NAMES[span.kind]: span.name}
        name = f"region {span.name}" if span.kind == "region" else span.kind
        attributes = {**inherited, **_facts(span)}
        begun = self._tracer.start_span(name, parent.context, attributes=attributes, start_time=start)
        self._open[span] = _OpenSpan(trace.set_span_in_context(begun, parent.context), inherited, begun, start)

    def _request_span(self, name: str, event: Attempt | Dequeued, seconds: float, kind: SpanKind) -> None:
        """Create the span of a request or a wait that took `seconds` and has just ended."""
        end, parent = self._clock(), self._parent(event.span)
        span = self._tracer.start_span(name, parent.context, kind, start_time=end - _ns(seconds))
        if span.is_recording():
            about = _subject(event.operation, event.identifier)
            span.set_attributes({**parent.attributes, **about, "fly.operation": event.operation})
            if isinstance(event, Dequeued):
                span.set_attribute("fly.granted", event.granted)
            else:
                known = {
                    "http.request.method": event.method,
                    "http.request.resend_count": event.number - 1 or None,
                    "http.response.status_code": event.status,
                    "server.address": event.host,
                    "fly.request_id": event.request_id,
                    "fly.poll": event.poll,
                }
                span.set_attributes({key: value for key, value in known.items() if value is not None})
                _fail(span, None if event.went_well else event.error)
        span.end(end)


class _Figures:
    """The metrics; their names and descriptions are what dashboards refer to."""

    def __init__(self, meter: Meter) -> None:
        self._duration = meter.create_histogram(
            "fly.client.request.duration",
            unit="s",
            description="Time from sending an attempt until its response is read or it fails.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._retries = meter.create_counter(
            "fly.client.request.retries", unit="{retry}", description="Attempts after the first of a request."
        )
        self._limited = meter.create_counter(
            "fly.client.request.rate_limited", unit="{request}", description="Attempts that received a 429."
        )
        self._waits = meter.create_histogram(
            "fly.client.queue.duration",
            unit="s",
            description="Time of an attempt in the queue for the rate limit.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._depth = meter.create_up_down_counter(
            "fly.client.queue.depth", unit="{request}", description="Attempts in the queue for the rate limit."
        )
        self._lost = meter.create_gauge(
            "fly.client.limits.lost", unit="1", description="1 while the store of the shared limits is unavailable."
        )

    def record(self, event: ClientEvent) -> None:
        match event:
            case Queued():
                self._depth.add(1, {"fly.operation": event.operation})
            case Dequeued():
                self._depth.add(-1, {"fly.operation": event.operation})
                self._waits.record(event.waited, {"fly.operation": event.operation, "fly.granted": event.granted})
            case Attempt():
                operation = {"fly.operation": event.operation}
                if event.number > 1:
                    self._retries.add(1, operation)
                if event.status == 429:  # noqa: PLR2004 - its name is no clearer
                    self._limited.add(1, operation)
                status = {} if event.status is None else {"http.response.status_code": event.status}
                error = {} if event.went_well or event.error is None else {"error.type": event.error}
                self._duration.record(event.seconds, {**operation, **status, **error})
            case LimitsLost():
                self._lost.set(1, {"fly.limits.backing": event.backing})
            case LimitsBack():
                self._lost.set(0, {"fly.limits.backing": event.backing})


class PoolTelemetry:
    """An observer that records the events of one pool with OpenTelemetry.

        async with MachinePool(fly, "web", config, ready=3, max=50, on_event=PoolTelemetry("web")) as pool: ...

    `app` and `pool` are attributes of all metrics. If no provider is passed, the global one is used, even if it is set
    later. Pools of several processes add up, except the gauges, which are those of the whole pool.
    """

    def __init__(self, app: str, pool: str = "pool", *, meter_provider: MeterProvider | None = None) -> None:
        self._about: Attributes = {"fly.app": app, "fly.pool": pool}
        meter = metrics.get_meter("flyasync", version("flyasync"), meter_provider)
        seconds = partial(meter.create_histogram, unit="s", explicit_bucket_boundaries_advisory=BUCKETS)
        machines = partial(meter.create_counter, unit="{machine}")
        gauge = partial(meter.create_gauge, unit="{machine}")
        self._took = seconds("fly.pool.claim.duration", description="Time until a claim has its machine, or fails.")
        self._held = seconds("fly.pool.claim.held", description="Time for which a machine was claimed.")
        self._claims = meter.create_up_down_counter(
            "fly.pool.claims", unit="{claim}", description="Machines that this process has claimed."
        )
        self._cold = machines("fly.pool.cold_starts", description="Machines that were created for a claim.")
        self._created = machines("fly.pool.machines.created", description="Machines that were created to be ready.")
        self._destroyed = machines("fly.pool.machines.destroyed", description="Machines that were destroyed.")
        self._machines = gauge("fly.pool.machines", description="Machines of the pool, by what they are used for.")
        self._max = gauge("fly.pool.max", description="How many machines the pool may have.")

    def __call__(self, event: PoolEvent) -> None:
        """Record one event."""
        match event:
            case MachineClaimed():
                self._took.record(event.seconds, {**self._about, "fly.source": event.source.value})
                self._claims.add(1, self._about)
                if event.source is ClaimSource.COLD:
                    self._cold.add(1, self._about)
            case ClaimFailed():
                self._took.record(event.seconds, {**self._about, "error.type": event.error})
            case MachineReleased():
                self._held.record(event.seconds, self._about)
                self._claims.add(-1, self._about)
            case MachineCreated():
                self._created.add(1, self._about)
            case MachineDestroyed():
                self._destroyed.add(1, {**self._about, "fly.reason": event.reason.value})

    def record_status(self, status: PoolStatus) -> None:
        """Record how many machines of the pool are free, claimed and kept, as `MachinePool.status` counts them."""
        for state, count in (("ready", status.ready), ("claimed", status.claimed), ("kept", status.kept)):
            self._machines.set(count, {**self._about, "fly.state": state})
        self._max.set(status.max, self._about)


def _subject(operation: str, identifier: str) -> Attributes:
    """Return the attributes for the app, machine or volume of a request; none if it is not about an app."""
    resource = operation.partition(".")[0]
    if resource not in _OF_APPS or operation in _OF_ORGS:
        return {}
    app, _, part = identifier.partition("/")
    return {"fly.app": app, _PARTS[resource]: part} if part and resource in _PARTS else {"fly.app": app}


def _facts(span: Span) -> Attributes:
    known: Attributes = {} if span.machine_id is None else {"fly.machine_id": span.machine_id}
    return {**known, **{f"fly.{key}": fact for key, fact in span.facts.items()}}


def _fail(span: trace.Span, error: str | None) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR, error)


def _ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
