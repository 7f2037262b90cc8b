"""Lists of machines from bytes to models: flyasync against bare parsers, pydantic, and msgspec into the same classes.

All take turns at the same bytes, as CPU time of this process. Whatever a list is made into must outlive one collection
of young garbage, which counts: so what is put off until after the reading is paid for as well. Whether keys that nobody
knows are kept is found out here by reading such a list and writing it back.
"""

import gc
import json
from collections.abc import Callable, Iterator, Sequence

import orjson
from attrs import frozen

from benchmarks.parts.decoding_documents import UNKNOWN, listed
from benchmarks.parts.decoding_rivals import Subject, subjects
from benchmarks.shared.table import Goal, Table, rows
from benchmarks.shared.timing import alternate, compared
from flyasync.models.json.codec import unstructure

JSON, IGNORE, ALLOW, FLYASYNC = "json.loads, dicts", "pydantic, extra=ignore", "pydantic, extra=allow", "flyasync"
KEEPS = "keeps unknown keys"
BASES = {"x json.loads": JSON, "x pydantic allow": ALLOW, "x pydantic ignore": IGNORE}
GOAL = Goal(
    "x pydantic allow <= 0.9",
    "objects are dicts first and are read by Python's bytecode then; pydantic goes from bytes to models in Rust",
)

WRITING = Goal(
    "x pydantic <= 2",
    "json.dumps alone takes more than that, of dicts that are there already; orjson in its place comes near",
)


@frozen(kw_only=True)
class Size:
    """How many machines a list has, and how many times it is read."""

    machines: int
    rounds: int


SIZES = (Size(machines=1000, rounds=9), Size(machines=10_000, rounds=2))
TINY = (Size(machines=20, rounds=1),)


def measure(*, tiny: bool) -> Iterator[Table]:
    """Measure lists of some lengths, with known keys only and with unknown ones too, and then writing them back."""
    rivals = subjects()
    sizes = TINY if tiny else SIZES
    for size in sizes:
        for with_unknown in (False, True):
            yield reading(rivals, size, with_unknown=with_unknown)
    yield writing(rivals, sizes[0])


def reading(rivals: Sequence[Subject], size: Size, *, with_unknown: bool) -> Table:
    """Measure how long each takes from bytes to models."""
    data = listed(size.machines, with_unknown=with_unknown)
    _check(rivals, listed(20, with_unknown=with_unknown))
    taken = alternate({rival.name: _held(rival, data) for rival in rivals}, size.rounds)
    figures = compared(taken, "us", size.machines / 1e6, BASES)
    for rival in rivals:
        figures[rival.name][KEEPS] = "yes" if keeps_unknown(rival) else "no"
    keys = "an unknown key in each object" if with_unknown else "known keys only"
    return Table(
        title=f"{size.machines:,} machines of {len(data) / size.machines:,.0f} bytes, {keys}: us of CPU for each",
        subject="reader",
        columns={"us": ".1f", **dict.fromkeys(BASES, ".2f"), KEEPS: ""},
        rows=rows(figures, {FLYASYNC: [GOAL]}),
        notes=[
            "pydantic's models have the fields of ours and are strict, as ours; moments and durations stay texts.",
            "msgspec makes lists, so its objects are not hashable, and it knows no field to keep unknown keys in.",
            "flyasync stops the collection of garbage while it makes models; json.loads, before that, runs with it.",
        ],
    )


def writing(rivals: Sequence[Subject], size: Size) -> Table:
    """Measure how long each takes from models to bytes."""
    data = listed(size.machines)
    models = {rival.name: rival.read(data) for rival in rivals}
    bases = {"x json.dumps": JSON, "x pydantic": ALLOW}
    writers = {rival.name: _written(rival, models[rival.name]) for rival in rivals}
    writers[f"{FLYASYNC}, orjson.dumps"] = lambda: orjson.dumps(unstructure(models[FLYASYNC]))
    figures = compared(alternate(writers, size.rounds), "us", size.machines / 1e6, bases)
    return Table(
        title=f"{size.machines:,} machines written back: us of CPU for each",
        subject="writer",
        columns={"us": ".1f", **dict.fromkeys(bases, ".2f")},
        rows=rows(figures, {name: [WRITING] for name in writers if name.startswith(FLYASYNC)}),
        notes=[
            "pydantic leaves nulls out, also those it was told; flyasync writes what it was told, and what is unset it",
            "leaves out. msgspec writes every unset field as a null. flyasync collects no garbage meanwhile.",
        ],
    )


def keeps_unknown(subject: Subject) -> bool:
    """Find out whether every unknown key is there again when what was read is written back."""
    data = listed(3, with_unknown=True)
    again = json.loads(subject.write(subject.read(data)))
    return count_unknown(again) == count_unknown(json.loads(data))


def count_unknown(value: object) -> int:
    """Count the objects that have the unknown key, at every depth."""
    if isinstance(value, dict):
        return (UNKNOWN in value) + sum(map(count_unknown, value.values()))
    return sum(map(count_unknown, value)) if isinstance(value, list) else 0


def _check(rivals: Sequence[Subject], data: bytes) -> None:
    expected = json.loads(data)
    for rival in rivals:
        if keeps_unknown(rival):
            assert json.loads(rival.write(rival.read(data))) == expected, f"{rival.name} loses something"


def _held(subject: Subject, data: bytes) -> Callable[[], object]:
    def read() -> object:
        made = subject.read(data)
        gc.collect(0)
        return made

    return read


def _written(subject: Subject, models: object) -> Callable[[], bytes]:
    return lambda: subject.write(models)
