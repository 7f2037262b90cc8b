"""The base class of the models: a frozen value that keeps unknown keys. Its repr shows only the fields that are set."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, NoReturn, final, get_args, get_origin

from attrs import Attribute, field, fields, frozen
from attrs.converters import optional

from flyasync.errors import InvalidInput

_SIMILAR: Final = 0.75  # of difflib's ratio: a letter or two in a key of usual length


class Kept(dict[str, Any]):
    """The keys of a JSON object for which its model has no field, and explicit nulls.

    `spelled` maps a field to its key in the JSON, if that differs in case. `was_null` marks a null in a list of
    objects, which Go reads as an empty object.
    """

    __slots__ = ("spelled", "was_null")

    def __init__(
        self, keys: Mapping[str, Any] | None = None, *, spelled: Mapping[str, str] | None = None, was_null: bool = False
    ) -> None:
        super().__init__(keys or {})
        self.spelled = dict(spelled or {})
        self.was_null = was_null


@final
class _Nothing(dict[str, Any]):
    """An empty, immutable dict that all models without unknown keys share."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a model cannot be changed in place: use attrs.evolve(model, extra={...})")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> str:
        return "NOTHING_KEPT"  # a copy or a pickle refers to the one instance


NOTHING_KEPT: Final = _Nothing()
"""The `extra` of every model without unknown keys; a dict for each would take a fifth of the memory."""


@frozen(kw_only=True, repr=False)
class Model:
    """The immutable value of a JSON object of the API. A field is None if unset; unknown keys are kept in `extra`.

    `extra` is kept by `attrs.evolve`, is sent with the known keys, and is ignored in comparisons. A field that is None
    is not sent; an explicit False, 0, "" or empty list is.
    """

    extra: Mapping[str, Any] = field(default=NOTHING_KEPT, eq=False, repr=False)

    def __repr__(self) -> str:
        shown = []
        for one in fields(type(self)):
            value, how = getattr(self, one.name), one.repr
            # Unset fields are left out: most models have twenty, of which three are set.
            if how is not False and value is not None:
                shown.append(f"{one.name}={how(value) if callable(how) else repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def field_names(value: Model) -> Mapping[str, None]:
    """Return the names of the fields of a model, in their order, without `extra`."""
    kind: Any = type(value)  # mypy takes the hash of a model for that of its class
    return _names_of(kind)


@cache
def _names_of(kind: type[Model]) -> Mapping[str, None]:
    return {one.name: None for one in fields(kind) if one.name != "extra"}


@frozen
class UnknownKey:
    """A key that no model has a field for: its path inside a value, and the field it was probably meant to be."""

    path: str
    similar: str | None


def unknown_in(value: Any, path: str = "") -> Iterator[UnknownKey]:
    """Yield the unknown keys inside a value, at paths such as `.guest.novel`; keys whose value is null are skipped."""
    if isinstance(value, Model):
        names = field_names(value)
        for key, inside in value.extra.items():
            if inside is not None:
                yield UnknownKey(f"{path}.{key}", similar_key(key, names))
        for name in names:
            yield from unknown_in(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from unknown_in(item, f"{path}[{number}]")
    elif isinstance(value, dict):
        # In a map such as `metadata` every key is the user's own; only the models inside have unknown ones.
        for name, item in value.items():
            if isinstance(item, Model):
                yield from unknown_in(item, f"{path}.{name}")


def similar_key(key: str, known: Iterable[str]) -> str | None:
    """Return the known key that `key` is probably a misspelling of, or None."""
    return next(iter(get_close_matches(key, list(known), n=1, cutoff=_SIMILAR)), None)


def names_only(values: Mapping[str, Any] | None) -> str:
    """Return the repr of a map whose values may be secret: only its keys."""
    return f"<{', '.join(values or ())}>"


def settled(_: type, attributes: "list[Attribute[Any]]") -> "list[Attribute[Any]]":
    """Convert lists to tuples and copy maps, so that frozen values cannot be changed through their arguments.

    A `field_transformer` of attrs: the fields stay annotated as Sequence and Mapping, so that users can pass lists.
    """
    made = []
    for attribute in attributes:
        origins = {get_origin(kind) for kind in (attribute.type, *get_args(attribute.type))}
        # `extra` is not copied, since NOTHING_KEPT is shared.
        if attribute.converter is not None or attribute.name == "extra":
            made.append(attribute)
        elif Sequence in origins:
            made.append(attribute.evolve(converter=_tuple_for(attribute.name)))
        elif Mapping in origins:
            made.append(attribute.evolve(converter=optional(dict)))
        else:
            made.append(attribute)
    return made


def _tuple_for(name: str) -> Callable[[Iterable[Any] | None], tuple[Any, ...] | None]:
    def converter(values: Iterable[Any] | None) -> tuple[Any, ...] | None:
        if values is None or type(values) is tuple:
            return values
        # Type checkers do not find this mistake, since a str is a Sequence of str.
        if isinstance(values, str):
            raise InvalidInput(f"{name} must be a list, not a string: put the string into a list")
        return tuple(values)

    return converter
