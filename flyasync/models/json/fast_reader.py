"""Readers made for speed: for each kind of record a function of its own, written for its fields.

One reads what is plainly right, and gives up on the rest: a careful reader takes over there, and either knows what to
do or says what is wrong. So nothing is explained here, and no place in a document is kept in mind. A mistake deep in a
document is met anew at each level above it, which takes a millisecond and happens once.
"""

from collections.abc import Callable
from types import NoneType
from typing import Any, Final

from attrs import Attribute, fields

from flyasync.models.json.field_types import is_leaf, is_optional, types_of, unless_null
from flyasync.models.model import NOTHING_KEPT, Model

Read = Callable[[Any, Any], Any]

_READER: Final = """
def read(data, kind):
    try:
        if type(data) is not dict:
            raise Unfit
        record = Open()
        found = 0
{fields}
        record.extra = NOTHING_KEPT if found == len(data) else kept(data)
        record.__class__ = Closed
        return record
    except (KeyError, ValueError):
        pass
    return carefully(data, kind)
"""
_FIELD: Final = """
        value = data.get({name!r})
        if value is not None:
            {take}
            found += 1
        record.{name} = value
"""
_REQUIRED: Final = """
        value = data[{name!r}]
        if value is None:
            raise Unfit
        {take}
        found += 1
        record.{name} = value
"""


class Unfit(ValueError):
    """What a quick reader leaves to a careful one; nobody else sees it."""


def quick_reader(kind: type[Model], reader_of: Callable[[Any], Read], carefully: Read) -> Read:
    """Write a reader of JSON objects for a kind of record, which has no more to check than the types of its fields.

    `reader_of` gives the readers of what is no leaf; `carefully` reads what this one does not.
    """
    known = [one for one in fields(kind) if one.name != "extra"]
    names: dict[str, Any] = {
        "Closed": kind,
        "Open": _opened(kind),
        "Unfit": Unfit,
        "NOTHING_KEPT": NOTHING_KEPT,
        "kept": _keeper(frozenset(one.name for one in known)),
        "carefully": carefully,
    }
    for one in known:
        inside = unless_null(one.type) if is_optional(one.type) else one.type
        names |= {f"read_{one.name}": reader_of(inside), f"kind_{one.name}": inside}
    source = _READER.format(fields="".join(map(_field, known)))
    exec(compile(source, f"<quick reader of {kind.__qualname__}>", "exec"), names)  # noqa: S102 - as attrs makes __init__
    read: Read = names["read"]
    return read


def _opened(kind: type[Model]) -> type[Model]:
    """Give a frozen class's twin that takes plain assignments; giving its value the class itself closes it."""
    usual = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    return type(kind.__name__, (kind,), {"__slots__": (), **usual})


def _field(one: "Attribute[Any]") -> str:
    template = _FIELD if one.default is None else _REQUIRED
    return template.format(name=one.name, take=_take(one.name, one.type))


def _take(name: str, kind: Any) -> str:
    if kind is Any:
        return "pass"
    if not is_leaf(kind):
        return f"value = read_{name}(value, kind_{name})"
    is_another = " and ".join(f"type(value) is not {one.__name__}" for one in types_of(kind) - {NoneType})
    return f"if {is_another}: raise Unfit"


def _keeper(known: frozenset[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def kept(data: dict[str, Any]) -> dict[str, Any]:
        extra = {}
        for key, value in data.items():
            if key not in known:
                if key.lower() in known:  # it may be a known one in another case
                    raise Unfit
                extra[key] = value
            elif value is None:
                extra[key] = None
        return extra

    return kept
