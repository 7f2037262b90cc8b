"""What every model is: a frozen value that keeps what it does not know and shows what is set."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, final, get_args, get_origin

from attrs import Attribute, field, fields, frozen

from flyasync.errors import InvalidInput


class Kept(dict[str, Any]):
    """Keys of an answer that its model has no field for, and the explicit nulls.

    `spelled` maps a field to the key it came under, where that differs in case. `was_null` marks an object that
    was itself a null: one in a list of objects, which Go reads as an empty object.
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
    """An empty dict that stays so: all models without unknown keys share the one there is."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a record is not changed in place: take attrs.evolve(record, extra={...})")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> str:
        return "NOTHING_KEPT"


NOTHING_KEPT: Final = _Nothing()
"""The `extra` of every model without unknown keys; a dict for each would take a fifth of the memory."""


@frozen(kw_only=True, repr=False)
class Model:
    """A value of the API: immutable, unset where None, with unknown keys kept in `extra`.

    `extra` survives `attrs.evolve`, is sent along with the known keys, and takes no part in equality. What is None
    is not sent; an explicit False, 0, "" or empty list is.
    """

    extra: Mapping[str, Any] = field(default=NOTHING_KEPT, eq=False, repr=False)

    def __repr__(self) -> str:
        shown = (_shown(one, getattr(self, one.name)) for one in fields(type(self)))
        return f"{type(self).__name__}({', '.join(part for part in shown if part)})"


def _shown(attribute: "Attribute[Any]", value: Any) -> str:
    how = attribute.repr
    if how is False or value is None:
        return ""
    return f"{attribute.name}={how(value) if callable(how) else repr(value)}"


def unknown_in(value: Any) -> Iterator[str]:
    """Yield the places inside a value, such as `.guest.novel`, of keys that no model knows; nulls say nothing."""
    if isinstance(value, Model):
        yield from (f".{key}" for key, inside in value.extra.items() if inside is not None)
        for one in fields(type(value)):
            if one.name != "extra":
                yield from (f".{one.name}{inside}" for inside in unknown_in(getattr(value, one.name)))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from (f"[{number}]{inside}" for inside in unknown_in(item))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from (f".{name}{inside}" for inside in unknown_in(item) if isinstance(item, Model))


def names_only(values: Mapping[str, Any] | None) -> str:
    """Show the names of a map whose values may be secret."""
    return f"<{', '.join(values or ())}>"


def settled(_: type, attributes: "list[Attribute[Any]]") -> "list[Attribute[Any]]":
    """Make every list a tuple and every map a copy, so that a frozen value stays as it is.

    For `field_transformer`: the fields stay annotated as Sequence and Mapping, so type checkers let users write lists.
    """
    return [_settle(one) for one in attributes]


def _settle(attribute: "Attribute[Any]") -> "Attribute[Any]":
    origins = {get_origin(kind) for kind in (attribute.type, *get_args(attribute.type))}
    if attribute.converter is not None or attribute.name == "extra":
        return attribute
    if Sequence in origins:
        return attribute.evolve(converter=_tuple_for(attribute.name))
    if Mapping in origins:
        return attribute.evolve(converter=_copy)
    return attribute


def _tuple_for(name: str) -> Callable[[Iterable[Any] | None], tuple[Any, ...] | None]:
    def converter(values: Iterable[Any] | None) -> tuple[Any, ...] | None:
        if values is None or type(values) is tuple:
            return values
        if isinstance(values, str):
            raise InvalidInput(f"{name} is a list, not a text: write it as a list of one")
        return tuple(values)

    return converter


def _copy(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else dict(values)
