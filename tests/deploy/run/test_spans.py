"""What a client's observer receives of deploys: what each request is for, and when that began and ended."""

import asyncio
import contextvars
import gc
from collections import Counter
from contextlib import aclosing, suppress
from itertools import pairwise
from typing import Any

import pytest
from attrs import Factory, define

from flyasync import (
    Attempt,
    Began,
    ClientEvent,
    DeployBuilder,
    Ended,
    Fault,
    FlyClient,
    LeaseHeld,
    NotFound,
    Queued,
    Span,
    deploy_many,
)
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.transport.events import current
from tests.deploy.conftest import world

REGIONS = ("iad", "lhr", "nrt")
APP = DeployBuilder("web").to_regions(*REGIONS).count(2).with_image("nginx:1").rolling().smoke_check(0)
LHR_BREAKS = Fault(does="fail", region="lhr")


def path(span: Span | None) -> str:
    """Name a span and all it is part of."""
    return "/".join(filter(None, [path(span.parent), span.name])) if span else ""


@define
class Heard:
    """An observer that keeps every event."""

    events: list[ClientEvent] = Factory(list)

    def __call__(self, event: ClientEvent) -> None:
        self.events.append(event)

    def attempts(self, operation: str = "") -> list[Attempt]:
        return [each for each in self.events if isinstance(each, Attempt) and operation in {"", each.operation}]

    def begun(self, kind: str = "") -> list[Span]:
        return [each.span for each in self.events if isinstance(each, Began) and kind in {"", each.span.kind}]

    def ended(self) -> list[Span]:
        return [each.span for each in self.events if isinstance(each, Ended)]

    def span(self, name: str) -> Span:
        """Give the only span of that path."""
        (found,) = (span for span in self.begun() if path(span) == name)
        return found

    def seconds(self, name: str) -> float:
        (found,) = (each.seconds for each in self.events if isinstance(each, Ended) and path(each.span) == name)
        return found

    def asked_in(self) -> Counter[str]:
        return Counter(f"{path(each.span)} {each.operation}" for each in self.attempts())

    def check(self) -> None:
        """Check that each span ended once, after all of its parts, and that no event was in a span that was over."""
        assert sorted(map(id, self.begun())) == sorted(map(id, self.ended()))
        open_: set[Span | None] = {None}
        for event in self.events:
            if isinstance(event, Began):
                assert event.span.parent in open_
                open_.add(event.span)
            elif isinstance(event, Ended):
                open_.remove(event.span)
                assert not [span for span in open_ if span and span.parent is event.span]
            elif isinstance(event, Attempt | Queued):
                assert event.span in open_, event


def watched(heard: Heard, **options: Any) -> dict[str, Any]:
    return {"client": {"on_event": heard, **options}}


async def test_each_request_of_a_launch_is_told_with_what_it_is_for(base: DeployBuilder) -> None:
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (emulator, fly):
        await base.count(2).execute(fly)
        assert current() is None
        machines = {machine.name: machine.id for machine in await fly.machines.list("web")}
    every = [f"web/{region}/v1-{region}-{number}" for region in REGIONS for number in (1, 2)]
    assert heard.asked_in() == {
        " apps.create": 1,
        "web platform.regions": 1,
        "web machines.list": 2,
        "web images.resolve": 1,
        "web secrets.list": 1,
        **{f"{each} machines.create": 1 for each in every},
        **{f"{each} machines.wait": 1 for each in every},
        " machines.list": 1,
    }
    assert len(heard.attempts()) == len(emulator.log)
    assert len(heard.begun("region")) == 3
    assert {span.name: span.machine_id for span in heard.begun("machine")} == machines
    assert all(span.error is None for span in heard.begun())
    heard.check()


async def test_spans_say_what_is_known_of_a_deploy_and_its_machines(base: DeployBuilder) -> None:
    heard = Heard()
    async with world(seed=1, capacity={"lhr": 0, "nrt": 0}, **watched(heard)) as (emulator, fly):
        await base.fallback("ams").to_regions("iad", "lhr").execute(fly)
        await base.fallback("nrt").with_launch("v2").to_regions("nrt", "iad").rolling().execute(fly)
    first, second = heard.begun("deploy")
    image = f"nginx@{emulator.world.images.digest('nginx')}"
    assert first.facts == {"launch": "v1", "image": image, "ok": True}
    assert second.facts == {"launch": "v2", "image": image, "strategy": "rolling", "ok": False}
    assert (first.error, second.error) == (None, "DeployFailed")
    assert heard.span("web/lhr/v1-lhr-1").facts == {"phase": "started", "moved_to": "ams"}
    assert heard.span("web/nrt/app-nrt-1").facts == {"phase": "skipped"}
    assert heard.span("web/nrt/app-nrt-1").machine_id is None
    assert heard.span("web/nrt/app-nrt-1").error is None
    heard.check()


