"""The world as one JSON document, in a versioned format.

The document has `format` and `version`, and a key for each field of `World` that is part of the state: all but those
that are options of the emulator. An absent key has the value of a new world.
"""

import json
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from attrs import Attribute, evolve, fields, has, resolve_types

from flyasync.emulator.core import records
from flyasync.emulator.core.config import accepted
from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.lifecycle import TRANSITIONS
from flyasync.emulator.core.tracked import Tracked
from flyasync.emulator.state.codec import WorldError, from_json, to_json
from flyasync.emulator.world.world import World

FORMAT = "flyasync-emulator-world"
VERSION = 1
# The options of an emulator, which continue to apply to a world that is loaded; and what only stale lists need.
_OPTIONS = frozenset(
    {
        "seed",
        "boot",
        "boots",
        "startup",
        "addresses",
        "lag",
        "secrets_lag",
        "linger",
        "image_lag",
        "tag_moves",
        "retired",
        "tokens",
        "observers",
        "past",
    }
)


def _is_collection(field: "Attribute[Any]") -> bool:
    inside = get_args(field.type)
    return get_origin(field.type) is dict and has(inside[1]) and inside[1].__module__ == records.__name__


STORED: Mapping[str, "Attribute[Any]"] = {
    each.name: each for each in fields(resolve_types(World)) if each.init and each.name not in _OPTIONS
}
"""The fields of a world that are part of its state."""

COLLECTIONS: Mapping[str, type] = {
    name: get_args(each.type)[1] for name, each in STORED.items() if _is_collection(each)
}
"""The fields that map ids to records, and the type of the records."""


def dump(world: World) -> Json:
    """Return a world as a document; it contains the values of secrets."""
    found = {name: to_json(getattr(world, name), each.type) for name, each in STORED.items()}
    return {"format": FORMAT, "version": VERSION, **found}


def load(document: Any, blank: World) -> World:
    """Return the world of a document, with the options of `blank`; raise WorldError if the document does not fit."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise WorldError(f'this is not a world: expected an object with "format": "{FORMAT}"')
    if (version := document.get("version")) != VERSION:
        raise WorldError(f"this world has version {version!r} of the format; this flyasync reads version {VERSION}")
    unknown = document.keys() - STORED.keys() - {"format", "version"}
    if unknown:
        raise WorldError(f"a world has no key {min(map(str, unknown))!r}; its keys are {', '.join(STORED)}")
    found = {name: from_json(document[name], STORED[name].type, path=name) for name in STORED if name in document}
    world = evolve(blank, **found)
    _demand_consistent(world)
    # The emulator and its user hold the faults, so they are replaced in place.
    if "faults" in found:
        blank.faults.adopt(world.faults.state)
    return evolve(world, faults=blank.faults)


def parsed(raw: bytes, source: str) -> Any:
    """Return the JSON of a document; raise WorldError if it is not JSON."""
    try:
        return json.loads(raw)
    except ValueError as error:
        raise WorldError(f"{source} is not JSON: {type(error).__name__}") from None


def tracked(world: World) -> World:
    """Return the world with collections that record what may have changed in them."""
    found: Any = {name: Tracked(getattr(world, name)) for name in COLLECTIONS}
    return evolve(world, **found)


def _demand_consistent(world: World) -> None:
    for name in COLLECTIONS:
        for key, record in getattr(world, name).items():
            own = getattr(record, "id", key) if name != "apps" else record.name
            if own != key:
                raise WorldError(f"{name}[{key!r}]: its key and its id differ")
            if (app := getattr(record, "app", None)) is not None and app not in world.apps:
                raise WorldError(f"{name}[{key!r}]: there is no app {app!r}")
    for machine in world.machines.values():
        try:
            machine.config = accepted(machine.config)
        except ApiError as error:
            raise WorldError(f"machines[{machine.id!r}]: {error.text}") from None
        if machine.state not in TRANSITIONS:
            raise WorldError(f"machines[{machine.id!r}]: there is no state {machine.state!r}")
        if machine.volume_id is not None and machine.volume_id not in world.volumes and not machine.is_destroyed:
            raise WorldError(f"machines[{machine.id!r}]: there is no volume {machine.volume_id!r}")
