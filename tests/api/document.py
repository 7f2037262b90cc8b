"""The API's published document: its operations, and values made from its schemas."""

import json
import random
from base64 import b64encode
from pathlib import Path
from typing import Any

from attrs import define, frozen

DOCUMENT = json.loads((Path(__file__).parent.parent / "machines.openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]

# What our models cannot do without: what a thing is known by, and what an answer is for.
NEEDED: dict[str, set[str]] = {
    "App": {"name"},
    "Machine": {"id", "name", "state", "region"},
    "OrgMachine": {"id"},
    "Volume": {"id", "name", "state", "region"},
    "OrgVolume": {"id", "name", "state", "region"},
    "VolumeSnapshot": {"id"},
    "ExtendVolumeResponse": {"volume"},
    "Lease": {"nonce"},
    "MachineVersion": {"version"},
    "MainRegionRow": {"code"},
    "MainRegionResponse": {"regions"},
    "PlacementRegionPlacement": {"region"},
    "MainGetPlacementsResponse": {"regions"},
    "ListAppsResponse": {"apps"},
    "CreateAppDeployTokenResponse": {"token"},
    "DecryptSecretkeyResponse": {"plaintext"},
    "EncryptSecretkeyResponse": {"ciphertext"},
    "SignSecretkeyResponse": {"signature"},
}
DURATIONS = {"timeout", "interval", "grace_period"}
BYTES = {"plaintext", "ciphertext", "signature"}
FRACTIONS = {"latitude", "longitude", "max_price_fraction", "gpu_bid_price"}
WORDS = ["", "iad", "started", "a word to come", "\u4e16\u754c", "2026-01-01T00:00:00Z", "fm2_x", "null", "0"]


@frozen
class Described:
    """An operation as the document has it."""

    method: str
    path: str
    query: frozenset[str]
    body: dict[str, Any] | None
    answer: dict[str, Any]


def _described(method: str, path: str, said: dict[str, Any]) -> Described:
    content = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    query = {one["name"] for one in said.get("parameters", []) if one["in"] == "query"}
    answer = said["responses"]["200"]["content"]["application/json"]["schema"]
    return Described(method.upper(), path, frozenset(query), content.get("schema"), answer)


OPERATIONS = {
    said["operationId"]: _described(method, path, said)
    for path, methods in DOCUMENT["paths"].items()
    for method, said in methods.items()
}


def resolved(schema: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give a schema's name, empty for one in place, and what it says."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return name, SCHEMAS[name] if name else schema


def unknown_keys(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """Name the keys of a value that its schema does not have, at every depth."""
    _, said = resolved(schema)
    if isinstance(value, list):
        return [key for item in value for key in unknown_keys(item, said.get("items", {}), f"{where}[]")]
    if not isinstance(value, dict) or "properties" not in said:
        return []
    strange = [f"{where}.{key}" for key in value if key not in said["properties"]]
    known = [key for key in value if key in said["properties"]]
    return strange + [
        key for one in known for key in unknown_keys(value[one], said["properties"][one], f"{where}.{one}")
    ]


@define
class Writer:
    """Makes JSON that a schema allows.

    `present` is the chance of an optional key to be there, `null` that it is null then, `strange` that of an unknown
    key in an object.
    """

    chance: random.Random
    present: float = 0.6
    null: float = 0.2
    strange: float = 0.3

    def write(self, schema: dict[str, Any], *, name: str = "", depth: int = 0) -> Any:
        ref, said = resolved(schema)
        if "properties" in said:
            enveloped = {"data"} & said["properties"].keys()
            return self._object(said["properties"], NEEDED.get(ref, set()) | enveloped, depth)
        match said.get("type"):
            case "array":
                many = self.chance.randint(0, 2 if depth < 3 else 1)
                return [self.write(said.get("items", {}), depth=depth + 1) for _ in range(many)]
            case "object" if "additionalProperties" in said:
                return self._map(said["additionalProperties"], depth)
            case "object":
                return self._object({}, set(), depth)
            case "string":
                return self._text(name)
            case "number" | "integer":
                return self.chance.uniform(-90, 90) if name in FRACTIONS else self.chance.randint(-1, 10**6)
            case "boolean":
                return self.chance.random() < 0.5
        return self.anything()

    def anything(self, depth: int = 0) -> Any:
        """Make any JSON."""
        match self.chance.randint(0, 6 if depth < 2 else 4):
            case 0:
                return None
            case 1:
                return self.chance.random() < 0.5
            case 2:
                return self.chance.randint(-10, 10)
            case 5:
                return [self.anything(depth + 1) for _ in range(2)]
            case 6:
                return {self._word(): self.anything(depth + 1) for _ in range(2)}
        return self._word()

    def _object(self, properties: dict[str, Any], needed: set[str], depth: int) -> dict[str, Any]:
        made = {}
        for name, schema in properties.items():
            if name not in needed and self.chance.random() >= self.present:
                continue
            is_null = name not in needed and self.chance.random() < self.null
            made[name] = None if is_null else self.write(schema, name=name, depth=depth + 1)
        if self.chance.random() < self.strange:
            made[f"x_{self._word()}"] = self.anything()
        return made

    def _map(self, inside: Any, depth: int) -> dict[str, Any]:
        schema = inside if isinstance(inside, dict) else {}
        return {self._word(): self.write(schema, depth=depth + 1) for _ in range(self.chance.randint(0, 2))}

    def _text(self, name: str) -> str:
        if name in DURATIONS:
            return self.chance.choice(["10s", "1m30s", "250ms", "0s", "1.5h"])
        if name in BYTES:
            return b64encode(self.chance.randbytes(5)).decode()
        return self._word()

    def _word(self) -> str:
        if self.chance.random() < 0.5:
            return self.chance.choice(WORDS)
        return "".join(self.chance.choices("abcXYZ019_-./: \n\"'\u00e9\u20ac", k=6))
