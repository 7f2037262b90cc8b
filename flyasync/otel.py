"""What a client does, as spans and metrics of OpenTelemetry. Needs the extra `otel`, and an SDK of your choice.

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
      region iad            from the first step of the first machine wanted there to the last one of the last, in all
                            stages; there is a second one for the way back, and so for its machines
        machine             from its first step to its last
          POST machines.create      one attempt at one request, from sending it to the verdict; a CLIENT span
          queued machines.create    its time in line before: for the rate limit, for a connection; 1 ms or longer

What is asked for the whole deploy hangs on it directly: looks, plans, the lease that keeps other deploys out. A list
that tells many waits about their machines hangs on the machine whose wait asked for it. Requests outside of deploys
hang on your current span. Spans of requests are made when these end, with the times at which they began and ended.

Attributes of spans:

    fly.app                    all that concerns an app
    fly.region                 regions, machines, and what is asked for them: the region that was wanted
    fly.machine_name           machines, and what is asked for them
    fly.machine_id             machines, as soon as it is known; requests about one machine, and their time in line
    fly.volume_id              requests about one volume, and their time in line
    fly.launch, fly.image      deploys
    fly.strategy               deploys that have one; `undo` for those that undo
    fly.ok                     deploys: whether enough regions run
    fly.phase                  machines: the last phase they came to, such as `started` or `skipped`
    fly.moved_to               machines: the region they fell back to
    fly.rollback               regions and machines, true on the way back
    fly.operation              requests and their time in line: `machines.create`
    fly.request_id             requests: what Fly.io's support asks for
    fly.poll                   long polls: the seconds for which the API was asked to hold its reply
    fly.granted                time in line: false when it ended without a turn, as when it was cancelled
    http.request.method, http.response.status_code, server.address      requests
    http.request.resend_count  requests: 1 for the second attempt
    error.type                 what went wrong: the name of an error's class

What ended with an error has the status ERROR and the name of its class, which is `CancelledError` for what was
cancelled, `DeployFailed` for a deploy whose report is not ok. A region has the first error of its machines. A long poll
that ended with "not yet" is no error. No message of any error is told, no body, no URL, and never a token or a secret.

Metrics; all but the last have the attribute `fly.operation`:

    fly.client.request.duration      histogram, s             attempts; with http.response.status_code and error.type
    fly.client.request.retries       counter, {retry}         attempts after the first
    fly.client.request.rate_limited  counter, {request}       attempts that were answered with 429
    fly.client.queue.duration        histogram, s             time in line; with fly.granted
    fly.client.queue.depth           up-down counter, {request}      attempts in line
    fly.client.limits.lost           gauge, 1                 1 while the shared limits of fly.limits.backing are lost

Beside an instrumentation of aiohttp each request has two spans; its durations have another name than these.
"""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

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
"""Seconds in line from which on they are worth a span; the metrics have them all."""

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Bounds of the histograms in seconds: from a reply at once to the longest waits, which the usual bounds leave out."""

_NAMES: Final = {"deploy": "fly.app", "region": "fly.region", "machine": "fly.machine_name"}
_PARTS: Final = {"machines": "fly.machine_id", "leases": "fly.machine_id", "volumes": "fly.volume_id"}
_OF_APPS: Final = {*_PARTS, "apps", "certificates", "images", "ip_assignments", "logs", "secret_keys", "secrets"}
_OF_ORGS: Final = {"apps.create", "apps.list", "machines.list_org", "volumes.list_org"}


@frozen
class _Around:
    """What the spans of requests are made in: a context, and the attributes that they have from it."""

    context: Context | None
    about: Attributes


@frozen(eq=False)
class _Open(_Around):
    """A span of a deploy, a region or a machine, since `start`."""

    span: trace.Span
    start: int


_NOWHERE: Final = _Around(None, {})


class Telemetry:
    """Tells OpenTelemetry of all that a client does, and then `also`.

        async with FlyClient(on_event=Telemetry()) as fly: ...

    `also` is another hook to tell: the log, as a client without telemetry does; None for none. Without providers the
    global ones count, whether they are set now or later. `clock` gives the time of day in nanoseconds; how long
    something took is by the event loop's clock. One may serve many clients. What fails in it is logged by the client.
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
        self._open: dict[Span, _Open] = {}
        self._hears: dict[type, Callable[[Any], None]] = {
            Queued: self._figures.queued,
            Dequeued: self._dequeued,
            Attempt: self._attempt,
            Began: self._began,
            Ended: self._ended,
            LimitsLost: self._figures.lost,
            LimitsBack: self._figures.back,
        }

    def __call__(self, event: ClientEvent) -> None:
        """Tell of one event."""
        try:
            if hears := self._hears.get(type(event)):
                hears(event)
        finally:
            if self._also:
                self._also(event)

    def _around(self, span: Span | None) -> _Around:
        """Give the span, or the nearest around it that is not over: connections and timers outlast what began them."""
        while span:
            if opened := self._open.get(span):
                return opened
            span = span.parent
        return _NOWHERE

    def _began(self, event: Began) -> None:
        span, around, start = event.span, self._around(event.span.parent), self._clock()
        about = {**around.about, _NAMES[span.kind]: span.name}
        name = f"region {span.name}" if span.kind == "region" else span.kind
        attributes = {**about, **_facts(span)}
        begun = self._tracer.start_span(name, around.context, attributes=attributes, start_time=start)
        self._open[span] = _Open(trace.set_span_in_context(begun, around.context), about, begun, start)

    def _ended(self, event: Ended) -> None:
        if opened := self._open.pop(event.span, None):
            if opened.span.is_recording():
                opened.span.set_attributes(_facts(event.span))
                _fail(opened.span, event.span.error)
            opened.span.end(opened.start + _ns(event.seconds))

    def _dequeued(self, event: Dequeued) -> None:
        self._figures.dequeued(event)
        if event.waited >= LEAST_WAIT:
            end, around = self._clock(), self._around(event.span)
            span = self._tracer.start_span(
                f"queued {event.operation}", around.context, start_time=end - _ns(event.waited)
            )
            if span.is_recording():
                span.set_attributes({**_about(event, around), "fly.granted": event.granted})
            span.end(end)

    def _attempt(self, event: Attempt) -> None:
        self._figures.attempt(event)
        end, around = self._clock(), self._around(event.span)
        span = self._tracer.start_span(
            f"{event.method} {event.operation}" if event.method else event.operation,
            around.context,
            SpanKind.CLIENT,
            start_time=end - _ns(event.seconds),
        )
        if span.is_recording():
            span.set_attributes({**_about(event, around), **_exchange(event)})
            _fail(span, None if event.went_well else event.error)
        span.end(end)


