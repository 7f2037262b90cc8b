"""Which values may be secret, judging by their position in a document, their name, and their content.

The sender collects the secrets of each request with `secret_texts`, and `safe_text.redaction` redacts them in errors.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
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
# Not secret: public keys, keys for sorting or lookup, and the name, size or location of a secret.
_HARMLESS: Final = re.compile(
    r"(^|[_-])public([_-]|(?=key))"
    r"|(^|[_-])(sort|partition|primary|foreign|hash|range|cache|group|routing|publishable)[_-]?key$"
    r"|[_-](name|id|file|path|dir|url|uri|ttl|expiry|expires_in|length|size|prefix|enabled|type|limit|count|max|min)$",
    re.IGNORECASE,
)
# A password may contain an unescaped @, so it ends at the last one.
_PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:[^/\s\"'<>]+@")
# Such as `user:password@registry/image`, but not the @ before a digest, as in `name:tag@sha256:…`.
_PASSWORD_IN_IMAGE: Final = re.compile(r"(?<!\S)[^/\s:@]+:[^/\s]+@(?!\w+:[0-9a-f]{32,})")
# A name before a value: --token=x, TOKEN=x, --token x, Authorization: x. The possessive quantifiers keep the search
# time linear.
_NAMED_VALUE: Final = re.compile(r"(?<![\w-])([\w-]++)[\"']?[=:\s]++(?=\S)")
_SECRET_MEMBERS: Final = frozenset({"value", "values", "header", "plaintext", "ciphertext", "associated_data", "stdin"})
_NAMES_A_THING: Final = re.compile(r"(name|id|slug|region|hostname|type|cursor|after|before)$", re.IGNORECASE)
_OPTION: Final = re.compile(r"--?[\w-]+")


def names_a_secret(name: str) -> bool:
    """Whether a variable contains a secret, judging by its name."""
    return bool(_NAMES.search(name)) and not _HARMLESS.search(name)


def holds_a_password(value: str) -> bool:
    """Whether a text contains a URL with a password."""
    return bool(_PASSWORD_IN_URL.search(value))


def without_passwords(text: str) -> str:
    """Return a text without the passwords in its URLs and image references."""
    return _PASSWORD_IN_IMAGE.sub("…@", _PASSWORD_IN_URL.sub("://…@", text))


def is_secret(path: Sequence[str | int], value: Any = None) -> bool:
    """Whether the value at this path of a machine's config may be secret.

    A string under an unknown key may be anything, so it counts as secret.
    """
    last = str(path[-1]) if path else ""
    # 1. By its position: anything in an environment, the content of a file, a name such as `api_key`.
    if "env" in path[:-1] or last == "raw_value" or names_a_secret(last):
        return True
    # 2. The value of a header, but not its name, such as `headers[0].name`.
    if "headers" in path:
        inside = path[path.index("headers") + 1 :]
        if not (len(inside) > 1 and isinstance(inside[0], int) and inside[1] == "name"):
            return True
    # 3. By its content, anywhere. `user:password@registry/…` counts only in an image, since other texts may contain
    # `a:b@c`.
    if contains_secret(value) or (last == "image" and isinstance(value, str) and _PASSWORD_IN_IMAGE.search(value)):
        return True
    # 4. A string under an unknown key.
    return _has_text(value) and not _is_known(path)


def contains_secret(value: Any) -> bool:
    """Whether a value contains a secret in a URL, or as an option of a command."""
    if isinstance(value, Mapping):
        return any(names_a_secret(str(name)) or contains_secret(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        # Two words of a command, the first an option for a secret: `--token`, then anything.
        for option, _ in pairwise(value):
            if isinstance(option, str) and _OPTION.fullmatch(option) and names_a_secret(option):
                return True
        return any(map(contains_secret, value))
    if not isinstance(value, str):
        return False
    return holds_a_password(value) or any(names_a_secret(match.group(1)) for match in _NAMED_VALUE.finditer(value))


def before_secret(text: str) -> str:
    """Return a text up to the first value whose name is that of a secret, or the whole text if it has none."""
    named = (match for match in _NAMED_VALUE.finditer(text) if names_a_secret(match.group(1)))
    return next((text[: match.end()] for match in named), text)


def secret_texts(body: Any) -> Iterator[str]:
    """Yield the texts in a request's body that may be secret: values of environments, secrets and variables."""
    # A stack instead of recursion, since the body may be nested to any depth.
    left: list[tuple[tuple[str | int, ...], Any]] = [((), body)]
    while left:
        path, value = left.pop()
        if isinstance(value, Mapping):
            left += (((*path, key), item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            left += (((*path, number), item) for number, item in enumerate(value))
        elif isinstance(value, str):
            first, *inside = path or ("",)
            # 1. A machine's config is described by models, which have rules of their own.
            if first == "config":
                secret = is_secret(inside, value)
            # 2. GraphQL variables have no models; those that contain a name or id are not secret.
            elif first == "variables":
                secret = not _NAMES_A_THING.search(str(path[-1]))
            # 3. The members of other requests, judging by their names.
            else:
                secret = first in _SECRET_MEMBERS or names_a_secret(str(first)) or contains_secret(value)
            if secret:
                yield value


def shown(value: Any) -> str:
    """Return the repr of a value, or a fixed text if it contains a secret."""
    return HIDDEN if contains_secret(value) else repr(value)


def _has_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_text, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_text, value))
    return isinstance(value, str)


def _is_known(path: Sequence[str | int]) -> bool:
    """Whether the models cover a path of a machine's config: each step is a field, or an item of a list or map."""
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
