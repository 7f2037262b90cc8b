"""JSON to model and back, losing nothing on the way.

Keys that a model does not know, and nulls said aloud, are kept in its `extra` and written back. Nothing is coerced:
a value of the wrong type is a Mismatch that says where.
"""

import gc
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_origin

from attrs import NOTHING, fields
from cattrs import ClassValidationError, Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from flyasync.models.json.fast_reader import Read, quick_reader
from flyasync.models.json.field_types import is_leaf, is_list, is_map, is_optional, named, types_of, unless_null
from flyasync.models.model import Kept, Model
from flyasync.models.types import Autostop, Duration, Timestamp

T = TypeVar("T")
Write = Callable[[Any], Any]

_SHOWN: Final = 40  # characters of a wrong value


class Mismatch(ValueError):
    """JSON that a model cannot be read from; `path` says where, such as `$.config.guest.cpus`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"

    def under(self, step: str) -> "Mismatch":
        """Say the same of something that holds what this is about."""
        return Mismatch(step + self.path, self.problem)


def structure(data: Any, kind: type[T]) -> T:
    """Read parsed JSON as a model, or as `list[Model]` and the like; raises Mismatch."""
    was_collecting = gc.isenabled()
    try:
        gc.disable()  # nothing made here is garbage, and in a long list looking for some takes longer than reading it
        return _converter.structure(data, kind)
    except Mismatch as mismatch:
        raise mismatch.under("$") from None
    finally:
        if was_collecting:
            gc.enable()


def unstructure(model: Any) -> Any:
    """Write a model as JSON ready to dump: what is unset is left out, what was kept is put back."""
    return _converter.unstructure(model)


# Records


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Model)


def _read_record(kind: type[Model], converter: Converter) -> Read:
    # Seldom needed, and dear to make: it is made when it is.
    careful = cache(lambda: _read_carefully(kind, converter))
    return quick_reader(kind, converter.get_structure_hook, lambda data, _: careful()(data, kind))


def _read_carefully(kind: type[Model], converter: Converter) -> Read:
    known = frozenset(one.name for one in fields(kind)) - {"extra"}
    base = make_dict_structure_fn(kind, converter, extra=override(omit=True))
    keep = Model.extra.__set__  # type: ignore[attr-defined]  # a slot's own door into a frozen value

    def read(data: Any, _: Any) -> Any:
        if type(data) is not dict:
            return _read_null(kind, data)
        # Go, at the other end, takes keys in any case; so do we, and remember the case.
        spelled = {key.lower(): key for key in data if key not in known and key.lower() in known.difference(data)}
        try:
            record = base({**data, **{name: data[key] for name, key in spelled.items()}}, kind)
        except ClassValidationError as error:
            raise _first(error) from None
        named = known.union(spelled.values())
        kept = {key: value for key, value in data.items() if key not in named or value is None}
        if kept or spelled:
            keep(record, Kept(kept, spelled=spelled))
        return record

    return read


def _read_null(kind: type[Model], data: Any) -> Model:
    if data is None and all(one.default is not NOTHING for one in fields(kind)):
        return kind(extra=Kept(was_null=True))
    raise _mismatch("an object", data, secret=True)


def _first(error: ClassValidationError) -> Exception:
    cause, note = error.group_exceptions()[0][0]
    step = f".{note.name}"
    if isinstance(cause, KeyError):
        return Mismatch(step, f"expected {named(note.type)}, but it is missing")
    return cause.under(step) if isinstance(cause, Mismatch) else cause


def _write_record(kind: type[Model], converter: Converter) -> Write:
    base = make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True, extra=override(omit=True))

    def write(record: Model) -> Any:
        data = base(record)
        return _with_kept(data, record.extra) if record.extra or isinstance(record.extra, Kept) else data

    return write


def _with_kept(data: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any] | None:
    if isinstance(extra, Kept):
        if extra.was_null and not data:
            return None
        for name, key in extra.spelled.items():
            if name in data:
                data[key] = data.pop(name)
    for key, value in extra.items():
        data.setdefault(key, value)
    return data


# Leaves


def _read_leaf(kind: Any) -> Read:
    accepted = types_of(kind)
    whole = int in accepted and float not in accepted

    def read(value: Any, _: Any) -> Any:
        if type(value) in accepted:
            return value
        if whole and type(value) is float and value.is_integer():
            return int(value)
        raise _mismatch(named(kind), value, secret=str in accepted)

    return read


def _mismatch(expected: str, got: Any, *, secret: bool = False) -> Mismatch:
    # A text, and what stands in a text's place, may be a secret; it is not repeated.
    shown = type(got).__name__ if secret or isinstance(got, dict | list) else repr(got)
    return Mismatch("", f"expected {expected}, got {'null' if got is None else shown[:_SHOWN]}")


# Scalars, options, lists and maps


def _read_scalar(kind: type, make: Callable[[Any], Any], accepted: frozenset[type]) -> Read:
    def read(value: Any, _: Any) -> Any:
        if type(value) not in accepted:
            raise _mismatch(named(kind), value)
        try:
            return make(value)
        except (ValueError, OverflowError):
            raise _mismatch(named(kind), value) from None

    return read


def _read_optional(kind: Any, converter: Converter) -> Read:
    inside = unless_null(kind)
    inner = converter.get_structure_hook(inside)
    return lambda value, _: None if value is None else inner(value, inside)


def _write_optional(kind: Any, converter: Converter) -> Write:
    inner = converter.get_unstructure_hook(unless_null(kind))
    return identity if inner is identity else lambda value: None if value is None else inner(value)


def _read_list(kind: Any, converter: Converter) -> Read:
    inside = get_args(kind)[0]  # a tuple names an ellipsis after it
    inner = converter.get_structure_hook(inside)
    make: type = list if get_origin(kind) is list else tuple
    leaves = types_of(inside) if is_leaf(inside) else frozenset()

    def read(data: Any, _: Any) -> Any:
        if data is None:  # an empty slice of Go
            return make()
        if type(data) is not list:
            raise _mismatch("a list", data, secret=True)
        for item in data:
            if type(item) not in leaves:
                break
        else:
            return make(data)
        items = []
        try:
            for item in data:
                items.append(inner(item, inside))  # noqa: PERF401 - a comprehension is a call of its own, before 3.12
        except Mismatch:
            raise _blamed(enumerate(data), inner, inside, "[{}]".format) from None
        return make(items)

    return read


def _read_map(kind: Any, converter: Converter) -> Read:
    _, inside = get_args(kind)
    inner = converter.get_structure_hook(inside)
    leaves = types_of(inside) if is_leaf(inside) else frozenset()

    def read(data: Any, _: Any) -> Any:
        if data is None:  # an empty map of Go
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


def _blamed(items: Iterable[tuple[Any, Any]], inner: Read, inside: Any, step: Callable[[Any], str]) -> Mismatch:
    for key, item in items:
        try:
            inner(item, inside)
        except Mismatch as mismatch:
            return mismatch.under(step(key))
    raise AssertionError("one of them was refused a moment ago")


def _write_list(kind: Any, converter: Converter) -> Write:
    inner = converter.get_unstructure_hook(get_args(kind)[0])
    return list if inner is identity else lambda values: [inner(value) for value in values]


def _write_map(kind: Any, converter: Converter) -> Write:
    inner = converter.get_unstructure_hook(get_args(kind)[1])
    return dict if inner is identity else lambda values: {key: inner(value) for key, value in values.items()}


def _make() -> Converter:
    # The last one registered is asked first.
    converter = Converter(detailed_validation=True)
    converter.register_structure_hook_factory(is_optional, _read_optional)
    converter.register_unstructure_hook_factory(is_optional, _write_optional)
    converter.register_structure_hook_factory(is_list, _read_list)
    converter.register_unstructure_hook_factory(is_list, _write_list)
    converter.register_structure_hook_factory(is_map, _read_map)
    converter.register_unstructure_hook_factory(is_map, _write_map)
    converter.register_structure_hook_factory(is_leaf, _read_leaf)
    for leaf in (str, int, float, bool):  # a hook for a plain type outranks every factory
        converter.register_structure_hook(leaf, _read_leaf(leaf))
    converter.register_unstructure_hook_factory(is_leaf, lambda _: identity)
    converter.register_structure_hook_factory(_is_record, _read_record)
    converter.register_unstructure_hook_factory(_is_record, _write_record)
    converter.register_structure_hook(
        Duration, _read_scalar(Duration, Duration.from_wire, frozenset({str, int, float}))
    )
    converter.register_structure_hook(Autostop, _read_scalar(Autostop, Autostop, frozenset({str, bool})))
    converter.register_structure_hook(Timestamp, _read_scalar(Timestamp, Timestamp, frozenset({str})))
    # Said outright, or an enum of texts would be taken for a text.
    converter.register_structure_hook(StrEnum, lambda value, kind: kind(value))
    converter.register_unstructure_hook(StrEnum, str)
    for spelled in (Duration, Autostop):
        converter.register_unstructure_hook(spelled, lambda value: value.wire)
    converter.register_unstructure_hook(Timestamp, str)
    return converter


_converter: Final = _make()
