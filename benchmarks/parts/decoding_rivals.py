"""What flyasync is compared with: the same JSON into dicts, into pydantic models, and by msgspec into our own classes.

The pydantic models are made from our classes, field by field, so that the shape is the same; but their moments and
lengths of time stay texts or numbers, which is less to do than what ours become.
"""

import json
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import attrs
import msgspec
import orjson
from attrs import frozen
from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from flyasync.models.json.codec import structure, unstructure
from flyasync.models.machine import Machine
from flyasync.models.model import Model
from flyasync.models.types import Autostop, Duration, Timestamp

PLAIN: Mapping[Any, Any] = {Duration: str | float, Autostop: str | bool, Timestamp: str}
"""What pydantic reads where our fields have types of their own."""

_BUILTINS: Mapping[Any, Any] = {Sequence: list, Mapping: dict}


@frozen(kw_only=True)
class Subject:
    """A way to read a list of machines, and to write it back."""

    name: str
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def subjects() -> Sequence[Subject]:
    """Give all of them, the bare parsers first."""
    return [
        Subject(name="json.loads, dicts", read=json.loads, write=_dump),
        Subject(name="orjson.loads, dicts", read=orjson.loads, write=orjson.dumps),
        _by_pydantic("ignore"),
        _by_pydantic("allow"),
        _by_msgspec(),
        Subject(
            name="flyasync",
            read=lambda data: structure(json.loads(data), tuple[Machine, ...]),
            write=lambda machines: _dump(unstructure(machines)),
        ),
    ]


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


# pydantic


def _by_pydantic(extra: Literal["ignore", "allow"]) -> Subject:
    models: Any = list[model_like(Machine, extra, {})]  # type: ignore[misc]  # a class made at run time
    adapter: TypeAdapter[Any] = TypeAdapter(models)
    return Subject(
        name=f"pydantic, extra={extra}",
        read=adapter.validate_json,
        write=lambda machines: adapter.dump_json(machines, exclude_none=True),
    )


def model_like(
    kind: type[Model], extra: Literal["ignore", "allow"], made: dict[type[Model], type[BaseModel]]
) -> type[BaseModel]:
    """Make the pydantic model with the fields of one of our classes; `made` are those made before."""
    if kind not in made:
        given = [one for one in attrs.fields(kind) if one.name != "extra"]
        fields = {
            one.name: (_like(one.type, extra, made), ... if one.default is attrs.NOTHING else None) for one in given
        }
        config = ConfigDict(extra=extra, strict=True)
        made[kind] = create_model(kind.__name__, __config__=config, **fields)  # type: ignore[call-overload]
    return made[kind]


def _like(kind: Any, extra: Literal["ignore", "allow"], made: dict[type[Model], type[BaseModel]]) -> Any:
    if isinstance(kind, type) and issubclass(kind, Model):
        return model_like(kind, extra, made)
    origin, inside = get_origin(kind), tuple(_like(one, extra, made) for one in get_args(kind))
    if origin in {Union, types.UnionType}:
        return Union[inside]  # noqa: UP007 - of members known only here
    return _BUILTINS[origin][inside] if inside else PLAIN.get(kind, kind)


# msgspec


def _by_msgspec() -> Subject:
    decoder = msgspec.json.Decoder(list[Machine], dec_hook=_made)
    return Subject(
        name="msgspec, our classes",
        read=decoder.decode,
        write=lambda machines: msgspec.json.encode(machines, enc_hook=_plain),
    )


def _made(kind: Any, value: Any) -> Any:
    return Duration.from_wire(value) if kind is Duration else kind(value)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Timestamp) else value.wire
