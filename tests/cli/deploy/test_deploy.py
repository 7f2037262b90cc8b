import json
import re

import pytest

from flyasync.deploy.reporting.report import DeployReport
from tests.cli.driver import deploy, events, flyasync, tags


def test_a_deploy_that_meets_its_requirement_exits_with_0() -> None:
    result = deploy("--add", "--region", "iad", "--region", "lhr,nrt", "--local")
    assert result.exit_code == 0, result.output
    assert "web: ok: 3 of 3 machines run" in result.stdout
    assert result.stderr == ""


def test_a_pipe_gets_one_line_for_each_event_then_the_report() -> None:
    lines = deploy(
        "--add", "--region", "iad,lhr", "--local", "--capacity", "lhr=0", "--fallback", "cdg"
    ).stdout.splitlines()
    head = lines.index(next(line for line in lines if line.startswith("web: ok")))
    assert tags(lines[0]).endswith("s  web: launch v1, create 2 of nginx in iad, lhr")
    assert all(re.match(r" +\d+\.\d s  ", line) for line in lines[:head])
    assert any(re.search(r"iad  v1-iad-1  started [0-9a-f]{14}$", line) for line in lines[:head])
    assert any("lhr->cdg  v1-lhr-1  moving: lhr has no room" in line for line in lines[:head])


def test_nobody_can_take_a_local_deploy_for_a_real_one() -> None:
    assert deploy("--region", "iad", "--local").stdout.splitlines()[-1].startswith("local rehearsal: ")
    assert all(event["local"] for event in events(deploy("--region", "iad", "--local", "--json").stdout))


@pytest.mark.parametrize(
    ("require", "exit_code"),
    [("all", 3), ("2", 3), ("51%", 3), ("0.6", 3), ("1", 0), ("50%", 0), ("0.5", 0), (".5", 0)],
)
def test_the_exit_status_follows_the_requirement(require: str, exit_code: int) -> None:
    result = deploy("--region", "iad,lhr", "--local", "--capacity", "lhr=0", "--require", require)
    assert result.exit_code == exit_code, result.output


def test_json_is_one_object_a_line_and_the_report_is_last() -> None:
    result = deploy("--add", "--region", "iad,lhr", "--local", "--capacity", "lhr=0", "--json", "--require", "all")
    told = events(result.stdout)
    assert result.exit_code == 3
    assert [told[0]["event"], told[-1]["event"]] == ["planned", "finished"]
    assert {event["event"] for event in told[1:-1]} == {"progress"}
    assert [event["at"] for event in told] == sorted(event["at"] for event in told)
    assert told[0]["plan"]["machines"][0] == {
        "name": "v1-iad-1",
        "region": "iad",
        "steps": [
            {"step": "create", "cause": "iad has 0 of 1 desired"},
            {"step": "await_started", "cause": "timeout 300 s"},
        ],
    }
    report = DeployReport.from_dict(told[-1]["report"])
    assert not report.ok
    assert [machine.result for machine in report.machines] == ["skipped", "running"]


def test_a_dry_run_shows_the_plan() -> None:
    result = deploy("--region", "iad", "--local", "--dry-run")
    assert result.exit_code == 0
    assert "create: iad has 0 of 1 desired" in result.stdout
    assert result.stdout.endswith("dry run: nothing was changed\n")


def test_a_dry_run_as_json_is_the_event_planned() -> None:
    (planned,) = events(deploy("--region", "iad", "--local", "--dry-run", "--json").stdout)
    assert planned["event"] == "planned"


def test_the_options_reach_the_machines() -> None:
    result = deploy(
        *("--add", "--region", "iad", "--count", "2", "--local", "--json", "--seed", "7", "--boot", "9", "--roll-back"),
        *("--size", "shared-cpu-2x", "--memory", "1024", "--env", "A=b=c", "--metadata", "team=blue"),
        *("--port", "8080", "--check", "/health", "--wait", "healthy", "--timeout", "60"),
    )
    told = events(result.stdout)
    assert result.exit_code == 0, result.output
    assert len(told[0]["plan"]["machines"]) == 2
    assert told[0]["plan"]["machines"][0]["steps"][-1]["step"] == "await_healthy"
    assert told[-1]["at"] > 9
    assert "healthy" in {event.get("phase") for event in told}


def test_cpus_and_memory_need_no_name() -> None:
    assert deploy("--region", "iad", "--local", "--cpus", "2", "--memory", "512").exit_code == 0


def test_a_check_is_waited_for_by_itself_and_a_timeout_bounds_it() -> None:
    result = deploy(
        *("--region", "iad", "--local", "--boot", "30", "--port", "80", "--check", "/", "--timeout", "5", "--json")
    )
    assert result.exit_code == 1
    assert events(result.stdout)[-1]["report"]["regions"][0]["machines"][0]["failure"]["kind"] == "WaitFailed"