async def test_a_machine_in_many_stages_is_one_and_its_region_lasts_from_the_first_to_the_last() -> None:
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (_, fly):
        await APP.execute(fly)
        blue = {machine.name for machine in await fly.machines.list("web")}
        heard.events.clear()
        loop = asyncio.get_running_loop()
        start = loop.time()
        report = await APP.with_image("nginx:2").bluegreen(drain=7).wait_for("started").execute(fly)
        assert report.ok, str(report)
        took = loop.time() - start
    machines = [span.name for span in heard.begun("machine")]
    assert len(machines) == len(set(machines)) == 12
    assert blue < set(machines)
    assert [span.name for span in heard.begun("region")] == list(REGIONS)
    for region in REGIONS:
        here = [span for span in heard.begun("machine") if span.parent and span.parent.name == region]
        assert len(here) == 4
        assert heard.seconds(f"web/{region}") >= max(heard.seconds(path(span)) for span in here) > 7
    assert heard.seconds("web") == pytest.approx(took, abs=0.01)
    assert heard.seconds("web") > max(heard.seconds(f"web/{region}") for region in REGIONS)
    assert {heard.span(f"web/{name[4:7]}/{name}").facts["phase"] for name in blue} == {"destroyed"}
    heard.check()


async def test_the_lease_that_locks_is_the_deploys_and_the_others_are_their_machines() -> None:
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (_, fly):
        await APP.smoke_check(40).execute(fly)  # makes its first machine alone, and locks on it
        first, *_ = heard.attempts("leases.acquire")
        assert len(heard.attempts("leases.acquire")) > 3
        assert {each.identifier for each in heard.attempts("leases.acquire")} == {first.identifier}
        assert {path(each.span) for each in heard.attempts("leases.acquire")} == {"web"}
        heard.events.clear()
        await APP.with_image("nginx:2").execute(fly)
    for attempt in heard.attempts("leases.acquire") + heard.attempts("leases.release"):
        is_machines = attempt.span and attempt.span.machine_id == attempt.identifier.removeprefix("web/")
        assert is_machines or (path(attempt.span) == "web" and attempt.identifier == first.identifier)
    assert {path(attempt.span).count("/") for attempt in heard.attempts("leases.release")} == {0, 2}
    heard.check()


async def test_a_failure_names_its_error_at_the_machine_its_region_and_the_deploy() -> None:
    heard = Heard()
    async with world(seed=1, faults=[LHR_BREAKS], **watched(heard)) as (_, fly):
        await APP.require("all").execute(fly)
    errors = {path(span): span.error for span in heard.begun() if span.error}
    assert errors.pop("web") == "DeployFailed"
    assert errors.pop("web/lhr") == "WaitFailed"
    assert errors
    assert all(name.startswith("web/lhr/") and error == "WaitFailed" for name, error in errors.items())
    assert heard.span("web").facts["ok"] is False
    heard.check()


async def test_a_region_ends_with_its_last_machine_and_not_with_the_deploy() -> None:
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (_, fly):
        await APP.execute(fly)
        heard.events.clear()
        assert (await APP.with_image("nginx:2").region_by_region().execute(fly)).ok
    course = [
        f"{type(each).__name__} {each.span.name}"
        for each in heard.events
        if isinstance(each, Began | Ended) and each.span.kind == "region"
    ]
    assert course == [f"{what} {region}" for region in REGIONS for what in ("Began", "Ended")]
    heard.check()


async def test_machines_that_were_never_begun_are_not_told_and_what_had_begun_ends() -> None:
    """The machines of the other regions have started, and wait in vain to be uncordoned."""
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (emulator, fly):
        await APP.execute(fly)
        blue = {machine.name for machine in await fly.machines.list("web")}
        heard.events.clear()
        emulator.faults.add(LHR_BREAKS)
        report = await APP.with_image("nginx:2").bluegreen().wait_for("started").execute(fly)
        assert not report.ok
    begun = {span.name: span.facts["phase"] for span in heard.begun("machine")}
    assert begun
    assert not begun.keys() & blue
    assert {phase for name, phase in begun.items() if "lhr" not in name} == {"started"}
    heard.check()


async def test_the_way_back_of_a_group_is_part_of_its_deploy() -> None:
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (emulator, fly):
        await APP.execute(fly)
        heard.events.clear()
        emulator.faults.add(Fault(does="fail", region="lhr", image="nginx:2"))
        report = await APP.with_image("nginx:2").require("all").roll_back_on_failure().execute(fly)
        assert report.rollback
        assert report.rollback.ok, str(report)
    (deploy,) = heard.begun("deploy")
    assert deploy.error == "DeployFailed"
    there = [span for span in heard.begun("region") if "rollback" not in span.facts]
    back = [span for span in heard.begun("region") if span.facts.get("rollback")]
    assert {span.name for span in back} <= {span.name for span in there}
    assert "lhr" in {span.name for span in back}
    assert all(span.error is None for span in back)
    for span in heard.begun("machine"):
        assert span.facts.get("rollback") == (span.parent and span.parent.facts.get("rollback"))
    heard.check()


