"""Invalid requests are refused with a 4xx, and do not break later requests."""

import asyncio
import copy
import gzip
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from yarl import URL

from flyasync.emulator.core.operations import Operation, companions, operations
from tests.emulator.core.test_operations import BODIES, QUERIES, Place, held, one_of_everything
from tests.emulator.driver import Api, Said, at, serving
from tests.emulator.shapes import document

EVERY = [*operations(), *companions()]
HALF_A_PAIR = "\ud800"
NESTED: Any = "x"
for _ in range(300):
    NESTED = [NESTED]
VALUES: list[Any] = [
    HALF_A_PAIR, {HALF_A_PAIR: HALF_A_PAIR}, 10**23, -(10**23), 10**18, -1, 1.5, "", "x", " ", "99999999999h", True,
    [], [None], ["x"], [5], [[]], {}, {"x": None}, {"x": 5}, {"x": {}}, NESTED, "\x00\r\n", "é" * 300,
]  # fmt: skip
RAW = [
    b"[" * 100_000, b'{"a":' * 5000, b"\xff", b"1" * 5000, b'{"a":1e999}', b"NaN", b'{"a":-Infinity}', b"{", b'"x',
]  # fmt: skip
ENCODED = [(b"junk", "gzip"), (gzip.compress(b"{}")[:-4], "gzip"), (b"junk", "deflate"), (b"junk", "br"), (b"x", "x")]
# As they appear in a path or a query.
TEXTS = ["%ff", "%ed%a0%80", "%00", "%0d%0aX:%20y", "x" * 2000, "9" * 23, "9" * 5000, "-1", "--5", "%D9%A3", "1e9", ""]
QUERIED = [
    "cursor", "force", "from_event_id", "limit", "min_version", "next_token", "order", "org_slug", "region", "sort_by",
    "state", "timeout", "ttl", "updated_after", "version",
]  # fmt: skip
# Fields of bodies that are not in the API document.
BEYOND: Mapping[str, Any] = {
    "createMachineLease": {"ttl": 1, "description": "x"},
    "stopMachine": {"signal": "x", "timeout": "1s"},
    "createMachine": {"lease_ttl": 1},
}


def example(schema: Any, depth: int = 0) -> Any:
    """Return a value with every field of its schema."""
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    match schema.get("type"):
        case "object" if depth < 8:
            fields = schema.get("properties", {"k": {"type": "string"}})
            return {key: example(field, depth + 1) for key, field in fields.items()}
        case "array":
            return [example(schema.get("items", {}), depth + 1)]
        case "number" | "integer":
            return 1
        case "boolean":
            return False
    return "x"


def full(operation: Operation) -> dict[str, Any]:
    """Return a body with every field of an operation."""
    said = document()["paths"].get(operation.path, {}).get(operation.method.lower(), {})
    content = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    made = example(content["schema"]) if content else {}
    return {**(made if isinstance(made, dict) else {}), **BEYOND.get(operation.action, {})}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else []):
        yield from places(item, (*path, key))


