"""Which values may be secret, by where they stand and what they are called."""

import re
from collections.abc import Sequence
from typing import Final

_NAMES: Final = re.compile(
    r"(^|[_-])(password|passwd|passphrase|pwd|secret|secrets|token|api_?key|private_?key|access_?key|key|credentials?)"
    r"($|[_-])",
    re.IGNORECASE,
)
# A public key is made to be shown, and what names, counts or finds a secret is none.
_HARMLESS: Final = re.compile(
    r"(^|[_-])public[_-]|[_-](name|id|file|path|dir|url|uri|ttl|expiry|expires_in|length|size|prefix|enabled|type)$",
    re.IGNORECASE,
)
_PASSWORD_IN_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)


def names_a_secret(name: str) -> bool:
    """Tell whether a variable of this name holds a secret, as far as a name can tell."""
    return bool(_NAMES.search(name)) and not _HARMLESS.search(name)


def holds_a_password(value: str) -> bool:
    """Tell whether a text is a URL with a password in it."""
    return bool(_PASSWORD_IN_URL.match(value))


def is_secret(path: Sequence[str | int]) -> bool:
    """Tell whether the value at this place of a config must not be shown unasked."""
    words = [str(step) for step in path]
    last = words[-1] if words else ""
    is_header = last == "values" and "headers" in words
    return "env" in words[:-1] or is_header or last == "raw_value" or names_a_secret(last)
