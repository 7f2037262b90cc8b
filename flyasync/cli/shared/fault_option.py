"""How a fault is written on the command line: a JSON object with the fields of `flyasync.Fault`."""

import json
from collections.abc import Mapping
from typing import Any

import click
from attrs import fields

from flyasync.emulator.core.faults import AFTER, BEFORE, LISTS, MACHINE, Fault


def read(text: str) -> Fault:
    """Read one fault; raises BadParameter for what is none."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not JSON: {error}") from None
    except RecursionError:
        raise click.BadParameter("it is nested too deep") from None
    if not isinstance(given, dict):
        raise click.BadParameter(f'{text!r} is not a JSON object, such as {{"does": "refuse", "times": 1}}')
    _check(given)
    try:
        return Fault(**given)
    except (TypeError, ValueError) as error:
        raise click.BadParameter(f"{text!r}: {error.args[0]}") from None


def _check(given: Mapping[str, Any]) -> None:
    known = {field.name: field.type for field in fields(Fault)}
    if strangers := sorted(given.keys() - known):
        raise click.BadParameter(f"a fault has no field {strangers[0]!r}; it has {', '.join(known)}")
    for name, value in given.items():
        if known[name] is str and not isinstance(value, str):
            raise click.BadParameter(f"{name} is {value!r}, but must be a text")
    troubles = sorted(BEFORE | AFTER | LISTS | MACHINE)
    if given.get("does") not in troubles:
        raise click.BadParameter(f"does is {given.get('does')!r}, but must be one of {', '.join(troubles)}")
