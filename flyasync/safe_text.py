"""Text that may be shown: without control characters, a page of HTML as one line, and without secrets."""

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from html import unescape
from json import dumps
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

T = TypeVar("T")

REDACTED: Final = "[redacted]"

SHORTEST_SECRET: Final = 8
"""Secrets of this many characters or more are redacted; shorter ones occur in too many words by chance."""

LONGEST_ERROR: Final = 64 * 1024
"""Characters of an error's text, and bytes that are read of an answer that is an error."""

_TITLE: Final = 100  # characters of a page's title

# Whole sequences are removed, not just the byte that begins them, so that only the words of a coloured log stay.
_CONTROL: Final = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, screen
    # OSC and the like: title, clipboard. None contains another, or many that never end would take minutes to match.
    "|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\n]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# A page may follow other words; a sentence that mentions a tag is not a page.
_PAGE: Final = re.compile(
    r"<!doctype\s+html\b|<html\b[^>]{0,200}>\s*<"
    r"|\A[\s\ufeff]*(?:<[?!][^>]{0,2000}>\s*)*<(?:html|head|body|center|div|h1|meta|p|style|title)\b",
    re.IGNORECASE,
)
_HEADING: Final = re.compile(r"<(title|h1)\b[^>]{0,200}>(.{0,1000}?)</\1", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<[^>]{0,200}>")


def readable(text: str) -> str:
    r"""Return `text` without control characters, escape sequences and characters that turn its direction.

    Tab, newline and the marks LRM and RLM stay; a lone surrogate is written as `\udXXX`.
    """
    return _CONTROL.sub(_shown, text)


def _shown(found: "re.Match[str]") -> str:
    return f"\\u{ord(found[0]):04x}" if "\ud800" <= found[0] <= "\udfff" else ""


def has_control(text: str) -> bool:
    """Whether `text` holds a character that no name, header or URL can carry: a control character or lone surrogate."""
    return not text.isprintable() and bool(_UNNAMEABLE.search(text))


_UNNAMEABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def brief(text: str) -> str:
    """Return the text of an error as it may be kept: a page of HTML as one line, anything else cut at 64 kB.

    What precedes the page stays, up to its first tag.
    """
    page = _PAGE.search(text)
    if page is None:
        return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
    heading = _HEADING.search(text, page.start())
    title = " ".join(unescape(_TAG.sub(" ", heading[2])).split())[:_TITLE] if heading else ""
    words = text[: page.start()].partition("<")[0].strip("\ufeff \t\r\n")[:LONGEST_ERROR]
    return f"{words} " * bool(words) + (f'a page of HTML, "{title}"' if title else "a page of HTML")


# Secrets


class _HiddenText(str):
    """A text whose repr is redacted, that of its parts too: tracebacks with locals cut long texts short."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED

    def __getitem__(self, key: Any) -> "_HiddenText":
        return _HiddenText(super().__getitem__(key))


class _HiddenBytes(bytes):
    """Bytes whose repr is redacted."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return _HiddenBytes(part) if isinstance(part, bytes) else part


def hidden(value: T) -> T:
    """Return an equal value in whose repr the texts are redacted, inside maps and lists too.

    A method that takes a secret rebinds its parameter to it first, so that no traceback with locals shows the secret.
    """
    return cast("T", _copied(value, _hidden))


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return _HiddenText(value)
    return _HiddenBytes(value) if isinstance(value, bytes) else value


def redaction(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that redacts these `secrets` in a text, however JSON or a URL spells them."""
    spelled: set[str] = set()
    for secret in secrets:
        # A secret may be echoed whole, decoded where it is base64 (as files and keys are sent), or as one of its lines.
        try:
            decoded = b64decode(secret, validate=True).decode()
        except ValueError:
            decoded = ""
        parts = {part.strip() for whole in (secret, decoded) for part in (whole, *whole.splitlines())}
        # Each of these as it is, in JSON (with and without escapes for what is not ASCII), or in a URL.
        for part in parts:
            quoted = quote(part.encode(errors="replace"), safe="")
            spelled |= {part, dumps(part)[1:-1], dumps(part, ensure_ascii=False)[1:-1], quoted}
    # The longest come first, so that a secret which contains another one is redacted whole.
    found = sorted((each for each in spelled if len(each) >= SHORTEST_SECRET), key=len, reverse=True)
    if not found:
        return str
    pattern = re.compile("|".join(map(re.escape, found)))
    return lambda text: pattern.sub(REDACTED, text)


def each_text(change: Callable[[str], str], value: T) -> T:
    """Return `value` with each text in it changed, inside maps and lists too, and in the keys of maps."""
    return cast("T", _copied(value, lambda leaf: change(leaf) if type(leaf) is str else leaf))


def _copied(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return a copy of nested maps and lists, however deep and even circular, with `leaf` applied to all else."""
    root = [value]
    left: list[tuple[Any, Any]] = [(root, 0)]
    copies: dict[int, Any] = {}
    while left:
        holder, place = left.pop()
        item = holder[place]
        if not isinstance(item, Mapping | list | tuple):
            holder[place] = leaf(item)
        elif id(item) in copies:
            holder[place] = copies[id(item)]
        elif isinstance(item, Mapping):
            copy: Any = {leaf(key): inside for key, inside in item.items()}
            holder[place] = copies[id(item)] = copy
            left += ((copy, key) for key in copy)
        else:
            copy = list(item)
            holder[place] = copies[id(item)] = copy
            left += ((copy, number) for number in range(len(copy)))
    return root[0]
