"""The base class of every model: a frozen value that keeps unknown keys and shows the fields that are set."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, NoReturn, final, get_args, get_origin

from attrs import Attribute, field, fields, frozen
from attrs.converters import optional

from flyasync.errors import InvalidInput

_SIMILAR: Final = 0.75  # of difflib's ratio: a letter or two in a key of usual length


class Kept(dict[str, Any]):
    """Keys of a response that its model has no field for, and the explicit nulls.

    `spelled` maps a field to the key it came under, where that differs in case. `was_null` marks an object that was
    itself null: one in a list of objects, which Go reads as an empty object.
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
    """An empty dict that cannot be changed, so that all models without unknown keys can share one."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a record is not changed in place: take attrs.evolve(record, extra={...})")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> str:
        return "NOTHING_KEPT"  # a copy or a pickle refers to the one instance


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
        shown = []
        for one in fields(type(self)):
            value, how = getattr(self, one.name), one.repr
            # Unset fields are left out: most models have twenty, of which three are set.
            if how is not False and value is not None:
                shown.append(f"{one.name}={how(value) if callable(how) else repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


@frozen
class UnknownKey:
    """A key that no model has a field for: its path inside a value, and the field it was probably meant to be."""

    path: str
    similar: str | None


def unknown_in(value: Any, path: str = "") -> Iterator[UnknownKey]:
    """Yield the unknown keys inside a value, at paths such as `.guest.novel`; keys whose value is null are skipped."""
    if isinstance(value, Model):
        names = [one.name for one in fields(type(value)) if one.name != "extra"]
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
    """Return the names of a map whose values may be secret, for a repr."""
    return f"<{', '.join(values or ())}>"


def settled(_: type, attributes: "list[Attribute[Any]]") -> "list[Attribute[Any]]":
    """Make every list a tuple and every map a copy, so that a frozen value stays as it is.

    For `field_transformer`: the fields stay annotated as Sequence and Mapping, so type checkers let users write lists.
    """
    made = []
    for attribute in attributes:
        origins = {get_origin(kind) for kind in (attribute.type, *get_args(attribute.type))}
        # `extra` stays as it is: a copy for each model would undo the sharing of NOTHING_KEPT.
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
        # A str is a Sequence of str to type checkers, too: they do not find this mistake.
        if isinstance(values, str):
            raise InvalidInput(f"{name} is a list, not a text: write it as a list of one")
        return tuple(values)

    return converter
