"""Whole command lines of `flyasync bulk`: each app as its row says, and what failed and why."""

import json
import re
import shlex
from io import BytesIO
from pathlib import Path

import pytest

from flyasync.cli.bulk.command import EPILOG
from flyasync.emulator import Fault
from flyasync.models.machine import GONE
from tests.cli.bulk.driver import names, street, table
from tests.cli.driver import events, flyasync

LOCAL = "local rehearsal: this ran on an emulator; nothing was deployed to Fly.io"


def test_each_app_runs_what_its_row_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (
        "app,image,regions,size,count,env.PLAN\n"
        'shop-0,nginx:1,"iad,lhr",shared-cpu-2x,,free\n'
        "shop-1,nginx:2,nrt,,2,gold\n"
    )
    with street(monkeypatch, tmp_path, 3) as shops:
        result = shops.bulk(text, "--size", "shared-cpu-1x", "--env", "PLAN=none", "--env", "LOG=info")
        assert result.exit_code == 0, result.output
        assert shops.machines() == {
            "shop-0": ["nginx:1 in iad", "nginx:1 in lhr"],
            "shop-1": ["nginx:2 in nrt", "nginx:2 in nrt"],
            "shop-2": [],
        }
        configs = {machine.app: machine.config for machine in shops.emulator.world.machines.values()}
        assert configs["shop-0"]["env"] == {"PLAN": "free", "LOG": "info"}
        assert configs["shop-1"]["env"] == {"PLAN": "gold", "LOG": "info"}
        assert [configs[name]["guest"]["cpus"] for name in ("shop-0", "shop-1")] == [2, 1]
    assert "shops.csv: ok: 2 of 2 apps done, 0 failed, 0 left" in result.stdout


def test_json_lines_run_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = [
        {"app": "shop-0", "image": "nginx:1", "regions": ["iad", "lhr"], "env": {"PLAN": "a=b"}},
        {"app": "shop-1", "image": "nginx:9", "count": {"nrt": 2}, "region": "nrt"},
    ]
    with street(monkeypatch, tmp_path, 2) as shops:
        result = shops.bulk("\n".join(map(json.dumps, lines)))
        assert result.exit_code == 0, result.output
        assert shops.machines() == {
            "shop-0": ["nginx:1 in iad", "nginx:1 in lhr"],
            "shop-1": ["nginx:9 in nrt", "nginx:9 in nrt"],
        }


def test_all_are_of_one_launch_and_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 2) as shops:
        said = shops.bulk(table(2), "--launch", "v7").stdout
        launches = {machine.name for machine in shops.emulator.world.machines.values()}
    assert launches == {"v7-iad-1"}
    assert "2 apps to deploy, 20 at once, launch v7" in said


def test_no_more_apps_than_asked_are_under_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 6, boot=(10, 10)) as shops:
        told = shops.json(table(6), "--apps-in-flight", "2")
    assert told[-1]["at"] == pytest.approx(30, abs=2)


def test_json_is_a_line_for_each_app_with_its_report_and_the_summary_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 2) as shops:
        told = shops.json(table(4), exit_code=1)
    assert [event["event"] for event in told] == ["app"] * 4 + ["finished"]
    assert {event["app"]: event["ok"] for event in told[:-1]} == dict(
        zip(names(4), [True, True, False, False], strict=True)
    )
    assert all(event["report"]["app"] == event["app"] for event in told[:-1])
    last = told[-1]
    assert (last["ok"], last["apps"], last["done"], last["failed"], last["left"]) == (False, 4, 2, 2, 0)
    (cause,) = last["failures"]
    assert (cause["count"], sorted(cause["apps"])) == (2, ["shop-2", "shop-3"])
    assert "app not found" in cause["why"]


