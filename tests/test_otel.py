"""Telemetry: each deploy, region, machine, request and time in line as a span, and the figures beside them."""

import asyncio
import contextvars
import logging
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import unquote

import pytest
from attrs import define, field
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

import flyasync.otel
from flyasync import (
    Attempt,
    ClientEvent,
    DeployBuilder,
    DeployReport,
    Emulator,
    Fault,
    FlyClient,
    Job,
    LimitsBack,
    LimitsLost,
    MachineConfig,
    MachinePool,
    NotFound,
    PoolExhausted,
    RetryPolicy,
    ServerFault,
    deploy_many,
)
from flyasync.otel import PoolTelemetry, Telemetry
from tests.api.operations import TABLE
from tests.api.test_contract import call, typical
from tests.deploy.conftest import world

TOKEN = "FlyV1 fm2_very_secret"
EPOCH = 1_700_000_000_000_000_000
BASE = DeployBuilder("web").to_regions("iad", "lhr", "nrt").count(2).with_image("nginx").with_launch("v1")
ROLLING = BASE.rolling().smoke_check(0)


@define
class Kept(SpanProcessor):
    """Keeps what began and what ended."""

    begun: list[ReadableSpan] = field(factory=list)
    ended: list[ReadableSpan] = field(factory=list)

    def on_start(self, span: ReadableSpan, parent_context: Any = None) -> None:
        self.begun.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


