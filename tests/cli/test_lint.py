import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.cli.driver import flyasync

TOML = """
app = "web"
[http_service]
internal_port = 8080
auto_stop_machines = "stop"
auto_start_machines = false
"""


def linted(path: Path, text: str, *args: str) -> tuple[int, list[dict[str, Any]]]:
    path.write_text(text)
    result = flyasync("lint", str(path), *args, "--json")
    return result.exit_code, json.loads(result.stdout)


def test_a_good_config_has_no_findings(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"image": "nginx"}')
    result = flyasync("lint", str(tmp_path / "config.json"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "flyasync: no problems found\n")


def test_a_certain_finding_makes_it_fail(tmp_path: Path) -> None:
    exit_code, found = linted(tmp_path / "config.json", '{"image": "nginx", "guest": {"cpus": 3, "memory_mb": 100}}')
    assert exit_code == 1
    assert found[0]["certain"]
    assert all({"code", "path", "message", "advice"} <= finding.keys() for finding in found)


def test_a_warning_alone_does_not(tmp_path: Path) -> None:
    exit_code, found = linted(tmp_path / "config.json", '{"image": "nginx", "schedule": "yearly"}')
    assert exit_code == 0
    assert [(finding["code"], finding["path"], finding["certain"]) for finding in found] == [
        ("schedule", "schedule", False)
    ]
    said = flyasync("lint", str(tmp_path / "config.json")).stdout
    assert said.startswith("warning\tschedule\tschedule\t'yearly' is not a known schedule\t")


def test_a_value_of_the_wrong_type_is_a_finding(tmp_path: Path) -> None:
    exit_code, found = linted(tmp_path / "config.json", '{"image": "nginx", "guest": {"cpus": "2"}}')
    assert (exit_code, found[0]["path"]) == (1, "$.guest.cpus")


def test_a_fly_toml_is_read_as_flyctl_does(tmp_path: Path) -> None:
    exit_code, found = linted(tmp_path / "fly.toml", TOML)
    assert exit_code == 0
    assert "services[0].autostop" in {finding["path"] for finding in found}


def test_each_process_group_is_looked_at(tmp_path: Path) -> None:
    text = f'{TOML}processes = ["web"]\n[processes]\nweb = "serve"\njobs = "work"\n'
    text += '[[vm]]\nmemory = "100mb"\nprocesses = ["jobs"]\n'
    exit_code, found = linted(tmp_path / "fly.toml", text)
    assert exit_code == 1
    assert found[0]["path"].startswith("jobs: ")
    assert linted(tmp_path / "fly.toml", text, "--process-group", "web")[0] == 0


UNKNOWN = """
org = "me"
[http_service]
internal_port = 80
timeout = 30
[[vm]]
cpus = 3
memory = "64mb"
"""


def test_what_is_not_known_is_a_warning_beside_all_else(tmp_path: Path) -> None:
    exit_code, found = linted(tmp_path / "fly.toml", UNKNOWN)
    assert exit_code == 1
    assert [(finding["code"], finding["path"], finding["certain"]) for finding in found] == [
        ("guest-cpus", "guest.cpus", True),
        ("unknown-key", "http_service.timeout", False),
        ("unknown-key", "org", False),
    ]
    assert linted(tmp_path / "fly.toml", "org = 'me'")[0] == 0


def test_what_has_no_effect_is_refused_if_asked(tmp_path: Path) -> None:
    text = '[http_servce]\ninternal_port = 80\n[processes]\nworker = "a"\n[[vm]]\nprocesses = ["workers"]\n'
    exit_code, found = linted(tmp_path / "fly.toml", text, "--strict")
    assert (exit_code, [(each["path"], each["certain"]) for each in found]) == (
        1,
        [("vm[0].processes", True), ("http_servce", True)],
    )
    assert [each["message"].partition(": ")[2] for each in found] == [
        "did you mean 'worker'?",
        "did you mean 'http_service'?",
    ]
    assert linted(tmp_path / "fly.toml", text)[0] == 0


def test_a_value_that_cannot_be_used_does_not_hide_the_rest(tmp_path: Path) -> None:
    exit_code, found = linted(tmp_path / "fly.toml", UNKNOWN + '[[services]]\nauto_stop_machines = "soon"\n')
    assert exit_code == 2
    assert {"services[0].auto_stop_machines", "http_service.timeout", "guest.cpus"} <= {each["path"] for each in found}


def test_the_name_of_the_app_is_looked_at(tmp_path: Path) -> None:
    exit_code, found = linted(tmp_path / "fly.toml", 'app = "My App"\n')
    assert (exit_code, [each["path"] for each in found]) == (1, ["app"])


def test_unknown_keys_are_told_once_for_all_groups(tmp_path: Path) -> None:
    _, found = linted(tmp_path / "fly.toml", 'novel = 1\n[processes]\na = "x"\nb = "y"\n')
    assert [finding["path"] for finding in found] == ["novel"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"mounts": [{"volume": "data", "path": "/data"}]},
            "'data' is the name of a volume, but this request needs its id",
        ),
        ({"mounts": [{"volume": "my-data", "path": "/data"}]}, "'my-data' is not the id of a volume"),
        ({"files": [{"guest_path": "/a", "local_path": "a"}]}, "the content comes from local_path"),
        ({"containers": [{"files": [{"guest_path": "/a", "local_path": "a"}]}]}, "the content comes from local_path"),
    ],
)
def test_what_only_looks_like_a_config(tmp_path: Path, config: dict[str, Any], says: str) -> None:
    exit_code, found = linted(tmp_path / "config.json", json.dumps({"image": "nginx", **config}))
    assert exit_code == 1
    assert says in found[0]["message"]


def test_a_whole_machine_may_come_through_a_pipe() -> None:
    document = json.dumps({"id": "1", "config": {"guest": {"cpus": 3}}}).encode()
    assert flyasync("lint", "-", answer=BytesIO(document)).exit_code == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [("fly.toml", "app ="), ("fly.toml", "build = 1\nprocesses = 2"), ("x.json", "{"), ("x.json", "[" * 100_000)],
)
def test_what_cannot_be_read_is_wrong_input(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert flyasync("lint", str(tmp_path / name)).exit_code == 2


def test_a_file_that_is_not_there_is_wrong_input() -> None:
    assert flyasync("lint", "nosuch.toml").exit_code == 2


def test_a_fly_json_is_read_like_a_fly_toml(tmp_path: Path) -> None:
    text = json.dumps({"app": "web", "org": "me", "vm": [{"cpus": 3}]})
    for name in ("fly.json", "other.json"):
        exit_code, found = linted(tmp_path / name, text)
        assert (exit_code, [finding["path"] for finding in found]) == (1, ["guest.cpus", "org"])


def test_yaml_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "fly.yaml").write_text("app: web")
    result = flyasync("lint", str(tmp_path / "fly.yaml"))
    assert (result.exit_code, "fly config show --local --toml" in result.stderr) == (2, True)
