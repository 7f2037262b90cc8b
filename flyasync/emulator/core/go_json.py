"""Request bodies and query values, parsed as strictly as a Go server does, with the same error messages."""

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
# Go accepts 10,000 levels; the emulator must be able to copy and write a value by recursion.
_DEEPEST = 200
_TOO_DEEP = "json: exceeded max depth"
_KINDS = {int: "number", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
# The JSON type that a Go type is decoded from; types that are not listed are structs.
_READ_FROM = {"int": "number", "Duration": "number", "string": "string", "bool": "bool"}


def decode(raw: bytes, struct: str, *, required: bool = True) -> Json:
    """Return the object in a body. An empty body raises `EOF`, or is an empty object if no body is required."""
    if not raw.strip():
        if required:
            raise bad_request("EOF")
        return {}
    value = parse(raw)
    # Go decodes null into a struct by leaving the struct unchanged.
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"json: cannot unmarshal {kind(value)} into Go value of type main.{struct}")
    return value


def parse(raw: bytes) -> Any:
    """Return a JSON value; raise 400 for invalid Unicode, numbers beyond 64 bits, and values nested too deeply."""
    try:
        value = json.loads(raw, parse_constant=_constant, parse_int=_integer)
    except UnicodeDecodeError:
        raise bad_request("invalid character in string literal") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc):
            raise bad_request("unexpected EOF") from None
        character = error.doc[error.pos]
        raise bad_request(f"invalid character '{character}' looking for beginning of value") from None
    except RecursionError:
        raise bad_request(_TOO_DEEP) from None
    # Iterative, because a value that is nested too deeply would exhaust the recursion limit.
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST:
            raise bad_request(_TOO_DEEP)
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                # JSON can escape half of a surrogate pair, but no encoding can represent it.
                if not one.isascii() and any("\ud800" <= character <= "\udfff" for character in one):
                    raise bad_request("invalid UTF-8 in string literal")
            elif isinstance(one, float) and not math.isfinite(one):
                raise bad_request(f"json: cannot unmarshal number {one} into Go value of type float64")
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, dict):
                inner += one.keys()
                inner += one.values()
        level, depth = inner, depth + 1
    return value


def check(value: Json, types: Mapping[str, str], struct: str, path: str = "") -> None:
    """Raise 400 for the first field that is not of its Go type; null fits any type, unknown keys are ignored."""
    for key, go_type in types.items():
        if (found := value.get(key)) is not None:
            _check_value(found, go_type, f"{struct}.{path}{key}")


def kind(value: Any) -> str:
    """Return the name of a JSON value's type in Go's decoder."""
    # A bool is an int in Python.
    return "bool" if isinstance(value, bool) else _KINDS[type(value)]


def integer(text: str, name: str) -> int:
    """Return the integer in a query value as Go parses it: decimal digits, 64 bits."""
    if not _INTEGER.fullmatch(text):
        raise bad_request(f'invalid {name}: strconv.Atoi: parsing "{text}": invalid syntax')
    if len(text) > _DIGITS or abs(int(text)) > _MOST:
        raise bad_request(f'invalid {name}: strconv.Atoi: parsing "{text[:_DIGITS]}": value out of range')
    return int(text)


def seconds(value: str | float) -> float:
    """Return the seconds of a Go duration, such as `1m30s` or a number of nanoseconds; 0 for a negative one."""
    if isinstance(value, int | float):
        return max(0.0, value / 1e9)
    unsigned = value.lstrip("+-")
    parts = _DURATION.findall(unsigned)
    found = sum(float(number) * _NANOSECONDS[unit] for number, unit in parts)
    # `findall` skips invalid text, so the parts, joined, must equal the whole text without its sign.
    is_whole = "".join(number + unit for number, unit in parts) == unsigned and len(value) - len(unsigned) <= 1
    # "0" is the one number without a unit.
    if unsigned != "0" and (not parts or not is_whole or found > _MOST):
        raise bad_request(f'time: invalid duration "{value}"')
    return 0.0 if value.startswith("-") else found / 1e9


def mismatch(value: Any, where: str, go_type: str) -> str:
    """Return the error message for a value of the wrong type."""
    return f"json: cannot unmarshal {kind(value)} into Go struct field {where} of type {go_type}"


def _check_value(value: Any, go_type: str, where: str) -> None:
    inner = go_type.removeprefix("[]").removeprefix("map[string]")
    if inner != go_type:
        is_list = go_type.startswith("[]")
        if kind(value) != ("array" if is_list else "object"):
            raise bad_request(mismatch(value, where, go_type))
        for item in value if is_list else value.values():
            if item is not None:
                _check_value(item, inner, where)
            elif is_list:
                raise bad_request(mismatch(None, where, inner))
    elif go_type == "int" and isinstance(value, float):
        raise bad_request(f"json: cannot unmarshal number {value} into Go struct field {where} of type int")
    elif go_type == "Duration" and isinstance(value, str):
        # Clients send durations as text, the API document has nanoseconds; the API accepts both.
        seconds(value)
    elif kind(value) != _READ_FROM.get(go_type, "object"):
        raise bad_request(mismatch(value, where, go_type))


def _integer(text: str) -> int:
    # The length first: Python refuses to parse thousands of digits.
    if len(text) > _DIGITS or abs(int(text)) > _MOST:
        raise bad_request(f"json: cannot unmarshal number {text[:_DIGITS]} into Go value of type int")
    return int(text)


def _constant(text: str) -> Any:
    # NaN and Infinity, which Python parses, but which are not JSON.
    raise bad_request(f"invalid character '{text.lstrip('-')[0]}' looking for beginning of value")
