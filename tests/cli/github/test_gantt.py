"""The chart of a report: its bars, and that no name is syntax."""

from flyasync import DeployReport, MachineReport, Phase, RegionReport, Result
from flyasync.cli.github.gantt import gantt
from flyasync.deploy.reporting.phase import Moment


def machine(name: str, *at: float, result: Result = Result.RUNNING, ready: float | None = None) -> MachineReport:
    moments = tuple(Moment(at=each, phase=Phase.CREATING, region="iad") for each in at)
    return MachineReport(name=name, asked="iad", result=result, moments=moments, ready_after=ready)


def report(*machines: MachineReport, app: str = "web") -> DeployReport:
    region = RegionReport(region="iad", asked=len(machines), machines=machines)
    return DeployReport(app=app, launch="v1", image="nginx", require="all", needed=1, regions=(region,), seconds=60.0)


def bars(*machines: MachineReport) -> list[str]:
    return [line.strip() for line in gantt(report(*machines)).splitlines() if line.startswith("    ")]


def test_a_bar_lasts_from_the_first_phase_until_the_machine_was_ready() -> None:
    assert bars(machine("a", 0.5, 2.0, ready=12.25), machine("b", 1.0, 3.0, result=Result.FAILED)) == [
        "a running :done, 500, 12250",
        "b failed :crit, 1000, 3000",
    ]


def test_a_bar_is_never_empty_and_a_machine_without_a_phase_has_none() -> None:
    assert bars(machine("a", 1.0, result=Result.SKIPPED), machine("b", result=Result.NOT_BEGUN)) == [
        "a skipped :active, 1000, 1001"
    ]
    assert gantt(report(machine("a"))) == ""


def test_no_name_is_syntax() -> None:
    evil = "a:crit, 0, 1; b\n```\n<b> #quot %%{init: {}}%%"
    assert bars(machine(evil, 0, 1)) == ["a crit 0 1 b b quot init running :done, 0, 1000"]
    assert gantt(report(machine("a", 0, 1), app="x:\n```")).count("```") == 2


def test_the_axis_shows_parts_of_a_second_where_they_matter() -> None:
    assert "  axisFormat %s.%L s\n" in gantt(report(machine("a", 0, 9.0)))
    assert "  axisFormat %s s\n" in gantt(report(machine("a", 0, 11.0)))


def test_a_chart_of_many_machines_shows_the_first_and_counts_all() -> None:
    many = [machine(f"m{number}", 0, 1) for number in range(60)]
    chart = gantt(report(*many))
    assert len(bars(*many)) == 50
    assert chart.endswith("\nThe chart shows 50 of 60 machines.\n")
