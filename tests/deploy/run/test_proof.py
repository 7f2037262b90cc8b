"""Machines are verified from outside before others follow, by a function in virtual time or by a real command."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flyasync import (
    Check,
    DeployBuilder,
    DeployReport,
    Emulator,
    Fault,
    FlyClient,
    InvalidInput,
    Machine,
    Port,
    Result,
    Service,
)
from flyasync.deploy.plan.config_merge import UNVERIFIED
from flyasync.deploy.reporting.status import Status
from flyasync.deploy.run.proof import facts
from tests.deploy.conftest import tag, total, world

WEB = DeployBuilder("web").to_regions("iad", "lhr").count(2).with_image("shop:1").smoke_check(0)
CHECKED = WEB.with_service(Service(internal_port=80, checks=(Check(type="http", path="/", interval=2, timeout=1),)))
STRATEGIES = {
    "rolling": WEB.rolling(),
    "canary": WEB.canary(soak=5),
    "bluegreen": CHECKED.bluegreen(drain=0),
    "immediate": WEB.immediate(),
    "recreate": WEB.recreate(),
}


class Inspector:
    """A verification that records what it is called with, and refuses machines with some image."""

    def __init__(self, refused: str = "none", *, seconds: float = 0.0) -> None:
        self.refused = refused
        self.seconds = seconds
        self.seen: list[Machine] = []
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, fly: FlyClient, machine: Machine) -> None:
        self.seen.append(await fly.machines.get("web", machine.id))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if tag(machine) == self.refused:
            raise ConnectionError(f"{machine.name} answers 500")

    @property
    def names(self) -> list[str]:
        return sorted(machine.name for machine in self.seen)


async def images(fly: FlyClient) -> dict[str, str]:
    return {each.name: tag(each) for each in await fly.machines.list("web") if each.is_alive}


async def marks(fly: FlyClient) -> list[str]:
    return sorted(each.name for each in await fly.machines.list("web") if UNVERIFIED in each.metadata)


# That others follow only if it succeeds.


@pytest.mark.parametrize("name", STRATEGIES)
async def test_every_changed_machine_is_verified_once_it_is_up(name: str) -> None:
    app, inspector = STRATEGIES[name], Inspector()
    async with world(seed=1) as (_, fly):
        assert (await app.execute(fly)).ok
        report = await app.with_image("shop:2").verify(inspector).execute(fly)
        assert report.ok, str(report)
        now = await images(fly)
        assert inspector.names == sorted(now)
        assert set(now.values()) == {"shop:2"}
        assert {(tag(each), each.state) for each in inspector.seen} == {("shop:2", "started")}
        assert all(len(each.reported_checks) == len(each.checks or ()) for each in inspector.seen)
        # What is verified is not verified again, and the machines have no marks.
        assert await marks(fly) == []
        assert (await app.with_image("shop:2").verify(inspector).plan(fly)).is_empty


async def test_a_verification_that_fails_stops_a_canary() -> None:
    app, inspector = STRATEGIES["canary"].verify(Inspector("shop:2")), Inspector("shop:2")
    async with world(seed=1) as (emulator, fly):
        assert (await STRATEGIES["canary"].execute(fly)).ok
        report = await app.with_image("shop:2").execute(fly)
        assert sorted((await images(fly)).values()) == ["shop:1", "shop:1", "shop:1", "shop:2"]
        assert total(emulator, "updateMachine") == 1
        assert report.status is Status.MISSED
        (failed,) = [each for each in report.machines if each.result is Result.FAILED]
        assert failed.failure is not None
        assert failed.failure.kind == "VerificationFailed"
        assert failed.failure.message == f"the verification failed: ConnectionError: {failed.name} answers 500"
        assert [moment.phase for moment in failed.moments][-3:] == ["watching", "verifying", "failed"]
        assert DeployReport.from_dict(report.to_dict()) == report
        assert inspector.seen == []


@pytest.mark.parametrize("name", STRATEGIES)
async def test_a_failure_rolls_the_deploy_back(name: str) -> None:
    app = STRATEGIES[name].roll_back_on_failure()
    async with world(seed=1) as (_, fly):
        assert (await app.execute(fly)).ok
        before = await images(fly)
        report = await app.with_image("shop:2").verify(Inspector("shop:2")).execute(fly)
        assert report.status is Status.ROLLED_BACK, str(report)
        assert await images(fly) == before
        assert await marks(fly) == []
        # Each machine is as it was observed; the first one is that which failed, with its error.
        came = [each for region in report.regions for each in region.machines if each.id]
        expected = Result.DESTROYED if name == "bluegreen" else Result.RESTORED
        assert {each.result for each in came} <= {expected, Result.NOT_BEGUN, Result.RUNNING}
        assert came[0].result is expected
        assert "the verification failed" in str(came[0].failure)
        assert "its config is not the one that was deployed" not in str(report)
        assert "the machine no longer exists" not in str(report)
        assert " failed " not in str(report).partition("rolled back:")[0]
        assert DeployReport.from_dict(report.to_dict()) == report


async def test_a_wave_begins_only_once_the_one_before_is_verified() -> None:
    app, inspector = WEB.rolling().waves(["iad"], ["lhr"]), Inspector("shop:2")
    async with world(seed=1) as (_, fly):
        assert (await app.execute(fly)).ok
        await app.with_image("shop:2").verify(inspector).execute(fly)
        assert {name: image for name, image in (await images(fly)).items() if "lhr" in name} == {
            "app-lhr-1": "shop:1",
            "app-lhr-2": "shop:1",
        }


async def test_a_launch_verifies_its_machines_each_time() -> None:
    app, inspector = WEB.with_launch("v1"), Inspector("shop:1")
    async with world(seed=1) as (_, fly):
        report = await app.verify(inspector).execute(fly)
        assert [each.result for each in report.machines] == [Result.FAILED] * 4
        report = await app.verify(Inspector()).execute(fly)
        assert report.ok, str(report)
        assert await marks(fly) == []


async def test_new_machines_of_a_bluegreen_deploy_are_verified_before_they_are_uncordoned() -> None:
    app, inspector = STRATEGIES["bluegreen"], Inspector()
    async with world(seed=1) as (_, fly):
        assert (await app.execute(fly)).ok
        assert (await app.with_image("shop:2").verify(inspector).execute(fly)).ok
        assert [each.cordoned for each in inspector.seen] == [True] * 4


async def test_a_stopped_group_is_verified_from_outside_too() -> None:
    proxied = WEB.rolling().with_service(Service(internal_port=80, autostart=True, ports=(Port(port=80),)))
    inspector = Inspector("shop:2")
    async with world(seed=1) as (_, fly):
        assert (await proxied.execute(fly)).ok
        for machine in await fly.machines.list("web"):
            await fly.machines.stop("web", machine.id)
            await fly.machines.wait("web", machine.id, state="stopped")
        report = await proxied.with_image("shop:2").verify(inspector).execute(fly)
        assert report.status is Status.FAILED, str(report)
        assert {each.state for each in await fly.machines.list("web")} == {"stopped"}
        failed = {each.name for each in inspector.seen}
        assert len(failed) == 2
        # The next deploy verifies these machines again, and then no more.
        inspector.refused = "none"
        report = await proxied.with_image("shop:2").verify(inspector).execute(fly)
        assert report.ok, str(report)
        assert {each.state for each in await fly.machines.list("web")} == {"stopped"}
        seen = len(inspector.seen)
        assert (await proxied.with_image("shop:2").verify(inspector).execute(fly)).ok
        assert len(inspector.seen) == seen


# That a machine which was not verified is not taken for one that was.


async def test_the_next_deploy_begins_with_the_machine_that_failed() -> None:
    app, inspector = WEB.rolling().with_image("shop:2"), Inspector("shop:2")
    async with world(seed=1) as (emulator, fly):
        assert (await WEB.rolling().execute(fly)).ok
        for _ in range(2):
            assert not (await app.verify(inspector).execute(fly)).ok
        assert len(set(inspector.names)) == 1
        assert len(inspector.seen) == 2
        assert await marks(fly) == [inspector.names[0]]
        assert total(emulator, "updateMachine") == 1
        plan = await app.verify(inspector).plan(fly)
        assert plan.stages[0].title == "verify machines of an earlier deploy"
        assert [track.machine.name for track in plan.stages[0].tracks] == [inspector.names[0]]
        assert (await app.verify(Inspector()).execute(fly)).ok
        assert await marks(fly) == []


async def test_a_deploy_that_was_cut_short_before_it_verified_does_so_later() -> None:
    app, inspector = WEB.rolling().to_regions("iad").count(1), Inspector(seconds=30)
    async with world(seed=1) as (_, fly):
        assert (await app.execute(fly)).ok
        task = asyncio.create_task(app.with_image("shop:2").verify(inspector).execute(fly))
        await asyncio.sleep(20)
        assert len(inspector.seen) == inspector.at_once == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert inspector.at_once == 0
        assert await marks(fly) == ["app-iad-1"]
        assert (await app.with_image("shop:2").plan(fly)).is_empty  # without a verification nothing is to be done
        assert (await app.with_image("shop:2").verify(inspector).execute(fly)).ok
        assert len(inspector.seen) == 2
        assert await marks(fly) == []


async def test_a_rollback_does_not_touch_a_machine_that_was_only_verified() -> None:
    app = WEB.rolling().to_regions("iad")
    async with world(seed=1) as (emulator, fly):
        await app.verify(Inspector("shop:1")).execute(fly)
        unverified = await marks(fly)
        assert unverified
        emulator.faults.add(Fault(does="refuse", action="createMachine", status=422))
        before = total(emulator, "updateMachine")
        report = await app.count(5).verify(Inspector()).roll_back_on_failure().execute(fly)
        assert report.status is Status.ROLLED_BACK, str(report)
        assert total(emulator, "updateMachine") == before


# How it runs.


async def test_at_most_eight_machines_are_verified_at_once() -> None:
    inspector = Inspector(seconds=40)
    async with world(seed=1) as (_, fly):
        report = await WEB.count(8).verify(inspector).execute(fly)
        assert report.ok, str(report)
        assert len(inspector.seen) == 16
        assert inspector.most_at_once == 8


async def stuck(_: FlyClient, __: Machine) -> None:
    await asyncio.Event().wait()


async def late(_: FlyClient, __: Machine) -> None:
    raise TimeoutError("no answer from the load balancer")


async def cancelled(_: FlyClient, __: Machine) -> None:
    raise asyncio.CancelledError


async def refused(_: FlyClient, __: Machine) -> bool:
    return False


async def leaking(_: FlyClient, __: Machine) -> None:
    raise ValueError("login with hunter2-hunter2 at https://me:pass@db\x1b[31m failed\n" + "x" * 1000)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (stuck, "it did not end within 60 s, and was stopped"),
        (late, "TimeoutError: no answer from the load balancer"),
        (cancelled, "the function was cancelled"),
        (refused, "the function returned False"),
        (lambda _, __: True, "the function is not async"),
        (leaking, f"ValueError: login with <PASSWORD> at https://…@db failed\n{'x' * 500}…"),
    ],
)
async def test_a_function_fails_by_raising_or_taking_too_long(
    check: Callable[[FlyClient, Machine], Awaitable[object]], message: str
) -> None:
    app = WEB.to_regions("iad").count(1).with_env(PASSWORD="hunter2-hunter2").verify(check)
    async with world(seed=1) as (_, fly):
        report = await app.execute(fly)
    (machine,) = report.machines
    assert str(machine.failure) == f"the verification failed: {message}"


# Commands, in real time.


@asynccontextmanager
async def quick_world() -> AsyncIterator[tuple[Emulator, FlyClient]]:
    async with world(seed=1, boot=(0.0, 0.0)) as both:
        yield both


def test_a_command_learns_which_machine_to_verify_and_its_output_is_in_the_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAGER_TOKEN", "abcdefgh12345678")
    monkeypatch.setenv("FLY_MACHINE_ID", "of-the-machine-that-deploys")
    command = (
        'printf "\\033[31m$FLY_APP_NAME $FLY_REGION $FLY_MACHINE_NAME $FLY_IMAGE_REF\\033[0m\n" | cut -d@ -f1; '
        "echo $FLY_MACHINE_ID $FLY_PROCESS_GROUP; test -n $FLY_PRIVATE_IP && echo token $PAGER_TOKEN >&2; "
        "echo hunter2-hunter2; exit 3"
    )

    async def main() -> DeployReport:
        async with quick_world() as (_, fly):
            app = WEB.to_regions("iad").count(1).rolling().with_env(PASSWORD="hunter2-hunter2")
            return await app.verify(command).execute(fly)

    report = asyncio.run(main())
    (machine,) = report.machines
    assert machine.failure is not None
    assert machine.failure.message.splitlines() == [
        "the verification failed: exit status 3",
        "| web iad app-iad-1 shop:1",
        f"| {machine.id} app",
        "| token <PAGER_TOKEN>",
        "| <PASSWORD>",
    ]


def test_a_command_stops_a_canary_and_only_then() -> None:
    async def main() -> tuple[DeployReport, DeployReport, dict[str, str]]:
        async with quick_world() as (_, fly):
            app = WEB.canary(soak=0).to_regions("iad")
            first = await app.verify('test "$FLY_REGION" = iad').execute(fly)
            second = await app.with_image("shop:2").verify("! true").execute(fly)
            return first, second, await images(fly)

    first, second, now = asyncio.run(main())
    assert first.ok, str(first)
    assert second.closed_by is not None
    assert sorted(now.values()) == ["shop:1", "shop:2"]


def test_a_command_that_takes_too_long_is_a_failure() -> None:
    async def main() -> DeployReport:
        async with quick_world() as (_, fly):
            return await WEB.to_regions("iad").count(1).verify("sleep 1000 & sleep 1000", timeout=1).execute(fly)

    (machine,) = asyncio.run(main()).machines
    assert str(machine.failure) == "the verification failed: it did not end within 1 s, and was stopped"


def test_unknown_facts_are_empty() -> None:
    assert facts("web", Machine(id="m1", name="one", region="iad", state="started")) == {
        "FLY_APP_NAME": "web",
        "FLY_MACHINE_ID": "m1",
        "FLY_MACHINE_NAME": "one",
        "FLY_REGION": "iad",
        "FLY_PRIVATE_IP": "",
        "FLY_PROCESS_GROUP": "",
        "FLY_IMAGE_REF": "",
    }


# The plan, the journal, and what is refused.


async def test_the_plan_shows_where_machines_are_verified() -> None:
    async with world(seed=1) as (_, fly):
        assert (await WEB.canary().execute(fly)).ok
        plan = await WEB.canary().with_image("shop:2").verify("bin/check", timeout=5).plan(fly)
        for track in plan.tracks:
            assert str(track.steps[-1]) == "verify with bin/check, at most 5 s: others follow only if it succeeds"
        assert [type(step).__name__ for step in plan.stages[0].tracks[0].steps][-2:] == ["Watch", "Verify"]
        assert "not observed in this app yet" in str(plan)
        assert "verifications" in str(plan)
        hidden = WEB.rolling().with_image("shop:2").verify("curl -H 'Authorization: Bearer abc123def' shop")
        assert "verify with a command that may contain a secret" in str(await hidden.plan(fly))
        assert "abc123def" not in f"{await hidden.plan(fly)}{hidden}{hidden.deployment()}"
        assert "verify with Inspector" in str(await WEB.rolling().with_image("shop:2").verify(Inspector()).plan(fly))


@pytest.mark.parametrize("check", [Inspector(), "curl -u me:abc123def --token abc123def shop"])
async def test_what_the_journal_lacks_is_stated_again(
    tmp_path: Path, check: str | Callable[[FlyClient, Machine], Awaitable[object]]
) -> None:
    journal = tmp_path / "deploy.jsonl"
    async with world(seed=1) as (_, fly):
        task = asyncio.create_task(WEB.rolling().with_launch("v1").verify(check).with_journal(journal).execute(fly))
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert "abc123def" not in journal.read_text()
        resumed = DeployBuilder.resumed(journal)
        with pytest.raises(InvalidInput, match=r"does not contain how machines of launch v1 are verified.*verify\(…\)"):
            await resumed.execute(fly)
        inspector = Inspector()
        assert (await resumed.verify(inspector).execute(fly)).ok
        assert inspector.names == ["app-iad-1", "app-iad-2", "app-lhr-1", "app-lhr-2"]


async def test_a_plain_command_is_in_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "deploy.jsonl"
    async with world(seed=1) as (_, fly):
        await WEB.rolling().with_launch("v1").with_journal(journal).execute(fly)
        assert '"verification"' not in journal.read_text()
        await WEB.rolling().with_launch("v1").verify("bin/check", timeout=5).with_journal(journal).execute(fly)
        verification = DeployBuilder.resumed(journal).spec.verification
        assert verification is not None
        assert (verification.command, verification.timeout) == ("bin/check", 5)


def test_what_cannot_be_verified_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"has to wait for it: leave out wait_for\(None\)"):
        WEB.wait_for(None).verify("true").deployment()
    with pytest.raises(InvalidInput, match="takes an async function or a command line, not int"):
        WEB.verify(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="needs a command, such as"):
        WEB.verify("  ")
    with pytest.raises(InvalidInput, match="timeout is 0, but must be a number of seconds from 1"):
        WEB.verify("true", timeout=0)