def test_a_pipe_gets_a_line_for_each_failed_app_the_progress_and_a_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 8, boot=(12, 12), capacity={"lhr": 0}) as shops:
        text = table(8) + "nobody-1,nginx,iad\nnobody-2,nginx,iad\n"
        text = text.replace("shop-3,nginx,iad", "shop-3,nginx,lhr")
        result = shops.bulk(text, "--apps-in-flight", "2")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert sum("  failed: " in line for line in lines) == 3
    assert any(
        re.search(r"s  4 of 10 apps done, 1 failed, 5 left, 2 in progress, .* apps/s, about", line) for line in lines
    )
    verdict = next(number for number, line in enumerate(lines) if ": failed: 7 of 10 apps done" in line)
    assert lines[verdict + 1].split("\t") == ["apps", "why", "which"]
    first, second = (line.split("\t") for line in lines[verdict + 2 : verdict + 4])
    assert (first[0], sorted(first[2].split(", "))) == ("2", ["nobody-1", "nobody-2"])
    assert "machines.list APP: app not found" in first[1]
    assert (second[0], second[2]) == ("1", "shop-3")
    assert re.search(
        r"^not found: nobody-\d, nobody-\d; check the names, or add --create-app to create missing apps$",
        result.stdout,
        re.MULTILINE,
    )
    assert "lhr has no room" in second[1]


@pytest.mark.parametrize("output", [(), ("--json",)])
def test_failures_of_bulk_name_commands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: tuple[str, ...]
) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        shops.emulator.faults.add(Fault(does="crash", seconds=0.1, exit_code=3))
        result = shops.journaled(table(1), "--smoke-check", "5", *output)
    assert result.exit_code == 1
    for text in (result.stdout, shops.journal.read_text()):
        assert "flyasync machines events shop-0" in text
        assert "fly.machines" not in text


def test_ten_thousand_failures_are_a_few_lines_of_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = Fault(does="refuse", action="createMachine", status=422, body={"error": "no such image"})
    with street(monkeypatch, tmp_path, 40, faults=[broken]) as shops:
        said = shops.bulk(table(40)).stdout
    ending = said[said.index("shops.csv: failed: 0 of 40 apps done, 40 failed") :].splitlines()
    assert len(ending) == 4
    assert re.search(
        r"^40\tmachines.create APP: no such image .*\tshop-\d+, shop-\d+, shop-\d+ and 37 more$", ending[2]
    )


def test_max_failures_begins_no_further_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "app,image,region\n" + "".join(f"nobody-{number},nginx,iad\n" for number in range(9))
    with street(monkeypatch, tmp_path, 1) as shops:
        result = shops.bulk(text, "--apps-in-flight", "1", "--max-failures", "3")
    assert result.exit_code == 1
    assert "0 of 9 apps done, 3 failed, 6 left" in result.stdout
    assert "not started, because --max-failures was reached: 6 apps" in result.stdout


def test_an_app_that_lacks_machines_is_told_though_it_is_ok(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = ('shop-0,nginx,"iad,lhr",1', 'shop-1,nginx,"iad,lhr",all', 'shop-2,nginx,"iad,lhr",')
    text = "\n".join(("app,image,region,require", *rows, ""))
    with street(monkeypatch, tmp_path, 3, capacity={"lhr": 0}) as shops:
        result = shops.bulk(text)
    assert result.exit_code == 1
    assert "1 of 3 apps done, 2 failed" in result.stdout  # the last row states no requirement, so it is degraded
    assert "ok with --require, but some machines do not run: shop-0\n" in result.stdout


def test_a_strategy_brings_what_runs_to_the_new_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick = ("--strategy", "rolling", "--smoke-check", "0")
    with street(monkeypatch, tmp_path, 3) as shops:
        assert shops.bulk(table(3, image="nginx:1"), *quick).exit_code == 0
        assert shops.bulk(table(3, image="nginx:2"), *quick).exit_code == 0
        assert shops.machines() == {name: ["nginx:2 in iad"] for name in names(3)}


@pytest.mark.parametrize(("row", "verdict"), [("", "not verified"), ("none,nginx:2,iad\n", "failed")])
def test_an_app_that_is_not_verified_is_not_ok(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, row: str, verdict: str
) -> None:
    quick = ("--strategy", "rolling", "--smoke-check", "0")
    with street(monkeypatch, tmp_path, 2) as shops:
        assert shops.bulk(table(2, image="nginx:1"), *quick).exit_code == 0
        (machine,) = (each for each in shops.emulator.world.machines.values() if each.app == "shop-1")
        assert flyasync("machines", "stop", "shop-1", machine.id, drive=shops.drive).exit_code == 0
        result = shops.bulk(table(2, image="nginx:2") + row, *quick)
        assert result.exit_code == 1, result.output
        assert f"shops.csv: {verdict}: 1 of" in result.stdout
        assert "not verified: all machines of the group are stopped" in result.stdout


def examples() -> tuple[str, list[list[str]]]:
    """Give the file that the help shows, and its command lines that begin a deploy from here, in their order."""
    lines = [line.strip() for line in EPILOG.replace("\\\n", "").splitlines()]
    begin = lines.index("app,regions,size,env.PLAN")
    said = [shlex.split(line)[1:] for line in lines if line.startswith("flyasync bulk ")]
    return "\n".join(lines[begin : begin + 3]), [args for args in said if "--executor" not in args]


def test_the_examples_of_the_help_do_one_after_the_other_what_they_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    text, commands = examples()
    seen = []
    with street(monkeypatch, tmp_path, 3) as shops:
        shops.write(text, "customers.csv")
        for args in commands:
            result = flyasync(*args, drive=shops.drive)
            assert result.exit_code == 0, result.output
            seen.append({app: machines for app, machines in shops.machines().items() if machines})
    v7, v8 = (
        {"shop-1": [f"{image} in iad", f"{image} in lhr"], "shop-2": [f"{image} in nrt"]}
        for image in ("registry.fly.io/shop:v7", "registry.fly.io/shop:v8")
    )
    assert seen == [{}, {}, v7, v7, v8]


@pytest.mark.parametrize("is_json", [False, True])
def test_an_image_that_rows_would_keep_from_running_is_refused_before_anything_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_json: bool
) -> None:
    text = "app,image,region\nshop-0,nginx:8,iad\nshop-1,nginx:7,iad\nshop-2,,iad\nshop-3,nginx:6,iad\n"
    if is_json:
        rows = [line.split(",") for line in text.splitlines()]
        text = "\n" + "\n".join(json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:])
    with street(monkeypatch, tmp_path, 4) as shops:
        before = len(shops.emulator.log)
        refused = shops.journaled(text, "--image", "nginx:8", "--strategy", "rolling")
        assert refused.exit_code == 2, refused.output
        assert len(shops.emulator.log) == before
        assert not shops.journal.exists()
    assert (
        "--image is given, but 2 rows have another image, the first in line 3, so nothing was deployed: leave out "
        "--image, or remove the column image from the file"
    ) in refused.stderr


