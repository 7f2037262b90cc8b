"""The desired config of a machine: the observed config, with what the spec states merged in by key; pure.

An update replaces a machine's whole config. So settings of others must be kept, and settings of an earlier deploy that
this one does not state must be removed: the metadata of each config records what deploys have set in it.

1. Stated values win, other values are kept. Records are merged by field, maps by key, and lists whose items have a key
   by that key: services by internal port and protocol, mounts and files by path, and so on.
2. Values that an earlier deploy set, and that are not stated now, are removed.
3. An item that a deploy changed but did not add is kept if it is no longer stated.
4. The fields named by `replace` are replaced as a whole.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from operator import is_
from typing import Any

from attrs import Factory, evolve, fields, frozen

from flyasync.api.machines.create_once import CREATION, LAUNCH, OURS
from flyasync.deploy.plan.launch_origin import ORIGIN_KEYS
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.container import Container, ContainerHealthcheck, ContainerVolume, File
from flyasync.models.diff import Change, differences
from flyasync.models.image import runs
from flyasync.models.machine import Machine
from flyasync.models.model import Kept, Model, field_names
from flyasync.models.service import Port, Service

FINGERPRINT = "flyasync_config"
"""The metadata key with the fingerprint of the config that a machine was created with."""

MANAGED = "flyasync_manages"
"""The metadata key with the paths that deploys have set in a machine's config, such as `env.A`."""

REPLACES = "flyasync_replaces"
"""The metadata key with the id of the machine that a new one replaces."""

RESTORES = "flyasync_restores"
"""The metadata key with the id of the destroyed machine that a machine created by an undo stands for."""

RETIRED = "flyasync_retired"
"""The metadata key that a machine gets before it is destroyed: the launch that retires it."""

STOPPED = "flyasync_stopped"
"""The metadata key of a machine that is stopped for its update: the launch that has to start it again."""

ADOPTED = "flyasync_adopted"
"""The metadata key of a machine that its group adopted, to update or to replace it: the launch that did so last."""

NEW = "flyasync_new"
"""The metadata key of the machines of a new group until all of them have been created: the launch that creates it."""

UNVERIFIED = "flyasync_unverified"
"""The metadata key of a machine that has yet to be verified from outside: the launch that has changed it."""

SECRETS = "flyasync_secrets"
"""The metadata key with the fingerprint of the app's secrets when the machine was created or updated."""

SECRETS_VERSION = "flyasync_secrets_version"
"""The metadata key with the oldest secrets version that the machine's last create or update allowed."""

REPLACED_IMAGE = "flyasync_replaced_image"
"""The metadata key with the image that an update replaced, including its digest."""

SECRET_CHANGES = ("secrets", "secrets version")
"""The paths of changes to the secrets that a machine starts with."""

STANDBY_FOR = "FLY_STANDBY_FOR"
"""The environment variable of a standby with the id of the machine that it stands by for; flyctl's own."""

_OF_ONE_MACHINE = (
    frozenset({LAUNCH, CREATION, REPLACES, RESTORES, STOPPED, NEW, SECRETS, SECRETS_VERSION}) | ORIGIN_KEYS
)
_OF_ONE_UPDATE = frozenset({ADOPTED, RETIRED, REPLACED_IMAGE}) | ORIGIN_KEYS

_EXCLUSIVE: Mapping[type[Model], tuple[tuple[str, ...], ...]] = {
    MachineConfig: (("guest", "size"),),
    Mount: (("add_size_gb", "add_size_percent"), ("add_size_gb", "min_add_size_gb")),
    File: (("raw_value", "secret_name", "image_config"),),
    ContainerHealthcheck: (("http", "tcp", "exec"),),
}
"""Fields that exclude each other: if one is stated, the others are unset."""

_AS_UNSET: Mapping[str, object] = {
    "services.protocol": "tcp",
    "services.ports.force_https": False,
    "guest.gpus": 1,
    "mounts.extend_threshold_percent": 0,
    "mounts.add_size_gb": 0,
    "mounts.add_size_percent": 0,
    "mounts.min_add_size_gb": 0,
    "mounts.size_gb_limit": 0,
}
"""The values that mean the same as none: the API fills them in, or flyctl leaves them out where a fly.toml has them."""

