"""Request bodies read with the strictness, and the complaints, of a Go server."""

import json
from collections.abc import Mapping
from typing import Any

from flyasync.emulator.errors import bad_request

Json = dict[str, Any]


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
    """Read any JSON value."""
    try:
        return json.loads(raw)
    except UnicodeDecodeError:
        raise bad_request("invalid character in string literal") from None
    except json.JSONDecodeError as error:
        raise bad_request(_complaint(error)) from None


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


def mismatch(value: Any, where: str, wanted: str) -> str:
    """Word the complaint about a value of the wrong type."""
    return f"json: cannot unmarshal {kind(value)} into Go struct field {where} of type {wanted}"


def _check_one(value: Any, wanted: str, where: str) -> None:
    if wanted.startswith("[]"):
        _demand(value, "array", where, wanted)
        for item in value:
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
    _demand(value, {"int": "number", "string": "string", "bool": "bool"}.get(wanted, "object"), where, wanted)


def _demand(value: Any, expected: str, where: str, wanted: str) -> None:
    if kind(value) != expected:
        raise bad_request(mismatch(value, where, wanted))


def _complaint(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc):
        return "unexpected EOF"
    return f"invalid character '{error.doc[error.pos]}' looking for beginning of value"
