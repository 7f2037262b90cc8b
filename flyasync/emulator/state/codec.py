"""One codec for all records of the world, derived from their types: a new field or record needs no code here."""

import base64
import json
import struct
from collections import deque
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any, get_args, get_origin

from attrs import fields, has, resolve_types
from cattrs import Converter, ForbiddenExtraKeysError, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from flyasync.emulator.core.faults import Faults, FaultsState

# The state of Python's generator, which a Random returns and accepts: 624 words and a position.
_RANDOM_VERSION, _WORDS = 3, "<625I"
_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "a boolean", list: "a list", dict: "an object"}

_converter = Converter(detailed_validation=True)
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class WorldError(ValueError):
    """A document or file that does not hold a world that this version can read; the text has no value of it."""


def to_json(value: Any, kind: Any) -> Any:
    """Return a value of this type as plain JSON."""
    return _converter.unstructure(value, unstructure_as=kind)


def from_json(data: Any, kind: Any, *, path: str) -> Any:
    """Return the value of this type that plain JSON stands for; WorldError names the place of the first misfit."""
    try:
        return _converter.structure(data, kind)
    except Exception as error:  # noqa: BLE001 - data of any other shape raises errors of any kind
        problem, _, place = transform_error(error, path=path, format_exception=_problem)[0].rpartition(" @ ")
        raise WorldError(f"{place}: {problem}") from None


def body(value: Any, kind: Any) -> str:
    """Return a value of this type as compact JSON text."""
    return _ENCODER.encode(to_json(value, kind))


def _problem(error: BaseException, kind: type | None) -> str:
    match error:
        case KeyError():
            return "the key is missing"
        case ForbiddenExtraKeysError():
            return f"unknown key {min(error.extra_fields)!r}"
        case ValueError() if str(error):
            return str(error)
    return f"expected {'another type' if kind is None else getattr(kind, '__name__', kind)}"


def _bounded(factory: Callable[[], Any]) -> Callable[[Any, Any], Any]:
    # The bound is part of the default, not of the type.
    most = factory().maxlen

    def read(data: Any, kind: Any) -> Any:
        items: Any = list[get_args(kind)[0]]  # type: ignore[misc]
        return deque(_converter.structure(data, items), maxlen=most)

    return read


@_converter.register_structure_hook_factory(has)
def _read_record(kind: Any, converter: Converter) -> Any:
    bounded: Any = {
        one.name: override(struct_hook=_bounded(one.default.factory))
        for one in fields(resolve_types(kind))
        if get_origin(one.type) is deque
    }
    return make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True, _cattrs_use_alias=True, **bounded)


@_converter.register_unstructure_hook_factory(has)
def _write_record(kind: Any, converter: Converter) -> Any:
    return make_dict_unstructure_fn(resolve_types(kind), converter, _cattrs_use_alias=True)


def _is_set(kind: Any) -> bool:
    return get_origin(kind) is set


def _exactly(*kinds: type) -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        # A bool is an int to Python, but not in JSON.
        if type(value) not in kinds:
            raise ValueError(f"expected {_NAMES[kinds[0]]}, got {_NAMES.get(type(value), 'null')}")
        return value

    return read


for _leaf in (str, int, bool):
    _converter.register_structure_hook(_leaf, _exactly(_leaf))
_converter.register_structure_hook(float, _exactly(float, int))
_converter.register_structure_hook(bytes, lambda text, _: base64.b64decode(text, validate=True))
_converter.register_unstructure_hook(bytes, lambda octets: base64.b64encode(octets).decode())
_converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
_converter.register_unstructure_hook(datetime, datetime.isoformat)
_converter.register_unstructure_hook_func(_is_set, sorted)


@_converter.register_structure_hook
def _read_random(data: str, _: type[Random]) -> Random:
    words = struct.unpack(_WORDS, base64.b64decode(data, validate=True))
    random = Random(0)  # noqa: S311 - it must be repeatable, and protects nothing
    random.setstate((_RANDOM_VERSION, words, None))
    return random


@_converter.register_unstructure_hook
def _write_random(random: Random) -> str:
    return base64.b64encode(struct.pack(_WORDS, *random.getstate()[1])).decode()


@_converter.register_structure_hook
def _read_faults(data: Any, _: type[Faults]) -> Faults:
    faults = Faults()
    faults.adopt(_converter.structure(data, FaultsState))
    return faults


@_converter.register_unstructure_hook
def _write_faults(faults: Faults) -> Any:
    return _converter.unstructure(faults.state)
