"""Fast readers: a function generated for the fields of each model.

A fast reader reads data that fits exactly, and passes anything else to a careful reader, which either reads it or
raises an error with the path. So a fast reader tracks no path. Data that does not fit, deep in a document, is read
again at each level above; that takes about a millisecond.
"""

from collections.abc import Callable
from types import NoneType
from typing import Any, Final

from attrs import fields

from flyasync.models.json.field_types import is_leaf, is_optional, types_of, unless_null
from flyasync.models.model import NOTHING_KEPT, Model

Read = Callable[[Any, Any], Any]

# The number of fields found shows whether there are other keys. A Mismatch of an inner value is a ValueError, which
# also leads to the careful reader, which finds the path.
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
    """Data that a fast reader passes to a careful one; caught inside the fast reader."""


def fast_reader(kind: type[Model], reader_of: Callable[[Any], Read], carefully: Read) -> Read:
    """Generate a reader of JSON objects for a model, which only checks the types of the fields.

    `reader_of` returns the readers for values that are not leaves; `carefully` reads data that does not fit.
    """
    known = [one for one in fields(kind) if one.name != "extra"]
    # A subclass with plain assignments, which are much faster than a frozen class's __init__. Setting `__class__` to
    # the real class freezes the finished instance; this works because the subclass adds no slots.
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
            # Exact types, as in the careful reader: a bool is not accepted as an int.
            is_another = " and ".join(f"type(value) is not {leaf.__name__}" for leaf in types_of(one.type) - {NoneType})
            take = f"if {is_another}: raise Unfit"
        else:
            inside = unless_null(one.type) if is_optional(one.type) else one.type
            names |= {f"read_{one.name}": reader_of(inside), f"kind_{one.name}": inside}
            take = f"value = read_{one.name}(value, kind_{one.name})"
        # A field whose default is not None is required here: the careful reader fills in the default.
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
            if key.lower() in known:  # a field in another case, which the careful reader handles
                raise Unfit
            extra[key] = value
        elif value is None:
            extra[key] = None
    return extra
