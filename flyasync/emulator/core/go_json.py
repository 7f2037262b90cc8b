"""Request bodies read with the strictness, and the complaints, of a Go server."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from flyasync.emulator.core.errors import bad_request

Json = dict[str, Any]

_NANOSECONDS = {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}
_INTEGER = re.compile("[+-]?[0-9]+")
_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
# Go's integers have 64 bits.
_MOST = 2**63 - 1
_DIGITS = 20
# Go reads 10,000 levels; what the emulator keeps it must be able to copy and write by recursion.
_DEEPEST = 200
_TOO_DEEP = "json: exceeded max depth"


def decode(raw: bytes, struct: str, *, required: bool = True) -> Json:
    """Read a body that must be an object; an empty one is `EOF`, or an empty object when no body is required."""
    if not raw.strip():
        if required:
            raise bad_request("EOF")
        return {}
    value = parse(raw)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"json: cannot unmarshal {kind(value)} into Go value of type main.{struct}")
    return value


def parse(raw: bytes) -> Any:
    """Read any JSON value that can be kept and shown again: text that is Unicode, numbers of 64 bits, not too deep."""
    try:
        value = json.loads(raw, parse_constant=_no_constant, parse_int=_integer)
    except UnicodeDecodeError:
        raise bad_request("invalid character in string literal") from None
    except json.JSONDecodeError as error:
        raise bad_request(_complaint(error)) from None
    except RecursionError:
        raise bad_request(_TOO_DEEP) from None
    _demand_sound(value)
    return value


def demand_text(text: str) -> None:
    """Refuse half a surrogate pair, which no encoding can write."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise bad_request("invalid UTF-8 in string literal")


def check(value: Json, types: Mapping[str, str], struct: str, path: str = "") -> None:
    """Refuse the first field whose value does not have the Go type named for it; null fits any, unknown keys pass."""
    for key, wanted in types.items():
        found = value.get(key)
        if found is not None:
            _check_one(found, wanted, f"{struct}.{path}{key}")


def kind(value: Any) -> str:
    """Name a JSON value as Go's decoder does."""
    if isinstance(value, bool):
        return "bool"
    names = {int: "number", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]


def integer(text: str, name: str) -> int:
    """Read a whole number of a query as Go does: decimal digits, 64 bits."""
    if not _INTEGER.fullmatch(text):
        raise bad_request(f'invalid {name}: strconv.Atoi: parsing "{text}": invalid syntax')
    if len(text) > _DIGITS or abs(int(text)) > _MOST:
        raise bad_request(f'invalid {name}: strconv.Atoi: parsing "{text[:_DIGITS]}": value out of range')
    return int(text)


def seconds(value: str | float) -> float:
    """Read a Go duration, such as `1m30s` or a number of nanoseconds; one below 0 is 0."""
    nanoseconds = value if isinstance(value, int | float) else _nanoseconds(value)
    return max(0.0, nanoseconds / 1e9)


def mismatch(value: Any, where: str, wanted: str) -> str:
    """Word the complaint about a value of the wrong type."""
    return f"json: cannot unmarshal {kind(value)} into Go struct field {where} of type {wanted}"


def _check_one(value: Any, wanted: str, where: str) -> None:
    if wanted.startswith("[]"):
        _demand(value, "array", where, wanted)
        for item in value:
            if item is None:
                raise bad_request(mismatch(None, where, wanted.removeprefix("[]")))
            _check_item(item, wanted.removeprefix("[]"), where)
    elif wanted.startswith("map[string]"):
        _demand(value, "object", where, wanted)
        for item in value.values():
            _check_item(item, wanted.removeprefix("map[string]"), where)
    else:
        _check_item(value, wanted, where)


def _check_item(value: Any, wanted: str, where: str) -> None:
    if value is None:
        return
    if wanted == "int" and isinstance(value, float):
        raise bad_request(f"json: cannot unmarshal number {value} into Go struct field {where} of type int")
    if wanted == "Duration" and isinstance(value, str):
        seconds(value)
        return
    _demand(
        value,
        {"int": "number", "Duration": "number", "string": "string", "bool": "bool"}.get(wanted, "object"),
        where,
        wanted,
    )


def _demand(value: Any, expected: str, where: str, wanted: str) -> None:
    if kind(value) != expected:
        raise bad_request(mismatch(value, where, wanted))


def _demand_sound(value: Any) -> None:
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST:
            raise bad_request(_TOO_DEEP)
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                demand_text(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise bad_request(f"json: cannot unmarshal number {one} into Go value of type float64")
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, dict):
                inner += one.keys()
                inner += one.values()
        level, depth = inner, depth + 1


def _integer(text: str) -> int:
    # The length first: Python refuses to read thousands of digits.
    if len(text) > _DIGITS or abs(int(text)) > _MOST:
        raise bad_request(f"json: cannot unmarshal number {text[:_DIGITS]} into Go value of type int")
    return int(text)


def _no_constant(text: str) -> Any:
    raise bad_request(f"invalid character '{text.lstrip('-')[0]}' looking for beginning of value")


def _nanoseconds(text: str) -> float:
    unsigned = text.lstrip("+-")
    parts = _DURATION.findall(unsigned)
    found = sum(float(number) * _NANOSECONDS[unit] for number, unit in parts)
    is_whole = "".join(number + unit for number, unit in parts) == unsigned and len(text) - len(unsigned) <= 1
    if unsigned != "0" and (not parts or not is_whole or found > _MOST):
        raise bad_request(f'time: invalid duration "{text}"')
    return -found if text.startswith("-") else found


def _complaint(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc):
        return "unexpected EOF"
    return f"invalid character '{error.doc[error.pos]}' looking for beginning of value"
