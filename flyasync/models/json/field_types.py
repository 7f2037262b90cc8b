"""The JSON types that a field's annotation allows."""

import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, Union, get_args, get_origin

_LEAVES: Final = frozenset({str, int, float, bool, types.NoneType})


def options(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union; any other type is its own only member."""
    return get_args(kind) if get_origin(kind) in {Union, types.UnionType} else (kind,)


def is_leaf(kind: Any) -> bool:
    """Whether a type is a string, a number, a boolean or null, or a union of these."""
    return _LEAVES.issuperset(options(kind)) if kind is not Any else False


def types_of(kind: Any) -> frozenset[type]:
    """Return the Python types of the JSON values of a leaf type: for a float also int."""
    return frozenset(options(kind)) | ({int} if float in options(kind) else frozenset())


def is_optional(kind: Any) -> bool:
    """Whether a type is one type or null."""
    return types.NoneType in options(kind) and len(options(kind)) == len({"kind", "None"})


def unless_null(kind: Any) -> Any:
    """Return the type of an optional value that is not null."""
    return next(option for option in options(kind) if option is not types.NoneType)


def is_list(kind: Any) -> bool:
    """Whether a type is a list, tuple or sequence."""
    return get_origin(kind) in {Sequence, list, tuple}


def is_map(kind: Any) -> bool:
    """Whether a type is a map whose keys are chosen by the user."""
    return get_origin(kind) in {Mapping, dict}


def named(kind: Any) -> str:
    """Return the name of a type as written in Python."""
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
