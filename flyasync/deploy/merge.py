"""What an update sends: the config that is there, with what the deployment manages put in its place; pure.

An update replaces a machine's whole config. So what others have set must go along, and what an earlier deployment set
and this one does not must go away: each config says in its own metadata what was managed when it was made.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, fields

from flyasync.api.once import CREATION, LAUNCH
from flyasync.models.compare import same
from flyasync.models.config import MachineConfig
from flyasync.models.record import Record

FINGERPRINT = "flyasync_config"
"""The metadata key with the fingerprint of the config that a machine was made with."""

MANAGED = "flyasync_manages"
"""The metadata key that names what the deployment set in a machine's config: fields, and single metadata keys."""

REPLACES = "flyasync_replaces"
"""The metadata key with the id of the machine whose place a new one takes."""

RETIRED = "flyasync_retired"
"""The metadata key that an old machine gets before it is destroyed: the launch that took its place."""

_OF_ONE_MACHINE = frozenset({LAUNCH, CREATION})


def managed(config: MachineConfig) -> frozenset[str]:
    """Name what a config sets: its fields, those this library has no name for too, and each `metadata.KEY`."""
    named = {one.name for one in fields(MachineConfig) if one.name != "extra" and getattr(config, one.name) is not None}
    unknown = {key for key, value in config.extra.items() if value is not None}
    return frozenset((named - {"metadata"}) | unknown) | {f"metadata.{key}" for key in config.metadata or {}}


def as_text(names: frozenset[str]) -> str:
    """Write such names as a value of metadata."""
    return json.dumps(sorted(names), separators=(",", ":"))


def managed_before(config: MachineConfig) -> frozenset[str]:
    """Read from a machine's config what the deployment that made it has set; nothing where that is not told."""
    try:
        names = json.loads((config.metadata or {}).get(MANAGED, "[]"))
    except ValueError:
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def merged(current: MachineConfig, wanted: MachineConfig) -> MachineConfig:
    """Give what an update sends: `wanted` over `current`, without what only an earlier deployment had set."""
    gone = managed_before(current) - managed(wanted)
    known = {one.name for one in fields(MachineConfig)} - {"extra", "metadata"}
    cleared = dict.fromkeys(known & gone)
    said = {name: getattr(wanted, name) for name in known if getattr(wanted, name) is not None}
    exclusive = {"size": None} if wanted.guest is not None else {}
    return evolve(
        current,
        **{**cleared, **exclusive, **said},
        metadata=_metadata(current, wanted, gone),
        extra=_extra(current.extra, wanted.extra, gone),
    )


def _extra(current: Mapping[str, Any], wanted: Mapping[str, Any], gone: frozenset[str]) -> Mapping[str, Any]:
    if not (wanted or gone & current.keys()):
        return current
    return {**{key: value for key, value in current.items() if key not in gone}, **wanted}


def _metadata(current: MachineConfig, wanted: MachineConfig, gone: frozenset[str]) -> dict[str, str]:
    kept = {key: value for key, value in (current.metadata or {}).items() if f"metadata.{key}" not in gone}
    kept.pop(RETIRED, None)  # whoever is updated is wanted again
    return {**kept, **(wanted.metadata or {})}


def holds(current: MachineConfig, wanted: MachineConfig) -> bool:
    """Tell whether a machine's config says all that `wanted` says.

    What the API or others have added beside it does not count, except in maps such as `env`, which are taken whole.
    """
    return same(current, overlaid(current, wanted))


def overlaid(current: MachineConfig, wanted: MachineConfig) -> MachineConfig:
    """Put all that `wanted` says over `current`, at every depth."""
    said = {key: value for key, value in (wanted.metadata or {}).items() if key not in _OF_ONE_MACHINE}
    over: MachineConfig = _over(evolve(current, metadata=None), evolve(wanted, metadata=None))
    return evolve(over, metadata={**(current.metadata or {}), **said})


def _over(current: Any, wanted: Any) -> Any:
    if wanted is None:
        return current
    if isinstance(wanted, Record) and type(current) is type(wanted):
        names = [one.name for one in fields(type(wanted)) if one.name != "extra"]
        return evolve(current, **{name: _over(getattr(current, name), getattr(wanted, name)) for name in names})
    if isinstance(wanted, Mapping) and isinstance(current, Mapping):
        return {key: _over(current.get(key), value) for key, value in wanted.items()}
    if _is_list(wanted) and _is_list(current) and len(wanted) == len(current):
        return tuple(_over(old, new) for old, new in zip(current, wanted, strict=True))
    return wanted


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
