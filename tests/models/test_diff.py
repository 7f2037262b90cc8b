"""Configs are equal when they mean the same, and a difference says where, but no secret."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from flyasync.models.config import Init, MachineConfig
from flyasync.models.container import Container, File, StopConfig
from flyasync.models.diff import Change, diff_text, differences, same
from flyasync.models.guest import Guest
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.lint.linter import lint, lint_groups
from flyasync.models.service import Check, HTTPHeader, Port, Service


def read(config: Any) -> MachineConfig:
    return structure(config, MachineConfig)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"env": None}, {}),
        ({"env": {}}, {"env": None}),
        ({"init": {}}, {}),
        ({"init": {"exec": None}}, {"init": None}),
        ({"dns": {}, "services": [], "metadata": None}, {}),
        ({"restart": {"policy": ""}}, {}),
        ({"guest": {"cpu_kind": "", "cpus": 1}}, {"guest": {"cpus": 1}}),
        ({"services": [{"autostop": "off"}]}, {"services": [{"autostop": False}]}),
        ({"services": [{"autostop": "stop"}]}, {"services": [{"autostop": True}]}),
        ({"services": [None]}, {"services": [{}]}),
        ({"stop_config": {"timeout": "60s"}}, {"stop_config": {"timeout": "1m0s"}}),
        ({"stop_config": {"timeout": 5_000_000_000}}, {"stop_config": {"timeout": "5s"}}),
        ({"checks": {"up": {"interval": "1500ms"}}}, {"checks": {"up": {"interval": "1.5s"}}}),
        ({"Image": "nginx"}, {"image": "nginx"}),
        ({"novel": None, "deep": {"er": []}}, {"novel": {}}),
    ],
)
def test_what_means_the_same(one: Any, other: Any) -> None:
    assert differences(read(one), read(other)) == ()
    assert same(read(other), read(one))


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({}, {"schedule": "daily"}, ['+ schedule: "daily"']),
        ({"schedule": "daily"}, {}, ['- schedule: "daily"']),
        ({"guest": {"cpus": 1}}, {"guest": {"cpus": 2}}, ["~ guest.cpus: 1 → 2"]),
        ({"auto_destroy": False}, {}, ["- auto_destroy: false"]),
        ({"services": [{"min_machines_running": 0}]}, {"services": [{}]}, None),
        ({"services": [{"autostop": True}]}, {"services": [{"autostop": "suspend"}]}, None),
        ({"metadata": {"a": ""}}, {"metadata": {}}, ['- metadata.a: ""']),
        ({"metadata": {"a.b/c": "1"}}, {}, ['- metadata["a.b/c"]: "1"']),
        ({"novel": True}, {"novel": 1}, ["~ novel: true → 1"]),
        ({"novel": [True]}, {"novel": [1]}, ["~ novel: [true] → [1]"]),
        ({"novel": [[1], {"a": 2}]}, {"novel": [[1], {"a": 3}]}, ["~ novel[1].a: 2 → 3"]),
        (
            {"services": [{"ports": [{"handlers": ["tls", "http"]}]}]},
            {"services": [{"ports": [{"handlers": ["http", "tls"]}]}]},
            ['~ services[0].ports[0].handlers: ["tls", "http"] → ["http", "tls"]'],
        ),
        (
            {"services": [{"autostop": False}]},
            {"services": [{"autostop": "suspend"}]},
            ['~ services[0].autostop: "off" → "suspend"'],
        ),
        (
            {"stop_config": {"timeout": "5s"}},
            {"stop_config": {"timeout": "1m"}},
            ['~ stop_config.timeout: "5s" → "1m0s"'],
        ),
        ({}, {"services": [{}]}, ["+ services[0]: {}"]),
    ],
)
def test_what_differs(old: Any, new: Any, lines: list[str] | None) -> None:
    found = [str(change) for change in differences(read(old), read(new))]
    assert found == lines if lines is not None else len(found) == 1


def test_differences_come_in_the_order_of_their_paths() -> None:
    old = MachineConfig(image="a", services=[Service(internal_port=number) for number in range(11)])
    new = MachineConfig(image="b", services=[Service(internal_port=number + 1) for number in range(11)])
    paths = [change.path for change in differences(old, new)]
    assert paths == ["image", *(f"services[{number}].internal_port" for number in range(11))]


SECRET = "hunter2"
WITH_SECRETS = MachineConfig(
    env={"PASSWORD": SECRET, "PORT": SECRET},
    files=[File(guest_path="/a", raw_value=SECRET)],
    containers=[Container(name="a", env={"X": SECRET})],
    checks={"up": Check(headers=[HTTPHeader(name="Authorization", values=[SECRET])])},
    services=[Service(checks=[Check(headers=[HTTPHeader(name="Authorization", values=[SECRET])])])],
    extra={"novel": {"api_key": SECRET}},
)


@pytest.mark.parametrize(
    ("old", "new"),
    [(MachineConfig(), WITH_SECRETS), (WITH_SECRETS, MachineConfig()), (WITH_SECRETS, MachineConfig(image="a"))],
)
def test_a_secret_is_shown_only_when_asked_for(old: MachineConfig, new: MachineConfig) -> None:
    changes = differences(old, new)
    assert SECRET not in diff_text(changes) + repr(changes)
    assert diff_text(changes, show_secrets=True).count(SECRET) == 7
    assert "env.PORT" in diff_text(changes)


URL = f"postgres://u:{SECRET}@h/db"


@pytest.mark.parametrize(
    "config",
    [
        {"metadata": {"database_url": URL}},
        {"metadata": {"note": f"see {URL} for more"}},
        {"image": URL},
        {"image": f"user:{SECRET}@registry.example/x"},
        {"containers": [{"image": f"user:p@{SECRET}@registry.example/x:v1@sha256:{'0' * 64}"}]},
        {"init": {"cmd": ["serve", f"--db={URL}"]}},
        {"init": {"cmd": ["serve", "--token", SECRET]}},
        {"init": {"exec": ["serve", "--password", SECRET, "-v"]}},
        {"init": {"entrypoint": ["sh", "-c", f"serve --password={SECRET}"]}},
        {"init": {"cmd": ["curl", "-H", f"Authorization: Bearer {SECRET}"]}},
        {"processes": [{"cmd": [f"API_KEY={SECRET}", "serve"]}]},
        {"containers": [{"healthchecks": [{"exec": {"command": ["x", "--token", SECRET]}}]}]},
        {"services": [{"ports": [{"http_options": {"response": {"headers": {"X-Any": SECRET}}}}]}]},
        {"services": [{"ports": [{"http_options": {"response": {"headers": {"X-Any": [SECRET]}}}}]}]},
        {"checks": {"up": {"headers": [{"name": "X-Any", "values": [SECRET]}]}}},
        {"novel": SECRET},
        {"novel": [1, SECRET]},
        {"novel": [{"deep": [[SECRET]]}]},
        {"guest": {"novel": {"deep": SECRET}}},
        {"services": [{"ports": [{"novel": SECRET}]}]},
    ],
)
def test_a_secret_is_told_by_its_place_and_by_what_it_says(config: Any) -> None:
    for changes in (differences(read(config), read({})), differences(read({}), read(config))):
        assert changes
        assert SECRET not in diff_text(changes) + repr(changes)
        assert SECRET in diff_text(changes, show_secrets=True)


def test_a_place_that_a_model_knows_is_shown() -> None:
    config = {
        "metadata": {"a": "x:y"},
        "image": f"registry.fly.io:5000/web:v1@sha256:{'0' * 64}",
        "containers": [{"image": f"nginx:1@sha256:{'0' * 64}"}, {"image": "nginx:1"}],
        "checks": {"up": {"path": "/up", "headers": [{"name": "X-Any"}]}},
        "init": {"cmd": ["serve", "--port", "80", "http://h:80/a"]},
        "mounts": [{"path": "/data"}],
        "novel": [1, {"deep": 2.5}],
    }
    assert not any(change.is_secret for change in differences(read({}), read(config)))


@pytest.mark.parametrize("text", ["token" + " " * 300_000, "-" * 300_000, "a" * 300_000, "://a:" * 60_000])
def test_a_long_text_is_looked_through_in_no_time(text: str) -> None:
    assert not any(change.is_secret for change in differences(MachineConfig(), read({"metadata": {"a": text}})))


def planted(text: str) -> st.SearchStrategy[dict[str, Any]]:
    """Make configs with a text behind the places that must keep it."""
    url, words = f"https://u:{text}@h/x", st.lists(st.text(max_size=5), max_size=3)
    said = st.sampled_from([[url], [f"--db={url}"], ["--token", text], ["--password", text], [f"--api-key={text}"]])
    command = st.builds(lambda before, secret, after: [*before, *secret, *after], words, said, words)
    name = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=5).map("novel_{}".format)
    unknown = st.recursive(
        st.just(text),
        lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(name, inner, min_size=1, max_size=2),
        max_leaves=3,
    )
    return st.one_of(
        st.builds(lambda key: {"metadata": {key: url}}, name),
        st.builds(lambda key, part: {"init": {key: part}}, st.sampled_from(["cmd", "exec", "entrypoint"]), command),
        st.builds(lambda part: {"processes": [{"cmd": part}]}, command),
        st.builds(lambda key, value: {key: value}, name, unknown),
        st.builds(lambda key, value: {"services": [{"ports": [{key: value}]}]}, name, unknown),
        st.builds(
            lambda key: {"services": [{"ports": [{"http_options": {"response": {"headers": {key: text}}}}]}]}, name
        ),
        st.sampled_from([{key: f"{url} {url}"} for key in ("image", "size", "schedule")]),
        st.just({"mounts": [{"path": url}], "files": [{"guest_path": url}], "restart": {"policy": url}}),
        st.just({"checks": {"up": {"type": url, "kind": url}}}),
    )


@given(planted(SECRET), planted(SECRET))
def test_no_text_shows_a_planted_secret(one: dict[str, Any], other: dict[str, Any]) -> None:
    old, new = read(one), read(other)
    changes = [*differences(old, new), *differences(MachineConfig(), new)]
    groups = {str(number): evolve(each, metadata={"fly_process_group": "a"}) for number, each in enumerate((old, new))}
    found = [*lint(old), *lint(new), *lint_groups(groups)]
    assert SECRET not in diff_text(changes) + repr(changes) + repr(found) + "".join(map(str, found))


def test_a_changed_secret_is_named() -> None:
    changes = differences(MachineConfig(env={"A": "1", "B": "1"}), MachineConfig(env={"A": "2", "C": "1"}))
    assert diff_text(changes) == "~ env.A changed\n- env.B removed\n+ env.C added"
    assert diff_text(changes[:1], show_secrets=True) == '~ env.A: "1" → "2"'
    assert changes[0] == Change("env.A", "1", "2", is_secret=True)


def test_a_long_value_is_cut() -> None:
    (change,) = differences(MachineConfig(), MachineConfig(image="x" * 500))
    assert len(change.line()) < 100


@pytest.mark.parametrize(("length", "is_cut"), [(78, False), (79, True)])  # 80 characters with the quotes
def test_a_value_is_cut_where_a_line_has_no_room_for_it(length: int, *, is_cut: bool) -> None:
    (change,) = differences(MachineConfig(), MachineConfig(schedule="x" * length))
    assert change.line().endswith("…") is is_cut


def test_a_list_that_goes_on_is_another_one() -> None:
    short, long = read({"init": {"cmd": ["serve"]}}), read({"init": {"cmd": ["serve", "-v"]}})
    assert diff_text(differences(short, long)) == '~ init.cmd: ["serve"] → ["serve", "-v"]'
    assert not same(long, short)


def test_of_a_long_image_the_digest_is_not_cut_off() -> None:
    digest = f"sha256:{'5' * 64}"
    (change,) = differences(MachineConfig(), MachineConfig(image=f"{'x' * 500}@{digest}"))
    assert change.line().endswith(f'x…@{digest}"')


def test_unknown_keys_count() -> None:
    old = MachineConfig(image="a", extra={"novel": {"a": 1}})
    assert not same(old, evolve(old, extra={}))
    assert [change.path for change in differences(old, evolve(old, extra={"novel": {"a": 2}}))] == ["novel.a"]


def test_a_field_that_came_as_null_counts_once_it_is_set() -> None:
    config = evolve(read({"image": "a", "schedule": None}), schedule="daily")
    assert same(config, read({"image": "a", "schedule": "daily"}))
    assert diff_text(differences(read({"image": "a"}), config)) == '+ schedule: "daily"'


def test_a_field_counts_and_not_an_unknown_key_of_its_name() -> None:
    config = MachineConfig(image="a", extra={"image": "b"})
    assert unstructure(config) == {"image": "a"}
    assert same(config, read({"image": "a"}))


def test_only_the_whole_is_empty_at_its_root() -> None:
    assert same(MachineConfig(), MachineConfig())
    assert same(MachineConfig(init=Init()), MachineConfig(guest=Guest(), stop_config=StopConfig()))


def test_a_text_in_a_list_is_no_list() -> None:
    config = MachineConfig(services=[Service(ports=[Port(handlers=["a"])])])
    assert not same(config, MachineConfig(services=[Service(ports=[Port(handlers=["b"])])]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5).map("novel_{}".format), JSON, max_size=4))
def test_a_config_is_the_same_as_itself_and_differs_by_one_key(extra: dict[str, Any]) -> None:
    config = MachineConfig(image="a", extra=extra)
    assert same(config, read({"image": "a", **extra}))
    assert [change.path for change in differences(config, evolve(config, schedule="daily"))] == ["schedule"]
