"""The final check: machine by machine, through lists that lag and calls that fail."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import evolve

from flyasync import DeployReport, FlyClient, Machine, MachineConfig, NotFound, Result, ServerFault, log_event
from flyasync.api.machines.create_once import LAUNCH
from flyasync.api.spans import Spans
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.reporting.journal import Journal
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.executor import PlanExecutor
from flyasync.deploy.run.leases import DeployLeases
from flyasync.deploy.run.observers import Observers

WANTED = DeploySpec(
    app="web",
    launch="v1",
    config=MachineConfig(image="nginx"),
    counts={"iad": 1, "lhr": 1, "nrt": 1},
    strategy=Launch(),
)
DOWN = ServerFault("machines.get", "web/3", "down", status=503)
GONE = NotFound("machines.get", "web/3", "machine not found", status=404)


def machine(region: str, *, id_: str | None = None, state: str = "started", at: str = "12:00:05") -> Machine:
    config = evolve(WANTED.tagged, metadata={**(WANTED.tagged.metadata or {}), LAUNCH: "v1"})
    return Machine(
        id=id_ or f"id-{region}",
        name=f"v1-{region}-1",
        state=state,
        region=region,
        config=config,
        updated_at=f"2026-01-01T{at}Z",
    )


async def looked(listed: list[Machine] | Exception, *got: Machine | Exception) -> DeployReport:
    """Return the report of three started machines, from a list and from the results of successive fetches."""
    left = list(got)

    async def answer(what: Any) -> Any:
        if isinstance(what, Exception):
            raise what
        return tuple(what) if isinstance(what, list) else what

    machines = SimpleNamespace(
        list=lambda *_, **__: answer(listed), get=lambda *_: answer(left.pop(0) if len(left) > 1 else left[0])
    )
    fly = cast("FlyClient", SimpleNamespace(machines=machines, spans=Spans(log_event)))
    plan = WANTED.strategy.plan(WANTED, Fleet("web", ()))
    leases = DeployLeases(fly, "web", "v1")
    executor = PlanExecutor(
        DeployContext(fly=fly, spec=WANTED, plan=plan, leases=leases, journal=Journal(), observers=Observers(()))
    )
    for run in executor.runs.values():
        run.observe(machine(run.desired.region))
        run.ready(1.0)
    return executor.report(await executor.final_check.check())


def results(report: DeployReport) -> list[Result]:
    return [machine.result for machine in report.machines]


LISTED = [machine("iad"), machine("lhr")]


@pytest.mark.parametrize(
    ("got", "result"),
    [
        (machine("nrt"), Result.RUNNING),
        (machine("nrt", state="destroyed"), Result.FAILED),
        (GONE, Result.FAILED),
        (DOWN, Result.UNKNOWN),
    ],
)
async def test_a_machine_that_the_list_lacks_is_asked_after_and_hides_no_other(
    got: Machine | Exception, result: Result
) -> None:
    report = await looked(LISTED, got)
    assert results(report) == [result, Result.RUNNING, Result.RUNNING]  # what failed comes first
    assert (report.unseen is not None) == (result is Result.UNKNOWN)


async def test_without_a_list_nothing_is_known() -> None:
    report = await looked(DOWN, machine("nrt"))
    assert results(report) == [Result.UNKNOWN] * 3
    assert not report.ok
    assert not report.is_missed


async def test_machines_on_their_way_out_are_not_there() -> None:
    report = await looked([*LISTED, machine("nrt", state="destroying")], machine("nrt", state="destroying"))
    assert results(report) == [Result.FAILED, Result.RUNNING, Result.RUNNING]
    assert "id-nrt" not in report.left_behind


async def test_a_second_machine_of_the_same_name_is_surplus() -> None:
    twin = machine("iad", id_="twin")
    report = await looked([*LISTED, machine("nrt"), twin], twin)
    assert results(report) == [Result.RUNNING] * 3
    assert report.surplus == ("twin",)
    assert (report.status, report.ok) == ("degraded", False)
    assert "twin have this launch's tag, but are not among the machines above" in str(report)


async def test_a_row_older_than_what_was_observed_proves_nothing() -> None:
    late = [machine("iad"), machine("lhr"), machine("nrt", at="12:00:04")]
    report = await looked(late, machine("nrt", state="failed", at="12:00:09"))
    assert results(report) == [Result.FAILED, Result.RUNNING, Result.RUNNING]


async def test_a_machine_that_is_gone_keeps_its_id() -> None:
    report = await looked(LISTED, GONE)
    (lost,) = [each for each in report.machines if each.result is Result.FAILED]
    assert (lost.id, lost.gone) == ("id-nrt", True)
    assert "id-nrt" in str(report)
    assert report.left_behind == ()  # the requirement is met, so those that run are not left behind


async def test_one_404_that_is_not_repeated_hides_no_machine() -> None:
    report = await looked(LISTED, GONE, machine("nrt"))
    assert results(report) == [Result.RUNNING] * 3
