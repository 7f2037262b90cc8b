"""Compare configs by their meaning to the API, not by their spelling.

Null, missing and empty are equal, as are the two spellings of autostop and durations of equal length. The order of
lists matters, as in a port's handlers. An explicit value such as false or 0 differs from an unset one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

from flyasync.models.config import MachineConfig
from flyasync.models.image import digest_of, without_digest
from flyasync.models.model import Kept, Model, field_names
from flyasync.models.redaction import is_secret
from flyasync.models.types import Autostop, Duration

Path = tuple[str | int, ...]

_LONGEST: Final = 80  # characters of a value in a line
_PLAIN: Final = frozenset({str, int, float, bool})


@frozen
class Change:
    """One difference between two configs: `old` and `new` are JSON values, None if unset.

    An example of `path` is `services[0].autostop`. Neither `str` nor `repr` shows a value that may be secret. `why`
    explains the change.
    """

    path: str
    old: Any = field(repr=False)
    new: Any = field(repr=False)
    is_secret: bool = field(default=False, kw_only=True)
    why: str | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        return self.line()

    def line(self, *, show_secrets: bool = False) -> str:
        """Return the change as one line that begins with `+`, `-` or `~`; with secret values only if `show_secrets`."""
        sign, happened = (
            ("+", "added") if self.old is None else ("-", "removed") if self.new is None else ("~", "changed")
        )
        if self.is_secret and not show_secrets:
            return f"{sign} {self.path} {happened}{f': {self.why}' if self.why else ''}"
        values = []
        for value in (self.old, self.new):
            if value is None:
                continue
            # A long value is cut, but not the digest of an image, which distinguishes two builds of a tag.
            digest = digest_of(value) if isinstance(value, str) else None
            text = json.dumps(without_digest(value) if digest else value, ensure_ascii=False)
            text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
            values.append(f'{text.removesuffix(chr(34))}@{digest}"' if digest else text)
        return f"{sign} {self.path}: {' → '.join(values)}{f' ({happened}: {self.why})' if self.why else ''}"


def same(old: MachineConfig, new: MachineConfig) -> bool:
    """Whether two configs mean the same to the API."""
    return not differences(old, new)


def differences(old: MachineConfig, new: MachineConfig) -> tuple[Change, ...]:
    """Return the differences in meaning between two configs, unknown keys included, sorted by path."""
    before, after = dict(_leaves((), _normal(old))), dict(_leaves((), _normal(new)))
    changed = [path for path in before.keys() | after.keys() if not _equal(before.get(path), after.get(path))]
    if not changed:
        return ()
    # If one config has an empty object and the other a non-empty one, the leaves inside are the changes.
    objects = {leaf[:length] for leaf in before.keys() | after.keys() for length in range(len(leaf))}
    return tuple(
        Change(
            written(path),
            _plain(before.get(path)),
            _plain(after.get(path)),
            is_secret=is_secret(path, before.get(path)) or is_secret(path, after.get(path)),
        )
        # Sorted by number within a list: services[2] comes before services[10].
        for path in sorted(changed, key=lambda path: [(isinstance(step, str), step) for step in path])
        if path not in objects
    )


def diff_text(changes: Iterable[Change], *, show_secrets: bool = False) -> str:
    """Return the changes as text, one per line; with secret values only if `show_secrets`."""
    return "\n".join(change.line(show_secrets=show_secrets) for change in changes)


def written(path: Path) -> str:
    """Return a path as `services[0].ports[1].port`; keys that are not identifiers are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if step.replace("-", "_").isidentifier() else f"[{json.dumps(step)}]"
    return text.removeprefix(".")


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    # A list of plain values is one leaf: its items have no identity, and a command is easier to read as a whole.
    if isinstance(value, dict) and (value or not path):
        for key, item in value.items():
            yield from _leaves((*path, key), item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value):
            yield from _leaves((*path, number), item)
    else:
        yield path, value


def _normal(value: Any) -> Any:
    """Return the meaning of a value as dicts, lists and leaves, without empty ones."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Model):
        names, extra = field_names(value), value.extra
        # In a field, an empty string means unset, as in Go; in a map such as `env` it is a value.
        known = {name: item for name in names if (item := getattr(value, name)) is not None and item != ""}
        if not extra:
            return _filled(known)
        # Skip fields that were read under a key in another case, and nulls whose field has been set since.
        spelled = extra.spelled.values() if isinstance(extra, Kept) else ()
        unknown = {
            key: item
            for key, item in extra.items()
            if key not in spelled and (key not in names or getattr(value, key) == "")
        }
        return _filled({**known, **unknown})
    if isinstance(value, Mapping):
        return _filled(value)
    # Empty items are kept in a list, since its order matters.
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    return value


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    normal = ((key, _normal(item)) for key, item in values.items())
    return {key: item for key, item in normal if item is not None and item not in ({}, [])}


def _equal(old: Any, new: Any) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_equal, old, new))
    # In JSON, unlike in Python, true is not 1.
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Duration | Autostop) else value