def test_an_image_that_all_rows_have_or_leave_open_may_be_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 2) as shops:
        result = shops.bulk("app,image,region\nshop-0,nginx:8,iad\nshop-1,,iad\n", "--image", "nginx:8")
        assert result.exit_code == 0, result.output
        assert shops.machines() == {name: ["nginx:8 in iad"] for name in names(2)}


def test_what_a_strategy_leaves_alone_is_told_once_for_all_apps_and_what_takes_it_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = table(4).replace("nginx", "")
    rolling = ("--strategy", "rolling", "--smoke-check", "0")
    with street(monkeypatch, tmp_path, 5) as shops:
        assert "left unchanged" not in shops.bulk(rows, "--image", "nginx:7", "--launch", "v7").output
        said = shops.bulk(rows, "--image", "nginx:8", *rolling)
        assert said.exit_code == 0, said.output
        assert shops.machines()["shop-0"] == ["nginx:7 in iad", "nginx:8 in iad"]
        told = shops.json(rows, "--image", "nginx:8", *rolling)
        for name in names(4):
            assert flyasync("destroy", name, "--launch", "v7", "--yes", drive=shops.drive).exit_code == 0
        assert "left unchanged" not in shops.bulk(rows, "--image", "nginx:8", *rolling).output
        assert shops.machines() == {**{name: ["nginx:8 in iad"] for name in names(4)}, "shop-4": []}
    text = (
        "machines of launch v7 are left unchanged: created without a strategy, they have no process group; "
        "to destroy them: flyasync destroy {} --launch v7; to take them into a group: --adopt all"
    )
    (line,) = (line for line in said.stdout.splitlines() if "left unchanged" in line)
    assert re.fullmatch(rf"4 apps \((shop-\d, ){{2}}shop-\d and 1 more\): {text.format('APP')}", line)
    assert {each["app"]: each["report"]["remarks"] for each in told[:-1]} == {
        name: [text.format(name)] for name in names(4)
    }
    assert [(each["count"], each["text"]) for each in told[-1]["remarks"]] == [(4, text.format("APP"))]