def test_not_waiting_ends_at_once() -> None:
    told = events(deploy("--region", "iad", "--local", "--boot", "30", "--wait", "none", "--json").stdout)
    assert told[-1]["at"] < 5
    assert told[-1]["report"]["ok"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--region", "xx"], "'xx' is not a region"),
        (["--region", "eu"], "stands for many regions"),
        (["--region", "iad,"], "'' is not a region"),
        (["--region", "iad", "--region", "iad"], "'iad' is given twice"),
        (["--region", "iad", "--count", "0"], "--count is 0"),
        (["--region", "iad", "--require", "most"], "'most' is not a requirement"),
        (["--region", "iad", "--require", "1.5"], "a share up to 1.0"),
        (["--region", "iad", "--require", "2"], "requires at least 2 regions, but has only 1"),
        (["--region", "iad", "--launch", "V 1"], "is not a valid launch name"),
        (["--region", "iad", "--fallback", "best"], "'best' is not a region"),
        (["--region", "iad", "--fallback", "skip", "--fallback", "ewr"], "'skip' cannot be combined"),
        (["--region", "iad", "--fallback", "ewr,nearest"], "'nearest' cannot be combined"),
        (["--region", "iad", "--fallback", "ewr,ord", "--fallback", "ewr"], "'ewr' is given twice"),
        (["--region", "iad", "--fault", "crash"], "is not JSON"),
        (["--region", "iad", "--fault", "[]"], 'a fault must be an object such as {"does": "refuse", "times": 1}'),
        (["--region", "iad", "--fault", "{}"], "does is missing, but must be one of"),
        (["--region", "iad", "--fault", '{"does": "dance"}'], "does is 'dance', but must be one of"),
        (["--region", "iad", "--fault", '{"does": "cut", "when": 1}'], "a fault has no field 'when'; it has does,"),
        (["--region", "iad", "--fault", '{"does": "cut", "region": 1}'], "region is 1, but must be a text"),
        (["--region", "iad", "--fault", '{"does": "cut", "times": "x"}'], "--fault"),
        (["--region", "iad", "--fault", '{"does": "cut", "times": 0}'], "'times' must be >= 1"),
        (["--region", "iad", "--size", "tiny"], "is not a machine size"),
        (["--region", "iad", "--cpus", "3"], "3 is not a valid number of shared cpus"),
        (["--region", "iad", "--cpus", "0"], "0 is not in the range"),
        (["--region", "iad", "--launch", ""], "is not a valid launch name"),
        (["--region", "iad", "--memory", "100"], "100 MB does not fit"),
        (["--region", "iad", "--timeout", "0"], "--timeout is 0.0"),
        (["--region", "iad", "--image", ""], "is not an image"),
        (["--region", "iad", "--capacity", "xyz=0"], "there is no region 'xyz'"),
        (["--region", "iad", "--capacity", "iad"], "is not REGION=MACHINES"),
        (["--region", "iad", "--env", "A=1", "--env", "A=2"], "A is given twice"),
        (["--region", "iad", "--size", "shared-cpu-1x", "--cpus", "2"], "cannot be combined with --cpus"),
        (["--region", "iad", "--check", "/health"], "needs --port"),
        (
            ["--region", "iad", "--port", "80", "--check", "health"],
            "--check is 'health', but must be a path that starts with a slash",
        ),
        (["--region", "iad", "--add", "--wait", "healthy"], "add --port and --check PATH"),
        (["--region", "iad", "--wait", "none", "--timeout", "3"], "cannot be combined with --wait none"),
        (["--region", "iad", "--wait", "forever"], "'forever' is not one of"),
        (["--region", "iad", "--port", "70000"], "--port"),
        (["--regions", "iad"], "--region"),
        (["--add"], "Missing option '--region'"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(args: list[str], says: str) -> None:
    result = deploy("--local", *args)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert result.stdout == ""


@pytest.mark.parametrize(
    "args", [["--capacity", "iad=0"], ["--seed", "1"], ["--boot", "1"], ["--fault", '{"does": "cut"}']], ids=" ".join
)
def test_what_shapes_the_emulator_needs_local(args: list[str]) -> None:
    result = deploy("--region", "iad", *args)
    assert result.exit_code == 2
    assert "need --local" in result.stderr


def test_a_value_that_may_be_a_secret_is_not_repeated() -> None:
    result = deploy("--region", "iad", "--local", "--env", "hunter2")
    assert result.exit_code == 2
    assert "hunter2" not in result.output


def test_without_a_token_it_says_in_one_line_where_it_looked_and_exits_with_1() -> None:
    result = deploy("--region", "iad")
    assert result.exit_code == 1
    assert result.stderr.startswith("flyasync: no Fly.io token found in FLY_ACCESS_TOKEN, ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_bad_input_is_told_before_a_missing_token() -> None:
    assert deploy("--region", "iad", "--require", "2").exit_code == 2


def test_an_unreachable_api_is_one_line_and_exits_with_1(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setenv("FLY_API_TOKEN", "hush")
    monkeypatch.setenv("FLY_FLAPS_BASE_URL", f"http://127.0.0.1:{unused_tcp_port}")
    result = deploy("--region", "iad", "--json")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "hush" not in result.output
    (told,) = events(result.stdout)
    assert (told["event"], told["kind"], told["exit"]) == ("error", "ConnectFailed", 1)


def test_every_option_says_what_it_is_for() -> None:
    help_text = flyasync("deploy", "--help").stdout
    assert "Exit status:\n    0    ok: " in help_text
    assert not re.search(r"^  --[a-z-]+( [^ ]+)?$\n(?! {20,})", help_text, re.MULTILINE)


def test_the_plan_as_json_holds_no_environment() -> None:
    result = deploy("--region", "iad", "--local", "--json", "--env", "PASSWORD=hunter2")
    assert result.exit_code == 0
    assert "hunter2" not in json.dumps(events(result.stdout))


@pytest.mark.parametrize(
    "args", [["--fallback", "ewr", "--fallback", "ord"], ["--fallback", "ewr,ord"], ["--fallback", "ewr, ord"]]
)
def test_fallback_regions_may_be_repeated_or_listed(args: list[str]) -> None:
    result = deploy("--region", "iad", "--local", "--dry-run", *args)
    assert "if a region has no room: try ewr, ord, in this order" in result.stdout


@pytest.mark.parametrize("args", [["--capacity", "iad=0,lhr=0"], ["--capacity", "iad=0", "--capacity", "lhr=0"]])
def test_capacity_may_be_repeated_or_listed(args: list[str]) -> None:
    result = deploy("--add", "--region", "iad,lhr,nrt", "--local", *args)
    assert "1 of 3 machines run" in result.stdout


def test_a_local_deploy_meets_the_trouble_asked_for() -> None:
    lost = '{"does": "lose_answer", "action": "createMachine", "times": 1}'
    broken = '{"does": "fail", "region": "lhr"}'
    result = deploy("--add", "--region", "iad,lhr", "--local", "--require", "all", "--fault", lost, "--fault", broken)
    assert result.exit_code == 3
    assert "1 of 2 machines run" in result.stdout


def test_a_dry_run_shows_the_config_and_no_value_of_the_environment() -> None:
    result = deploy(
        *("--add", "--region", "iad", "--local", "--dry-run", "--size", "shared-cpu-1x", "--env", "PASSWORD=hunter2"),
        *("--metadata", "team=blue", "--port", "8080", "--check", "/health"),
    )
    run_until_signalled = tags(result.stdout).split("each machine:")[1].splitlines()
    assert [line.split() for line in run_until_signalled if line][:4] == [
        ["image", "nginx"],
        ["guest", "cpu_kind=shared,", "cpus=1,", "memory_mb=256"],
        ["env", "PASSWORD"],
        ["ports", "80,", "443", "->", "8080"],
    ]
    assert "port=8080" in result.stdout
    assert "path=/health" in result.stdout
    assert "metadata  team=blue, flyasync_launch=v1" in result.stdout
    assert "hunter2" not in result.stdout


def test_a_dry_run_of_little_says_what_is_left_open() -> None:
    lines = deploy("--region", "iad", "--local", "--dry-run").stdout.splitlines()
    assert "    guest     the API's default" in lines
    assert {"    env       none", "    ports     none", "    checks    none"} <= set(lines)


def test_a_dry_run_as_json_holds_the_config() -> None:
    (planned,) = events(deploy("--region", "iad", "--local", "--dry-run", "--json", "--env", "A=hunter2").stdout)
    assert planned["config"]["env"] == ["A"]
    assert re.fullmatch(r"nginx@sha256:[0-9a-f]{64}", planned["config"]["image"])
    assert "hunter2" not in json.dumps(planned)


@pytest.mark.parametrize(
    ("args", "kind", "exit_code"),
    [
        (["--region", "iad"], "MissingToken", 1),
        (["--region", "iad", "--count", "0"], "InvalidInput", 2),
        (["--region", "iad", "--check", "/"], "UsageError", 2),
        (["--region", "iad,iad"], "BadParameter", 2),
        (["--add"], "MissingParameter", 2),
    ],
)
def test_json_tells_an_early_failure_too(args: list[str], kind: str, exit_code: int) -> None:
    result = deploy("--json", *args)
    (told,) = events(result.stdout)
    assert result.exit_code == exit_code
    assert (told["event"], told["kind"], told["exit"]) == ("error", kind, exit_code)
    assert told["message"]
    assert told["message"] in " ".join(result.stderr.split())


def test_the_help_tells_what_a_signal_leaves_behind() -> None:
    said = " ".join(flyasync("deploy", "--help").stdout.split())
    assert "keep running, even with --roll-back" in said
    assert "130 Ctrl-C (SIGINT); 143 SIGTERM; 129 the terminal was closed (SIGHUP)" in said
