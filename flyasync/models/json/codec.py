"""Convert JSON to models and back without loss.

Unknown keys and explicit nulls are kept in a model's `extra` and written back. Values are not coerced: a value of the
wrong type raises a Mismatch with its path.
"""

import gc
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeVar, get_args, get_origin

from attrs import NOTHING, fields
from cattrs import ClassValidationError, Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from flyasync.garbage import PausedCollection
from flyasync.models.json.fast_reader import Read, fast_reader
from flyasync.models.json.fast_writer import Write, fast_writer
from flyasync.models.json.field_types import is_leaf, is_list, is_map, is_optional, named, types_of, unless_null
from flyasync.models.model import Kept, Model
from flyasync.models.types import Autostop, Duration, Timestamp

T = TypeVar("T")

_SHOWN: Final = 40  # characters of a wrong value

# Lists with at least this many items are read and written without garbage collection: neither makes garbage, and each
# collection walks everything made so far. CPython collects after every 700 new objects, which is every 28 machines.
# Measured with machines of 2 kB (CPython 3.11): reading 10 machines gains nothing, 30 to 100 a quarter of the time,
# 1,000 nearly half, 3,000 two thirds. The switch affects the whole process, so it is not used for shorter lists.
_LONG: Final = 30
_CACHED: Final = 100
"""So many machines, with their models, fit into the CPU's cache."""


