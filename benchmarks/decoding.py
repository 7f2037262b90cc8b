"""Lists of machines from bytes to models and back: flyasync beside bare parsers, pydantic, and msgspec.

All take turns at the same bytes, as CPU time of this process. Whatever a list is made into must outlive one collection
of young garbage, which counts: so what is put off until after the reading is paid for as well. Whether unknown keys are
kept is found out by reading such a list and writing it back.

The models of pydantic are made from our classes, field by field, and are strict, as ours; but moments and lengths of
time stay texts or numbers there. msgspec makes objects of our own classes.
"""

import gc
import json
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Union, get_args, get_origin

import attrs
import msgspec
import orjson
from attrs import frozen
from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from benchmarks.parts.decoding_documents import UNKNOWN, listed
from benchmarks.shared.table import Goal, Table, rows
from benchmarks.shared.timing import alternate, compared
from flyasync.json_text import ENGINE, PYTHON, Engine, read_json
from flyasync.models.json.codec import structure_once, unstructure
from flyasync.models.machine import Machine
from flyasync.models.model import Model
from flyasync.models.types import Autostop, Duration, Timestamp

JSON, IGNORE, ALLOW = "json.loads, dicts", "pydantic, extra=ignore", "pydantic, extra=allow"
OURS, SPEED = "flyasync", "flyasync[speed]"
KEEPS = "keeps unknown keys"
PARSED = "objects are dicts first and are read by Python's bytecode then; pydantic goes from bytes to models in Rust"
DUMPED = "json.dumps of ready dicts takes most of that; it is Python's, and pydantic writes models in Rust"

_LIKE: Mapping[Any, Any] = {Sequence: list, Mapping: dict, Duration: str | float, Autostop: str | bool, Timestamp: str}
Extra = Literal["ignore", "allow"]


@frozen
class Subject:
    """A way to read a list of machines, and to write it back."""

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def subjects() -> Mapping[str, Subject]:
    """Return all of them, the bare parsers first."""
    return {
        JSON: Subject(json.loads, lambda value: json.dumps(value).encode()),
        "orjson.loads, dicts": Subject(orjson.loads, orjson.dumps),
        IGNORE: _by_pydantic("ignore"),
        ALLOW: _by_pydantic("allow"),
        "msgspec, our classes": Subject(
            msgspec.json.Decoder(
                list[Machine], dec_hook=lambda kind, value: kind.from_wire(value) if kind is Duration else kind(value)
            ).decode,
            msgspec.json.Encoder(
                enc_hook=lambda value: str(value) if isinstance(value, Timestamp) else value.wire
            ).encode,
        ),
        OURS: _ours(PYTHON),
        SPEED: _ours(ENGINE),
    }


def _ours(engine: Engine) -> Subject:
    # Machines are written one after the other, as they are sent: the JSON of one stays in the CPU's cache.
    return Subject(
        lambda data: structure_once(read_json(data, engine), tuple[Machine, ...]),
        lambda machines: b"[%b]" % b",".join([engine.write(unstructure(one)) for one in machines]),
    )


def _by_pydantic(extra: Extra) -> Subject:
    models: Any = list[model_like(Machine, extra)]  # type: ignore[misc]  # a class made at run time
    adapter: TypeAdapter[Any] = TypeAdapter(models)
    return Subject(adapter.validate_json, lambda machines: adapter.dump_json(machines, exclude_none=True))


def model_like(kind: type[Model], extra: Extra) -> type[BaseModel]:
    """Make the pydantic model with the fields of one of our classes."""
    known = [one for one in attrs.fields(kind) if one.name != "extra"]
    fields = {one.name: (_like(one.type, extra), ... if one.default is attrs.NOTHING else None) for one in known}
    config = ConfigDict(extra=extra, strict=True)
    made: type[BaseModel] = create_model(kind.__name__, __config__=config, **fields)  # type: ignore[call-overload]
    return made


