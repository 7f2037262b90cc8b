"""What every model promises: immutable, quiet about secrets, keeping what it does not know."""

import copy
import pickle
from typing import Any

import attrs
import pytest

from flyasync.errors import InvalidInput
from flyasync.models.config import Init, MachineConfig
from flyasync.models.container import Container, File, Process
from flyasync.models.guest import Guest
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.lease import Lease
from flyasync.models.machine import Machine, MachineEvent
from flyasync.models.model import NOTHING_KEPT, Model
from flyasync.models.service import Check, HTTPHeader, Port, Service

SECRET = "hunter2-hunter2"


def test_lists_become_tuples_and_maps_are_copied() -> None:
    handlers, env = ["http"], {"A": "1"}
    port, config = Port(port=80, handlers=handlers), MachineConfig(env=env)
    handlers.append("tls")
    env["B"] = "2"
    assert port.handlers == ("http",)
    assert config.env == {"A": "1"}
    assert hash(port) == hash(Port(port=80, handlers=("http",)))


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Guest(cpus=1).cpus = 2  # type: ignore[misc]


def test_a_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cmd must be a list, not a string: put the string into a list") as caught:
        Init(cmd="run --token=s3cret")
    assert "s3cret" not in str(caught.value)


def test_the_repr_shows_what_is_set() -> None:
    assert repr(Guest(cpus=1, memory_mb=0)) == "Guest(cpus=1, memory_mb=0)"
    assert repr(Service(checks=[Check(interval=10)])) == "Service(checks=(Check(interval=Duration('10s')),))"


@pytest.mark.parametrize(
    "holder",
    [
        MachineConfig(image="nginx", env={"PASSWORD": SECRET}),
        MachineConfig(files=[File(guest_path="/etc/key", raw_value=SECRET)]),
        Process(env={"PASSWORD": SECRET}),
        Container(env={"PASSWORD": SECRET}),
        HTTPHeader(name="Authorization", values=[SECRET]),
        Lease(nonce=SECRET),
        Machine(id="1", name="a", state="started", region="iad", nonce=SECRET),
        MachineEvent(type="launch", request={"config": {"env": {"PASSWORD": SECRET}}}),
        MachineConfig(extra={"vault": SECRET}),
    ],
    ids=repr,
)
def test_secrets_never_show(holder: Model) -> None:
    assert SECRET not in repr(holder)
    assert SECRET not in str(holder)
    assert SECRET in str(unstructure(holder))


def test_names_of_secret_values_do_show() -> None:
    assert repr(MachineConfig(env={"A": "1", "B": "2"})) == "MachineConfig(env=<A, B>)"


def test_unknown_keys_survive_a_change_and_take_no_part_in_equality() -> None:
    read = structure({"cpus": 1, "warp": 9, "gpus": None}, Guest)
    changed = attrs.evolve(read, cpus=2)
    assert unstructure(changed) == {"cpus": 2, "warp": 9, "gpus": None}
    assert unstructure(attrs.evolve(changed, gpus=1)) == {"cpus": 2, "warp": 9, "gpus": 1}
    assert read == Guest(cpus=1)
    assert read.extra["warp"] == 9


def test_users_may_send_keys_that_have_no_field_yet() -> None:
    assert unstructure(MachineConfig(image="nginx", extra={"warp": 9})) == {"image": "nginx", "warp": 9}


@pytest.mark.parametrize("again", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_sent_as_the_original(again: Any) -> None:
    data = {"Image": "nginx", "warp": 9, "services": [None, {"autostop": True, "checks": [{"interval": "60s"}]}]}
    assert unstructure(again(structure(data, MachineConfig))) == data


@pytest.mark.parametrize(
    "change",
    [
        lambda extra: extra.__setitem__("warp", 9),
        lambda extra: extra.update(warp=9),
        lambda extra: extra.setdefault("warp", 9),
        lambda extra: extra.__ior__({"warp": 9}),
        lambda extra: extra.pop("warp", None),
        lambda extra: extra.clear(),
    ],
)
def test_the_nothing_that_records_share_cannot_be_changed(change: Any) -> None:
    with pytest.raises(TypeError, match="evolve"):
        change(Guest().extra)
    assert structure({"cpus": 1}, Guest).extra == {} == Guest().extra


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_records_without_unknown_keys_share_one_nothing(again: Any) -> None:
    read = structure({"cpus": 1}, Guest)
    assert Guest().extra is read.extra is again(read).extra is NOTHING_KEPT