def with_junk(body: Any, example: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """Set an invalid value at a path in a body, and create the missing parents."""
    if not path:
        return junk
    key, *rest = path
    if isinstance(key, int):
        inner = body[0] if isinstance(body, list) and body else None
        return [with_junk(inner, example[key], tuple(rest), junk)]
    made = copy.copy(body) if isinstance(body, dict) else {}
    made[key] = with_junk(made.get(key), example[key], tuple(rest), junk)
    return made


async def knock(api: Api, operation: Operation, path: str, body: Any, **headers: str) -> Said:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = URL(api.emulator.url + path, encoded=True)
    said = await api.ask(operation.method, str(url), data=raw, headers=headers)
    assert said.status < 500, (path, raw[:300], headers)
    return said


async def demand_sound(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.sleep(100)
    for path in ("apps?org_slug=personal", "orgs/personal/machines", "orgs/personal/volumes", "postgres?org_slug=acme"):
        assert (await api.get(f"/v1/{path}")).status == 200
    assert (await api.get("/_emulator/log")).status == 200
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.action)
async def test_junk_in_a_body_is_refused(operation: Operation, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(operation.action)
    async with serving(limits=False, boot=(1, 1)) as api:
        place = await one_of_everything(api)
        path = place.path(operation.path, operation.action) + QUERIES.get(operation.action, "")
        headers = {} if operation.action == "createMachineLease" else held(place)
        everything, valid = full(operation), place.bodies.get(operation.action, BODIES.get(operation.action))
        spots = [(spot, junk) for spot in places(everything) for junk in VALUES]
        for spot, junk in chance.sample(spots, min(60, len(spots))):
            await knock(api, operation, path, with_junk(valid, everything, spot, junk), **headers)
        for raw in RAW:
            await knock(api, operation, path, raw, **headers)
        for raw, encoding in ENCODED:
            sent = {"Content-Encoding": encoding, "Connection": "close"}
            await knock(api, operation, path, raw, **headers, **sent)
        await demand_sound(api, caplog)


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.action)
async def test_junk_in_a_path_or_query_is_refused(operation: Operation, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(operation.action)
    async with serving(limits=False, boot=(1, 1)) as api:
        place = await one_of_everything(api)
        valid = place.bodies.get(operation.action, BODIES.get(operation.action, {}))
        path = place.path(operation.path, operation.action) + QUERIES.get(operation.action, "?")
        pairs = [(name, text) for name in QUERIED for text in TEXTS]
        for name, text in chance.sample(pairs, 30):
            await knock(api, operation, f"{path}&{name}={text}", valid)
        for name in [name for name in place.params if f"{{{name}}}" in operation.path]:
            for text in TEXTS:
                strange = Place({**place.params, name: text or "%20"}, place.bodies)
                await knock(api, operation, strange.path(operation.path, operation.action), valid)
        await demand_sound(api, caplog)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"config":{"image":"\\ud800","env":{"A":"\\ud800"}}}', "invalid UTF-8"),
        (b'{"config":{"image":"nginx","env":{"\\udc00":"a"}}}', "invalid UTF-8"),
        (b'{"config":{"image":"nginx","x":' + b"[" * 201 + b"]" * 201 + b"}}", "exceeded max depth"),
        (b"[" * 100_000, "exceeded max depth"),
        (b'{"config":{"image":"nginx","guest":{"cpus":' + b"9" * 5000 + b"}}}", "cannot unmarshal number 999"),
        (b'{"config":{"image":"nginx","x":1e999}}', "cannot unmarshal number inf"),
        (b'{"config":{"image":"nginx","x":NaN}}', "invalid character 'N'"),
        (b'{"config":{"image":"nginx","init":{"exec":5}}}', "MachineInit"),
        (b'{"config":{"image":"nginx","mounts":[null]}}', "cannot unmarshal null"),
        (b'{"config":{"image":"nginx"},"lease_ttl":999999999999999999}', "invalid ttl"),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_leaves_nothing(api: Api, body: bytes, says: str) -> None:
    said = await api.ask("POST", "/v1/apps/web/machines", data=body)
    assert said.status == 400
    assert says in said.error
    assert (await api.get("/v1/apps/web/machines")).body == []


@pytest.mark.parametrize("ttl", ["9" * 23, "9" * 5000, "999999999999999999", "-1", "--5", "1.5", "%D9%A3"])
async def test_a_lease_that_outlasts_the_calendar_is_refused(api: Api, ttl: str) -> None:
    machine = await api.running()
    said = await api.ask("POST", str(URL(f"{api.emulator.url}{at(machine)}/lease?ttl={ttl}", encoded=True)))
    assert said.status == 400
    assert (await api.act(machine, "lease", {"ttl": 10**18})).status == 400
    assert [(await api.get(f"{at(machine)}/lease")).status, (await api.act(machine, "lease")).status] == [404, 201]


async def test_a_body_that_does_not_match_its_encoding_is_refused(api: Api) -> None:
    said = await api.ask("POST", "/v1/apps", data=b"junk", headers={"Content-Encoding": "gzip"})
    assert (said.status, said.error) == (400, "invalid body: it is not gzip")


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("{ a " * 50_000, 400, "depth of more than 100"),
        ("{ a " * 101 + "}" * 101, 400, "depth of more than 100"),
        ("{ app(name: 01) { id } }", 200, "Syntax Error: Invalid number"),
        ('{ app(name: "\\ud800") { id } }', 200, "Syntax Error: Invalid Unicode escape"),
        ('{ app(name: "\\x") { id } }', 200, "Syntax Error: Invalid character escape"),
        (f"{{ app(name: {'9' * 5000}) {{ id }} }}", 200, "String cannot represent"),
        (f"{{ organizations(first: {'9' * 5000}) {{ nodes {{ id }} }} }}", 200, "'Int'"),
    ],
    ids=["never closed", "deep", "octal", "half a pair", "escape", "digits", "digits of a number"],
)
async def test_junk_in_graphql_is_refused(api: Api, query: str, status: int, says: str) -> None:
    said = await api.post("/graphql", {"query": query})
    assert said.status == status
    assert says in str(said.body)


@pytest.mark.parametrize(
    "fault",
    [
        {"does": 5}, {"does": []}, {}, {"does": "refuse", "app": 5}, {"does": "refuse", "headers": 5},
        {"does": "refuse", "headers": {"A": 5}}, {"does": "refuse", "headers": {"A": "b\r\nC: d"}},
        {"does": "delay", "seconds": "x"}, {"does": "crash", "exit_code": "x"}, {"does": "refuse", "status": 500.5},
        {"does": "refuse", "times": "x"}, {"does": "refuse", "times": 1.5}, {"does": "cut", "probability": None},
    ],
    ids=str,
)  # fmt: skip
async def test_a_fault_that_could_only_fail_later_is_refused(api: Api, fault: dict[str, Any]) -> None:
    assert (await api.post("/_emulator/faults", fault)).status == 400
    assert (await api.get("/_emulator/faults")).body == {"faults": []}


@pytest.mark.parametrize("name", ["faults", "capacity", "commands", "host_status", "images"])
async def test_junk_in_the_controls_is_refused(api: Api, name: str) -> None:
    for junk in VALUES:
        for key in ("region", "machines", "machine_id", "host_status", "image", "does", "command"):
            said = await api.ask("POST", f"/_emulator/{name}", data=json.dumps({key: junk}).encode())
            assert said.status < 500, (key, junk)
    for raw in RAW:
        assert (await api.ask("POST", f"/_emulator/{name}", data=raw)).status == 400
    assert (await api.get(f"/_emulator/log?after={'9' * 5000}")).status == 400
