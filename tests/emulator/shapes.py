"""Compares a response with the API document, except where the document is known to be wrong."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parent.parent / "machines.openapi.json"
# Fields of the live API, or of its official client, that are not in the document.
BEYOND = frozenset({"version", "containers", "capacity", "host_dedication_key", "cname_target", "created_at"})
TYPES: Mapping[str, Any] = {
    "string": str, "number": (int, float), "boolean": bool, "array": list, "object": dict,
}  # fmt: skip


@cache
def document() -> Any:
    return json.loads(DOCUMENT.read_text())


def named() -> dict[str, tuple[str, str]]:
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def complaints(action: str, body: Any) -> list[str]:
    """Return the errors in the body of a successful response."""
    method, path = named()[action]
    answers = document()["paths"][path][method.lower()]["responses"]["200"]["content"]
    return list(_wrong(next(iter(answers.values()))["schema"], body, action))


def _wrong(schema: Any, value: Any, where: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if value is None or _is_bytes(schema, value) or _is_autostop(where, value) or "type" not in schema:
        return
    kind = schema["type"]
    if not isinstance(value, TYPES[kind]) or (kind == "number" and isinstance(value, bool)):
        yield f"{where}: {value!r} is no {kind}"
    elif kind == "array":
        for item in value:
            yield from _wrong(schema.get("items", {}), item, f"{where}[]")
    elif kind == "object" and schema.get("properties"):
        yield from _wrong_fields(schema["properties"], value, where)


def _wrong_fields(fields: Any, value: Any, where: str) -> Iterator[str]:
    # The live platform routes have some keys with a capital letter.
    known = {**fields, **{key.capitalize(): field for key, field in fields.items()}}
    for key, item in value.items():
        if key in known:
            yield from _wrong(known[key], item, f"{where}.{key}")
        elif key not in BEYOND:
            yield f"{where}: {key} is not documented"


def _is_bytes(schema: Any, value: Any) -> bool:
    # Go's bytes: numbers in the document, base64 in responses.
    return bool(schema.get("items", {}).get("type") == "number") and isinstance(value, str)


def _is_autostop(where: str, value: Any) -> bool:
    return where.endswith(".autostop") and isinstance(value, bool)
