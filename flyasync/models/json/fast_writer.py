"""Fast writers: a function generated for the fields of each model, which makes the JSON object of a model."""

from collections.abc import Callable
from typing import Any, Final, get_args

from attrs import NOTHING, Factory, fields

from flyasync.models.json.field_types import is_list, is_optional, unless_null
from flyasync.models.model import NOTHING_KEPT, Kept, Model

Write = Callable[[Any], Any]

# Almost all models have no unknown keys.
_WRITER: Final = """
def write(model):
    data = {{{required}}}
{optional}
    extra = model.extra
    return data if extra is NOTHING_KEPT else with_extra(data, extra)
"""
_OPTIONAL: Final = """
    value = model.{name}
    if value {is_set}:
        data[{name!r}] = {written}
"""


def fast_writer(kind: type[Model], writer_of: Callable[[Any], Write | None]) -> Write:
    """Generate a writer of JSON objects for a model, without the fields that have their defaults.

    `writer_of` returns the writer for the values of a field, None for values that are JSON already.
    """
    names: dict[str, Any] = {"NOTHING_KEPT": NOTHING_KEPT, "with_extra": _with_extra}
    required, optional = [], []
    for one in fields(kind):
        if one.name == "extra":
            continue
        inside = unless_null(one.type) if is_optional(one.type) and one.default is None else one.type
        if one.default is NOTHING:
            required.append(f"{one.name!r}: {_written(one.name, inside, f'model.{one.name}', names, writer_of)}")
            continue
        is_set = "is not None"
        if one.default is not None:
            made = one.default.factory() if isinstance(one.default, Factory) else one.default  # type: ignore[arg-type]
            names[f"default_{one.name}"] = made
            is_set = f"!= default_{one.name}"
        written = _written(one.name, inside, "value", names, writer_of)
        optional.append(_OPTIONAL.format(name=one.name, is_set=is_set, written=written))
    source = _WRITER.format(required=", ".join(required), optional="".join(optional))
    exec(compile(source, f"<fast writer of {kind.__qualname__}>", "exec"), names)  # noqa: S102 - as attrs makes __init__
    write: Write = names["write"]
    return write


def _written(name: str, kind: Any, value: str, names: dict[str, Any], writer_of: Callable[[Any], Write | None]) -> str:
    """Return the expression that makes the JSON of a value; a list is written in place, without a call of its own."""
    inside = get_args(kind)[0] if is_list(kind) else kind
    writer = names[f"write_{name}"] = writer_of(inside)
    if is_list(kind):
        return f"list({value})" if writer is None else f"[write_{name}(each) for each in {value}]"
    return value if writer is None else f"write_{name}({value})"


def _with_extra(data: dict[str, Any], extra: Any) -> Any:
    """Return the JSON object of a model with the keys that it keeps."""
    if isinstance(extra, Kept):
        # 1. An object that was null is written as null, unless a field has been set since.
        if extra.was_null and not data:
            return None
        # 2. A key that was read in another case is written in the same case.
        for name, key in extra.spelled.items():
            if name in data:
                data[key] = data.pop(name)
    # 3. A field that was null and has been set since keeps its new value.
    for key, value in extra.items():
        data.setdefault(key, value)
    return data
