"""JSON text, read and written by orjson if the extra `speed` is installed, else by Python's `json`.

Both engines return the same values and raise the same errors: what orjson refuses, `json` reads or writes, or refuses.
What orjson accepts, but reads or writes differently, is found first and is left to `json` too. One limit remains the
engine's own: a text that is nested about 1,000 deep is refused by `json` at Python's recursion limit, which depends on
the caller, and by orjson beyond 1,024.
"""

import json
import marshal
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from attrs import frozen

from flyasync.garbage import PausedCollection

orjson: ModuleType | None
try:
    import orjson
except ImportError:
    orjson = None


@frozen
class Engine:
    """How JSON text is read and written.

    `read` raises ValueError for a text that is not JSON and RecursionError for one that is nested too deeply. `write`
    returns compact UTF-8; it raises TypeError, ValueError (also for NaN, for infinities and lone surrogates) or
    RecursionError for a value that JSON cannot express.
    """

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


# Python's engine

_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _write(value: Any) -> bytes:
    return _encode(value).encode()


PYTHON: Final = Engine(json.loads, _write)


# orjson's engine

# A text with its digits as `0`, and what can follow an integer as `,`. Only with this many digits can an integer exceed
# 64 bits; orjson reads it as a float then.
_KINDS: Final = bytes(48 if byte in b"0123456789" else 44 if byte in b",]} \t\n\r" else 120 for byte in range(256))
_LONG_INTEGER: Final = b"0" * 19 + b","


def _fast(loads: Callable[[bytes], Any], dumps: Callable[[Any], bytes]) -> Engine:
    def read(text: bytes) -> Any:
        if _LONG_INTEGER not in text.translate(_KINDS) and not text[-1:].isdigit():
            try:
                return loads(text)
            except ValueError:
                pass
        return json.loads(text)

    def write(value: Any) -> bytes:
        try:
            # orjson writes UUIDs and enums, which `json` refuses or writes differently. marshal accepts only Python's
            # own types and no subclasses, and takes a quarter of the time of `json`.
            marshal.dumps(value)
            text = dumps(value)
        except (TypeError, ValueError):
            pass
        else:
            # orjson writes NaN and infinities as null.
            if b"null" not in text:
                return text
        return _write(value)

    return Engine(read, write)


ORJSON: Final = _fast(orjson.loads, orjson.dumps) if orjson else None
"""None if orjson is not installed."""

ENGINE: Final = ORJSON or PYTHON
"""The engine that this package uses."""

_LONG: Final = 50_000
"""Bytes of a text from which on it is read without garbage collection: reading makes no garbage."""


def read_json(text: bytes, engine: Engine = ENGINE) -> Any:
    """Return the value of a JSON text, as `Engine.read` does."""
    if len(text) < _LONG:
        return engine.read(text)
    with PausedCollection():
        return engine.read(text)


write_json: Final = ENGINE.write
