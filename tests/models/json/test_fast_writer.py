"""Writing models: unset fields, what they keep, the order of keys, and long lists."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import field, frozen

from flyasync.models.json.codec import structure, unstructure
from flyasync.models.json.fast_writer import fast_writer
from flyasync.models.model import Kept, Model


@frozen(kw_only=True)
class Part(Model):
    name: str
    size: int | None = None


@frozen(kw_only=True)
class Whole(Model):
    mode: str = "fast"
    words: Sequence[str] | None = None
    parts: Sequence[Part] = field(factory=tuple)
    anything: Any = None
    labels: Mapping[str, Part] | None = None


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (Whole(), {}),
        (Whole(mode="fast", parts=()), {}),  # what has its default is left out
        (Whole(mode="", words=[], anything=False), {"mode": "", "words": [], "anything": False}),
        (Part(name="a"), {"name": "a"}),  # a field without a default is always written
        (Whole(parts=(Part(name="a", size=0),)), {"parts": [{"name": "a", "size": 0}]}),
        (Whole(labels={"x": Part(name="b")}), {"labels": {"x": {"name": "b"}}}),
        (Whole(anything=[Part(name="c")]), {"anything": [{"name": "c"}]}),
        (Part(name="a", extra={"novel": 1, "size": None}), {"name": "a", "novel": 1, "size": None}),
        (Part(name="a", size=2, extra={"size": None}), {"name": "a", "size": 2}),  # a null that has been set since
        (Part(name="a", extra=Kept({"novel": 1}, spelled={"name": "Name"})), {"Name": "a", "novel": 1}),
        (Whole(extra=Kept(was_null=True)), None),
        (Whole(mode="slow", extra=Kept(was_null=True)), {"mode": "slow"}),
    ],
)  # fmt: skip
def test_a_model_is_written_without_unset_fields_and_with_what_it_keeps(model: Model, data: Any) -> None:
    assert unstructure(model) == data


def test_the_json_shares_no_list_with_the_model() -> None:
    words = ["a"]
    data = unstructure(Whole(words=words))
    data["words"].append("b")
    assert words == ["a"]


def test_required_fields_come_first_and_the_others_in_the_order_of_the_class() -> None:
    @frozen(kw_only=True)
    class Mixed(Model):
        second: int | None = None
        first: int
        third: int | None = None

    write = fast_writer(Mixed, lambda _: None)
    assert list(write(Mixed(first=1, second=2, third=3, extra={"last": 4}))) == ["first", "second", "third", "last"]


def test_a_long_list_is_written_as_a_short_one_is() -> None:
    data = [{"name": str(number), "novel": number} for number in range(100)]
    assert unstructure(structure(data, list[Part])) == data
