"""orjson and Python's json give the same: what is read, what is written, and every error."""

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import example, given, strategies as st

from flyasync.json_text import ENGINE, ORJSON, PYTHON, Engine, read_json

assert ORJSON is not None
FAST: Engine = ORJSON


def outcome(work: Callable[[Any], Any], of: Any) -> Any:
    """What comes out: a value with its types, its order and the signs of its zeros; or an error with its text."""
    try:
        return repr(work(of))
    except (TypeError, ValueError, RecursionError) as error:
        return type(error), str(error)


# Reading

NUMBERS = st.one_of(
    st.integers(-(2**66), 2**66),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**18, 10**19, 10**40, -(10**18)]),
    st.floats(),
    st.floats(1e15, 1e23),
)
TEXTS = st.text(st.characters(), max_size=8) | st.from_regex(r"\A\d{17,21}[,\]} ]?\Z")
ANY_JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """JSON in various styles, sometimes with a few bytes of it changed."""
    indent: int | str | None = draw(st.sampled_from([None, 0, "\t"]))
    written = json.dumps(draw(ANY_JSON), ensure_ascii=draw(st.booleans()), indent=indent)
    text = written.encode(draw(st.sampled_from(["utf-8", "utf-16"])), "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    return text


@given(text=hostile())
@example(text=b"")
@example(text=b" \n")
@example(text=b"\xef\xbb\xbf[1]")
@example(text=b'{"a":1,"b":2,"a":3}')
@example(text=b'["\\ud800", "\\ude00\\ud83d"]')
@example(text=b'["\xed\xa0\x80"]')
@example(text=b'["\xff"]')
@example(text=b'["\x01"]')
@example(text=b"[NaN, -Infinity, 1e400, -1e400, 1e-400, -0, -0.0, 1E2]")
@example(text=b"[01]")
@example(text=b"[1.]")
@example(text=b"18446744073709551616")
@example(text=b"-9223372036854775809\n")
@example(text=b'{"a": 18446744073709551616}')
@example(text=b"[18446744073709551616 ,1]")
@example(text=b"[18446744073709551616\r\n]")
@example(text=b"[18446744073709551616\t]")
@example(text=b"[18446744073709551616.0, 18446744073709551616e0]")
@example(text=b"[" + b"9" * 5000 + b"]")
@example(text=b"1\x00")
@example(text=b"null\x00")
@example(text=b"[" * 900 + b"]" * 900)
@example(text=b"[" * 100_000 + b"]" * 100_000)
def test_both_read_alike(text: bytes) -> None:
    assert outcome(FAST.read, text) == outcome(PYTHON.read, text)


def test_integers_keep_every_digit() -> None:
    assert FAST.read(b'{"id": 340282366920938463463374607431768211457}') == {"id": 2**128 + 1}


# Writing


class Size(IntEnum):
    LARGE = 2


class Region(StrEnum):
    IAD = "iad"


class Plain(Enum):
    ONE = 1


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Generous(dict[str, Any]):
    def items(self) -> Any:
        return {**self, "more": 1}.items()


@attrs.frozen
class Record:
    one: int = 1


ODD = [
    Size.LARGE,
    Region.IAD,
    Plain.ONE,
    Shouting("a"),
    Generous(a=1),
    Record(),
    UUID(int=1),
    datetime(2026, 1, 1, tzinfo=UTC),
    b"bytes",
    bytearray(b"bytes"),
    {1, 2},
    1j,
    "null",
    type("Number", (int,), {})(7),
    type("Ratio", (float,), {})(0.5),
]
KEYS = TEXTS | st.sampled_from([1, True, None, 0.5, Region.IAD, Size.LARGE, Shouting("k"), (1,)])
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=ANY_VALUE)
@example(value=[float("nan")])
@example(value=[float("inf"), None])
@example(value={"a": None, "b": "null"})
@example(value=2**64)
@example(value="\ud800")
@example(value={"\ud800": 1})
@example(value="\x00\x1f\x7f\x80\u2028\ufffe")
@example(value=1e16)
@example(value=-0.0)
def test_both_write_alike(value: Any) -> None:
    # The bytes may differ in how a number is written, such as 1e-7 and 1e-07.
    def written(engine: Engine) -> Any:
        return outcome(lambda each: PYTHON.read(engine.write(each)), value)

    assert written(FAST) == written(PYTHON)


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_both_write_or_refuse_what_is_not_plain(value: object) -> None:
    assert outcome(FAST.write, value) == outcome(PYTHON.write, value)


@pytest.mark.parametrize("engine", [PYTHON, FAST])
def test_text_is_compact_utf_8(engine: Engine) -> None:
    assert engine.write({"a": [1, 2.5, "é\n"], "b": None}) == b'{"a":[1,2.5,"\xc3\xa9\\n"],"b":null}'


@pytest.mark.parametrize("depth", [10, 253, 254, 255, 900, 100_000])
def test_both_write_or_refuse_deep_values(depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    assert outcome(FAST.write, value) == outcome(PYTHON.write, value)


def test_both_refuse_circular_values() -> None:
    value: list[Any] = []
    value.append(value)
    assert outcome(FAST.write, value) == outcome(PYTHON.write, value)
    assert isinstance(outcome(FAST.write, value), tuple)


# The package


def test_orjson_is_used_when_it_is_installed() -> None:
    assert ENGINE is FAST


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("text", [b"[" + b"1," * 50_000 + b"1]", b"[" + b"1," * 50_000])
def test_reading_a_long_text_leaves_the_collection_of_garbage_as_it_was(text: bytes, *, is_on: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        assert outcome(read_json, text) == outcome(json.loads, text)
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if before else gc.disable)()


def test_all_works_without_orjson() -> None:
    program = """
import sys
sys.modules["orjson"] = None  # an import of it fails
from flyasync import Emulator, FlyClient, MachineConfig
from flyasync.json_text import ENGINE, ORJSON, PYTHON
from flyasync.testing import run_virtual

async def main():
    async with Emulator() as emulator, FlyClient("fo1_x", base_url=emulator.url) as fly:
        await fly.apps.create("web", org_slug="personal")
        machine = await fly.machines.create("web", MachineConfig(image="nginx", env={"WHERE": "Zürich"}), region="iad")
        print((await fly.machines.get("web", machine.id)).config.env["WHERE"] == "Zürich")

run_virtual(main())
print(ORJSON is None and ENGINE is PYTHON)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")