def test_machines_in_regions_that_a_row_does_not_name_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rolling = ("--strategy", "rolling", "--smoke-check", "0")
    with street(monkeypatch, tmp_path, 1) as shops:
        shops.bulk(table(1).replace(",iad", ',"iad,lhr"'), *rolling)
        said = shops.bulk(table(1), *rolling).stdout
    assert "1 app (shop-0): lhr is not listed, so its 1 machine is left unchanged" in said


def test_a_row_that_asks_for_less_without_a_strategy_is_told_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        assert shops.journaled(table(1).replace(",iad", ',"iad,lhr"')).exit_code == 0
        failed = shops.journaled(table(1))
        assert failed.exit_code == 1
        found = re.search(
            r"too many machines: (\w+) have .*; to destroy them: flyasync (machines destroy shop-0 .*)$",
            failed.stdout,
            re.MULTILINE,
        )
        assert found, failed.stdout
        assert flyasync(*found[2].split(), "--yes", drive=shops.drive).exit_code == 0
        assert shops.journaled(table(1)).exit_code == 0
        assert shops.machines() == {"shop-0": ["nginx in iad"]}


def test_a_row_may_have_a_strategy_of_its_own_and_leaves_what_goes_with_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "app,image,region,strategy\nshop-0,nginx,iad,immediate\nshop-1,nginx,iad,\n"
    with street(monkeypatch, tmp_path, 2) as shops:
        told = shops.json(text, "--strategy", "rolling", "--max-unavailable", "2", "--smoke-check", "0")
    assert {each["app"]: each["report"]["strategy"] for each in told[:-1]} == {
        "shop-0": "immediate",
        "shop-1": "rolling",
    }


def test_what_a_row_says_stands_in_place_of_what_excludes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "app,image,region,cpus\nshop-0,nginx,iad,2\nshop-1,nginx,iad,\n"
    with street(monkeypatch, tmp_path, 2) as shops:
        assert shops.bulk(text, "--size", "shared-cpu-4x").exit_code == 0
        cpus = {machine.app: machine.config["guest"]["cpus"] for machine in shops.emulator.world.machines.values()}
    assert cpus == {"shop-0": 2, "shop-1": 4}


# Apps that are not there


def test_create_app_creates_those_that_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        result = shops.bulk(table(4), "--create-app", "personal")
        assert result.exit_code == 0, result.output
        assert shops.machines() == {name: ["nginx in iad"] for name in names(4)}
        assert not shops.emulator.refused_by_limit()


