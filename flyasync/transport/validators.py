"""Validators of numeric settings; their errors name the value and the rule."""

from collections.abc import Callable
from math import inf
from typing import Any

from attrs import Attribute

from flyasync.errors import InvalidInput

Validator = Callable[[Any, "Attribute[Any]", Any], None]


def more_than(bound: float, *, endless: bool = False) -> Validator:
    """Accept a number above `bound`; infinity only if `endless`."""
    return _must_be(f"a number above {bound:g}", lambda value: bound < value and (endless or value < inf))


def at_least(bound: float) -> Validator:
    """Accept a finite number that is not below `bound`."""
    return _must_be(f"a number of {bound:g} or more", lambda value: bound <= value < inf)


def whole(least: int) -> Validator:
    """Accept an integer that is not below `least`."""
    return _must_be(f"an integer of {least} or more", lambda value: isinstance(value, int) and least <= value)


def _must_be(rule: str, fits: Callable[[float], bool]) -> Validator:
    def check(owner: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
            raise InvalidInput(f"{type(owner).__name__}.{attribute.name} is {value!r}, but must be {rule}")

    return check
