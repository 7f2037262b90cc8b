"""Reading and writing lose nothing, coerce nothing, and say where it went wrong."""

import gc
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import StrEnum
from typing import Any, Union, get_args, get_origin

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from flyasync.models.app import App, AppList
from flyasync.models.certificate import Certificate, CertificatePage
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest
from flyasync.models.ip_assignment import IPAssignmentList
from flyasync.models.json.codec import Mismatch, structure, structure_once, unstructure
from flyasync.models.lease import Lease
from flyasync.models.log_line import LogLine
from flyasync.models.machine import Machine, OrgMachinePage
from flyasync.models.machine_results import (
    ExecResult,
    MachineVersion,
    Memory,
    MetadataValue,
    ProcessStat,
    ReclaimedMemory,
    StartResult,
    WaitResult,
)
from flyasync.models.model import Model, settled
from flyasync.models.postgres import (
    PostgresAttachment,
    PostgresBackup,
    PostgresCluster,
    PostgresCredentials,
    PostgresExtension,
    PostgresUser,
)
from flyasync.models.region import Placements, Region, Regions
from flyasync.models.secret import Secret, SecretList, SecretsUpdate
from flyasync.models.secret_key import KeyWork, SecretKeyList
from flyasync.models.service import Check, Service
from flyasync.models.token import Authorization, DeployToken, TokenAccess, TokenInfoList, VerifiedToken
from flyasync.models.types import Autostop, Duration, Timestamp
from flyasync.models.volume import ExtendedVolume, OrgVolumePage, Volume, VolumeSnapshot

MODELS: list[type[Model]] = [
    MachineConfig, Machine, Lease, Volume, ExtendedVolume, VolumeSnapshot, App, AppList, Regions, Placements,
    MachineVersion, StartResult, WaitResult, ExecResult, ProcessStat, Memory, ReclaimedMemory, MetadataValue,
    OrgMachinePage, OrgVolumePage, Secret, SecretList, SecretsUpdate, SecretKeyList, KeyWork, Certificate,
    CertificatePage, IPAssignmentList, TokenInfoList, VerifiedToken, TokenAccess, Authorization, DeployToken,
    PostgresCluster, PostgresAttachment, PostgresBackup, PostgresExtension, PostgresUser, PostgresCredentials, LogLine,
]  # fmt: skip

TEXTS = st.sampled_from(["", "a", "null", "0", "é\u0000"])
FREE = st.sampled_from([None, 0, 1.5, "x", True, [], [None], {}, {"a": None}])
DURATIONS = st.sampled_from(["15s", "1m0s", "60s", "0s", "1h2m3.5s", 0, 2_000_000_000])
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
    bool: st.booleans(),
    types.NoneType: st.none(),
    Any: FREE,
    Duration: DURATIONS,
    Autostop: st.sampled_from([True, False, "off", "suspend", "nap"]),
    Timestamp: st.sampled_from(["", "2023-11-08T01:52:30Z", "2023-11-08T01:52:30.123456789Z"]),
}


def written(kind: Any) -> st.SearchStrategy[Any]:
    """JSON that the API might send for a type: known and unknown keys, nulls wherever a null may stand."""
    if kind in LEAVES:
        return LEAVES[kind]
    if get_origin(kind) in {Union, types.UnionType}:
        return st.one_of([written(option) for option in get_args(kind)])
    if get_origin(kind) is Sequence:
        (inside,) = get_args(kind)
        return st.lists(written(inside) | (st.none() if nullable(inside) else st.nothing()), max_size=2)
    if get_origin(kind) is Mapping:
        inside = get_args(kind)[1]
        return st.dictionaries(TEXTS, written(inside) | (st.none() if nullable(inside) else st.nothing()), max_size=2)
    return objects(kind)


def nullable(kind: Any) -> bool:
    return attrs.has(kind) and all(one.default is not attrs.NOTHING for one in attrs.fields(kind))


def objects(kind: type[Model]) -> st.SearchStrategy[dict[str, Any]]:
    fields = [one for one in attrs.fields(kind) if one.name != "extra"]
    required = {one.name: written(one.type) for one in fields if one.default is attrs.NOTHING}
    optional = {one.name: written(one.type) for one in fields if one.name not in required}
    unknown = dict.fromkeys(("warp", "extra", "Id2", "self", "kind_of"), FREE)
    respelled = {name.capitalize(): strategy for name, strategy in list(optional.items())[:2]}
    known = st.fixed_dictionaries(required, optional=optional)
    return st.builds(lambda a, b: {**b, **a}, known, st.fixed_dictionaries({}, optional={**unknown, **respelled}))


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_read_is_written_back(kind: type[Model]) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(objects(kind))
    def check(data: dict[str, Any]) -> None:
        before = json.dumps(data)
        read = structure(data, kind)
        again = unstructure(read)
        assert again == data
        assert same_spelling(again, data)
        assert json.dumps(data) == before
        assert structure(json.loads(json.dumps(again)), kind) == read

    check()