def test_create_app_alone_means_the_default_organization(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        planned = shops.bulk(table(4), "--create-app", "--dry-run")
        assert "missing apps are created in the token's only organization, otherwise personal" in planned.stdout
        result = shops.bulk(table(4), "--create-app")
        assert result.exit_code == 0, result.output
        assert {app.org_slug for app in shops.emulator.world.apps.values()} == {"personal"}
        assert len(shops.emulator.world.apps) == 4
        # The organizations are read once, not for each app.
        assert sum(number for (name, _), number in shops.emulator.counts().items() if name == "graphql") <= 1 + 4


def test_apps_that_are_created_share_the_digest_from_the_first_that_is_deployed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A tag can be resolved only for an app that exists."""
    with street(monkeypatch, tmp_path, 0) as shops:
        result = shops.bulk(table(9), "--create-app", "personal", "--apps-in-flight", "2")
        assert result.exit_code == 0, result.output
        resolutions = [entry for entry in shops.emulator.log if entry.action == "graphql"]
        images = {machine.config["image"] for machine in shops.emulator.world.machines.values()}
    # Twice for each of the first two: before their app exists, and after; then once for all others.
    assert len(resolutions) <= 2 * 2 + 1
    assert len(images) == 1


def test_an_app_that_cannot_be_created_fails_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    theirs = Fault(does="refuse", action="getApp", identifier="shop-2", status=403, body={"error": "unauthorized"})
    with street(monkeypatch, tmp_path, 1, faults=[theirs]) as shops:
        told = shops.json(table(4), "--create-app", "personal", exit_code=1)
    failed = {event["app"]: event["why"] for event in told[:-1] if not event["ok"]}
    assert list(failed) == ["shop-2"]
    assert failed["shop-2"].startswith("apps.get shop-2: unauthorized")


# Rehearsing, and looking


def test_a_rehearsal_has_the_apps_and_says_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "shops.csv"
    file.write_text(table(50))
    result = flyasync("bulk", str(file), "--local", "--boot", "1", "--capacity", "iad=45")
    assert result.exit_code == 1
    assert "45 of 50 apps done, 5 failed" in result.stdout
    assert result.stdout.splitlines()[-1] == LOCAL
    told = events(flyasync("bulk", str(file), "--local", "--json").stdout)
    assert all(event["local"] for event in told)


def test_a_rehearsal_of_creating_apps_keeps_their_pace(tmp_path: Path) -> None:
    file = tmp_path / "shops.csv"
    file.write_text(table(12))
    told = events(flyasync("bulk", str(file), "--local", "--json", "--create-app", "personal").stdout)
    assert told[-1]["ok"]
    assert told[-1]["at"] > 9


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--local", "--executor", "dask://127.0.0.1:8786"], "so it cannot be combined with --executor dask://"),
        (["--local", "--journal", "run.jsonl"], "so it cannot be combined with --journal"),
        (["--boot", "3"], "need --local"),
        (["--executor", "ray"], "'ray' is neither local nor dask://HOST:PORT"),
        (["--executor", "dask://somewhere"], "is neither local nor dask://HOST:PORT"),
        (["--apps-in-flight", "0"], "0 is not in the range"),
        (["--max-failures", "0"], "0 is not in the range"),
        (["--launch", "V 1"], "is not a valid launch name"),
        (["--journal", "/nowhere/run.jsonl"], "cannot be written"),
        (["--undo"], "--undo"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(tmp_path: Path, args: list[str], says: str) -> None:
    file = tmp_path / "shops.csv"
    file.write_text(table(2))
    result = flyasync("bulk", str(file), *args)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_a_file_that_is_not_there_is_a_wrong_command_line(tmp_path: Path) -> None:
    result = flyasync("bulk", str(tmp_path / "none.csv"))
    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_rows_may_come_from_stdin() -> None:
    result = flyasync("bulk", "-", "--local", answer=BytesIO(table(3).encode()))
    assert result.exit_code == 0, result.output
    assert "<stdin>: ok: 3 of 3 apps done" in result.stdout


def test_a_dry_run_asks_nobody_and_says_what_would_be_done(tmp_path: Path) -> None:
    file = tmp_path / "shops.csv"
    file.write_text('app,image,region,count,strategy\na,nginx,"iad,lhr",2,\nb,nginx,iad,,rolling\n')
    result = flyasync("bulk", str(file), "--dry-run", "--apps-in-flight", "5", "--create-app", "acme")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:] == [
        "  machines: 5: iad 3, lhr 2",
        "  by strategy: none 1, rolling 1",
        "  missing apps are created in acme, one per second",
        "  takes at least 10 s if all machines have to be created; boot times are not included",
        "dry run: no request was sent, and nothing was changed",
    ]
    (planned,) = events(flyasync("bulk", str(file), "--dry-run", "--json").stdout)
    assert (planned["event"], planned["apps"], planned["machines"]) == ("planned", 2, 5)
    assert planned["regions"] == {"iad": 3, "lhr": 2}
    assert (planned["seconds"], planned["seconds_least"]) == (None, 10.0)


def test_without_a_token_it_says_in_one_line_where_it_looked_and_exits_with_1(tmp_path: Path) -> None:
    file = tmp_path / "shops.csv"
    file.write_text(table(1))
    result = flyasync("bulk", str(file))
    assert result.exit_code == 1
    assert result.stderr.startswith("flyasync: no Fly.io token found in FLY_ACCESS_TOKEN, ")


def test_every_option_says_what_it_is_for_and_the_help_has_the_exit_status() -> None:
    said = flyasync("bulk", "--help").stdout
    assert not re.search(r"^  --[a-z-]+( [^ ]+)?$\n(?! {20,})", said, re.MULTILINE)
    assert "Exit status: 0 when every app is ok, 1 when one is not" in said
    assert "bulk" in flyasync("--help").stdout


def test_a_secret_of_a_row_is_in_no_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "app,image,region,env.PASSWORD\nshop-0,nginx,iad,hunter2\nnobody,nginx,iad,hunter2\n"
    with street(monkeypatch, tmp_path, 1) as shops:
        for args in ((), ("--json",), ("--dry-run",)):
            assert "hunter2" not in shops.bulk(text, *args).output
        result = shops.journaled(text)
        assert "hunter2" not in result.output
        assert "hunter2" not in shops.journal.read_text()
        assert all(machine.state not in GONE for machine in shops.emulator.world.machines.values())
