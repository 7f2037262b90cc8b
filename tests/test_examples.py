"""Every example runs as it is against a fresh emulator, and so does each benchmark at its smallest."""

import asyncio
import io
import os
import re
import runpy
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from flyasync import Emulator, FlyClient
from flyasync.testing import run_virtual

ROOT = Path(__file__).parent.parent
Use = Callable[[dict[str, Any], FlyClient], Awaitable[None]]


def run(path: str, **arguments: Any) -> None:
    main: Coroutine[Any, Any, None] = runpy.run_path(str(ROOT / path))["main"](**arguments)
    run_virtual(main)


def test_deploy_to_regions_falls_back_where_there_is_no_room(capsys: pytest.CaptureFixture[str]) -> None:
    run("examples/deploy_to_regions.py")
    output = capsys.readouterr().out
    assert "3 of 3 machines run" in output
    assert "could not find a candidate host" in output


def test_a_bad_day_is_repeatable(capsys: pytest.CaptureFixture[str]) -> None:
    run("examples/rehearse_a_bad_day.py")
    first = capsys.readouterr().out
    run("examples/rehearse_a_bad_day.py")
    assert "2 of 3 machines run" in first
    assert timeless(first) == timeless(capsys.readouterr().out)


def timeless(output: str) -> list[str]:
    """Leave out the lines with request ids, which begin with the time."""
    return [line for line in output.splitlines() if "request 01" not in line]


def against_the_emulator(monkeypatch: pytest.MonkeyPatch, path: str, use: Use, *, apps: tuple[str, ...] = ()) -> None:
    """Use an example with the environment that `flyasync emulator` prints."""
    example = runpy.run_path(str(ROOT / path))

    async def main() -> None:
        async with Emulator(seed=1) as emulator:
            for name, value in emulator.environment().items():
                monkeypatch.setenv(name, value)
            async with FlyClient() as fly:
                for app in apps:
                    await fly.apps.create(app, org_slug="personal")
                await use(example, fly)

    run_virtual(main())


async def run_twice(example: dict[str, Any], _: FlyClient) -> None:
    await example["main"]()
    await example["main"]()


def test_jobs_on_warm_machines_leave_none_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(example: dict[str, Any], fly: FlyClient) -> None:
        for _ in range(3):
            await example["main"]()
        machines = await fly.machines.list("jobs", include_leases=True)
        assert len(machines) <= 10
        assert not [each.name for each in machines if each.lease and each.is_alive]

    against_the_emulator(monkeypatch, "examples/warm_pool.py", use)


@pytest.mark.parametrize(
    ("path", "printed"),
    [
        ("examples/background_worker.py", "background-worker runs as"),
        ("examples/bulk_deploy.py", "shop-a: ok: 2 of 2 machines run"),
        ("examples/database_with_volume.py", "of 10 GB"),
        ("examples/deploy_to_regions.py", "web: ok: 3 of 3 machines run"),
        ("examples/warm_pool.py", "job 2 ran on"),
        ("examples/web_app.py", "my-web-app: ok: 2 of 2 machines run"),
    ],
)
def test_an_example_runs_twice_on_a_fresh_emulator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, printed: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\ns3cret\n"))
    against_the_emulator(monkeypatch, path, run_twice)
    assert capsys.readouterr().out.count(printed) == 2


@pytest.mark.parametrize("path", ["examples/rehearse_a_bad_day.py", "examples/roll_out_safely.py"])
def test_an_example_with_an_emulator_of_its_own_needs_nothing(path: str) -> None:
    run(path)


def test_no_example_is_left_out() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in (ROOT / "examples").glob("*.py"):
        assert f"examples/{path.name}" in tests


def test_a_backend_gives_each_user_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(example: dict[str, Any], fly: FlyClient) -> None:
        runner = web.AppRunner(example["backend"]())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with ClientSession(f"http://{host}:{port}") as session:

            async def ask(user: str) -> Any:
                async with session.post(f"/users/{user}") as reply:
                    assert reply.status == 200, await reply.text()
                    return await reply.json()

            first, again, other = await asyncio.gather(ask("alice"), ask("alice"), ask("bob"))
            assert first == again != other
            await fly.machines.stop("sandboxes", first["id"])
            assert await ask("alice") == first
            async with session.post("/users/Not%20a%20user") as reply:
                assert reply.status == 400
        await runner.cleanup()
        assert {machine.name: machine.state for machine in await fly.machines.list("sandboxes")} == {
            "user-alice": "started",
            "user-bob": "started",
        }

    against_the_emulator(monkeypatch, "examples/machine_per_user.py", use)


def test_a_bulk_deploy_continues_after_a_failed_app(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [f"shop-{letter},registry.fly.io/shop:v7,iad lhr" for letter in "abcd"]
    table = tmp_path / "apps.csv"
    table.write_text("\n".join(["app,image,regions", *rows, "nobody,registry.fly.io/shop:v7,iad"]))

    async def use(example: dict[str, Any], _: FlyClient) -> None:
        await example["main"](str(table))

    apps = tuple(f"shop-{letter}" for letter in "abcd")
    against_the_emulator(monkeypatch, "examples/bulk_deploy.py", use, apps=apps)
    output = capsys.readouterr().out
    assert output.count("ok: 2 of 2 machines run") == 4
    assert "nobody: failed: 0 of 1 machines run" in output
    assert "machines.list nobody: app not found" in output


def test_the_deploy_benchmark_shows_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    run("benchmarks/deploy.py", quick=True)
    output = capsys.readouterr().out
    assert "0 x 429" in output
    assert "30 desired, 30 found, 0 extra" in output


@pytest.mark.no_cover  # measured by the other tests, and twice as fast without
def test_the_estimate_benchmark_is_close(capsys: pytest.CaptureFixture[str]) -> None:
    run("benchmarks/estimate.py", quick=True)
    output = capsys.readouterr().out
    assert "boots of 1 to 60 s" in output
    assert re.search(r"(\d+) of \1 rows are close enough", output), output


@pytest.mark.orchestrator
def test_jobs_of_a_prefect_flow_give_their_machines_back(tmp_path: Path) -> None:
    settings = {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    lines = output_of("examples/orchestrate_with_prefect.py", **settings)
    for line in ("one: Completed", "two: Completed", "endless: TimedOut", "0 machines are still claimed"):
        assert line in lines


@pytest.mark.orchestrator
def test_each_request_to_litestar_has_a_machine() -> None:
    lines = output_of("examples/litestar_backend.py")
    for line in ("201 hello alice", "201 hello bob"):
        assert line in lines


def output_of(path: str, **settings: str) -> list[str]:
    """Run an example in the environment that has the frameworks, and return the lines it prints."""
    done = subprocess.run(
        [ROOT / ".venv-orchestrator/bin/python", ROOT / path],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()
