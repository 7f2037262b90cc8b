"""What differs between two reports of the same deploy, apart from times and ids; pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_TIMES: Final = frozenset({"at", "seconds", "created_after", "ready_after"})
_IDS: Final = frozenset({"id", "host", "request_id", "surplus", "loose_volumes", "volumes", "claimed_volumes"})
_SECONDS: Final = re.compile(r"\b\d+(\.\d+)? s\b")
_ID: Final = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{14}|vol_[0-9a-z]+|[0-9A-Z]{26}(?:-[a-z]{3})?)(?![0-9A-Za-z])")
_PLACEHOLDER: Final = re.compile(r"redacted-\d+")
_MISSING: Final = None


def report_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the differences of two reports as JSON: the path, and both values; those of phases and logs come last.

    A placeholder in `one`, which was recorded, stands for any text.
    """
    found = _differences("", _comparable(one), _comparable(other))
    return sorted(found, key=lambda each: ".moments[" in each or ".logs[" in each)


def _comparable(value: Any) -> Any:
    """Return a report without times and ids, also without those in its texts."""
    if isinstance(value, Mapping):
        # How many volumes are claimed matters, not which.
        return {
            key: (len(item) if isinstance(item, list) else None) if key in _IDS else _comparable(item)
            for key, item in value.items()
            if key not in _TIMES
        }
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value]
    return _ID.sub("ID", _SECONDS.sub("N s", value)) if isinstance(value, str) else value


def _differences(at: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from _differences(f"{at}.{key}" if at else str(key), one.get(key), other.get(key))
    elif isinstance(one, list) and isinstance(other, list):
        named, others = _by_name(one), _by_name(other)
        for name in dict.fromkeys((*named, *others)):
            yield from _differences(f"{at}[{name}]", named.get(name, _MISSING), others.get(name, _MISSING))
    elif one != other and not (isinstance(one, str) and isinstance(other, str) and _may_be(one, other)):
        yield f"{at}: {_shown(one)} became {_shown(other)}"


def _may_be(recorded: str, text: str) -> bool:
    """Whether a recorded text is this one, as far as its placeholders show."""
    visible = _PLACEHOLDER.split(recorded)
    return len(visible) > 1 and bool(re.fullmatch(".*".join(map(re.escape, visible)), text, re.DOTALL))


def _shown(value: Any) -> str:
    """Return a value in few words: a machine by its result."""
    if isinstance(value, dict):
        return str(value.get("result") or value.get("phase") or value.get("message") or value.get("status") or "set")
    return repr(value)


def _by_name(items: list[Any]) -> dict[str, Any]:
    """Return items by the name of their machine or region if that is unique, else by their position."""
    names = [str(item.get("name") or item.get("region")) if isinstance(item, dict) else "None" for item in items]
    is_unique = len({*names}) == len(names) and "None" not in names
    return dict(zip(names if is_unique else map(str, range(len(items))), items, strict=True))