async def test_the_machines_of_a_launch_that_are_taken_back_are_part_of_its_deploy(base: DeployBuilder) -> None:
    heard = Heard()
    slow = Fault(does="delay", action="deleteMachine", seconds=9, times=1)
    async with world(seed=1, faults=[LHR_BREAKS, slow], **watched(heard)) as (_, fly):
        await base.require("all").roll_back_on_failure().execute(fly)
    back = [span for span in heard.begun("machine") if span.facts.get("rollback")]
    assert {path(span) for span in back} == {f"web/{region}/v1-{region}-1" for region in REGIONS}
    assert {each.span for each in heard.attempts("machines.delete")} == set(back)
    assert all(span.error is None and span.facts["phase"] == "destroyed" for span in back)
    took = {each.span: each.seconds for each in heard.events if isinstance(each, Ended)}
    assert sorted(round(took[span]) for span in back) == [0, 0, 9]
    heard.check()


async def test_an_undo_is_a_deploy_with_all_that_it_reads_first() -> None:
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (_, fly):
        await APP.execute(fly)
        await APP.with_image("nginx:2").with_launch("two").execute(fly)
        heard.events.clear()
        assert (await DeployBuilder("web").undo(fly)).ok
    assert {path(each.span).partition("/")[0] for each in heard.attempts()} == {"web"}
    assert heard.span("web").facts["strategy"] == "undo"
    assert heard.span("web").facts["ok"] is True
    assert not [span for span in heard.begun() if "rollback" in span.facts]
    heard.check()


async def test_a_deploy_that_may_not_begin_ends_with_the_reason() -> None:
    mine, theirs = Heard(), Heard()
    async with world(seed=1, **watched(mine)) as (emulator, fly):
        await APP.execute(fly)
        mine.events.clear()
        async with FlyClient(emulator.token, base_url=emulator.url, on_event=theirs) as elsewhere:
            emulator.faults.add(Fault(does="delay", action="updateMachine", seconds=20))
            first = asyncio.ensure_future(APP.with_image("nginx:2").execute(fly))
            await asyncio.sleep(5)
            with pytest.raises(LeaseHeld):
                await APP.with_image("nginx:3").execute(elsewhere)
            with pytest.raises(NotFound):
                await APP.for_app("elsewhere").execute(elsewhere)
            await first
    assert [(span.name, span.error, span.facts["ok"]) for span in theirs.begun()] == [
        ("web", "LeaseHeld", False),
        ("elsewhere", "NotFound", False),
    ]
    assert not [span for span in mine.begun() if span.error]
    mine.check()
    theirs.check()


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0, 1.5, 2.5, 4.0, 8.0])
async def test_a_cancelled_deploy_says_so_and_leaves_nothing_open(base: DeployBuilder, seconds: float) -> None:
    heard = Heard()
    async with world(seed=1, latency=(0.3, 0.4), boot=(8, 12), **watched(heard)) as (_, fly):
        deploy = asyncio.ensure_future(base.count(3).execute(fly))
        await asyncio.sleep(seconds)
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
    assert heard.span("web").error == "CancelledError"
    assert heard.span("web").facts["ok"] is False
    under_way = [span for span in heard.begun("machine") if span.error]
    assert all(span.error == "CancelledError" for span in under_way)
    assert {span.parent for span in under_way} == {span for span in heard.begun("region") if span.error}
    heard.check()


async def test_a_second_cancellation_leaves_nothing_open_either(base: DeployBuilder) -> None:
    heard = Heard()
    slow = Fault(does="delay", action="createMachine", seconds=20)
    async with world(seed=1, faults=[slow], **watched(heard)) as (_, fly):
        deploy = asyncio.ensure_future(base.execute(fly))
        for _ in range(3):
            await asyncio.sleep(0.5)
            deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
    assert sorted(map(id, heard.begun())) == sorted(map(id, heard.ended()))


SEVERAL = {
    "with a rival for one that is late": (
        APP.hedge(3),
        [Fault(does="stay_starting", name="app-lhr-2", times=1)],
    ),
    "with volumes, where one lands on a full host": (
        APP.with_volume("data", "/data", size_gb=2),
        [Fault(does="refuse", action="createMachine", region="nrt", status=409, body={"error": "no room"}, times=1)],
    ),
    "with a release command": (APP.with_release_command("true"), []),
    "with answers that are lost": (
        APP,
        [Fault(does="lose_answer", action="createMachine", times=3), Fault(does="cut", probability=0.1)],
    ),
    "with canaries": (APP.canary(2, soak=0), []),
}


