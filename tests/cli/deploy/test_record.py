"""`--record`: the file of a deploy, written beside its output."""

import json
from pathlib import Path

from tests.cli.driver import deploy


def test_a_recording_has_the_spec_each_exchange_and_the_report(tmp_path: Path) -> None:
    path = tmp_path / "deploy.jsonl"
    result = deploy(
        "--region", "iad,lhr", "--local", "--no-config", "--env", "PASSWORD=hunter2hunter2", "--record", str(path)
    )
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = [line.get("what") for line in lines]
    assert kinds[-1] == "end"
    assert {*kinds} == {None, "deploy", "exchange", "report", "end"}
    [spec] = [line["spec"] for line in lines if line.get("what") == "deploy"]
    assert (spec["app"], spec["stated_regions"]) == ("web", ["iad", "lhr"])
    assert spec["config"]["env"]["PASSWORD"].startswith("redacted-")
    [report] = [line["report"] for line in lines if line.get("what") == "report"]
    assert report["ok"]
    assert "hunter2" not in path.read_text()
    assert "emulator-token" not in path.read_text()


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    result = deploy("--region", "iad", "--local", "--no-config", "--record", str(tmp_path / "none" / "r"))
    assert result.exit_code == 2
    assert "cannot be written" in result.output