def same_spelling(one: Any, other: Any) -> bool:
    """Tell true from 1 and lists from tuples, which == does not."""
    if isinstance(one, dict):
        return isinstance(other, dict) and all(same_spelling(one[key], other[key]) for key in other)
    if isinstance(one, list):
        return isinstance(other, list) and all(same_spelling(a, b) for a, b in zip(one, other, strict=True))
    return isinstance(one, bool) is isinstance(other, bool)


CREATED = """
{"id":"1857156b526dd8","name":"aged-thunder-7371","state":"created","region":"ord",
 "image_ref":{"registry":"registry-1.docker.io","repository":"library/ubuntu","tag":"latest",
  "digest":"sha256:c9cf95","labels":{"org.opencontainers.image.version":"22.04"}},
 "instance_id":"01HEPA330HZ37A78TK080NAK1M","private_ip":"fdaa:ff:ff:a7b:195:e229:8038:2",
 "created_at":"2023-11-08T01:52:30Z","updated_at":"2023-11-08T01:52:30Z",
 "config":{"init":{"exec":["/bin/sleep","inf"],"entrypoint":null},"image":"registry-1.docker.io/library/ubuntu:latest",
  "env":null,"metadata":null,"auto_destroy":true,"restart":{"policy":""},
  "guest":{"cpu_kind":"","cpus":1,"memory_mb":256},"dns":{},
  "services":[{"protocol":"tcp","internal_port":80,"autostop":true,"autostart":true,"force_instance_key":null}]},
 "events":[{"type":"launch","status":"created","source":"user","timestamp":1699408350300}]}
"""
VOLUME = """
{"id":"vol_340088w293z35lp4","name":"new_1028_vol","state":"created","size_gb":10,"region":"ord","zone":"84d3",
 "encrypted":true,"attached_machine_id":null,"attached_alloc_id":null,"created_at":"2023-11-27T21:47:06.837Z",
 "blocks":0,"block_size":0,"blocks_free":0,"blocks_avail":0,"fstype":"","snapshot_retention":5,
 "auto_backup_enabled":true,"host_dedication_key":""}
"""
REGIONS = """
{"Regions":[{"code":"ams","name":"Amsterdam, Netherlands","latitude":52.374342,"longitude":4.895439,
 "gateway_available":true,"requires_paid_plan":false,"deprecated":false,"capacity":123,"geo_region":"europe",
 "mpg_available":true}],"Nearest":"fra"}
"""
DOCUMENTED: list[tuple[Any, str]] = [
    (Machine, CREATED),
    (Volume, VOLUME),
    (Regions, REGIONS),
    (Regions, '{"regions":[],"nearest":"fra"}'),
    (Placements, '{"Regions":[{"Region":"iad","Count":2,"Concurrency":1},{"Region":"fra","Count":1}]}'),
    (Lease, '{"nonce":"5c35","expires_at":1708569778,"owner":"hello@fly.io","description":"","version":"01HQ"}'),
    (App, '{"id":"jlyv","name":"web","status":"pending","organization":{"name":"My Org","slug":"personal"}}'),
    (AppList, '{"total_apps":1,"apps":[{"id":"6","name":"a","machine_count":3,"volume_count":2,"network":"default"}]}'),
    (list[ProcessStat], '[{"pid":1,"cpu":0,"listen_sockets":[{"proto":"tcp","address":"[::]:8080"}]}]'),
    (StartResult, '{"previous_state":"stopped","migrated":false,"new_host":""}'),
    (dict[str, str], '{"fly_process_group":"app"}'),
]


@pytest.mark.parametrize(("kind", "text"), DOCUMENTED)
def test_documented_answers_survive(kind: Any, text: str) -> None:
    data = json.loads(text)
    assert unstructure(structure(data, kind)) == data


