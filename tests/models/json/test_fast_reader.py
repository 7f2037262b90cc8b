"""A fast reader returns what the careful one returns, and leaves to it whatever is not plainly right."""

import copy
import json
import pkgutil
import random
import types
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from flyasync import models
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest
from flyasync.models.json import codec as convert
from flyasync.models.json.codec import Mismatch, structure, unstructure
from flyasync.models.json.fast_reader import Unfit, fast_reader
from flyasync.models.json.field_types import unless_null
from flyasync.models.machine import Machine
from flyasync.models.model import NOTHING_KEPT, Kept, Model, settled
from flyasync.models.region import Regions
from tests.models.json.test_codec import CREATED, MODELS, objects

JUNK: list[Any] = [
    None, 0, 1, 2.0, 1.5, True, "", "x", "15s", "7 bananas", "2023-11-08T01:52:30Z", [], [None], ["a"], [1], [{}], {},
    {"a": 1}, {"a": "b"}, {"a": None}, 10**400,
]  # fmt: skip


def kinds() -> Iterator[type[Model]]:
    """Every model that there is."""
    for module in pkgutil.iter_modules(models.__path__):
        for each in vars(import_module(f"flyasync.models.{module.name}")).values():
            if isinstance(each, type) and issubclass(each, Model):
                yield each


def careful() -> Any:
    """A converter without fast readers."""
    converter = convert._converter.copy()
    converter.register_structure_hook_factory(convert._is_model, convert._careful_reader)
    return converter


def spoiled(data: Any, rng: random.Random) -> Any:
    """The same with something wrong, missing, or in another case, somewhere."""
    data = copy.deepcopy(data)
    inside, key = rng.choice([*places(data)] or [(None, None)])
    if inside is None:
        return rng.choice(JUNK)
    how = rng.choice(["junk", "gone", "upper", "both"] if isinstance(inside, dict) else ["junk"])
    if how in {"gone", "upper"}:
        value = inside.pop(key)
    if how == "upper":
        inside[key.upper()] = value
    elif how == "both":
        inside[key.title()] = rng.choice(JUNK)
    elif how == "junk":
        inside[key] = copy.deepcopy(rng.choice(JUNK))
    return data


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    keys: Any = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in list(keys):
        yield data, key
        yield from places(data[key])


def whole(value: Any) -> Any:
    """A value with all that equality leaves out: types, order, spelling, and what is kept."""
    if isinstance(value, Model):
        spelled, was_null = (
            (value.extra.spelled, value.extra.was_null) if isinstance(value.extra, Kept) else ({}, False)
        )
        parts = [whole(getattr(value, one.name)) for one in attrs.fields(type(value)) if one.name != "extra"]
        return type(value), parts, whole(dict(value.extra)), spelled, was_null
    if isinstance(value, dict):
        return type(value), [(key, whole(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [whole(item) for item in value]
    return type(value), value, getattr(value, "wire", None)


def outcome(converter: Any, data: Any, kind: Any) -> Any:
    try:
        return whole(converter.structure(data, kind))
    except Mismatch as mismatch:
        return str(mismatch)


@pytest.mark.parametrize("kind", MODELS)
def test_fast_and_careful_readers_agree_on_right_and_on_wrong_documents(kind: type[Model]) -> None:
    slow, listed = careful(), types.GenericAlias(list, kind)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(objects(kind), st.integers(0, 2**32))
    def check(data: dict[str, Any], seed: int) -> None:
        rng = random.Random(seed)
        wrong = [spoiled(data, rng) for _ in range(4)]
        for each in [data, *wrong, spoiled(wrong[0], rng)]:
            assert outcome(convert._converter, each, kind) == outcome(slow, each, kind), each
        several = [data, wrong[0], data]
        assert outcome(convert._converter, several, listed) == outcome(slow, several, listed)

    check()


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_read_is_what_the_constructor_makes(kind: type[Model]) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(objects(kind))
    def check(data: dict[str, Any]) -> None:
        read = structure(data, kind)
        made = kind(**{one.name: getattr(read, one.name) for one in attrs.fields(kind)})
        assert whole(made) == whole(read)
        assert made == read
        assert repr(made) == repr(read)

    check()


def test_the_converter_to_compare_with_has_no_fast_readers() -> None:
    filename = "<fast reader of Guest>"
    reader = convert._converter.get_structure_hook(Guest)
    slow = careful().get_structure_hook(Guest)
    assert reader.__code__.co_filename == filename
    assert slow.__code__.co_filename == convert.__file__
    (guest,) = (one.type for one in attrs.fields(MachineConfig) if one.name == "guest")
    assert careful().get_structure_hook(unless_null(guest)).__code__.co_filename == convert.__file__


def test_models_ask_for_no_more_than_the_types_of_their_fields() -> None:
    assert {*MODELS} <= {*kinds()}
    for kind in kinds():
        assert not hasattr(kind, "__attrs_pre_init__")
        assert not hasattr(kind, "__attrs_post_init__")
        for one in attrs.fields(kind):
            assert one.validator is None
            assert one.default is NOTHING_KEPT if one.name == "extra" else one.default in {None, attrs.NOTHING}


@attrs.frozen(kw_only=True, repr=False, field_transformer=settled)
class Odd(Model):
    needed: str | None
    size: int | None = 5
    tags: Sequence[str] = ("a",)


@pytest.mark.parametrize("absent", [(), ("needed",), ("size",), ("tags",)])
@pytest.mark.parametrize("null", [(), ("needed",), ("size",), ("tags",)])
def test_a_field_that_is_needed_or_is_not_unset_as_none_is_left_to_the_careful_reader(
    absent: tuple[str, ...], null: tuple[str, ...]
) -> None:
    full = {"needed": "x", "size": 1, "tags": ["b"]}
    data = {key: None if key in null else value for key, value in full.items() if key not in absent}
    assert outcome(convert._converter, data, Odd) == outcome(careful(), data, Odd)


def test_a_value_that_was_read_fast_is_frozen() -> None:
    guest = structure({"cpus": 1}, Guest)
    assert type(guest) is Guest
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        guest.cpus = 2  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del guest.cpus


def test_what_is_right_asks_no_careful_reader() -> None:
    asked: list[Any] = []
    read = fast_reader(Guest, convert._converter.get_structure_hook, lambda data, _: asked.append(data))
    for right in ({}, {"cpus": 1}, {"cpus": None}, {"cpus": 1, "warp": {"level": 9}}):
        assert unstructure(read(right, Guest)) == right
    assert asked == []
    others: list[Any] = [None, [], {"cpus": 2.0}, {"cpus": "2"}, {"Cpus": 2}]
    for each in others:
        read(each, Guest)
    assert asked == others


def test_one_odd_machine_in_a_list_is_read_as_the_others() -> None:
    usual, odd = json.loads(CREATED), json.loads(CREATED)
    odd["config"]["services"].append(None)
    odd["Events"] = odd.pop("events")
    data = [usual, odd, usual]
    machines = structure(data, tuple[Machine, ...])
    assert unstructure(machines) == data
    assert machines[1].events == machines[0].events


def test_nobody_sees_that_something_was_unfit() -> None:
    with pytest.raises(Mismatch) as caught:
        structure({"services": [{"ports": [{"port": "hunter2"}]}]}, MachineConfig)
    assert caught.value.__suppress_context__
    assert not isinstance(caught.value, Unfit)


def test_a_list_that_is_required_may_be_null() -> None:
    data = {"regions": None, "nearest": "fra"}
    assert structure(data, Regions).regions == ()
    assert unstructure(structure(data, Regions)) == {"nearest": "fra", "regions": []}