@pytest.mark.parametrize("how", SEVERAL)
async def test_whatever_is_asked_for_is_told_once_and_in_a_span_that_is_not_over(how: str) -> None:
    heard = Heard()
    builder, faults = SEVERAL[how]
    async with world(seed=1, latency=(0.01, 0.1), **watched(heard)) as (emulator, fly):
        heard.events.clear()
        before = len(emulator.log)
        emulator.faults.add(*faults)
        await builder.execute(fly)
        assert all(emulator.faults.hits(fault) for fault in faults)
        emulator.faults.clear()
        await builder.with_image("nginx:2").with_launch("two").execute(fly)
        assert len(heard.attempts()) == len(emulator.log) - before
    assert {path(each.span).partition("/")[0] for each in heard.attempts()} == {"web"}
    of_machines = {"machines.create", "machines.update", "machines.wait", "machines.start", "volumes.create"}
    assert {each.span.kind for each in heard.attempts() if each.span and each.operation in of_machines} == {"machine"}
    heard.check()


async def test_a_list_that_serves_many_waits_belongs_to_the_machine_whose_wait_asked_for_it(
    base: DeployBuilder,
) -> None:
    heard = Heard()
    async with world(seed=1, boot=(60, 60), **watched(heard)) as (emulator, fly):
        assert (await base.count(14).execute(fly)).ok
    assert [each for each in heard.attempts("machines.list") if each.span and each.span.kind == "machine"]
    listed = [entry.at for entry in emulator.log if entry.action == "listMachines"]
    assert all(later - earlier > 0.99 for earlier, later in pairwise(listed[1:-1]))  # nobody asks for itself alone
    asked = Counter(entry.identifier for entry in emulator.log if entry.action in {"waitMachine", "getMachine"})
    assert max(asked.values()) <= 6  # nor about itself, but for the first polls with a look after each
    heard.check()


async def test_deploys_at_once_in_one_client_do_not_mix(base: DeployBuilder) -> None:
    heard = Heard()
    apps = [f"shop-{number}" for number in range(4)]
    async with world(seed=1, latency=(0.01, 0.2), **watched(heard)) as (_, fly):
        for app in apps:
            await fly.apps.create(app, org_slug="personal")
        heard.events.clear()
        async with aclosing(deploy_many(fly, base.count(2), apps)) as reports:
            async for report in reports:
                assert report.ok
                assert current() is None
    assert [span.name for span in heard.begun("deploy")] == apps
    assert len(heard.begun("machine")) == 4 * 6
    for event in heard.events:
        if isinstance(event, Attempt) and event.operation not in {"platform.regions", "images.resolve"}:
            assert path(event.span).partition("/")[0] == event.identifier.partition("/")[0]
    heard.check()


async def test_an_onlooker_that_always_fails_changes_nothing() -> None:
    def broken(event: ClientEvent) -> None:
        heard(event)
        raise RuntimeError(str(event))

    heard = Heard()
    async with world(seed=1, client={"on_event": broken}) as (_, fly):
        assert (await APP.execute(fly)).ok
    heard.check()


async def test_a_deploy_that_is_closed_unfinished_ends_all_the_same(base: DeployBuilder) -> None:
    """As a loop does that is closed with work undone: by then the context is another one."""
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (_, fly):
        deploy = base.execute(fly)
        contextvars.copy_context().run(deploy.send, None)
        await asyncio.sleep(0)
        assert [span.name for span in heard.begun()] == ["web"]
        deploy.close()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left)
        assert heard.ended() == heard.begun()
        assert heard.span("web").error == "CancelledError"


async def test_work_of_ones_own_can_be_told_too() -> None:
    heard = Heard()
    async with world(seed=1, **watched(heard)) as (_, fly):
        with fly.spans.over("deploy", "by-hand", launch="x") as span:
            await fly.machines.list("web")
        fly.spans.end(span)
        with suppress(NotFound), fly.spans.over("deploy", "missing"):
            await fly.machines.list("missing")
    assert heard.asked_in() == {" apps.create": 1, "by-hand machines.list": 1, "missing machines.list": 1}
    assert [span.error for span in heard.ended()] == [None, "NotFound"]
    heard.check()


def runs() -> list[MachineRun]:
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is MachineRun]


async def test_the_connections_of_a_client_do_not_keep_deploys_that_have_ended() -> None:
    before = runs()  # an error that another test has raised may keep some
    async with world(seed=1) as (_, fly):
        assert (await APP.execute(fly)).ok
        assert len(runs()) == len(before)
