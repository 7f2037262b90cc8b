"""A user's program over the public surface: it is read by type checkers, and never run."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import assert_type

from flyasync import (
    AlreadyStarting,
    App,
    Change,
    Check,
    ClientEvent,
    DeployBuilder,
    DeployFailed,
    DeployReport,
    DeploySpec,
    Emulator,
    Estimate,
    Event,
    ExecResult,
    Fault,
    Finding,
    Finished,
    FlyClient,
    FlyError,
    Guest,
    Lease,
    LeaseHeld,
    Limits,
    LogLine,
    Machine,
    MachineConfig,
    MachineReport,
    Mount,
    NoCapacity,
    Phase,
    Plan,
    Planned,
    Port,
    Progress,
    Rate,
    Region,
    RegionReport,
    Result,
    RetryPolicy,
    Scope,
    Secret,
    Service,
    Status,
    Timeouts,
    Volume,
    WaitFailed,
    deploy_many,
    differences,
    lint,
    machine_host,
    read_fly_toml,
)
from flyasync.testing import mock_machine, run_virtual, trouble


def on_client_event(event: ClientEvent) -> None:
    print(event)


def on_event(event: Event) -> None:
    match event:
        case Planned(plan=plan):
            assert_type(plan, Plan)
            assert_type(plan.estimate, Estimate | None)
        case Progress(name=name, phase=phase, region=region, left=left):
            assert_type(name, str)
            assert_type(phase, Phase)
            assert_type(region, str)
            assert_type(left, float | None)
        case Finished(report=report):
            assert_type(report, DeployReport)


def config() -> MachineConfig:
    return MachineConfig(
        image="nginx",
        guest=Guest(cpus=1, memory_mb=256),
        env={"MODE": "fast"},
        services=[Service(protocol="tcp", internal_port=8080, ports=[Port(port=443, handlers=["tls", "http"])])],
        checks={"up": Check(type="http", port=8080, path="/health", interval=10, timeout=2)},
        mounts=[Mount(volume="vol_1", path="/data")],
    )


async def machines(fly: FlyClient) -> str:
    app = await fly.apps.create("web", org_slug="personal")
    assert_type(app, App)
    machine = await fly.machines.create("web", config(), region="iad")
    assert_type(machine, Machine)
    assert_type(machine.id, str)
    assert_type(machine.config, MachineConfig | None)
    once = await fly.machines.create_once("web", config(), name="web-1", launch="v1")
    assert_type(once, Machine)
    assert_type(await fly.machines.list("web"), tuple[Machine, ...])
    result = await fly.machines.exec("web", machine.id, ["echo", "hello"])
    assert_type(result, ExecResult)
    async with fly.leases.hold("web", machine.id, ttl=30) as lease:
        assert_type(lease, Lease)
        await fly.machines.stop("web", machine.id, nonce=lease.nonce)
    async for each in fly.machines.list_org("acme"):
        print(each.id, each.state)
    async for line in fly.logs.stream("web"):
        assert_type(line, LogLine)
        break
    return machine_host("web", machine.id)


async def resources(fly: FlyClient) -> None:
    assert_type(await fly.volumes.list("web"), tuple[Volume, ...])
    assert_type(await fly.secrets.list("web"), tuple[Secret, ...])
    assert_type((await fly.platform.regions()).regions, Sequence[Region])
    data = await fly.graphql("query { viewer { id } }", {})
    print(data)


async def deploy(fly: FlyClient) -> DeployReport:
    builder = (
        DeployBuilder("web")
        .to_regions("iad", "lhr")
        .count(2, lhr=3)
        .with_image("nginx")
        .with_size("shared-cpu-1x", memory_mb=512)
        .with_env({"MODE": "fast"}, PLAN="gold")
        .with_service(internal_port=8080)
        .with_check("up", Check(type="http", port=8080, path="/"))
        .canary(machines=1, soak=60)
        .waves(["iad"], ["lhr"])
        .roll_back_on_failure()
        .on_event(on_event)
    )
    assert_type(builder, DeployBuilder)
    assert_type(builder.deployment(), DeploySpec)
    plan = await builder.plan(fly)
    assert_type(plan, Plan)
    async with aclosing(builder.stream(fly)) as events:
        async for event in events:
            on_event(event)
    report = await builder.execute(fly)
    for region in report.regions:
        assert_type(region, RegionReport)
        for machine in region.machines:
            assert_type(machine, MachineReport)
            assert_type(machine.result, Result)
    assert_type(report.status, Status)
    assert_type(report.to_html(), str)
    return report.raise_for_failure()


async def many(fly: FlyClient, builders: Mapping[str, DeployBuilder]) -> AsyncIterator[str]:
    async with aclosing(deploy_many(fly, builders.__getitem__, builders, at_once=10)) as reports:
        async for report in reports:
            assert_type(report, DeployReport)
            yield report.app


def checked() -> None:
    for finding in lint(config()):
        assert_type(finding, Finding)
    for change in differences(config(), read_fly_toml("fly.toml", "app")):
        assert_type(change, Change)


async def errors(fly: FlyClient) -> None:
    try:
        await fly.machines.start("web", "1857156b526dd8")
    except AlreadyStarting:
        return
    except LeaseHeld as held:
        assert_type(held.holder, str | None)
    except NoCapacity as full:
        assert_type(full.scope, Scope)
    except WaitFailed as failed:
        assert_type(failed.hopeless, bool)
    except DeployFailed as failed_deploy:
        print(failed_deploy)
    except FlyError as error:
        assert_type(error.may_have_happened, bool)


async def main() -> None:
    async with (
        Emulator(seed=7, capacity={"lhr": 0}, faults=[Fault(does="crash", region="nrt")]) as emulator,
        FlyClient(
            emulator.token,
            base_url=emulator.url,
            timeout=Timeouts(),
            retry=RetryPolicy(total=30),
            on_event=on_client_event,
        ) as fly,
    ):
        with trouble(emulator, Fault(does="delay", seconds=1)):
            print(await machines(fly))
        assert_type(emulator.counts()["createMachine", "web"], int)
        assert_type(mock_machine(state="stopped"), Machine)


LIMITS: type[Limits] = Limits
RATE: type[Rate] = Rate
if __name__ == "__main__":
    run_virtual(main())