class _Figures:
    """The metrics."""

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

    def queued(self, event: Queued) -> None:
        self._depth.add(1, {"fly.operation": event.operation})

    def dequeued(self, event: Dequeued) -> None:
        self._depth.add(-1, {"fly.operation": event.operation})
        self._waits.record(event.waited, {"fly.operation": event.operation, "fly.granted": event.granted})

    def attempt(self, event: Attempt) -> None:
        operation = {"fly.operation": event.operation}
        if event.number > 1:
            self._retries.add(1, operation)
        if event.status == 429:  # noqa: PLR2004 - its name is no clearer
            self._limited.add(1, operation)
        status = {} if event.status is None else {"http.response.status_code": event.status}
        error = {} if event.went_well or event.error is None else {"error.type": event.error}
        self._duration.record(event.seconds, {**operation, **status, **error})

    def lost(self, event: LimitsLost) -> None:
        self._lost.set(1, {"fly.limits.backing": event.backing})

    def back(self, event: LimitsBack) -> None:
        self._lost.set(0, {"fly.limits.backing": event.backing})


def _about(event: Attempt | Dequeued, around: _Around) -> Attributes:
    """Say what a request is about: what it names itself, and what it is asked for."""
    return {**around.about, **_named(event.operation, event.identifier), "fly.operation": event.operation}


def _named(operation: str, identifier: str) -> Attributes:
    """Read what a rate limit counts by: an app and perhaps a part of it; an organization and the like say nothing."""
    resource = operation.partition(".")[0]
    if resource not in _OF_APPS or operation in _OF_ORGS:
        return {}
    app, _, part = identifier.partition("/")
    return {"fly.app": app, _PARTS[resource]: part} if part and resource in _PARTS else {"fly.app": app}


def _exchange(event: Attempt) -> Attributes:
    said = {
        "http.request.method": event.method,
        "http.request.resend_count": event.number - 1 or None,
        "http.response.status_code": event.status,
        "server.address": event.host,
        "fly.request_id": event.request_id,
        "fly.poll": event.poll,
    }
    return {key: value for key, value in said.items() if value is not None}


def _facts(span: Span) -> Attributes:
    known: Attributes = {} if span.machine_id is None else {"fly.machine_id": span.machine_id}
    return {**known, **{f"fly.{key}": fact for key, fact in span.facts.items()}}


def _fail(span: trace.Span, error: str | None) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR, error)


def _ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