class Recorded:
    """What an exporter would get from one telemetry, by the loop's clock."""

    def __init__(self, **options: Any) -> None:
        self.kept = Kept()
        self.reader = InMemoryMetricReader()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(self.kept)
        loop = asyncio.get_running_loop()
        self.telemetry = Telemetry(
            tracer_provider=self.provider,
            meter_provider=MeterProvider([self.reader], shutdown_on_exit=False),
            clock=lambda: EPOCH + round(loop.time() * 1e9),
        )

    def forget(self) -> None:
        self.kept.begun.clear()
        self.kept.ended.clear()

    @property
    def spans(self) -> list[ReadableSpan]:
        return self.kept.ended

    def requests(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is SpanKind.CLIENT]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def tree(self) -> Counter[str]:
        """Count spans by their own label after those of all they are part of."""
        by_id = {span_id(span): span for span in self.spans}

        def path(span: ReadableSpan) -> str:
            around = by_id.get(span.parent.span_id) if span.parent else None
            return f"{path(around)} / {label(span)}" if around else label(span)

        return Counter(map(path, self.spans))

    def points(self, metric: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        found = [each for one in data.resource_metrics for scope in one.scope_metrics for each in scope.metrics]
        return [point for each in found if each.name == metric for point in each.data.data_points]

    def sums(self, metric: str, *keys: str) -> dict[Any, float]:
        """Return the value of each point, or its count, by some of its attributes."""
        return {
            tuple((point.attributes or {}).get(key) for key in keys): (
                point.value if isinstance(point, NumberDataPoint) else point.count
            )
            for point in self.points(metric)
        }

    def check(self) -> None:
        """See that each span ended once, within the one it is part of, and that nothing is kept."""
        assert sorted(map(span_id, self.kept.begun)) == sorted(map(span_id, self.spans))
        by_id = {span_id(span): span for span in self.spans}
        for span in self.spans:
            around = by_id.get(span.parent.span_id) if span.parent else None
            if around:
                (begun, ended), (first, last) = times(span), times(around)
                assert first - 1000 <= begun <= ended <= last + 1000
                assert about(span)["fly.app"] == about(around)["fly.app"]
        assert not self.telemetry._open
        assert not any(self.sums("fly.client.queue.depth", "fly.operation").values())


def about(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def label(span: ReadableSpan) -> str:
    name = about(span).get("fly.machine_name" if span.name == "machine" else "fly.app")
    return f"{span.name} {name}" if span.name in {"machine", "deploy"} else span.name


def span_id(span: ReadableSpan) -> int:
    return span.get_span_context().span_id  # type: ignore[union-attr, unused-ignore]


def times(span: ReadableSpan) -> tuple[int, int]:
    return span.start_time or 0, span.end_time or 0


def seconds(span: ReadableSpan) -> float:
    begun, ended = times(span)
    return (ended - begun) / 1e9


def result(span: ReadableSpan) -> tuple[StatusCode, str | None]:
    return span.status.status_code, about(span).get("error.type")


WELL = (StatusCode.UNSET, None)


@asynccontextmanager
async def recorded(
    *, tracing: Mapping[str, Any] | None = None, retry: RetryPolicy | None = None, **options: Any
) -> AsyncIterator[tuple[Emulator, FlyClient, Recorded]]:
    """An emulator with an app, a client of it, and what is recorded of that from then on."""
    seen = Recorded(**(tracing or {}))
    async with world(client={"on_event": seen.telemetry, "retry": retry}, **options) as (emulator, fly):
        seen.forget()
        yield emulator, fly, seen


def answered(emulator: Emulator) -> Counter[tuple[str, str, int | None]]:
    """Count the emulator's requests for machines and the like, by what the client got to see of them."""
    lost = {"cut", "cut_after", "lose_answer"}
    told = (entry for entry in emulator.log if entry.action != "createApp")
    return Counter((each.method, each.path, None if lost & set(each.faults) else each.status) for each in told)


def asked(seen: Recorded) -> Counter[tuple[str, str, int | None]]:
    """Count the spans of requests in the same way."""
    paths = {
        "machines.list": "/v1/apps/{app}/machines",
        "machines.create": "/v1/apps/{app}/machines",
        "machines.get": "/v1/apps/{app}/machines/{machine}",
        "machines.update": "/v1/apps/{app}/machines/{machine}",
        "machines.delete": "/v1/apps/{app}/machines/{machine}",
        "machines.wait": "/v1/apps/{app}/machines/{machine}/wait",
        "leases.acquire": "/v1/apps/{app}/machines/{machine}/lease",
        "leases.release": "/v1/apps/{app}/machines/{machine}/lease",
        "secrets.list": "/v1/apps/{app}/secrets",
        "platform.regions": "/v1/platform/regions",
        "images.resolve": "/graphql",
    }
    return Counter(
        (
            about(span)["http.request.method"],
            paths[about(span)["fly.operation"]].format(
                app=about(span).get("fly.app"), machine=about(span).get("fly.machine_id")
            ),
            about(span).get("http.response.status_code"),
        )
        for span in seen.requests()
    )


async def test_the_tree_of_a_launch_is_deploy_region_machine_request() -> None:
    async with recorded(seed=1) as (emulator, fly, seen):
        assert (await BASE.execute(fly)).ok
        assert asked(seen) == answered(emulator)
    deploy = "deploy web"
    every = [(region, f"{deploy} / region {region} / machine v1-{region}") for region in ("iad", "lhr", "nrt")]
    queued = {place: count for place, count in seen.tree().items() if "queued" in place}
    assert {place: count for place, count in seen.tree().items() if place not in queued} == {
        deploy: 1,
        f"{deploy} / GET platform.regions": 1,
        f"{deploy} / GET machines.list": 2,
        f"{deploy} / GET secrets.list": 1,
        f"{deploy} / POST images.resolve": 1,
        **{f"{deploy} / region {region}": 1 for region, _ in every},
        **{f"{machine}-{number}": 1 for _, machine in every for number in (1, 2)},
        **{f"{machine}-{number} / POST machines.create": 1 for _, machine in every for number in (1, 2)},
        **{f"{machine}-{number} / GET machines.wait": 1 for _, machine in every for number in (1, 2)},
    }
    # Two creates leave at once; the other four wait for their turn, one of each region at a time.
    assert set(queued.values()) == {1}
    assert all(place.endswith(" / queued machines.create") for place in queued)
    assert sorted(round(seconds(span)) for span in seen.named("queued machines.create")) == [1, 1, 2, 3]
    seen.check()


async def test_spans_carry_what_people_search_for() -> None:
    async with recorded(seed=1) as (_, fly, seen):
        report = await ROLLING.execute(fly)
    ids = {machine.name: machine.id for machine in report.running}
    (deploy,) = seen.named("deploy")
    assert deploy.kind is SpanKind.INTERNAL
    assert about(deploy) == {
        "fly.app": "web", "fly.launch": "v1", "fly.image": report.image, "fly.strategy": "rolling", "fly.ok": True,
    }  # fmt: skip
    (region,) = seen.named("region lhr")
    assert about(region) == {"fly.app": "web", "fly.region": "lhr"}
    machine = {"fly.app": "web", "fly.region": "lhr", "fly.machine_name": "app-lhr-1"}
    (span,) = (each for each in seen.named("machine") if about(each)["fly.machine_name"] == "app-lhr-1")
    assert about(span) == {**machine, "fly.machine_id": ids["app-lhr-1"], "fly.phase": "started"}
    create, wait = (each for each in seen.requests() if each.parent == span.context)
    request = {"http.response.status_code": 200, "server.address": "127.0.0.1"}
    assert {key: value for key, value in about(create).items() if key != "fly.request_id"} == {
        **machine, **request, "fly.operation": "machines.create", "http.request.method": "POST",
    }  # fmt: skip
    assert {key: value for key, value in about(wait).items() if key != "fly.request_id"} == {
        **machine, **request, "fly.operation": "machines.wait", "http.request.method": "GET",
        "fly.machine_id": ids["app-lhr-1"], "fly.poll": 5.0,
    }  # fmt: skip
    assert len({about(each)["fly.request_id"] for each in seen.requests()}) == len(seen.requests())
    (queued, *_) = seen.named("queued machines.create")
    assert about(queued)["fly.granted"] is True
    assert {result(each) for each in seen.spans} == {WELL}
    seen.check()


async def test_trouble_shows_where_it_was_and_every_request_has_its_span() -> None:
    trouble = [
        Fault(does="refuse", action="createMachine", region="iad", status=429, headers={"Retry-After": "3"}, times=1),
        Fault(does="refuse", action="listMachines", status=503, times=1),
        Fault(does="lose_answer", action="createMachine", region="nrt", times=1),
        Fault(does="cut", action="waitMachine", times=1),
    ]
    async with recorded(seed=1, faults=trouble) as (emulator, fly, seen):
        assert (await BASE.execute(fly)).ok
        assert all(emulator.faults.hits(each) == 1 for each in trouble)
        assert asked(seen) == answered(emulator)
    failed = Counter(
        (span.name, about(span)["error.type"], span.status.description)
        for span in seen.spans
        if span.status.status_code is StatusCode.ERROR
    )
    assert failed == {
        ("POST machines.create", "RateLimited", "RateLimited"): 1,
        ("GET machines.list", "ServerFault", "ServerFault"): 1,
        ("POST machines.create", "NoReplyInTime", "NoReplyInTime"): 1,
        ("GET machines.wait", "ConnectionLost", "ConnectionLost"): 1,
    }
    again = [span for span in seen.requests() if "http.request.resend_count" in about(span)]
    assert Counter((span.name, about(span)["http.request.resend_count"], result(span)) for span in again) == {
        ("POST machines.create", 1, WELL): 1,
        ("GET machines.list", 1, WELL): 1,
    }
    (lost,) = (span for span in seen.requests() if about(span).get("error.type") == "NoReplyInTime")
    assert about(lost)["fly.machine_name"].startswith("v1-nrt-")
    assert "fly.request_id" not in about(lost)
    assert seconds(lost) == pytest.approx(30, abs=0.1)
    (limited,) = (span for span in seen.requests() if about(span).get("http.response.status_code") == 429)
    assert "fly.request_id" in about(limited)
    seen.check()


async def test_a_rolling_update_with_trouble_keeps_every_request_with_its_machine() -> None:
    trouble = [
        Fault(does="refuse", action="updateMachine", status=503, times=2),
        Fault(does="lose_answer", action="updateMachine", after=3, times=1),
        Fault(does="cut_after", action="machinesReleaseLease", times=1),
    ]
    async with recorded(seed=1) as (emulator, fly, seen):
        await ROLLING.execute(fly)
        emulator.faults.add(*trouble)
        assert (await ROLLING.with_image("nginx:2").with_launch("v2").execute(fly)).ok
        assert all(emulator.faults.hits(each) for each in trouble)
        assert asked(seen) == answered(emulator)
        machines = {machine.name: machine.id for machine in await fly.machines.list("web")}
    for span in seen.requests():
        if "fly.machine_name" in about(span) and "fly.machine_id" in about(span):
            assert machines[about(span)["fly.machine_name"]] == about(span)["fly.machine_id"]
            assert f"-{about(span)['fly.region']}-" in about(span)["fly.machine_name"]
    (update,) = (span for span in seen.named("deploy") if about(span)["fly.launch"] == "v2")
    below = {span.context.span_id for span in seen.spans if span.context and span.parent == update.context}
    machines_below = [span for span in seen.named("machine") if span.parent and span.parent.span_id in below]
    assert Counter(about(span)["fly.region"] for span in machines_below) == {"iad": 2, "lhr": 2, "nrt": 2}
    seen.check()


async def test_a_failed_machine_makes_its_region_and_its_deploy_fail_and_no_other() -> None:
    async with recorded(seed=1, faults=[Fault(does="fail", region="lhr")]) as (_, fly, seen):
        assert not (await BASE.require("all").roll_back_on_failure().execute(fly)).ok
    there = [span for span in seen.spans if span.kind is SpanKind.INTERNAL and "fly.rollback" not in about(span)]
    errors = {(span.name, about(span).get("fly.region")): result(span) for span in there if "queued" not in span.name}
    failed = (StatusCode.ERROR, "WaitFailed")
    expected: dict[tuple[str, Any], Any] = {
        ("deploy", None): (StatusCode.ERROR, "DeployFailed"),
        ("region lhr", "lhr"): failed,
        ("machine", "lhr"): failed,
        **{(name, region): WELL for region in ("iad", "nrt") for name in (f"region {region}", "machine")},
    }
    assert errors == expected
    back = [span for span in seen.spans if "fly.rollback" in about(span)]
    assert Counter(span.name for span in back) == {"machine": 6, "region iad": 1, "region lhr": 1, "region nrt": 1}
    assert {about(span)["fly.phase"] for span in back if span.name == "machine"} == {"destroyed"}
    seen.check()


@pytest.mark.parametrize("after", [0.1, 0.7, 1.3, 2.2, 4.0])
async def test_a_cancelled_deploy_says_so_and_leaves_no_span_and_no_attempt_in_the_queue(after: float) -> None:
    async with recorded(seed=1, latency=(0.2, 0.4), boot=(8, 12)) as (_, fly, seen):
        deploy = asyncio.ensure_future(BASE.count(3).execute(fly))
        await asyncio.sleep(after)
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
    (span,) = seen.named("deploy")
    assert result(span) == (StatusCode.ERROR, "CancelledError")
    assert about(span)["fly.ok"] is False
    for queued in (each for each in seen.spans if each.name.startswith("queued")):
        assert result(queued) == WELL
    seen.check()


async def test_a_wait_in_line_that_is_cancelled_has_a_span_without_a_turn() -> None:
    async with recorded(seed=1) as (_, fly, seen):
        lists = [asyncio.ensure_future(fly.machines.list("web")) for _ in range(8)]
        await asyncio.sleep(0.5)
        assert seen.sums("fly.client.queue.depth", "fly.operation")["machines.list",] > 3
        for each in lists:
            each.cancel()
        await asyncio.gather(*lists, return_exceptions=True)
        waits = seen.named("queued machines.list")
        assert waits
        assert {about(span)["fly.granted"] for span in waits} == {False}
        assert {round(seconds(span), 2) for span in waits} == {0.5}
        assert len(seen.requests()) + len(waits) == 8
        assert seen.sums("fly.client.queue.duration", "fly.granted") == {
            (True,): 8 - len(waits),
            (False,): len(waits),
        }
    seen.check()


async def test_a_long_poll_that_says_not_yet_is_no_error() -> None:
    async with recorded(seed=1, boot=(8, 8)) as (_, fly, seen):
        (machine, *_) = (await BASE.to_regions("iad").wait_for(None).count(1).execute(fly)).machines
        await fly.machines.wait("web", machine.id or "", state="started")
    first, *_ = seen.named("GET machines.wait")
    assert about(first)["http.response.status_code"] == 408
    assert seconds(first) == pytest.approx(5, abs=0.1)
    assert {result(span) for span in seen.named("GET machines.wait")} == {WELL}
    assert {error for (error,) in seen.sums("fly.client.request.duration", "error.type")} == {None}


async def test_deploys_at_once_have_traces_of_their_own() -> None:
    async with recorded(seed=1, latency=(0.01, 0.2)) as (_, fly, seen):
        for app in ("shop-a", "shop-b"):
            await fly.apps.create(app, org_slug="personal")
        seen.forget()
        async with aclosing(deploy_many(fly, BASE, ["shop-a", "shop-b"])) as reports:
            assert [report.ok async for report in reports] == [True, True]
    traces = {span.context.trace_id: about(span)["fly.app"] for span in seen.named("deploy") if span.context}
    assert sorted(traces.values()) == ["shop-a", "shop-b"]
    for span in seen.spans:
        assert span.context
        if span not in seen.named("POST images.resolve"):  # which is asked once for all apps
            assert about(span)["fly.app"] == traces[span.context.trace_id]
    assert Counter(about(span)["fly.app"] for span in seen.named("machine")) == {"shop-a": 6, "shop-b": 6}
    seen.check()


async def test_all_hangs_on_the_users_own_span_with_or_without_a_deploy() -> None:
    async with recorded(seed=1) as (_, fly, seen):
        with seen.provider.get_tracer("release").start_as_current_span("release") as mine:
            await fly.machines.list("web")
            await BASE.count(1).execute(fly)
        await fly.machines.list("web")
        *_, after = seen.requests()
        inside = [span for span in seen.spans if span is not after and span.name != "release"]
    assert after.parent is None
    assert {span.context.trace_id for span in inside if span.context} == {mine.get_span_context().trace_id}
    below = [span.name for span in inside if span.parent and span.parent.span_id == mine.get_span_context().span_id]
    assert sorted(below) == ["GET machines.list", "deploy"]


@define
class FarAway:
    """An executor whose jobs arrive as bytes, and run without any context of this process."""

    fly: FlyClient

    async def execute(self, job: Job) -> DeployReport:
        packed = job.packed()
        return await asyncio.create_task(Job.unpacked(packed).run(self.fly), context=contextvars.Context())


async def test_deploys_in_other_processes_belong_to_the_trace_of_the_sender() -> None:
    async with recorded(seed=1) as (_, fly, seen):
        far = FarAway(fly)
        with seen.provider.get_tracer("release").start_as_current_span("release") as mine:
            async with aclosing(deploy_many(fly, BASE.count(1), ["web"], executor=far)) as reports:
                assert [report.ok async for report in reports] == [True]
        # Without a span there is nothing to send, and the trace is a new one.
        async with aclosing(deploy_many(fly, BASE.count(1), ["web"], executor=far)) as reports:
            assert [report.ok async for report in reports] == [True]
    first, second = seen.named("deploy")
    assert first.parent
    assert first.parent.is_remote
    assert first.parent.span_id == mine.get_span_context().span_id
    assert second.parent is None


async def test_the_figures_are_those_of_the_requests() -> None:
    trouble = [
        Fault(does="refuse", action="listMachines", status=429, times=2),
        Fault(does="refuse", action="getMachine", status=500, times=1),
        Fault(does="cut", action="getRegions", times=1),
    ]
    async with recorded(seed=1, latency=(0.25, 0.25), faults=trouble, retry=RetryPolicy(base=0.01)) as (_, fly, seen):
        await fly.machines.list("web")
        with suppress(NotFound):
            await fly.machines.get("web", "missing")
        await fly.platform.regions()
    assert seen.sums("fly.client.request.rate_limited", "fly.operation") == {("machines.list",): 2}
    retries = seen.sums("fly.client.request.retries", "fly.operation")
    assert retries == {("machines.list",): 2, ("machines.get",): 2, ("platform.regions",): 1}
    durations = seen.sums("fly.client.request.duration", "fly.operation", "http.response.status_code", "error.type")
    assert {key: count for key, count in durations.items() if key[0] != "apps.create"} == {
        ("machines.list", 429, "RateLimited"): 2,
        ("machines.list", 200, None): 1,
        ("machines.get", 500, "ServerFault"): 1,
        ("machines.get", 404, "NotFound"): 2,
        ("platform.regions", None, "ConnectionLost"): 1,
        ("platform.regions", 200, None): 1,
    }
    waits = {(point.attributes or {})["fly.operation"]: point for point in seen.points("fly.client.queue.duration")}
    assert all(300.0 in point.explicit_bounds for point in waits.values())
    assert sum(seconds(span) for span in seen.named("queued machines.list")) == pytest.approx(
        waits["machines.list"].sum, abs=0.01
    )
    seen.check()


async def test_metrics_name_no_machine_and_no_app() -> None:
    async with recorded(seed=1) as (_, fly, seen):
        await ROLLING.execute(fly)
    data = seen.reader.get_metrics_data()
    assert data
    (scope,) = data.resource_metrics[0].scope_metrics
    assert scope.scope.name == "flyasync"
    assert {metric.name: metric.unit for metric in scope.metrics} == {
        "fly.client.request.duration": "s",
        "fly.client.queue.duration": "s",
        "fly.client.queue.depth": "{request}",
    }
    keys = {key for metric in scope.metrics for point in metric.data.data_points for key in point.attributes or {}}
    assert keys == {"fly.operation", "http.response.status_code", "fly.granted"}
    assert all(isinstance(metric.data, Histogram) for metric in scope.metrics if metric.unit == "s")


async def test_lost_limits_are_one_until_they_are_back() -> None:
    seen = Recorded()
    seen.telemetry(LimitsLost(backing="redis://cache:6379", reason="timeout", workers=3))
    assert seen.sums("fly.client.limits.lost", "fly.limits.backing") == {("redis://cache:6379",): 1}
    seen.telemetry(LimitsBack(backing="redis://cache:6379", seconds=4.0))
    assert seen.sums("fly.client.limits.lost", "fly.limits.backing") == {("redis://cache:6379",): 0}


async def test_no_secret_is_told() -> None:
    seen = Recorded()
    secrets = (TOKEN, "fm2_very_secret", "hunter2-env", "hunter2-app", "hunter2-body")
    echoing = Fault(does="refuse", action="createMachine", region="lhr", status=422, body={"error": "hunter2-body"})
    async with (
        Emulator(seed=1, faults=[echoing]) as emulator,
        FlyClient(TOKEN, base_url=emulator.url, on_event=seen.telemetry) as fly,
    ):
        await fly.apps.create("web", org_slug="personal")
        await fly.secrets.set("web", "PASSWORD", "hunter2-app")
        await fly.tokens.authenticate(TOKEN)
        report = await ROLLING.with_env({"PASSWORD": "hunter2-env"}).execute(fly)
        assert "hunter2-body" in str(report)
    told = [span.to_json() for span in seen.spans]
    assert len(told) > 10
    assert not [text for text in told for secret in secrets if secret in text]
    figures = seen.reader.get_metrics_data()
    assert figures
    assert not [secret for secret in secrets if secret in figures.to_json()]
    assert not [span for span in seen.spans if span.events]


@pytest.mark.parametrize("name", TABLE)
async def test_ids_are_read_off_every_operation(name: str) -> None:
    seen = Recorded()
    (request, *_), _ = call(TABLE[name], typical(name))
    seen.telemetry(
        Attempt(
            operation=request.operation,
            identifier=request.identifier,
            number=1,
            waited=0,
            seconds=0,
            status=200,
            request_id=None,
            error=None,
        )
    )
    (span,) = seen.spans
    found = re.match(
        r"/v1/apps/(?P<app>[^/]+)(/machines/(?P<machine>[^/]+))?(/volumes/(?P<volume>[^/]+))?", request.path
    )
    parts = found.groupdict() if found else {}
    assert about(span) == {
        "fly.operation": request.operation,
        "http.response.status_code": 200,
        **({"fly.app": unquote(parts["app"])} if parts.get("app") else {}),
        **({"fly.machine_id": parts["machine"]} if parts.get("machine") else {}),
        **({"fly.volume_id": parts["volume"]} if parts.get("volume") else {}),
    }


async def test_the_log_goes_on_beside_it_unless_it_is_sent_away(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "flyasync")
    provider = TracerProvider(shutdown_on_exit=False)
    heard: list[ClientEvent] = []

    def broken(event: ClientEvent) -> None:
        heard.append(event)
        raise RuntimeError("it fails")

    lines = []
    ways: tuple[dict[str, Any], ...] = ({}, {"also": None}, {"also": heard.append}, {"also": broken})
    for also in ways:
        telemetry = Telemetry(tracer_provider=provider, **also)
        async with world(client={"on_event": telemetry}) as (_, fly):
            caplog.clear()
            await fly.machines.list("web")
            lines.append([record.getMessage() for record in caplog.records])
    logged, silent, _, failed = lines
    assert [line.split(":")[0] for line in logged] == ["machines.list web"]
    assert silent == []
    assert Counter(type(event).__name__ for event in heard) == {"Queued": 4, "Dequeued": 4, "Attempt": 4}
    assert failed == [f"on_event failed for {name}" for name in ("Queued", "Dequeued", "Attempt")]


async def test_another_hook_hears_even_what_telemetry_could_not_tell(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise RuntimeError("no room")

    heard: list[ClientEvent] = []
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Broken())
    telemetry = Telemetry(heard.append, tracer_provider=provider)
    async with world(client={"on_event": telemetry}) as (_, fly):
        assert (await BASE.execute(fly)).ok
    assert {"Began", "Attempt", "Ended"} <= {type(event).__name__ for event in heard}
    assert "on_event failed for Began" in caplog.text
    assert not telemetry._open


async def test_without_an_sdk_nothing_is_recorded_and_all_works() -> None:
    telemetry = Telemetry(tracer_provider=trace.NoOpTracerProvider())
    async with world(client={"on_event": telemetry}) as (_, fly):
        assert (await ROLLING.execute(fly)).ok
    assert not telemetry._open


async def test_what_is_not_sampled_is_not_told() -> None:
    async with recorded(seed=1, tracing={"sampler": ALWAYS_OFF}) as (_, fly, seen):
        assert (await BASE.execute(fly)).ok
    assert not seen.kept.begun
    assert seen.sums("fly.client.request.duration", "fly.operation")["machines.create",] == 6
    seen.check()


async def test_a_deploy_that_is_closed_unfinished_has_a_span() -> None:
    async with recorded(seed=1) as (_, fly, seen):
        deploy = BASE.execute(fly)
        contextvars.copy_context().run(deploy.send, None)
        await asyncio.sleep(0)
        deploy.close()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left)
    (span,) = seen.named("deploy")
    assert result(span) == (StatusCode.ERROR, "CancelledError")
    assert not seen.telemetry._open


async def test_what_outlasts_a_machine_belongs_to_what_is_around_it() -> None:
    """Connections and timers begun for one machine go on after it, and so might a task of a user's own."""
    async with recorded(seed=1) as (_, fly, seen):
        loop, gate = asyncio.get_running_loop(), asyncio.Event()

        async def later() -> None:
            await gate.wait()
            await fly.machines.list("web")

        with fly.spans.over("deploy", "web"):
            with fly.spans.over("machine", "m1"):
                task = loop.create_task(later())
                await asyncio.sleep(1)
            gate.set()
            await task
    (span,) = seen.requests()
    (deploy,) = seen.named("deploy")
    assert span.parent == deploy.context
    assert "fly.machine_name" not in about(span)
    seen.check()


async def test_calls_that_give_up_have_a_span_for_each_attempt() -> None:
    down = Fault(does="refuse", action="listMachines", status=503)
    async with recorded(seed=1, faults=[down], retry=RetryPolicy(attempts=3)) as (_, fly, seen):
        with pytest.raises(ServerFault):
            await fly.machines.list("web")
    lists = seen.named("GET machines.list")
    assert [about(span).get("http.request.resend_count") for span in lists] == [None, 1, 2]
    assert {result(span) for span in lists} == {(StatusCode.ERROR, "ServerFault")}


RUN_EXAMPLE = """
import ast, os, sys
from flyasync import Emulator, FlyClient
from flyasync.testing import run_virtual

example = compile(sys.argv[1], "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

async def main():
    async with Emulator(seed=1) as emulator:
        os.environ |= emulator.environment()
        async with FlyClient() as fly:
            await fly.apps.create("web", org_slug="personal")
        await eval(example, {})

run_virtual(main())
"""


def test_the_example_of_the_module_does_what_it_says() -> None:
    """In a process of its own: providers are set once in each."""
    example = dedent((flyasync.otel.__doc__ or "").partition("\n\n")[2].partition("\nSpans:")[0])
    program = [sys.executable, "-c", RUN_EXAMPLE, example]
    said = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    for name in ("deploy", "region iad", "region lhr", "machine", "POST machines.create"):
        assert f'"name": "{name}"' in said
    assert "fly.client.request.duration" in said


def test_every_attribute_and_metric_is_in_the_table() -> None:
    told = set(re.findall(r"\"((?:fly|http|server|error)\.[a-z_.]+)\"", Path(flyasync.otel.__file__).read_text()))
    facts = {f"fly.{fact}" for fact in ("launch", "image", "strategy", "ok", "phase", "moved_to", "rollback")}
    missing = [name for name in told | facts if name not in (flyasync.otel.__doc__ or "")]
    assert not missing


@pytest.mark.parametrize(
    "module", ["flyasync", "flyasync.api.client", "flyasync.deploy.builder", "flyasync.transport.events"]
)
def test_opentelemetry_is_imported_by_nothing_else(module: str) -> None:
    program = f"import sys, {module}; print('opentelemetry' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "False\n"
    )


