"""`--verify` in real time, and `--max-machines`, by whole command lines."""

import asyncio
import json
from pathlib import Path

from click.testing import Result

from tests.cli.driver import Shop, events, flyasync

QUICK = ("--local", "--boot", "0", "--smoke-check", "0")


def deployed(command: str, *args: str) -> Result:
    """Deploy in real time: the clock of virtual time does not wait for other processes."""
    return flyasync(
        *("deploy", "web", "--image", "nginx", "--region", "iad", *QUICK, "--verify", command, *args),
        drive=asyncio.run,
    )


def test_a_verification_is_shown_as_phases() -> None:
    result = deployed('test "$FLY_APP_NAME $FLY_REGION" = "web iad"', "--json")
    assert result.exit_code == 0, result.output
    phases = [event["phase"] for event in events(result.stdout) if event["event"] == "progress"]
    assert phases[-3:] == ["started", "verifying", "verified"]
    planned = events(result.stdout)[0]["plan"]
    assert planned["machines"][0]["steps"][-1] == {
        "step": "verify",
        "cause": "others follow only if it succeeds",
        "check": 'test "$FLY_APP_NAME $FLY_REGION" = "web iad"',
        "seconds": 60.0,
    }


def test_the_report_shows_what_a_failed_verification_printed() -> None:
    result = deployed("echo no answer; exit 4", "--verify-timeout", "30")
    assert result.exit_code == 3, result.output
    assert "the verification failed: exit status 4\n" in result.stdout
    assert "| no answer\n" in result.stdout


def test_each_line_of_what_a_verification_printed_is_indented() -> None:
    text = deployed("echo one; echo; echo two; exit 4").stdout
    of_machine, of_cause = ("\n".join(f"{by}{line}" for line in ("| one", "| ", "| two")) for by in ("      ", "  "))
    assert f"\n      the verification failed: exit status 4\n{of_machine}\n" in text
    assert f": the verification failed: exit status 4\n{of_cause}\n" in text
    assert "failed: exit status 4 | one | | two\n" in text


def test_a_plan_that_would_leave_too_many_machines_is_refused_before_anything_changes(shop: Shop) -> None:
    line = ("deploy", "web", "--image", "nginx", "--region", "iad,lhr", "--count", "2", "--max-machines", "3")
    for more in ((), ("--dry-run",), ("--strategy", "rolling")):
        result = shop.ask(*line, *more)
        assert result.exit_code == 2, result.output
        assert "would have 4 machines, but at most 3 may be left" in result.stderr
    assert shop.json("machines", "list", "web") == []


def test_the_plan_event_has_the_resources(shop: Shop) -> None:
    shop.said(
        "deploy", "web", "--image", "nginx:1", "--region", "iad", "--strategy", "rolling", "--size", "shared-cpu-2x"
    )
    again = (
        "--strategy",
        "rolling",
        "--size",
        "shared-cpu-2x",
        "--count",
        "3",
        "--volume",
        "data:/data:2",
        "--dry-run",
    )
    plan = shop.json("deploy", "web", "--image", "nginx:2", "--region", "iad", *again)["plan"]
    one = {"machines": 1, "cpus": {"shared": 2}, "memory_mb": 512, "unknown_guests": 0, "default_guests": 0}
    three = {**one, "machines": 3, "cpus": {"shared": 6}, "memory_mb": 1536}
    assert plan["resources"] == {
        "before": {**one, "volumes": 0, "volume_gb": 0, "unknown_volumes": 0},
        "after": {**three, "volumes": 3, "volume_gb": 6, "unknown_volumes": 0},
        "peak_machines": 4,
    }


def test_the_plan_of_an_undo_and_of_an_app_that_is_to_be_created_show_them_too(shop: Shop) -> None:
    rolling = ("--region", "iad", "--strategy", "rolling", "--smoke-check", "0")
    for image, count in (("nginx:1", "1"), ("nginx:2", "2")):
        shop.said("deploy", "web", "--image", image, *rolling, "--count", count)
    undone = shop.said("deploy", "web", "--undo", "--dry-run")
    assert "  before: 2 machines, 2 shared CPUs, 512 MB of memory\n" in undone
    assert "  after: 1 machine, 1 shared CPU, 256 MB of memory\n" in undone
    made = shop.said("deploy", "new", "--image", "nginx", *rolling, "--create-app", "personal", "--dry-run")
    assert "  after: 1 machine, CPUs or memory left to the API\n" in made


def test_each_app_of_a_bulk_run_has_its_limit(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "apps.csv"
    file.write_text("app,image,region,count,max_machines\nweb,nginx,iad,3,2\n")
    result = shop.ask("bulk", str(file), "--json")
    assert result.exit_code == 1, result.output
    done = next(json.loads(line) for line in result.stdout.splitlines() if '"event": "app"' in line)
    assert (
        done["why"] == "web would have 3 machines, but at most 2 may be left (now: 0): lower --count, or raise "
        "--max-machines"
    )
