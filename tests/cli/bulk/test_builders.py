"""What can never work is told by its line before anything is asked, all of it at once, and no secret with it."""

import json
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.bulk.driver import street, table
from tests.cli.driver import events, flyasync

HEADER = "app,image,region,size,strategy,count,require,port,check,env.TOKEN"


def bulk(path: Path, text: str, *args: str) -> Result:
    file = path / "shops.csv"
    file.write_text(text)
    return flyasync("bulk", str(file), *args)


def told(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a,,iad,,,,,,,", "no image: set the column image, or --image for all rows"),
        ("a,nginx,,,,,,,,", "no region: set the column region, or --region for all rows"),
        ("Web Shop,nginx,iad,,,,,,,", "'Web Shop' is not a valid app name, which has fewer than 63 lowercase letters"),
        ("a,ng inx,iad,,,,,,,", "'ng inx' contains spaces"),
        ("a,nginx,iadd,,,,,,,", "'iadd' is not a region: a region is three lowercase letters"),
        ("a,nginx,IAD,,,,,,,", "did you mean 'iad'?"),
        ("a,nginx,eu,,,,,,,", "stands for many regions"),
        ('a,nginx,"iad,iad",,,,,,,', "region: 'iad' is given twice"),
        ("a,nginx,iad lhr iad,,,,,,,", "region: 'iad' is given twice"),
        ('a,nginx,"iad,",,,,,,,', "'' is not a region"),
        ("a,nginx,iad,tiny,,,,,,", "is not a machine size"),
        ("a,nginx,iad,,sideways,,,,,", "strategy: 'sideways' is not one of 'rolling'"),
        ("a,nginx,iad,,,many,,,,", "count: 'many' is not a number of machines"),
        ("a,nginx,iad,,,lhr=2,,,,", "names lhr, which is not among the regions"),
        ("a,nginx,iad,,,iad=0,,,,", "a count of 0 needs --strategy"),
        ("a,nginx,iad,,,,2,,,", "requires at least 2 regions, but has only 1"),
        ("a,nginx,iad,,,,most,,,", "'most' is not a requirement"),
        ("a,nginx,iad,,,,,99999,,", "port: 99999 is not in the range"),
        ("a,nginx,iad,,,,,,/health,", "needs --port"),
        ("b,nginx,lhr,,,,,,,", "the app b is already in line 2"),
    ],
)
def test_a_row_that_can_never_work_is_told_by_its_line(tmp_path: Path, row: str, says: str) -> None:
    said = told(bulk(tmp_path, f"{HEADER}\nb,nginx,iad,,,,,,,\n{row}\n"))
    assert "shops.csv: 1 invalid line, so nothing was deployed line 3: " in said
    assert says in said


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"max_unavailable": 2}, "max_unavailable needs --strategy rolling or canary"),
        ({"strategy": "immediate", "max_unavailable": 2}, "max_unavailable is for --strategy rolling or canary"),
        ({"group": "worker"}, "group needs --strategy"),
        ({"if_volume_lost": "new"}, "if_volume_lost needs volume"),
        ({"size": ["a", "b"]}, "size: expected one value, not a list"),
        ({"cpus": True}, "cpus: 'true' is not a valid integer"),
        ({"roll_back": "perhaps"}, "roll_back: 'perhaps' is not a valid boolean"),
        ({"volume": "data"}, "volume: 'data' is not NAME:PATH"),
        ({"waves": "iad/lhr", "region": "iad", "strategy": "rolling"}, "--waves and --region name different"),
    ],
)
def test_a_line_of_json_that_can_never_work_is_told_by_its_line(
    tmp_path: Path, line: dict[str, object], says: str
) -> None:
    text = json.dumps({"app": "a", "image": "nginx", "region": "iad", **line})
    assert f"line 1: {says}" in told(bulk(tmp_path, text))


def test_all_wrong_lines_are_told_at_once_but_no_more_than_twenty(tmp_path: Path) -> None:
    rows = [f"shop-{number},nginx,{'iad' if number % 2 else 'nowhere'}" for number in range(60)]
    result = bulk(tmp_path, "\n".join(["app,image,region", *rows, "shop-1,nginx,iad"]))
    assert result.exit_code == 2
    head, *lines, more = result.stderr.splitlines()
    assert head.endswith("shops.csv: 31 invalid lines, so nothing was deployed")
    assert [line.split(":")[0] for line in lines] == [f"  line {number}" for number in range(2, 42, 2)]
    assert more == "  and 11 more"


def test_wrong_lines_are_told_as_json_too(tmp_path: Path) -> None:
    result = bulk(tmp_path, "app,image,region\na,nginx,nowhere\n", "--json")
    (error,) = events(result.stdout)
    assert (error["event"], error["kind"], error["exit"]) == ("error", "WrongLines", 2)
    assert "line 2: --region: 'nowhere' is not a region" in error["message"]


def test_nothing_is_asked_of_the_api_when_the_last_line_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with street(monkeypatch, tmp_path, 3) as shops:
        before = len(shops.emulator.log)
        assert shops.journaled(table(3) + "shop-3,nginx,nowhere\n").exit_code == 2
        assert len(shops.emulator.log) == before
        assert not shops.journal.exists()


@pytest.mark.parametrize("text", ["", "\n\n", "app,image,region\n", "app,image,region\n,,\n"])
def test_a_file_without_rows_is_no_run(tmp_path: Path, text: str) -> None:
    assert "shops.csv has no rows" in told(bulk(tmp_path, text))


@pytest.mark.parametrize(
    "row",
    [
        "a,,iad,,,,,,,hunter2",
        "a,nginx,iad,hunter2",
        'a,nginx,iad,,,,,,,"hunter2',
        'a,nginx,iad,,,,,,,"hunter2"x',
        "a,https://me:hunter2@registry.fly.io/web x,iad,,,,,,,",
    ],
)
def test_a_value_that_may_be_a_secret_is_not_repeated(tmp_path: Path, row: str) -> None:
    result = bulk(tmp_path, f"{HEADER}\n{row}\n")
    assert result.exit_code == 2
    assert "hunter2" not in result.output


def test_an_option_for_all_rows_that_fits_none_is_told_with_each(tmp_path: Path) -> None:
    said = told(bulk(tmp_path, table(2), "--max-unavailable", "2"))
    assert said.count("max_unavailable needs --strategy rolling or canary") == 2