def test_a_job_with_a_trace_context_runs_without_opentelemetry() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from flyasync.deploy.many.trace_context import current_trace_context, in_trace_context
assert current_trace_context() == {}
with in_trace_context({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}):
    print("ran")
"""
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "ran\n"


async def test_a_pool_is_recorded_as_metrics() -> None:
    reader = InMemoryMetricReader()
    telemetry = PoolTelemetry("web", "small", meter_provider=MeterProvider([reader], shutdown_on_exit=False))
    async with Emulator(seed=1) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create("web", org_slug="personal")
        config = MachineConfig(image="nginx")
        pool = MachinePool(fly, "web", config, ready=1, max=2, name="small", on_event=telemetry)
        await pool.reconcile()
        await asyncio.sleep(10)
        async with pool.acquire("alice"), pool.acquire("bob"):
            with suppress(PoolExhausted):
                async with pool.acquire("carol", timeout=2):
                    pytest.fail("the pool is full")
            await asyncio.sleep(2)
            telemetry.record_status(await pool.status())

    data = reader.get_metrics_data()
    assert data
    found = {each.name: each for one in data.resource_metrics for scope in one.scope_metrics for each in scope.metrics}

    def values(name: str, key: str) -> dict[Any, Any]:
        points: list[Any] = list(found[name].data.data_points)
        assert all((each.attributes["fly.app"], each.attributes["fly.pool"]) == ("web", "small") for each in points)
        return {each.attributes.get(key): getattr(each, "value", None) or getattr(each, "count", 0) for each in points}

    assert values("fly.pool.claim.duration", "fly.source") == {"warm": 1, "cold": 1, None: 1}
    assert values("fly.pool.claim.duration", "error.type") == {"PoolExhausted": 1, None: 1}
    assert values("fly.pool.claim.held", "-") == {None: 2}
    assert values("fly.pool.claims", "-") == {None: 0}
    assert values("fly.pool.cold_starts", "-") == {None: 1}
    assert values("fly.pool.machines.created", "-") == {None: 1}
    assert values("fly.pool.machines.destroyed", "fly.reason") == {"released": 2}
    assert values("fly.pool.machines", "fly.state") == {"ready": 0, "claimed": 2, "kept": 0}
    assert values("fly.pool.max", "-") == {None: 2}
    assert all("alice" not in str(each.attributes) for metric in found.values() for each in metric.data.data_points)