REPLACEABLE = tuple(one.name for one in fields(MachineConfig) if one.name not in {"extra", "image", "mounts"})
"""The fields of a config that can be replaced as a whole."""


def managed(config: MachineConfig) -> frozenset[str]:
    """Return the paths that a config sets."""
    return managed_before(merged(MachineConfig(), config))


def managed_before(config: MachineConfig) -> frozenset[str]:
    """Return the paths that deploys have set in a machine's config; none if that is not recorded."""
    try:
        names = json.loads((config.metadata or {}).get(MANAGED, "[]"))
    except ValueError:
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def unmanaged_metadata(config: MachineConfig) -> dict[str, str]:
    """Return the metadata that was not set by deploys."""
    before = managed_before(config)
    if "metadata" in before:
        return {}
    metadata = config.metadata or {}
    return {
        key: value for key, value in metadata.items() if not key.startswith(OURS) and f"metadata.{key}" not in before
    }


def merged(current: MachineConfig, stated: MachineConfig, *, replace: Collection[str] = ()) -> MachineConfig:
    """Return the new config of a machine: `stated` over `current`, without what only an earlier deploy had set.

    Raises InvalidInput if a stated service would use a public port of a service that is kept.
    """
    old, new = _without_marks(current, replace), _without_marks(stated, ())
    is_same = _mark(stated, FINGERPRINT) is not None and _mark(stated, FINGERPRINT) == _mark(current, FINGERPRINT)
    merging = _Merging(managed_before(current), is_same)
    made: MachineConfig = merging.record(old, new, "")
    kept = {id(service) for service in old.services or ()}  # services merged with stated ones are new objects
    _check_ports(new.services or (), [service for service in made.services or () if id(service) in kept])
    stated_marks = {key: value for key, value in (stated.metadata or {}).items() if key.startswith(OURS)}
    marks = _marks(current, merging.names)
    return evolve(made, metadata={**marks, **(made.metadata or {}), **stated_marks, MANAGED: marks[MANAGED]})


def patched(current: MachineConfig, stated: MachineConfig) -> MachineConfig:
    """Return the config of a machine with what is stated in it; nothing else is changed, and nothing is removed.

    What is stated does not count as set by a deploy any more: a later deploy that does not state it keeps it.
    """
    old, new = _without_marks(current, ()), _without_marks(stated, ())
    before = managed_before(current)
    merging = _Merging(before, is_same=True)
    made: MachineConfig = merging.record(old, new, "")
    kept = {id(service) for service in old.services or ()}
    _check_ports(new.services or (), [service for service in made.services or () if id(service) in kept])
    # A record such as the guest belongs together.
    records = {one.name for one in fields(MachineConfig) if isinstance(getattr(new, one.name), Model)}
    names = {name for name in before - merging.names if name.partition(".")[0] not in records}
    marks = _marks(current, names if before else None)
    return evolve(made, metadata={**(made.metadata or {}), **marks} or made.metadata)


def _marks(current: MachineConfig, names: Iterable[str] | None) -> dict[str, str]:
    """Return flyasync's own metadata of a config that is updated; `names` are the paths that deploys have set."""
    marks = {
        key: value
        for key, value in (current.metadata or {}).items()
        if key.startswith(OURS) and key not in _OF_ONE_UPDATE
    }
    return marks if names is None else {**marks, MANAGED: json.dumps(sorted(names), separators=(",", ":"))}


def observed(machine: Machine) -> MachineConfig | None:
    """Return a machine's config with the digest of its image."""
    return evolve(machine.config, image=machine.image) if machine.config else None


def differing(current: MachineConfig, desired: MachineConfig) -> tuple[Change, ...]:
    """Return the differences between two configs of a machine; images differ if their digests do.

    There are none if all of them are values that mean the same as none. Whether the machine has been verified is not a
    part of its config.
    """
    found = (each for each in differences(current, desired) if each.path != f"metadata.{UNVERIFIED}")
    return _meaningful(each for each in found if each.path != "image" or not runs(current.image, desired.image))


