"""Parts of values that are equal, kept once: thousands of machines of one deploy differ in little but their ids."""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from attrs import evolve, fields

from flyasync.models.model import Model

AnyModel = TypeVar("AnyModel", bound=Model)


def sharing(model: AnyModel, known: AnyModel) -> AnyModel:
    """Return a model, of which all parts that are equal to those of `known`, of the same class, are the same objects.

    Parts are compared by type too. Models with unknown keys are not shared, since comparisons ignore these.
    """
    if model.extra or known.extra:
        return model
    kind: type = type(model)
    names, values = _fields(kind)
    changes, is_same = {}, True
    for name, part, other in zip(names, values(model), values(known), strict=True):
        if part is not other:
            shared = _shared(part, other)
            is_same &= shared is other
            if shared is not part:
                changes[name] = shared
    if is_same:
        return known
    return evolve(model, **changes) if changes else model


def _shared(part: Any, other: Any) -> Any:
    kind = type(part)
    if kind is not type(other):
        return part
    if issubclass(kind, Model):
        return sharing(part, other)
    if kind is dict:
        shared = {key: _shared(value, other.get(key)) for key, value in part.items()}
        is_same = list(part) == list(other) and all(value is other[key] for key, value in shared.items())
        return other if is_same else shared
    return other if kind in _PLAIN and part == other else part


_PLAIN = frozenset({str, int, float})


@cache
def _fields(kind: type) -> tuple[tuple[str, ...], Callable[[Model], tuple[Any, ...]]]:
    names = tuple(one.name for one in fields(kind) if one.name != "extra")
    return names, attrgetter(*names)
