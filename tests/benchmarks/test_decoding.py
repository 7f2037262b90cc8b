"""That every reader is compared, over documents that are read alike, and that keeping is found out and not claimed."""

import json

import attrs
import pytest

from benchmarks.decoding import count_unknown, measure, model_like
from benchmarks.parts.decoding_documents import UNKNOWN, listed
from benchmarks.shared.table import Table
from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine
from flyasync.models.model import Model

IGNORE, ALLOW, MSGSPEC = "pydantic, extra=ignore", "pydantic, extra=allow", "msgspec, our classes"


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    return list(measure(tiny=True))


def test_each_reader_has_its_figures_and_the_goal_its_column(tables: list[Table]) -> None:
    *reading, writing = tables
    names = ["json.loads, dicts", "orjson.loads, dicts", IGNORE, ALLOW, MSGSPEC, "flyasync", "flyasync[speed]"]
    assert len(reading) == 2
    for table in tables:
        assert [row.name for row in table.rows] == names + ["flyasync[speed], all at once"] * (table is writing)
        assert all(row.figures.keys() == set(table.columns) for row in table.rows)
        column = "x pydantic" if table is writing else "x pydantic allow"
        goals = [(row.name, goal.column) for row in table.rows for goal in row.goals]
        assert goals == [("flyasync", column), ("flyasync[speed]", column)]


def test_who_keeps_unknown_keys_is_found_out(tables: list[Table]) -> None:
    kept = {row.name: row.figures["keeps unknown keys"] for row in tables[0].rows}
    assert [name for name, keeps in kept.items() if keeps == "no"] == [IGNORE, MSGSPEC]
    assert kept["flyasync"] == kept["flyasync[speed]"] == kept[ALLOW] == "yes"


def test_unknown_keys_are_counted_at_every_depth() -> None:
    assert count_unknown({UNKNOWN: {}, "a": [{UNKNOWN: 1}, {"b": {UNKNOWN: None}}]}) == 3
    assert count_unknown([1, "a", None]) == 0


def test_documents_hold_what_they_say() -> None:
    plain, strange = listed(5), listed(5, with_unknown=True)
    assert 1800 < len(plain) / 5 < 2200
    assert count_unknown(json.loads(plain)) == 0
    machines = structure(json.loads(strange), tuple[Machine, ...])
    assert [UNKNOWN in record.extra for machine in machines for record in records(machine)] == [True] * 85
    assert machines == structure(json.loads(plain), tuple[Machine, ...])
    assert len(set(map(str, machines))) == 5


def records(value: object) -> list[Model]:
    """Every record in another, at every depth."""
    if isinstance(value, Model):
        parts = [getattr(value, one.name) for one in attrs.fields(type(value)) if one.name != "extra"]
        return [value, *(record for part in parts for record in records(part))]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return [record for part in inside for record in records(part)]


def test_pydantic_models_have_our_fields() -> None:
    model = model_like(Machine, "allow")
    assert [*model.model_fields] == [one.name for one in attrs.fields(Machine) if one.name != "extra"]
    assert [name for name, one in model.model_fields.items() if one.is_required()] == ["id", "name", "state", "region"]
