"""Text that is safe to show: no control characters, no secrets, HTML pages reduced to one line."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

T = TypeVar("T")

REDACTED: Final = "[redacted]"

SHORTEST_SECRET: Final = 8
"""Secrets with at least this many characters are redacted; shorter ones are part of too many ordinary words."""

LONGEST_ERROR: Final = 64 * 1024
"""The maximum length of an error's text in characters, and of an error response that is read in bytes."""

_TITLE: Final = 100  # characters of a page's title

# Whole escape sequences are removed, not just their first byte, so that only the text of a coloured log remains.
_CONTROL: Final = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, screen
    # OSC and the like: title, clipboard. None may contain another, or matching unterminated ones would take minutes.
    "|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\n]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# An HTML page may follow other text; a sentence that mentions a tag is not a page. These are rarely needed, so they are
# compiled when they are.
_PAGE: Final = (
    r"(?i)<!doctype\s+html\b|<html\b[^>]{0,200}>\s*<"
    r"|\A[\s\ufeff]*(?:<[?!][^>]{0,2000}>\s*)*<(?:html|head|body|center|div|h1|meta|p|style|title)\b"
)
_HEADING: Final = r"(?is)<(title|h1)\b[^>]{0,200}>(.{0,1000}?)</\1"
_TAG: Final = r"<[^>]{0,200}>"


def readable(text: str) -> str:
    r"""Return `text` without control characters, escape sequences and characters that change its direction.

    Tab, newline and the marks LRM and RLM are kept; a lone surrogate is written as `\udXXX`.
    """
    return _CONTROL.sub(_shown, text)


def _shown(found: "re.Match[str]") -> str:
    return f"\\u{ord(found[0]):04x}" if "\ud800" <= found[0] <= "\udfff" else ""


def has_control(text: str) -> bool:
    """Whether `text` contains a control character or lone surrogate, which no name, header or URL can contain."""
    return not text.isprintable() and bool(_UNNAMEABLE.search(text))


_UNNAMEABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def brief(text: str) -> str:
    """Return a shortened error text: an HTML page as one line, any other text cut at 64 kB.

    The text before the page is kept, up to the first tag.
    """
    page = re.search(_PAGE, text)
    if page is None:
        return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
    from html import unescape  # slow to import, with the names of all characters

    heading = re.search(_HEADING, text[page.start() :])
    title = " ".join(unescape(re.sub(_TAG, " ", heading[2])).split())[:_TITLE] if heading else ""
    words = text[: page.start()].partition("<")[0].strip("\ufeff \t\r\n")[:LONGEST_ERROR]
    return f"{words} " * bool(words) + (f'an HTML page, "{title}"' if title else "an HTML page")


# Secrets

_FOR_URLS: Final = str.maketrans("+/", "-_")


class _HiddenText(str):
    """A text whose repr is redacted, and so are its slices, which tracebacks with locals make of long texts."""

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
    """Return an equal value whose repr shows no text, inside maps and lists too.

    A method that takes a secret first rebinds its parameter to this copy, so that no traceback with locals shows the
    secret.
    """
    return cast("T", _copied(value, _hidden))


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return _HiddenText(value)
    return _HiddenBytes(value) if isinstance(value, bytes) else value


def redaction(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that redacts `secrets` in a text, also where they are encoded as in JSON or a URL."""
    spelled = {text for secret in secrets for text in spellings(secret)}
    # The longest come first, so that a secret that contains another one is redacted completely.
    found = sorted(spelled, key=len, reverse=True)
    if not found:
        return str
    pattern = re.compile("|".join(map(re.escape, found)))
    return lambda text: pattern.sub(REDACTED, text)


def spellings(secret: str) -> set[str]:
    """Return the texts that reveal a secret: the secret, its lines and encodings, unless shorter than a secret is."""
    from json import dumps  # imported when it is needed, as every program imports this module

    # The API may repeat a whole secret, its content decoded from base64 (as of files and keys), or a line of either.
    try:
        decoded = b64decode(secret, validate=True).decode()
    except ValueError:
        decoded = ""
    spelled: set[str] = set()
    # Each of these may appear unchanged, in JSON (with or without escapes for non-ASCII characters), or in a URL.
    for part in {part.strip() for whole in (secret, decoded) for part in (whole, *whole.splitlines())}:
        quoted = quote(part.encode(errors="replace"), safe="")
        spelled |= {part, dumps(part)[1:-1], dumps(part, ensure_ascii=False)[1:-1], quoted}
        spelled.update(_in_base64(part.encode(errors="replace")))
    return {each for each in spelled if len(each) >= SHORTEST_SECRET}


def _in_base64(content: bytes) -> Iterator[str]:
    """Yield the texts of which each base64 text that contains `content` has one, as `Basic` credentials do."""
    # Each character encodes 6 bits. The bytes before decide the first characters, those behind the last one.
    for before, shared in enumerate((0, 2, 3)):
        text = b64encode(bytes(before) + content).decode()
        whole = text.rstrip("=") if not before else ""
        for inside in (whole, text[shared : (before + len(content)) * 8 // 6]):
            yield inside
            yield inside.translate(_FOR_URLS)


def each_text(change: Callable[[str], str], value: T) -> T:
    """Return `value` with `change` applied to each text in it, also inside lists and in the keys and values of maps."""
    return cast("T", _copied(value, lambda leaf: change(leaf) if type(leaf) is str else leaf))


def _copied(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return a copy of nested maps and lists, deep or even circular, with `leaf` applied to every other value."""
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