def _like(kind: Any, extra: Extra) -> Any:
    if isinstance(kind, type) and issubclass(kind, Model):
        return model_like(kind, extra)
    origin, inside = get_origin(kind), tuple(_like(one, extra) for one in get_args(kind))
    if origin in {Union, types.UnionType}:
        return Union[inside]  # noqa: UP007 - of members known only here
    return _LIKE[origin][inside] if inside else _LIKE.get(kind, kind)


def measure(*, tiny: bool) -> Iterator[Table]:
    """Measure lists of some lengths, with known keys only and with unknown ones too, and then writing them back."""
    rivals = subjects()
    sizes = [(20, 1)] if tiny else [(1000, 9), (10_000, 2)]
    for machines, rounds in sizes:
        for with_unknown in (False, True):
            yield reading(rivals, machines, rounds, with_unknown=with_unknown)
    yield writing(rivals, *sizes[0])


def reading(rivals: Mapping[str, Subject], machines: int, rounds: int, *, with_unknown: bool) -> Table:
    """Measure how long each takes from bytes to models."""
    data = listed(machines, with_unknown=with_unknown)
    kept = {name: keeps_unknown(rival) for name, rival in rivals.items()}

    def read(rival: Subject) -> object:
        made = rival.read(data)
        gc.collect(0)
        return made

    taken = alternate({name: partial(read, rival) for name, rival in rivals.items()}, rounds)
    bases = {"x json.loads": JSON, "x pydantic allow": ALLOW, "x pydantic ignore": IGNORE}
    figures = compared(taken, "us", machines / 1e6, bases)
    keys = "an unknown key in each object" if with_unknown else "known keys only"
    return Table(
        title=f"{machines:,} machines of {len(data) / machines:,.0f} bytes, {keys}: us of CPU for each",
        subject="reader",
        columns={"us": ".1f", **dict.fromkeys(bases, ".2f"), KEEPS: ""},
        rows=rows(
            {name: {**each, KEEPS: "yes" if kept[name] else "no"} for name, each in figures.items()},
            {name: [Goal("x pydantic allow <= 0.9", PARSED)] for name in (OURS, SPEED)},
        ),
        notes=["msgspec makes lists, so its objects are not hashable, and it knows no field to keep unknown keys in."],
    )


def writing(rivals: Mapping[str, Subject], machines: int, rounds: int) -> Table:
    """Measure how long each takes from models to bytes."""
    data = listed(machines)
    writers = {name: partial(rival.write, rival.read(data)) for name, rival in rivals.items()}
    models = rivals[SPEED].read(data)
    writers[f"{SPEED}, all at once"] = partial(lambda: ENGINE.write(unstructure(models)))
    bases = {"x json.dumps": JSON, "x pydantic": ALLOW}
    return Table(
        title=f"{machines:,} machines written back: us of CPU for each",
        subject="writer",
        columns={"us": ".1f", **dict.fromkeys(bases, ".2f")},
        rows=rows(
            compared(alternate(writers, rounds), "us", machines / 1e6, bases),
            {OURS: [Goal("x pydantic <= 2", DUMPED)], SPEED: [Goal("x pydantic <= 2")]},
        ),
        notes=[
            "pydantic leaves out nulls that it has read, which flyasync writes; msgspec writes what is unset as null.",
            "flyasync writes machines one by one, as it sends them: the dicts of all at once leave the CPU's cache.",
        ],
    )


def keeps_unknown(rival: Subject) -> bool:
    """Whether all unknown keys are there again when what was read is written back, and with them everything else."""
    data = listed(20, with_unknown=True)
    again, expected = json.loads(rival.write(rival.read(data))), json.loads(data)
    keeps = count_unknown(again) == count_unknown(expected)
    assert again == expected or not keeps, "what keeps unknown keys loses something else"
    return keeps


def count_unknown(value: object) -> int:
    """Count the objects that have the unknown key, at every depth."""
    if isinstance(value, dict):
        return (UNKNOWN in value) + sum(map(count_unknown, value.values()))
    return sum(map(count_unknown, value)) if isinstance(value, list) else 0
