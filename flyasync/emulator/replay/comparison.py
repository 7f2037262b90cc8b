"""Whether a request is the one that was recorded: equal, except for placeholders and for ids that are drawn anew."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flyasync.emulator.core.go_json import Json

# An id that a client draws for a request: hexadecimal digits, but not the digest of an image.
_DRAWN = re.compile(r"(?<![0-9A-Za-z])(?<!sha256:)[0-9a-f]{8,}(?![0-9A-Za-z])")
_PLACEHOLDER = re.compile(r"redacted-\d+|cmVkYWN0ZWQt[\w=]+")
_MISSING = "nothing"
_SHOWN = 60  # characters of a value


class Ids:
    """The ids that the recorded client drew, and those that the present client drew instead.

    `fixed` are ids of resources, which are the same in both.
    """

    def __init__(self, known: Mapping[str, str], fixed: frozenset[str]) -> None:
        self._now = dict(known)
        self._fixed = fixed

    def translated(self, text: str) -> str:
        """Return a recorded text with the ids of the present client."""
        return _DRAWN.sub(lambda found: self._now.get(found[0], found[0]), text) if self._now else text

    def learned(self, recorded: str, sent: str) -> dict[str, str] | None:
        """Return the ids with which a recorded text is the one that was sent; None if it is another text."""
        if _DRAWN.sub("\0", recorded) != _DRAWN.sub("\0", sent):
            return None
        found = dict(zip(_DRAWN.findall(recorded), _DRAWN.findall(sent), strict=True))
        news = {old: new for old, new in found.items() if self._now.get(old, old) != new}
        if any(old in self._now or old in self._fixed or len(old) != len(new) for old, new in news.items()):
            return None
        return news

    def keep(self, learned: Mapping[str, str]) -> None:
        """Record ids of a request that was recorded."""
        self._now |= learned


def difference(recorded: Any, sent: Any, ids: Ids, learned: dict[str, str], at: str = "") -> str | None:
    """Return where a sent value differs from the recorded one, and how; None if it does not, except for drawn ids.

    These are added to `learned`.
    """
    return next(_differences(recorded, sent, ids, learned, at), None)


def _differences(recorded: Any, sent: Any, ids: Ids, learned: dict[str, str], at: str) -> Iterator[str]:
    if isinstance(recorded, Mapping) and isinstance(sent, Mapping):
        for key in dict.fromkeys((*recorded, *sent)):
            here = f"{at}.{key}" if at else str(key)
            yield from _differences(recorded.get(key, _MISSING), sent.get(key, _MISSING), ids, learned, here)
    elif _is_hidden(recorded):
        return
    elif isinstance(recorded, list) and isinstance(sent, list) and len(recorded) == len(sent):
        for number, (old, new) in enumerate(zip(recorded, sent, strict=True)):
            yield from _differences(old, new, ids, learned, f"{at}[{number}]")
    elif isinstance(recorded, str) and isinstance(sent, str) and recorded != sent:
        visible = [ids.translated(part) for part in _PLACEHOLDER.split(recorded)]
        if len(visible) > 1 and re.fullmatch(".*".join(map(re.escape, visible)), sent, re.DOTALL):
            return
        found = ids.learned(recorded, sent)
        if found is None:
            yield f"{at}: recorded {_shown(recorded)}, sent {_shown(sent)}"
        else:
            learned |= found
    elif recorded != sent:
        yield f"{at}: recorded {_shown(recorded)}, sent {_shown(sent)}"


def _is_hidden(recorded: Any) -> bool:
    """Whether a list consists of placeholders: a command that may hold a secret, whose words are not known."""
    return (
        isinstance(recorded, list)
        and bool(recorded)
        and all(isinstance(each, str) and _PLACEHOLDER.fullmatch(each) for each in recorded)
    )


def _shown(value: Any) -> str:
    text = value if value is _MISSING else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def in_response(body: Json | list[Any] | Any, ids: Ids) -> Any:
    """Return the JSON of a recorded response with the ids of the present client."""
    if isinstance(body, dict):
        return {key: in_response(value, ids) for key, value in body.items()}
    if isinstance(body, list):
        return [in_response(value, ids) for value in body]
    return ids.translated(body) if isinstance(body, str) else body
