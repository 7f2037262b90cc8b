"""Comparing configs as the API means them, not as they are spelled.

What is null, missing or empty is the same; so are the two spellings of autostop, and durations of equal length. Order
counts, as in a port's handlers. What is said counts: a false or a 0 is not the same as silence.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import field, fields, frozen

from flyasync.models.config import MachineConfig
from flyasync.models.image import digest_of, without_digest
from flyasync.models.model import Kept, Model
from flyasync.models.redaction import is_secret
from flyasync.models.types import Autostop, Duration

Path = tuple[str | int, ...]

_LONGEST: Final = 80  # characters of a value in a line


@frozen
class Change:
    """One place where two configs differ: `old` and `new` are JSON, and None where nothing is set.

    `path` is such as `services[0].autostop`. A value that may be secret is shown neither by `str` nor by `repr`.
    """

    path: str
    old: Any = field(repr=False)
    new: Any = field(repr=False)
    is_secret: bool = field(default=False, kw_only=True)

    def __str__(self) -> str:
        return self.line()

    def line(self, *, show_secrets: bool = False) -> str:
        """Write it as one line that begins with `+`, `-` or `~`; a secret's value only if asked for."""
        sign = "+" if self.old is None else "-" if self.new is None else "~"
        if self.is_secret and not show_secrets:
            return f"{sign} {self.path} {_HAPPENED[sign]}"
        return f"{sign} {self.path}: {' → '.join(_shown(value) for value in (self.old, self.new) if value is not None)}"


_HAPPENED: Final = {"+": "added", "-": "removed", "~": "changed"}


def same(old: MachineConfig, new: MachineConfig) -> bool:
    """Tell whether two configs mean the same to the API."""
    return not differences(old, new)


def differences(old: MachineConfig, new: MachineConfig) -> tuple[Change, ...]:
    """Give every place where two configs differ in what they mean, sorted by path; unknown keys count too."""
    before, after = _leaves(old), _leaves(new)
    return tuple(
        Change(
            written(path),
            _plain(before.get(path)),
            _plain(after.get(path)),
            is_secret=is_secret(path, before.get(path)) or is_secret(path, after.get(path)),
        )
        for path in sorted(before.keys() | after.keys(), key=_order)
        if not (_equal(before.get(path), after.get(path)) or _is_within(path, before) or _is_within(path, after))
    )


def _is_within(path: Path, leaves: Mapping[Path, Any]) -> bool:
    """Tell whether what stands at this path is told by the leaves inside it."""
    return any(len(leaf) > len(path) and leaf[: len(path)] == path for leaf in leaves)


def diff_text(changes: Iterable[Change], *, show_secrets: bool = False) -> str:
    """Write changes one a line, for a person to read; secret values only if asked for."""
    return "\n".join(change.line(show_secrets=show_secrets) for change in changes)


def written(path: Path) -> str:
    """Write a path as `services[0].ports[1].port`, with a key that is no plain word in quotes."""
    text = "".join(_step(step) for step in path)
    return text.removeprefix(".")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.replace("-", "_").isidentifier() else f"[{json.dumps(step)}]"


def _order(path: Path) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, step, "") if isinstance(step, int) else (1, 0, step) for step in path)


def _leaves(config: MachineConfig) -> dict[Path, Any]:
    return dict(_flat((), _normal(config)))


def _flat(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and (value or not path):
        for key, item in value.items():
            yield from _flat((*path, key), item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value):
            yield from _flat((*path, number), item)
    else:
        yield path, value


def _normal(value: Any) -> Any:
    """Reduce a value to what counts in it: dicts, lists and leaves, without what is empty."""
    if isinstance(value, Model):
        return _normal_record(value)
    if isinstance(value, Mapping):
        return _filled({key: _normal(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    return value


def _normal_record(record: Model) -> dict[str, Any]:
    known = {one.name: _normal(getattr(record, one.name)) for one in fields(type(record)) if one.name != "extra"}
    # An empty text stands for nothing in a field; as a value of `env`, say, it is a value.
    known = {name: value for name, value in known.items() if value != ""}
    spelled = record.extra.spelled.values() if isinstance(record.extra, Kept) else ()
    unknown = {key: value for key, value in record.extra.items() if key not in known and key not in spelled}
    return _filled(known | _normal(unknown))


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value not in ({}, [])}


def _equal(old: Any, new: Any) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_equal, old, new))
    # In JSON, unlike in Python, true is not 1.
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Duration | Autostop) else value


def _shown(value: Any) -> str:
    """Write a value, cut where it is long; of an image the digest is never cut off."""
    digest = digest_of(value) if isinstance(value, str) else None
    text = json.dumps(without_digest(value) if digest else value, ensure_ascii=False)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f'{text.removesuffix(chr(34))}@{digest}"' if digest else text
