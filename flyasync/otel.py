"""Spans and metrics of OpenTelemetry for what a client does. Needs the extra `otel`, and an SDK of your choice.

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

    deploy                  one `execute` or `undo`, its rollback included; child of your own current span, if any
      region iad            from the first step of its first machine to the last step of its last one, in all stages;
                            a rollback has a second one, and so for its machines
        machine             from its first step to its last
          POST machines.create      one attempt at one request, until its reply is read; a CLIENT span
          queued machines.create    its time in the queue before: for the rate limit, for a connection; 1 ms or longer

Requests for the whole deploy are its direct children: lists, plans, the lease that keeps other deploys out. A list on
behalf of many waits is a child of the machine whose wait asked for it. Requests outside of deploys are children of your
current span. Spans of requests are made when these end, with the times at which they began and ended.

Attributes of spans:

    fly.app                    all that concerns an app
    fly.region                 regions, machines, and their requests: the desired region
    fly.machine_name           machines, and their requests
    fly.machine_id             machines, as soon as it is known; requests about one machine, and their time in the queue
    fly.volume_id              requests about one volume, and their time in the queue
    fly.launch, fly.image      deploys
    fly.strategy               deploys that have one; `undo` for those that undo
    fly.ok                     deploys: whether enough regions run
    fly.phase                  machines: the last phase they reached, such as `started` or `skipped`
    fly.moved_to               machines: the region they fell back to
    fly.rollback               regions and machines, true in a rollback
    fly.operation              requests and their time in the queue: `machines.create`
    fly.request_id             requests: the id that Fly.io's support asks for
    fly.poll                   long polls: the seconds for which the API was asked to hold its reply
    fly.granted                time in the queue: false when it ended without a permit, as when cancelled
    http.request.method, http.response.status_code, server.address      requests
    http.request.resend_count  requests: 1 for the second attempt
    error.type                 the name of an error's class

A span that ended with an error has the status ERROR and the name of the error's class: `CancelledError` when it was
cancelled, `DeployFailed` for a deploy whose report is not ok. A region has the first error of its machines. A long poll
that ended with "not yet" is not an error. Nothing here contains the message of an error, a body, a URL, a token or a
secret.

Metrics; all but the last have the attribute `fly.operation`:

    fly.client.request.duration      histogram, s             attempts; with http.response.status_code and error.type
    fly.client.request.retries       counter, {retry}         attempts after the first
    fly.client.request.rate_limited  counter, {request}       attempts that were answered with 429
    fly.client.queue.duration        histogram, s             time in the queue; with fly.granted
    fly.client.queue.depth           up-down counter, {request}      attempts in the queue
    fly.client.limits.lost           gauge, 1                 1 while the shared limits of fly.limits.backing are lost

With an instrumentation of aiohttp as well, each request has two spans; the names of its metrics differ from these.
"""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from attrs import frozen
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider

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
"""Seconds in the queue from which on they are worth a span; the metrics include shorter ones."""

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Bounds of the histograms in seconds: from a reply at once to the longest waits, which the usual bounds leave out."""

_NAMES: Final = {"deploy": "fly.app", "region": "fly.region", "machine": "fly.machine_name"}
_PARTS: Final = {"machines": "fly.machine_id", "leases": "fly.machine_id", "volumes": "fly.volume_id"}
_OF_APPS: Final = {*_PARTS, "apps", "certificates", "images", "ip_assignments", "logs", "secret_keys", "secrets"}
_OF_ORGS: Final = {"apps.create", "apps.list", "machines.list_org", "volumes.list_org"}


@frozen
class _Parent:
    """What the spans of requests are made in: a context, and the attributes that they take over from it."""

    context: Context | None
    attributes: Attributes


@frozen(eq=False)
class _OpenSpan(_Parent):
    """A span of a deploy, a region or a machine, since `start`."""

    span: trace.Span
    start: int


_NO_PARENT: Final = _Parent(None, {})


class Telemetry:
    """Records all that a client does with OpenTelemetry, and then passes the events on to `also`.

        async with FlyClient(on_event=Telemetry()) as fly: ...

    `also` is another observer, by default the log, as for a client without telemetry; None for none. Without providers
    the global ones count, whether they are set now or later. `clock` returns the time of day in nanoseconds; durations
    are by the event loop's clock. One Telemetry may serve many clients. The client logs what fails in it.
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
        """Return the nearest span around it that is still open: connections and timers outlive what began them."""
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
        """Make the span of something that has just ended after `seconds`."""
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
            description="Time from sending an attempt to its verdict.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._retries = meter.create_counter(
            "fly.client.request.retries", unit="{retry}", description="Attempts after the first of a request."
        )
        self._limited = meter.create_counter(
            "fly.client.request.rate_limited", unit="{request}", description="Attempts that were answered with 429."
        )
        self._waits = meter.create_histogram(
            "fly.client.queue.duration",
            unit="s",
            description="Time of an attempt in line for the rate limit.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._depth = meter.create_up_down_counter(
            "fly.client.queue.depth", unit="{request}", description="Attempts in line for the rate limit."
        )
        self._lost = meter.create_gauge(
            "fly.client.limits.lost", unit="1", description="1 while the shared limits cannot be asked."
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


def _subject(operation: str, identifier: str) -> Attributes:
    """Return the app, and perhaps a part of it, that a request is about; nothing for an organization and the like."""
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