def test_a_documented_machine_is_understood() -> None:
    machine = structure(json.loads(CREATED), Machine)
    assert machine.config is not None
    assert machine.config.guest == Guest(cpu_kind="", cpus=1, memory_mb=256)
    assert machine.config.env is None
    assert machine.config.services
    assert machine.config.services[0].autostop == "stop"
    assert machine.created_at is not None
    assert machine.created_at.datetime is not None
    assert machine.created_at.datetime.year == 2023


def test_keys_are_read_in_any_case_and_written_in_the_same() -> None:
    regions = structure(json.loads(REGIONS), Regions)
    assert regions.nearest == "fra"
    assert regions.regions[0].code == "ams"
    assert unstructure(attrs.evolve(regions, nearest="ams"))["Nearest"] == "ams"


def test_a_key_in_two_cases_keeps_both() -> None:
    data = {"Cpus": 2, "cpus": 1}
    assert structure(data, Guest).cpus == 1
    assert unstructure(structure(data, Guest)) == data


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (Guest(), {}),
        (Guest(cpus=0, cpu_kind="", kernel_args=[]), {"cpus": 0, "cpu_kind": "", "kernel_args": []}),
        (Service(autostart=False, autostop="off"), {"autostart": False, "autostop": "off"}),
        (Check(interval=10, timeout="2s"), {"interval": "10s", "timeout": "2s"}),
        (MachineConfig(env={}, checks={"up": Check(port=80)}), {"env": {}, "checks": {"up": {"port": 80}}}),
    ],
)
def test_only_what_is_set_is_sent(model: Model, data: dict[str, Any]) -> None:
    assert unstructure(model) == data


def test_the_nulls_of_go_are_empty() -> None:
    assert structure(None, list[Machine]) == []
    assert structure(None, dict[str, str]) == {}
    assert structure({"regions": None}, Regions).regions == ()
    assert structure({"services": [None]}, MachineConfig).services == (Service(),)


def test_a_null_that_is_given_a_value_is_no_null_any_more() -> None:
    config = structure({"services": [None]}, MachineConfig)
    assert config.services
    filled = attrs.evolve(config, services=[attrs.evolve(config.services[0], internal_port=80)])
    assert unstructure(filled) == {"services": [{"internal_port": 80}]}


def test_whole_floats_are_integers() -> None:
    guest = structure({"cpus": 2.0}, Guest)
    assert guest.cpus == 2
    assert type(guest.cpus) is int


def test_integers_are_floats() -> None:
    assert structure({"code": "sin", "latitude": 1}, Region).latitude == 1


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (Guest, {"cpus": "abc"}, "$.cpus: expected int | None, got 'abc'"),
        (Guest, {"cpus": 1.5}, "$.cpus: expected int | None, got 1.5"),
        (Guest, {"cpus": True}, "$.cpus: expected int | None, got True"),
        (Guest, {"cpu_kind": 5}, "$.cpu_kind: expected str | None, got int"),
        (Guest, [], "$: expected an object, got list"),
        (Machine, None, "$: expected an object, got null"),
        (list[Machine], [None], "$[0]: expected an object, got null"),
        (Machine, {"name": "a", "state": "b", "region": "c"}, "$.id: expected str, but it is missing"),
        (Machine, {"id": None, "name": "a", "state": "b", "region": "c"}, "$.id: expected str, got null"),
        (MachineConfig, {"services": {}}, "$.services: expected a list, got dict"),
        (MachineConfig, {"services": "ab"}, "$.services: expected a list, got str"),
        (MachineConfig, {"env": []}, "$.env: expected an object, got list"),
        (MachineConfig, {"env": {"A": 1}}, "$.env.A: expected str, got int"),
        (MachineConfig, {"auto_destroy": "false"}, "$.auto_destroy: expected bool | None, got 'false'"),
        (MachineConfig, {"checks": {"up": {"port": []}}}, "$.checks.up.port: expected int | None, got list"),
        (MachineConfig, {"checks": {"up": {"timeout": "soon"}}}, "$.checks.up.timeout: expected Duration, got 'soon'"),
        (
            MachineConfig,
            {"checks": {"up": {"timeout": 10**400}}},
            "$.checks.up.timeout: expected Duration, got 1" + "0" * 39,
        ),
        (MachineConfig, {"checks": {"up": {"timeout": True}}}, "$.checks.up.timeout: expected Duration, got True"),
        (
            MachineConfig,
            {"services": [{}, {"ports": [{"handlers": ["http", 2]}]}]},
            "$.services[1].ports[0].handlers[1]: expected str, got int",
        ),
        (Service, {"autostop": 1}, "$.autostop: expected Autostop, got 1"),
        (Volume, {"id": "v", "name": 1, "state": "created", "region": "iad"}, "$.name: expected str, got int"),
    ],
)
def test_a_wrong_type_says_where(kind: Any, data: Any, message: str) -> None:
    with pytest.raises(Mismatch) as caught:
        structure(data, kind)
    assert str(caught.value) == message


