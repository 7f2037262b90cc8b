"""Ranges of seconds from which delays are drawn."""

from typing import Any

from attrs import Attribute

Range = tuple[float, float]


def is_range(_: Any, attribute: "Attribute[Range]", value: Range) -> None:
    """Raise ValueError unless the value is two numbers of seconds from 0 up, the lower first; an attrs validator."""
    low, high = value
    if not 0 <= low <= high:
        raise ValueError(f"{attribute.name} is {value}, but must be two numbers of seconds from 0 up, the lower first")
