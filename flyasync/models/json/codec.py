"""JSON to model and back, losing nothing on the way.

Unknown keys and explicit nulls are kept in a model's `extra` and written back. Nothing is coerced: a value of the wrong
type is a Mismatch that names its path.
"""

import gc
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_origin

from attrs import NOTHING, fields
from cattrs import ClassValidationError, Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from flyasync.models.json.fast_reader import Read, fast_reader
from flyasync.models.json.field_types import is_leaf, is_list, is_map, is_optional, named, types_of, unless_null
from flyasync.models.model import Kept, Model
from flyasync.models.types import Autostop, Duration, Timestamp

T = TypeVar("T")
Write = Callable[[Any], Any]

_SHOWN: Final = 40  # characters of a wrong value

# From this many items on, a list is read without garbage collection: nothing made here is garbage, and each search for
# some walks what has been read so far. CPython searches each time 700 objects have been made, which are 28 machines.
# Measured with machines of 2 kB (CPython 3.11): 10 of them gain nothing, 30 to 100 a quarter, 1,000 nearly half, 3,000
# two thirds. Collection is a switch of the whole process, so shorter lists leave it alone.
_LONG: Final = 30


class Mismatch(ValueError):
    """JSON that a model cannot be read from; `path` is the place, such as `$.config.guest.cpus`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"

    def under(self, step: str) -> "Mismatch":
        """Return the same problem with a path that begins one level further out."""
        return Mismatch(step + self.path, self.problem)


def structure(data: Any, kind: type[T]) -> T:
    """Read parsed JSON as a model, or as `list[Model]` and the like; raises Mismatch."""
    try:
        return _converter.structure(data, kind)
    except Mismatch as mismatch:
        raise mismatch.under("$") from None


def unstructure(model: Any) -> Any:
    """Write a model as JSON ready to dump: unset fields are left out, kept keys are put back."""
    return _converter.unstructure(model)


def register(kind: Any, *, read: Callable[[Any], Any], write: Write | None = None) -> None:
    """Have `read` read the fields of exactly this type, and `write` write them: for a union that JSON tells apart."""
    _converter.register_structure_hook_func(lambda each: bool(each == kind), lambda data, _: read(data))
    if write is not None:
        _converter.register_unstructure_hook_func(lambda each: bool(each == kind), write)


# cattrs asks the hook that was registered last first, so the most specific kinds come at the end of this file.
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
        # 2. Plain JSON of the right types is copied as it is.
        for item in data:
            if type(item) not in leaves:
                break
        else:
            return make(data)
        # 3. A long list is read in a pause of garbage collection. The list that paused it resumes it: a list inside
        # does not end the pause, and threads that read long lists at the same time leave collection on at the end.
        # Nothing is made between the end of reading and the end of the pause: that would search the whole list.
        if len(data) >= _LONG and gc.isenabled():
            gc.disable()
            try:
                return read(data, kind)
            finally:
                gc.enable()
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
    """Return the mismatch of the first item that has one, with its place in the list or map.

    The readers count no places as they go, so that good data is read faster; bad data is read a second time.
    """
    for key, item in items:
        try:
            inner(item, inside)
        except Mismatch as mismatch:
            return mismatch.under(step(key))
    raise AssertionError("one of them was refused a moment ago")


# Leaves


@_converter.register_structure_hook_factory(is_leaf)
def _read_leaf(kind: Any) -> Read:
    accepted = types_of(kind)
    whole = int in accepted and float not in accepted

    def read(value: Any, _: Any) -> Any:
        # The exact type counts: a bool is an int to Python, but not in JSON.
        if type(value) in accepted:
            return value
        # 2.0 and 2 are the same number in JSON, whose encoders may write either.
        if whole and type(value) is float and value.is_integer():
            return int(value)
        raise _mismatch(named(kind), value, secret=str in accepted)

    return read


for _leaf in (str, int, float, bool):  # a hook for a plain type outranks every factory
    _converter.register_structure_hook(_leaf, _read_leaf(_leaf))
_converter.register_unstructure_hook_factory(is_leaf, lambda _: identity)


def _mismatch(expected: str, got: Any, *, secret: bool = False) -> Mismatch:
    # A text, and whatever stands in the place of one, may be a secret; it is not repeated.
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
    _converter.register_unstructure_hook(_spelled, lambda value: value.wire)
_converter.register_unstructure_hook(Timestamp, str)
# Registered explicitly: an enum of texts would otherwise be read as a plain text.
_converter.register_structure_hook(StrEnum, lambda value, kind: kind(value))
_converter.register_unstructure_hook(StrEnum, str)


# Models


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Model)


@_converter.register_structure_hook_factory(_is_model)
def _read_model(kind: type[Model], converter: Converter) -> Read:
    # The careful reader is seldom needed and expensive to generate, so that is left until the first document needs it.
    careful = cache(lambda: _careful_reader(kind, converter))
    return fast_reader(kind, converter.get_structure_hook, lambda data, _: careful()(data, kind))


def _careful_reader(kind: type[Model], converter: Converter) -> Read:
    """Return a reader for all that a fast one leaves to it; it names what is wrong, and where."""
    known = frozenset(one.name for one in fields(kind)) - {"extra"}
    may_be_null = all(one.default is not NOTHING for one in fields(kind))
    base = make_dict_structure_fn(kind, converter, extra=override(omit=True))
    keep = Model.extra.__set__  # type: ignore[attr-defined]  # the slot's own setter, which a frozen class does not block

    def read(data: Any, _: Any) -> Any:
        # 1. A null in a list of objects is an empty object to Go; it is written back as null.
        if data is None and may_be_null:
            return kind(extra=Kept(was_null=True))
        if type(data) is not dict:
            raise _mismatch("an object", data, secret=True)
        # 2. Go takes keys in any case, and some answers have capitals; the key is written back as it came. Where a key
        # comes in two cases, the exact one is the field, and the other one is unknown.
        spelled = {key.lower(): key for key in data if key not in known and key.lower() in known.difference(data)}
        try:
            model = base({**data, **{name: data[key] for name, key in spelled.items()}}, kind)
        except ClassValidationError as error:
            # 3. cattrs collects every error of this object; the first one is reported.
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
    base = make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True, extra=override(omit=True))

    def write(model: Model) -> Any:
        data, extra = base(model), model.extra
        # Almost every model: nothing was kept.
        if not extra and not isinstance(extra, Kept):
            return data
        if isinstance(extra, Kept):
            # 1. What came as null goes as null, unless it has been given a value since.
            if extra.was_null and not data:
                return None
            # 2. A key that came in another case goes in the same one.
            for name, key in extra.spelled.items():
                if name in data:
                    data[key] = data.pop(name)
        # 3. A field that came as null and has been set since keeps its new value.
        for key, value in extra.items():
            data.setdefault(key, value)
        return data

    return write
