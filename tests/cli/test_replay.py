"""`flyasync replay`: the same deploy again from its recording, what else would have happened, and refusals."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.replay import uncompressed
from flyasync import Check, DeployBuilder, Emulator, Fault, FlyClient, RetryPolicy
from flyasync.testing import run_virtual
from tests.cli.driver import flyasync

BASE = DeployBuilder("web").to_regions("iad", "lhr").with_service(internal_port=8080).wait_for(timeout=30)
CHECKED = BASE.with_check("up", Check(type="tcp", port=8080, interval=5, timeout=2)).with_env(PASSWORD="hunter2hunter2")
Change = Callable[[DeployBuilder], DeployBuilder]


def recorded(path: Path, change: Change, *faults: Fault, cancel_after: Sequence[float] = ()) -> None:
    """Record an update from v1 to v2 while these faults are active; the client of v1 is not recorded."""

    async def main() -> None:
        async with Emulator(seed=3, latency=(0.02, 0.2)) as emulator:
            async with FlyClient(emulator.token, base_url=emulator.url) as fly:
                await fly.apps.create("web", org_slug="personal")
                await CHECKED.with_image("shop:1").immediate().with_launch("v1").execute(fly)
            emulator.faults.add(*faults)
            async with FlyClient("fo1_secret_token", base_url=emulator.url, record=path, timeout=10.0) as fly:
                builder = change(CHECKED.with_image("shop:2").with_launch("v2"))
                deploy = asyncio.ensure_future(builder.execute(fly))
                for seconds in cancel_after:
                    asyncio.get_running_loop().call_later(seconds, deploy.cancel)
                await asyncio.wait([deploy])

    run_virtual(main())
    text = uncompressed(path.read_text())
    assert "hunter2" not in text
    assert "fo1_secret_token" not in text


def replayed(path: Path, *options: str, code: int = 0) -> Any:
    result = flyasync("replay", str(path), "--json", *options)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


NO_PASS = Fault(does="checks_never_pass", region="lhr", image="*:2*")
LOST = Fault(does="lose_answer", action="*achine*", probability=0.2)
BUSY = Fault(does="refuse", action="*achine*", status=503, probability=0.2)


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        (lambda builder: builder.rolling().roll_back_on_failure(), [NO_PASS]),
        (lambda builder: builder.bluegreen(drain=2), [NO_PASS, LOST]),
        (lambda builder: builder.canary(soak=5), [BUSY, Fault(does="crash", seconds=1.0, image="*:2*", times=1)]),
        (lambda builder: builder.immediate(), [Fault(does="cut", action="updateMachine", times=2)]),
    ],
)
def test_the_report_is_the_same(tmp_path: Path, change: Change, faults: list[Fault]) -> None:
    recorded(tmp_path / "r", change, *faults)
    found = replayed(tmp_path / "r")
    assert (found["same"], found["divergence"], found["error"]) == (True, None, None)
    assert found["played"] == found["recorded"]


def test_a_cancelled_deploy_is_cancelled_again(tmp_path: Path) -> None:
    recorded(tmp_path / "r", lambda builder: builder.rolling(), cancel_after=[4.0])
    found = replayed(tmp_path / "r")
    assert (found["same"], found["report"]["cancelled"]) == (True, True)


def test_a_second_cancellation_cuts_the_deploy_short_again(tmp_path: Path) -> None:
    recorded(tmp_path / "r", lambda builder: builder.rolling(), cancel_after=[4.0, 4.01])
    found = replayed(tmp_path / "r")
    assert (found["same"], found["report"]["cancelled"], found["divergence"]) == (True, True, None)
    assert "the final check was interrupted" in json.dumps(found["report"])
    assert found["played"] == found["recorded"]


def test_a_deploy_that_raised_raises_again(tmp_path: Path) -> None:
    recorded(tmp_path / "r", lambda builder: builder.with_image("shop:9"), Fault(does="refuse", status=403))
    result = flyasync("replay", str(tmp_path / "r"))
    assert result.exit_code == 0
    assert "the deploy raised: " in result.stdout
    assert "the error is the same as the recorded one" in result.stdout
    found = replayed(tmp_path / "r")
    assert (found["same"], found["report"], found["divergence"]) == (True, None, None)
    assert "HTTP 403" in found["error"]


def test_connections_that_were_not_made_fail_again_and_nothing_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "r"

    async def main() -> None:
        async with Emulator(seed=3) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
            await fly.apps.create("web", org_slug="personal")
            await CHECKED.with_image("shop:1").immediate().with_launch("v1").execute(fly)
            retry = RetryPolicy(attempts=2, total=20)
            async with FlyClient("fo1_secret_token", base_url=emulator.url, record=path, retry=retry) as client:
                loop = asyncio.get_running_loop()
                deploy = loop.create_task(CHECKED.with_image("shop:2").rolling().with_launch("v2").execute(client))
                await asyncio.sleep(3)
                await emulator.stop()
                await asyncio.wait([deploy])

    run_virtual(main())
    assert '"error":"ConnectFailed"' in path.read_text()
    found = replayed(path)
    assert (found["same"], found["divergence"]) == (True, None)
    assert found["played"] == found["recorded"]
    assert "Cannot connect to host" in json.dumps(found)
    assert "Nothing was sent" in json.dumps(found)


def test_the_log_of_a_failed_machine_keeps_its_words(tmp_path: Path) -> None:
    recorded(
        tmp_path / "r", lambda builder: builder.rolling(), Fault(does="crash", seconds=1.0, image="*:2*", region="iad")
    )
    found = replayed(tmp_path / "r")
    [machine] = [row for region in found["report"]["regions"] for row in region["machines"] if row["logs"]]
    assert found["same"]
    assert "machine exited with exit code 1, restarting" in " ".join(machine["logs"])


def test_a_deploy_that_was_cancelled_before_its_plan_has_no_report_again(tmp_path: Path) -> None:
    recorded(tmp_path / "r", lambda builder: builder.rolling(), cancel_after=[0.1])
    result = flyasync("replay", str(tmp_path / "r"))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("the deploy was cut short by a cancellation\n")
    found = replayed(tmp_path / "r")
    assert (found["same"], found["report"], found["error"], found["divergence"]) == (True, None, None, None)


def test_a_verification_ends_as_recorded_and_runs_nothing(tmp_path: Path) -> None:
    ran: list[str] = []

    async def refuse(_fly: FlyClient, machine: Any) -> None:
        ran.append(machine.name)
        await asyncio.sleep(3)
        raise OSError("no route to host")

    recorded(tmp_path / "r", lambda builder: builder.rolling().verify(refuse))
    before = list(ran)
    found = replayed(tmp_path / "r")
    assert (found["same"], found["report"]["ok"], ran) == (True, False, before)


def test_another_strategy_shows_what_would_have_happened(tmp_path: Path) -> None:
    recorded(tmp_path / "r", lambda builder: builder.rolling(), NO_PASS)
    found = replayed(tmp_path / "r", "--strategy", "immediate", code=3)
    assert found["divergence"]["where"].startswith("POST /v1/apps/web/machines")
    assert "strategy: 'rolling' became 'immediate'" in found["differences"]
    results = {
        machine["name"]: machine["result"] for region in found["report"]["regions"] for machine in region["machines"]
    }
    assert results["app-iad-1"] == "running"
    assert results["app-lhr-1"] != "running"


def test_new_machines_fail_in_the_region_in_which_all_failed(tmp_path: Path) -> None:
    recorded(tmp_path / "r", lambda builder: builder.rolling(), NO_PASS)
    found = replayed(tmp_path / "r", "--strategy", "bluegreen", code=3)
    assert "checks" in json.dumps(found["report"]) or "critical" in json.dumps(found["report"])
    assert not found["report"]["ok"]


@pytest.mark.parametrize("options", [(), ("--create-app", "personal")], ids=["existing", "created"])
@pytest.mark.parametrize("images", [("nginx:1", "nginx:2"), ("nginx:1", "nginx:1")], ids=["two images", "one image"])
def test_one_deploy_of_many_is_replayed_by_its_app(
    tmp_path: Path, images: tuple[str, str], options: tuple[str, ...]
) -> None:
    (tmp_path / "apps.csv").write_text(f"app,image,region\nshop-1,{images[0]},iad\nshop-2,{images[1]},lhr\n")
    result = flyasync("bulk", str(tmp_path / "apps.csv"), "--local", "--record", str(tmp_path / "r"), *options)
    assert result.exit_code == 0, result.output
    assert flyasync("replay", str(tmp_path / "r")).exit_code == 2
    for app in ("shop-1", "shop-2"):
        found = replayed(tmp_path / "r", "--app", app)
        assert (found["same"], found["divergence"], found["app"]) == (True, None, app)
        assert found["played"] == found["recorded"]


def test_an_undo_is_undone_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with Emulator(seed=3, latency=(0.02, 0.2)) as emulator:
            async with FlyClient(emulator.token, base_url=emulator.url) as fly:
                await fly.apps.create("web", org_slug="personal")
                await CHECKED.with_image("shop:1").rolling().with_launch("v1").execute(fly)
                await CHECKED.with_image("shop:2").rolling().with_launch("v2").execute(fly)
            async with FlyClient(emulator.token, base_url=emulator.url, record=tmp_path / "r") as fly:
                report = await DeployBuilder("web").undo(fly, every_group=True)
                assert report.ok

    run_virtual(main())
    found = replayed(tmp_path / "r")
    assert (found["same"], found["report"]["strategy"]) == (True, "undo")


def test_the_text_shows_the_report_and_whether_it_is_the_same(tmp_path: Path) -> None:
    recorded(tmp_path / "r", lambda builder: builder.rolling(), NO_PASS)
    result = flyasync("replay", str(tmp_path / "r"))
    assert result.exit_code == 0
    assert "exchanges as recorded, in " in result.stdout
    assert result.stdout.endswith("the report is the same as the recorded one, except for times and ids\n")


def test_a_recording_that_ends_early_is_followed_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "r"
    recorded(path, lambda builder: builder.rolling())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[: len(lines) // 2], '{"what":"end","reason":"bound"}']) + "\n")
    result = flyasync("replay", str(path))
    assert result.exit_code == 10
    assert "warning: the recording reached its bound" in result.stderr
    assert "the recording reached its bound before this request" in result.stdout
    assert "web: ok: 2 of 2 machines up to date" in result.stdout


def test_a_recording_without_its_end_may_be_one_of_a_killed_command_or_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "r"
    recorded(path, lambda builder: builder.rolling())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    result = flyasync("replay", str(path))
    assert result.exit_code == 10
    assert "the recording has no end, because the command was killed or the file was cut\n" in result.stderr
    assert "the recording was cut short before this request" in result.stdout


@pytest.mark.parametrize("end", ["", '{"what":"end","reason":"bound"}'], ids=["cut", "bound"])
def test_a_recording_that_ends_before_the_first_exchange_is_refused(tmp_path: Path, end: str) -> None:
    path = tmp_path / "r"
    recorded(path, lambda builder: builder.rolling())
    lines = path.read_text().splitlines()
    deploy = next(number for number, line in enumerate(lines) if json.loads(line).get("what") == "deploy")
    path.write_text("\n".join([*lines[: deploy + 1], end]))
    result = flyasync("replay", str(path))
    assert result.exit_code == 2
    assert "ends before the first exchange of web v2, so there is nothing to replay" in result.output


def test_a_file_without_one_fitting_deploy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    recorded(path, lambda builder: builder.rolling())
    result = flyasync("replay", str(path), "--launch", "v9")
    assert result.exit_code == 2
    assert "has 0 such deploys; its deploys are: web v2" in result.output
    path.write_text(path.read_text().replace('"strategy":', '"strategies":'))
    result = flyasync("replay", str(path))
    assert result.exit_code == 2
    assert "this version cannot read the spec of web v2: KeyError('strategy')" in result.output
    path.write_text("{}\n")
    result = flyasync("replay", str(path))
    assert result.exit_code == 2
    assert "not a recording: flyasync deploy --record FILE writes one" in result.output