class Mismatch(ValueError):
    """JSON that does not fit a model; `path` is the position, such as `$.config.guest.cpus`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"

    def under(self, step: str) -> "Mismatch":
        """Return the same problem with `step` prepended to the path."""
        return Mismatch(step + self.path, self.problem)


def structure(data: Any, kind: type[T]) -> T:
    """Convert parsed JSON to a model, or to `list[Model]` and the like. Raise Mismatch if it does not fit."""
    try:
        return _converter.structure(data, kind)
    except Mismatch as mismatch:
        raise mismatch.under("$") from None


def structure_once(data: Any, kind: type[T]) -> T:
    """Convert parsed JSON that nothing else uses, as `structure` does.

    A long list is emptied: each item is freed when its model is made, and the next models use its memory, which is
    still in the CPU's cache.
    """
    if type(data) is not list or len(data) < _LONG or not is_list(kind):
        return structure(data, kind)
    inside = get_args(kind)[0]
    read = _converter.get_structure_hook(inside)
    make: Any = list if get_origin(kind) is list else tuple
    items = []
    with PausedCollection() as pause:
        for number, item in enumerate(data):
            try:
                items.append(read(item, inside))
            except Mismatch as mismatch:
                raise mismatch.under(f"$[{number}]") from None
            data[number] = None
            if number % _CACHED == 0:
                pause.collect_young()
        return make(items)  # type: ignore[no-any-return]  # of the items' type


def unstructure(model: Any) -> Any:
    """Convert a model to JSON data: without unset fields, and with the unknown keys that were kept."""
    if isinstance(model, list | tuple) and len(model) >= _LONG and gc.isenabled():
        with PausedCollection():
            return _converter.unstructure(model)
    return _converter.unstructure(model)


def register(kind: Any, *, read: Callable[[Any], Any], write: Write | None = None) -> None:
    """Register `read` and `write` for fields of exactly this type, for a union whose members JSON can distinguish."""
    _converter.register_structure_hook_func(lambda each: bool(each == kind), lambda data, _: read(data))
    if write is not None:
        _converter.register_unstructure_hook_func(lambda each: bool(each == kind), write)


def omit_if_unset(kind: type, name: str) -> None:
    """Leave the field `name` of a class out of its JSON while it has its default."""
    _converter.register_unstructure_hook_factory(
        lambda each: each is kind,
        lambda each: make_dict_unstructure_fn(each, _converter, **{name: override(omit_if_default=True)}),  # type: ignore[arg-type]
    )


# cattrs tries the last registered hook first, so the most specific types come at the end of this file.
_converter: Final = Converter(detailed_validation=True)


# Optional values, lists and maps


@_converter.register_structure_hook_factory(is_optional)
def _read_optional(kind: Any, converter: Converter) -> Read:
    inside = unless_null(kind)
    inner = converter.get_structure_hook(inside)
    return lambda value, _: None if value is None else inner(value, inside)


@_converter.register_unstructure_hook_factory(is_optional)
def _write_optional(kind: Any, converter: Converter) -> Write:
    inner = converter.get_unstructure_hook(unless_null(kind))
    return identity if inner is identity else lambda value: None if value is None else inner(value)


@_converter.register_structure_hook_factory(is_list)
def _read_list(kind: Any, converter: Converter) -> Read:
    inside = get_args(kind)[0]  # a tuple names an ellipsis after it
    inner = converter.get_structure_hook(inside)
    make: type = list if get_origin(kind) is list else tuple
    leaves = types_of(inside) if is_leaf(inside) else frozenset()

    def read(data: Any, _: Any) -> Any:
        # 1. Go writes an empty slice as null.
        if data is None:
            return make()
        if type(data) is not list:
            raise _mismatch("a list", data, secret=True)
        # 2. A list of plain values of the right types is copied.
        for item in data:
            if type(item) not in leaves:
                break
        else:
            return make(data)
        # 3. A long list is read while garbage collection is paused. No object is made between the end of reading and
        # the end of the pause, as a collection would walk the list.
        if len(data) >= _LONG and gc.isenabled():
            with PausedCollection():
                return read(data, kind)
        # 4. Items are read one by one.
        items = []
        try:
            for item in data:
                items.append(inner(item, inside))  # noqa: PERF401 - a comprehension is a call of its own, before 3.12
        except Mismatch:
            raise _blamed(enumerate(data), inner, inside, "[{}]".format) from None
        return items if make is list else make(items)

    return read


@_converter.register_unstructure_hook_factory(is_list)
def _write_list(kind: Any, converter: Converter) -> Write:
    inner = converter.get_unstructure_hook(get_args(kind)[0])
    return list if inner is identity else lambda values: [inner(value) for value in values]


@_converter.register_structure_hook_factory(is_map)
def _read_map(kind: Any, converter: Converter) -> Read:
    _, inside = get_args(kind)
    inner = converter.get_structure_hook(inside)
    leaves = types_of(inside) if is_leaf(inside) else frozenset()

    def read(data: Any, _: Any) -> Any:
        # The cases are those of a list; Go writes an empty map as null, too.
        if data is None:
            return {}
        if type(data) is not dict:
            raise _mismatch("an object", data, secret=True)
        for item in data.values():
            if type(item) not in leaves:
                break
        else:
            return data.copy()
        try:
            return {key: inner(item, inside) for key, item in data.items()}
        except Mismatch:
            raise _blamed(data.items(), inner, inside, ".{}".format) from None

    return read


@_converter.register_unstructure_hook_factory(is_map)
def _write_map(kind: Any, converter: Converter) -> Write:
    inner = converter.get_unstructure_hook(get_args(kind)[1])
    return dict if inner is identity else lambda values: {key: inner(value) for key, value in values.items()}


def _blamed(items: Iterable[tuple[Any, Any]], inner: Read, inside: Any, step: Callable[[Any], str]) -> Mismatch:
    """Return the mismatch of the first item that has one, with its position in the list or map.

    For speed, the readers do not track positions; so data that does not fit is read a second time.
    """
    for key, item in items:
        try:
            inner(item, inside)
        except Mismatch as mismatch:
            return mismatch.under(step(key))
    raise AssertionError("one of the items has just raised a Mismatch")


# Leaves


@_converter.register_structure_hook_factory(is_leaf)
def _read_leaf(kind: Any) -> Read:
    accepted = types_of(kind)
    whole = int in accepted and float not in accepted

    def read(value: Any, _: Any) -> Any:
        # The exact type counts: a bool is an int to Python, but not in JSON.
        if type(value) in accepted:
            return value
        # 2.0 and 2 are the same number in JSON; encoders may write either.
        if whole and type(value) is float and value.is_integer():
            return int(value)
        raise _mismatch(named(kind), value, secret=str in accepted)

    return read


for _leaf in (str, int, float, bool):  # a hook for a plain type outranks every factory
    _converter.register_structure_hook(_leaf, _read_leaf(_leaf))
_converter.register_unstructure_hook_factory(is_leaf, lambda _: identity)


def _mismatch(expected: str, got: Any, *, secret: bool = False) -> Mismatch:
    # A string, and any value where a string is expected, may be secret, so it is not shown.
    shown = type(got).__name__ if secret or isinstance(got, dict | list) else repr(got)
    return Mismatch("", f"expected {expected}, got {'null' if got is None else shown[:_SHOWN]}")


def _read_scalar(kind: type, make: Callable[[Any], Any], accepted: frozenset[type]) -> Read:
    def read(value: Any, _: Any) -> Any:
        if type(value) not in accepted:
            raise _mismatch(named(kind), value)
        try:
            return make(value)
        except (ValueError, OverflowError):
            raise _mismatch(named(kind), value) from None

    return read


_converter.register_structure_hook(Duration, _read_scalar(Duration, Duration.from_wire, frozenset({str, int, float})))
_converter.register_structure_hook(Autostop, _read_scalar(Autostop, Autostop, frozenset({str, bool})))
_converter.register_structure_hook(Timestamp, _read_scalar(Timestamp, Timestamp, frozenset({str})))
for _spelled in (Duration, Autostop):
    _converter.register_unstructure_hook(_spelled, attrgetter("wire"))
_converter.register_unstructure_hook(Timestamp, str)
# Registered explicitly, or an enum of strings would be read as a plain string.
_converter.register_structure_hook(StrEnum, lambda value, kind: kind(value))
_converter.register_unstructure_hook(StrEnum, str)


# Models


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Model)


@_converter.register_structure_hook_factory(_is_model)
def _read_model(kind: type[Model], converter: Converter) -> Read:
    # The careful reader is rarely needed and expensive to generate, so it is generated on first use.
    careful = cache(lambda: _careful_reader(kind, converter))
    return fast_reader(kind, converter.get_structure_hook, lambda data, _: careful()(data, kind))


def _careful_reader(kind: type[Model], converter: Converter) -> Read:
    """Return the reader for data that a fast reader cannot read; its errors name the problem and the path."""
    known = frozenset(one.name for one in fields(kind)) - {"extra"}
    may_be_null = all(one.default is not NOTHING for one in fields(kind))
    base = make_dict_structure_fn(kind, converter, extra=override(omit=True))
    keep = Model.extra.__set__  # type: ignore[attr-defined]  # the slot's own setter, which a frozen class does not block

    def read(data: Any, _: Any) -> Any:
        # 1. Go reads a null in a list of objects as an empty object; it is written back as null.
        if data is None and may_be_null:
            return kind(extra=Kept(was_null=True))
        if type(data) is not dict:
            raise _mismatch("an object", data, secret=True)
        # 2. Go accepts keys in any case, and some responses have capitals; the key is written back unchanged. If a key
        # appears in two cases, the exact one is the field, and the other one is unknown.
        spelled = {key.lower(): key for key in data if key not in known and key.lower() in known.difference(data)}
        try:
            model = base({**data, **{name: data[key] for name, key in spelled.items()}}, kind)
        except ClassValidationError as error:
            # 3. cattrs collects all errors of this object; the first one is reported.
            cause, note = error.group_exceptions()[0][0]
            if isinstance(cause, KeyError):
                raise Mismatch(f".{note.name}", f"expected {named(note.type)}, but it is missing") from None
            raise (cause.under(f".{note.name}") if isinstance(cause, Mismatch) else cause) from None
        # 4. Unknown keys and explicit nulls are kept.
        understood = known.union(spelled.values())
        kept = {key: value for key, value in data.items() if key not in understood or value is None}
        if kept or spelled:
            keep(model, Kept(kept, spelled=spelled))
        return model

    return read


@_converter.register_unstructure_hook_factory(_is_model)
def _write_model(kind: type[Model], converter: Converter) -> Write:
    def writer_of(inside: Any) -> Write | None:
        write = converter.get_unstructure_hook(inside)
        return None if write is identity else write

    return fast_writer(kind, writer_of)