def _meaningful(found: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes, or none if all of them are values that mean the same as none."""
    shown = tuple(found)
    return () if all(map(_means_the_same, shown)) else shown


def _means_the_same(change: Change) -> bool:
    """Whether a value that means the same as none was filled in or left out."""
    default = _AS_UNSET.get(re.sub(r"\[\d+\]", "", change.path))
    return default is not None and (change.old, change.new) in ((None, default), (default, None))


def changes(current: MachineConfig, desired: MachineConfig) -> tuple[Change, ...]:
    """Return the differences between two configs of a machine; of flyasync's own metadata, only the secrets count."""
    found = (each for each in differing(current, desired) if not each.path.startswith(f"metadata.{OURS}"))
    return (*_meaningful(found), *_secrets(current, desired))


def _secrets(current: MachineConfig, desired: MachineConfig) -> Iterator[Change]:
    """Yield the differences of the secrets; without metadata it is unknown which ones a machine started with."""
    old, new = _mark(current, SECRETS), _mark(desired, SECRETS)
    if old and new and old != new:
        yield Change(SECRET_CHANGES[0], old, new)
    had, demanded = _mark(current, SECRETS_VERSION), _mark(desired, SECRETS_VERSION)
    if demanded and (had is None or not had.isdecimal() or int(had) < int(demanded)):
        yield Change(SECRET_CHANGES[1], had, demanded)


def has_secrets(current: MachineConfig, desired: MachineConfig) -> bool:
    """Whether a machine has the secrets metadata that `desired` states."""
    is_marked = _mark(desired, SECRETS) is None or _mark(current, SECRETS) is not None
    return is_marked and not any(_secrets(current, desired))


def _mark(config: MachineConfig, key: str) -> str | None:
    return (config.metadata or {}).get(key)


def _without_marks(config: MachineConfig, unset: Collection[str]) -> MachineConfig:
    """Return a config without flyasync's own metadata, and without the fields `unset`, such as `env` or `init.cmd`."""
    metadata = config.metadata and {key: value for key, value in config.metadata.items() if not key.startswith(OURS)}
    whole, single = [name for name in unset if "." not in name], [name for name in unset if "." in name]
    changed: dict[str, Any] = {"metadata": metadata, **dict.fromkeys(whole)}
    for name in single:
        record, _, field = name.partition(".")
        if (value := changed.get(record, getattr(config, record))) is not None:
            changed[record] = evolve(value, **{field: None})
    return evolve(config, **changed)


@frozen
class _Merging:
    """One merge: `before` are the paths that deploys had set, `names` collects those that are set afterwards.

    If the same config is stated as before (`is_same`), nothing is removed: values that are not stated come from others,
    such as the API's defaults.
    """

    before: frozenset[str]
    is_same: bool
    names: set[str] = Factory(set)

    def record(self, old: Any, new: Model, at: str) -> Any:
        """Merge two records by their fields."""
        names = field_names(new)
        made = {name: self._value(getattr(old, name), getattr(new, name), f"{at}{name}") for name in names}
        for group in _EXCLUSIVE.get(type(new), ()):
            if any(getattr(new, name) is not None for name in group):
                made.update({name: None for name in group if getattr(new, name) is None})
        return evolve(old, **made, extra=self._extra(old.extra, new.extra, at))

    def _value(self, old: Any, new: Any, at: str) -> Any:
        # 1. It is not stated.
        if new is None:
            return self._unstated(old, at)
        # 2. A record is merged by its fields, and a map by its keys.
        if isinstance(new, Model):
            return self.record(old if type(old) is type(new) else type(new)(), new, f"{at}.")
        if isinstance(new, Mapping):
            return self._items(dict(old or {}), dict(new), at)
        # 3. An empty list over an unset one changes nothing, and is not recorded.
        if _is_list(new) and not (old or new):
            return new
        # 4. A list is merged by the keys of its items, if they have any.
        if keys := _keys(old or (), new):
            old_by_key, new_by_key = dict(zip(keys[0], old or (), strict=True)), dict(zip(keys[1], new, strict=True))
            return tuple(self._items(old_by_key, new_by_key, at).values())
        # 5. Anything else is replaced: a value, or a list whose items have no keys.
        self.names.add(at)
        return self._pairwise(old, new) if self.is_same or not self._is_ours(at) else new

    def _items(self, old: dict[str, Any], new: dict[str, Any], at: str) -> dict[str, Any]:
        """Merge items by their keys; an item that others added stays theirs, even if this deploy states parts of it."""
        kept = {key: item for key, item in old.items() if key in new or not self._goes(f"{at}.{key}")}
        for key, item in new.items():
            if not isinstance(item, Model) or key not in old or self._is_ours(f"{at}.{key}"):
                self.names.add(f"{at}.{key}")
            kept[key] = self._value(old.get(key), item, f"{at}.{key}") if isinstance(item, Model) else item
        return kept

    def _pairwise(self, old: Any, new: Any) -> Any:
        """Return a list without keys as stated; fields of its records that are not stated keep the values of others."""
        if not (_is_list(old) and _is_list(new) and len(old) == len(new)):
            return new
        merging = _Merging(frozenset(), is_same=True)
        merged_items = []
        for one, other in zip(old, new, strict=True):
            # Two records are the same item if they have the same class and, if there is one, the same `type`.
            are_alike = isinstance(other, Model) and type(one) is type(other)
            are_alike = are_alike and getattr(one, "type", None) == getattr(other, "type", None)
            merged_items.append(merging.record(one, other, "") if are_alike else other)
        return tuple(merged_items)

    def _unstated(self, old: Any, at: str) -> Any:
        """Return what is kept of a value that is not stated."""
        # 1. A deploy had set it as a whole: it is removed.
        if old is None or self._goes(at):
            return None
        # 2. No deploy had set anything in it: it is kept.
        if self.is_same or not self.before:
            return old
        # 3. It is kept without what deploys had set in it; if nothing is left, it is removed.
        if isinstance(old, Model):
            names = field_names(old)
            made = {name: self._unstated(getattr(old, name), f"{at}.{name}") for name in names}
            extra = self._extra(old.extra, {}, f"{at}.")
            is_empty = not extra and all(value is None for value in made.values())
            return None if is_empty and old != type(old)() else evolve(old, **made, extra=extra)
        if isinstance(old, Mapping) and old:
            return {key: item for key, item in old.items() if not self._goes(f"{at}.{key}")} or None
        if keys := _keys(old, ()):
            pairs = zip(keys[0], old, strict=True)
            return tuple(item for key, item in pairs if not self._goes(f"{at}.{key}")) or None
        return old

    def _extra(self, old: Mapping[str, Any], new: Mapping[str, Any], at: str) -> Mapping[str, Any]:
        """Merge the unknown keys, each by its key."""
        kept = {key: item for key, item in old.items() if key in new or not self._goes(f"{at}{key}")}
        self.names.update(f"{at}{key}" for key, item in new.items() if item is not None)
        return old if not new and len(kept) == len(old) else _joined(old, kept, new)

    def _goes(self, path: str) -> bool:
        return not self.is_same and self._is_ours(path)

    def _is_ours(self, path: str) -> bool:
        """Whether a deploy has set this path; earlier versions recorded whole fields."""
        return path in self.before or path.partition(".")[0] in self.before


# The keys of list items.


def _keys(old: Any, new: Any) -> tuple[list[str], list[str]] | None:
    """Return the keys of the items of two lists, or None if their items have no keys."""
    kinds = {type(item) for item in (*old, *new)} if _is_list(old) and _is_list(new) else set()
    if len(kinds) != 1 or (key := _KEYS.get(*kinds)) is None:
        return None
    both = ([key(item) for item in old], [key(item) for item in new])
    # 1. Each key stands for one item.
    if all(len(set(keys)) == len(keys) for keys in both):
        return both
    # 2. Services with the same internal port are distinguished by their public ports, then by their order.
    if kinds == {Service}:
        twins = {key for each in both for key, count in Counter(each).items() if count > 1}
        unique: tuple[list[str], list[str]] = ([], [])
        for out, each, services in zip(unique, both, (old, new), strict=True):
            for key, service in zip(each, services, strict=True):
                longer = f"{key}:{','.join(map(_port, service.ports or ()))}" if key in twins else key
                out.append(f"{longer}#{out.count(longer) + 1}" if longer in out else longer)
        return unique
    # 3. Other items cannot be distinguished.
    return None


def service_key(service: Service) -> str:
    """Return the internal port and protocol of a service, such as `8080/tcp`."""
    return f"{service.internal_port}/{service.protocol or 'tcp'}"


def _port(port: Port) -> str:
    return str(port.port) if port.port is not None else f"{port.start_port}-{port.end_port}"


_KEYS: Mapping[type, Callable[[Any], str]] = {
    Service: service_key,
    Port: _port,
    Mount: lambda mount: str(mount.path),
    File: lambda file: str(file.guest_path),
    Container: lambda container: str(container.name),
    ContainerVolume: lambda volume: str(volume.name),
}


def _check_ports(stated: Iterable[Service], kept: Iterable[Service]) -> None:
    """Raise InvalidInput if a stated service shares a public port with one that is kept."""
    for service, other in product(stated, kept):
        if (service.protocol or "tcp") != (other.protocol or "tcp"):
            continue
        pairs = product(_ranges(service), _ranges(other))
        if shared := next((max(a, c) for (a, b), (c, d) in pairs if max(a, c) <= min(b, d)), None):
            public = ", ".join(map(_port, other.ports or ()))
            raise InvalidInput(
                f"the service {service_key(service)} has the public port {shared}, which the machines' service "
                f"{service_key(other)} (public ports {public}) has too. That service is kept: give one of them another "
                "port, or replace all services",
                python="use replace('services')",
                command="use --replace services",
            )


def _ranges(service: Service) -> Iterator[tuple[int, int]]:
    return (port.port_range for port in service.ports or () if port.port_range is not None)


# Comparison of a machine's config with the one that was sent.


def holds(current: MachineConfig, desired: MachineConfig) -> bool:
    """Whether a machine's config has all that `desired` has.

    Additions of the API or of others do not count, except in maps such as `env`, which are compared as a whole.
    """
    over = overlaid(current, desired)
    return over is current or not differing(current, over)


def overlaid(current: MachineConfig, desired: MachineConfig) -> MachineConfig:
    """Return `current` with all that `desired` states over it, at every depth; `current` itself if it has all that."""
    stated = {key: value for key, value in (desired.metadata or {}).items() if key not in _OF_ONE_MACHINE}
    over: MachineConfig = _over(current, evolve(desired, metadata=None))
    metadata = current.metadata or {}
    is_there = current.metadata is not None and stated.items() <= metadata.items()
    return over if is_there else evolve(over, metadata={**metadata, **stated})


def _over(current: Any, desired: Any) -> Any:
    # What is equal stays the same object: polls compare configs that rarely differ.
    if desired is None:
        return current
    if isinstance(desired, Model) and type(current) is type(desired):
        values = {}
        for name in field_names(desired):
            if (stated := getattr(desired, name)) is not None:
                old = getattr(current, name)
                if (over := _over(old, stated)) is not old:
                    values[name] = over
        if desired.extra:
            values["extra"] = _joined(current.extra, current.extra, desired.extra)
        return evolve(current, **values) if values else current
    if isinstance(desired, Mapping) and isinstance(current, Mapping):
        made = {key: _over(current.get(key), value) for key, value in desired.items()}
        is_same = made.keys() == current.keys() and all(made[key] is value for key, value in current.items())
        return current if is_same else made
    if _is_list(desired) and _is_list(current) and len(desired) == len(current):
        items = tuple(_over(old, new) for old, new in zip(current, desired, strict=True))
        return current if all(map(is_, items, current)) else items
    # In JSON, unlike in Python, true is not 1.
    return current if type(current) is type(desired) and current == desired else desired


def _joined(old: Mapping[str, Any], kept: Mapping[str, Any], new: Mapping[str, Any]) -> Kept:
    """Return the unknown keys of two records, and how the known keys were spelled."""
    return Kept({**kept, **new}, spelled={**getattr(old, "spelled", {}), **getattr(new, "spelled", {})})


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
