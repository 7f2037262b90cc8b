"""What annotations say."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from flyasync.models.guest import Guest
from flyasync.models.json.field_types import is_leaf, is_list, is_map, is_optional, named, types_of, unless_null
from flyasync.models.types import Timestamp


@pytest.mark.parametrize(
    ("kind", "expected"), [(str, True), (str | int | None, True), (Timestamp, False), (Any, False)]
)
def test_leaves_are_plain_json(kind: Any, *, expected: bool) -> None:
    assert is_leaf(kind) is expected


def test_a_whole_number_stands_for_a_float_and_not_the_other_way_round() -> None:
    assert types_of(float) == {float, int}
    assert types_of(int | None) == {int, type(None)}


def test_an_optional_type_is_one_type_or_null() -> None:
    assert unless_null(Guest | None) is Guest
    assert is_optional(Guest | None)
    assert not is_optional(str | int | None)


def test_lists_and_maps_are_known_by_whichever_name() -> None:
    assert all(map(is_list, (Sequence[str], list[str], tuple[str, ...])))
    assert all(map(is_map, (Mapping[str, str], dict[str, str])))
    assert not is_list(str)
    assert not is_map(list[str])


def test_types_are_named_as_written() -> None:
    assert (named(int), named(int | None), named(Guest)) == ("int", "int | None", "Guest")
