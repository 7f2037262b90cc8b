"""Readers made for speed: for each model a function of its own, generated for its fields.

A fast reader reads data that is plainly right and leaves the rest to a careful reader, which either understands it or
names what is wrong. So a fast reader explains nothing and keeps track of no path. A mistake deep in a document is met
again at each level above it; that takes a millisecond, once.
"""

from collections.abc import Callable
from types import NoneType
from typing import Any, Final

from attrs import fields

from flyasync.models.json.field_types import is_leaf, is_optional, types_of, unless_null
from flyasync.models.model import NOTHING_KEPT, Model

Read = Callable[[Any, Any], Any]

# The number of fields found tells whether there are other keys, without looking at any. A mismatch further inside is a
# ValueError: it, too, goes to the careful reader, which knows the path.
_READER: Final = """
def read(data, kind):
    try:
        if type(data) is not dict:
            raise Unfit
        model = Open()
        found = 0
{fields}
        model.extra = NOTHING_KEPT if found == len(data) else kept_keys(data, known)
        model.__class__ = Closed
        return model
    except (KeyError, ValueError):
        pass
    return carefully(data, kind)
"""
_OPTIONAL: Final = """
        value = data.get({name!r})
        if value is not None:
            {take}
            found += 1
        model.{name} = value
"""
_REQUIRED: Final = """
        value = data[{name!r}]
        if value is None:
            raise Unfit
        {take}
        found += 1
        model.{name} = value
"""


class Unfit(ValueError):
    """Data that a fast reader leaves to a careful one; it never leaves a fast reader."""


def fast_reader(kind: type[Model], reader_of: Callable[[Any], Read], carefully: Read) -> Read:
    """Generate a reader of JSON objects for a model, which checks nothing but the types of its fields.

    `reader_of` returns the readers of values that are not leaves; `carefully` reads what this one leaves to it.
    """
    known = [one for one in fields(kind) if one.name != "extra"]
    # A subclass that takes plain assignments, which are much faster than a frozen class's __init__. Assigning the real
    # class to a finished instance freezes it; that works because the subclass adds no slots.
    unfrozen = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    names: dict[str, Any] = {
        "Closed": kind,
        "Open": type(kind.__name__, (kind,), {"__slots__": (), **unfrozen}),
        "Unfit": Unfit,
        "NOTHING_KEPT": NOTHING_KEPT,
        "known": frozenset(one.name for one in known),
        "kept_keys": _kept_keys,
        "carefully": carefully,
    }
    parts = []
    for one in known:
        if one.type is Any:
            take = "pass"
        elif is_leaf(one.type):
            # Exact types, as in the careful reader: a bool does not pass for an int.
            is_another = " and ".join(f"type(value) is not {leaf.__name__}" for leaf in types_of(one.type) - {NoneType})
            take = f"if {is_another}: raise Unfit"
        else:
            inside = unless_null(one.type) if is_optional(one.type) else one.type
            names |= {f"read_{one.name}": reader_of(inside), f"kind_{one.name}": inside}
            take = f"value = read_{one.name}(value, kind_{one.name})"
        # A field with any other default than None is required here: the careful reader fills in the default.
        template = _OPTIONAL if one.default is None else _REQUIRED
        parts.append(template.format(name=one.name, take=take))
    source = _READER.format(fields="".join(parts))
    exec(compile(source, f"<fast reader of {kind.__qualname__}>", "exec"), names)  # noqa: S102 - as attrs makes __init__
    read: Read = names["read"]
    return read


def _kept_keys(data: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the unknown keys and the explicit nulls of an object."""
    extra = {}
    for key, value in data.items():
        if key not in known:
            if key.lower() in known:  # a field in another case: the careful reader knows what to do with it
                raise Unfit
            extra[key] = value
        elif value is None:
            extra[key] = None
    return extra
