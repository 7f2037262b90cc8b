"""HTML elements whose text is escaped, for the pages of plans and reports; pure."""

import re
from collections.abc import Iterable
from html import escape

_NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


class Html(str):
    """Text that is HTML already; any other text is escaped when it is put into an element."""

    __slots__ = ()


def escaped(text: str) -> str:
    """Return text with its markup escaped, and without terminal colours, control characters and bidi overrides."""
    return escape(printable(text))


def printable(text: str) -> str:
    """Return text without terminal colours; control characters, bidi overrides and surrogates are replaced."""
    return _UNPRINTABLE.sub("\ufffd", _NOISE.sub("", text))


def tag(name: str, *inside: str, **attributes: str) -> Html:
    """Return an element. An attribute whose name is a Python keyword is passed with a trailing underscore."""
    opening = "".join(f' {key.rstrip("_")}="{escaped(value)}"' for key, value in attributes.items() if value)
    return Html(f"<{name}{opening}>{join(inside)}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """Return the parts as one text of HTML; what is not HTML is escaped."""
    return Html("".join(part if isinstance(part, Html) else escaped(part) for part in parts))
