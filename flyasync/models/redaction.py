"""Which values may be secret: by their place in a document, by their name, and by their content.

What an error must not repeat is collected here by the sender, for each request, and replaced by `safe_text.redaction`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import NoneType
from typing import Any, Final, get_args, get_origin

from attrs import fields_dict

from flyasync.models.config import MachineConfig
from flyasync.models.model import Model

HIDDEN: Final = "a value that may be secret"

# A word of a name begins after _ or -, or with a capital letter; a password has prefixes too, as in PGPASSWORD.
_NAMES: Final = re.compile(
    r"((^|[_-]|(?-i:(?<=[a-z0-9])(?=[A-Z])))(pass(?=$)|pwd|secret|secrets|token|authorization|bearer"
    r"|api_?key|private_?key|access_?key|key|credentials?)|password|passwd|passphrase)($|[_-])",
    re.IGNORECASE,
)
# A public key is made to be shown, other keys only sort or look up, and the name, size or place of a secret is not one.
_HARMLESS: Final = re.compile(
    r"(^|[_-])public([_-]|(?=key))"
    r"|(^|[_-])(sort|partition|primary|foreign|hash|range|cache|group|routing|publishable)[_-]?key$"
    r"|[_-](name|id|file|path|dir|url|uri|ttl|expiry|expires_in|length|size|prefix|enabled|type|limit|count|max|min)$",
    re.IGNORECASE,
)
# A password may hold an @ that is not escaped: what comes before the last one counts.
_PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:[^/\s\"'<>]+@")
# As `user:password@registry/image`; the @ before a digest, as in `name:tag@sha256:…`, is another one.
_PASSWORD_IN_IMAGE: Final = re.compile(r"(?<!\S)[^/\s:@]+:[^/\s]+@(?!\w+:[0-9a-f]{32,})")
# A name before a value: --token=x, TOKEN=x, --token x, Authorization: x. The possessive quantifiers keep the search
# linear in texts of any length.
_NAMED_VALUE: Final = re.compile(r"(?<![\w-])([\w-]++)[\"']?[=:\s]++(?=\S)")
_SECRET_MEMBERS: Final = frozenset({"value", "values", "header", "plaintext", "ciphertext", "associated_data", "stdin"})
_NAMES_A_THING: Final = re.compile(r"(name|id|slug|region|hostname|type|cursor|after|before)$", re.IGNORECASE)
_OPTION: Final = re.compile(r"--?[\w-]+")


def names_a_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret, as far as a name can tell."""
    return bool(_NAMES.search(name)) and not _HARMLESS.search(name)


def holds_a_password(value: str) -> bool:
    """Whether there is a URL with a password in a text."""
    return bool(_PASSWORD_IN_URL.search(value))


def without_passwords(text: str) -> str:
    """Return a text without the passwords in its URLs and image references."""
    return _PASSWORD_IN_IMAGE.sub("…@", _PASSWORD_IN_URL.sub("://…@", text))


def all_without_passwords(texts: Iterable[str]) -> tuple[str, ...]:
    """Return texts without the passwords in their URLs and image references."""
    return tuple(map(without_passwords, texts))


def is_secret(path: Sequence[str | int], value: Any = None) -> bool:
    """Whether the value at this path of a machine's config must not be shown unless asked for.

    A text under a key that no model knows may be anything, so it counts as a secret.
    """
    last = str(path[-1]) if path else ""
    # 1. Its place: anything in an environment, the content of a file, a name such as `api_key`.
    if "env" in path[:-1] or last == "raw_value" or names_a_secret(last):
        return True
    # 2. The value of a header; only the name of one is harmless, as in `headers[0].name`.
    if "headers" in path:
        inside = path[path.index("headers") + 1 :]
        if not (len(inside) > 1 and isinstance(inside[0], int) and inside[1] == "name"):
            return True
    # 3. Its content, wherever it is. Only an image may be `user:password@registry/…`: in other texts that is an
    # ordinary `a:b@c`.
    if tells_a_secret(value) or (last == "image" and isinstance(value, str) and _PASSWORD_IN_IMAGE.search(value)):
        return True
    # 4. A text that no model knows.
    return _has_text(value) and not _is_known(path)


def tells_a_secret(value: Any) -> bool:
    """Whether a value contains a secret in plain sight, wherever it is: in a URL, or as a command's option."""
    if isinstance(value, Mapping):
        return any(names_a_secret(str(name)) or tells_a_secret(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        # Two words of a command, the first an option for a secret: `--token`, then anything.
        for option, _ in pairwise(value):
            if isinstance(option, str) and _OPTION.fullmatch(option) and names_a_secret(option):
                return True
        return any(map(tells_a_secret, value))
    if not isinstance(value, str):
        return False
    return holds_a_password(value) or any(names_a_secret(match.group(1)) for match in _NAMED_VALUE.finditer(value))


def secret_texts(body: Any) -> Iterator[str]:
    """Yield the texts in a request's body that may be secret: values of an environment, of secrets, of variables."""
    # A stack, not recursion: the body may be nested as deep as a user likes.
    left: list[tuple[tuple[str | int, ...], Any]] = [((), body)]
    while left:
        path, value = left.pop()
        if isinstance(value, Mapping):
            left += (((*path, key), item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            left += (((*path, number), item) for number, item in enumerate(value))
        elif isinstance(value, str):
            first, *inside = path or ("",)
            # 1. A machine's config has models, and so rules of its own.
            if first == "config":
                secret = is_secret(inside, value)
            # 2. The variables of GraphQL have none; those that name a thing stay readable.
            elif first == "variables":
                secret = not _NAMES_A_THING.search(str(path[-1]))
            # 3. The members of every other request, as far as names can tell.
            else:
                secret = first in _SECRET_MEMBERS or names_a_secret(str(first)) or tells_a_secret(value)
            if secret:
                yield value


def shown(value: Any) -> str:
    """Return the `repr` of a value, or a fixed text if it contains a secret."""
    return HIDDEN if tells_a_secret(value) else repr(value)


def _has_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_text, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_text, value))
    return isinstance(value, str)


def _is_known(path: Sequence[str | int]) -> bool:
    """Whether the models know a path of a machine's config: each step is a field, an item of a list or of a map."""
    kind: Any = MachineConfig
    for step in path:
        inside = None
        for option in get_args(kind) if NoneType in get_args(kind) else (kind,):
            origin = get_origin(option)
            if origin is Mapping and isinstance(step, str):
                inside = get_args(option)[1]
            elif origin is Sequence and isinstance(step, int):
                inside = get_args(option)[0]
            elif isinstance(option, type) and issubclass(option, Model) and step != "extra":
                one = fields_dict(option).get(str(step))
                inside = one and one.type
            if inside is not None:
                break
        if inside is None:
            return False
        kind = inside
    return True