def test_a_mismatch_repeats_no_secret() -> None:
    with pytest.raises(Mismatch) as caught:
        structure({"env": {"KEY": ["hunter2"]}}, MachineConfig)
    assert "hunter2" not in str(caught.value)


def test_unknown_words_are_fine() -> None:
    data = {"id": "1", "name": "a", "state": "dreaming", "region": "xyz", "host_status": "odd", "config": {"size": "?"}}
    assert structure(data, Machine).state == "dreaming"


class Collecting(StrEnum):
    """A word that notes, when it is read, whether garbage is collected then."""

    ON = "on"
    OFF = "off"

    @classmethod
    def _missing_(cls, value: object) -> "Collecting":
        return cls.ON if gc.isenabled() else cls.OFF


@attrs.frozen(kw_only=True, repr=False, field_transformer=settled)
class Page(Model):
    words: Sequence[Collecting] | None = None


@pytest.fixture(params=[True, False], ids=["on", "off"])
def was_on(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


@pytest.mark.parametrize(
    ("count", "is_paused"), [(0, False), (1, False), (10, False), (29, False), (30, True), (1000, True)]
)
def test_only_a_long_list_is_read_without_the_collection_of_garbage(
    count: int, *, is_paused: bool, was_on: bool
) -> None:
    expected = Collecting.ON if was_on and not is_paused else Collecting.OFF
    words = ["?"] * count
    assert structure(words, list[Collecting]) == [expected] * count
    assert structure({"words": words}, Page).words == (expected,) * count
    assert gc.isenabled() is was_on


def test_a_long_list_inside_another_does_not_end_the_pause_of_the_outer_one() -> None:
    pages = structure([{"words": ["?"] * 100}] * 100, list[Page])
    assert {word for page in pages for word in page.words or ()} == {Collecting.OFF}
    assert gc.isenabled()


@pytest.mark.parametrize(
    "data", [{"cpus": 1}, {"cpus": "1"}, [{"cpus": 1}] * 200, [{"cpus": 1}] * 200 + [{"cpus": "1"}]]
)
def test_reading_leaves_the_collection_of_garbage_as_it_was(data: Any, *, was_on: bool) -> None:
    with suppress(Mismatch):
        structure(data, list[Guest] if isinstance(data, list) else Guest)
    assert gc.isenabled() is was_on


def test_threads_that_read_long_lists_at_the_same_time_leave_the_collection_of_garbage_on() -> None:
    data = [{"cpus": 1, "memory_mb": 256}] * 2000
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda _: structure(data, list[Guest]), range(20)))
    assert {len(guests) for guests in read} == {2000}
    assert gc.isenabled()


@pytest.mark.parametrize("count", [0, 1, 29, 30, 500])
@pytest.mark.parametrize("kind", [list[Guest], tuple[Guest, ...]])
def test_a_list_that_is_read_once_gives_the_same_models_and_is_emptied_if_it_is_long(kind: Any, count: int) -> None:
    def data() -> list[Any]:
        return [{"cpus": number, "novel": None} for number in range(count)]

    once, models = data(), structure(data(), kind)
    assert structure_once(once, kind) == models
    assert unstructure(models) == data()
    assert once == ([None] * count if count >= 30 else data())
    assert type(models) is get_origin(kind)


@pytest.mark.parametrize("bad", [0, 40, 99])
def test_a_list_that_is_read_once_has_its_problem_at_the_same_path(bad: int, *, was_on: bool) -> None:
    data: list[Any] = [{"cpus": 1}] * 100
    data[bad] = {"cpus": "one"}
    with pytest.raises(Mismatch) as expected:
        structure(data, list[Guest])
    with pytest.raises(Mismatch) as caught:
        structure_once(data, list[Guest])
    assert str(caught.value) == str(expected.value)
    assert str(caught.value).startswith(f"$[{bad}].cpus: ")
    assert gc.isenabled() is was_on


def test_other_values_are_read_once_as_always() -> None:
    assert structure_once({"cpus": 2}, Guest) == Guest(cpus=2)
    assert structure_once(None, list[Guest]) == []
    with pytest.raises(Mismatch, match="expected an object, got list"):
        structure_once([{}] * 100, Guest)
