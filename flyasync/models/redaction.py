"""Which values may be secret: by where they stand, by what they are called, and by what they say."""

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
# A public key is made to be shown, others only sort or find, and what names, counts or finds a secret is none.
_HARMLESS: Final = re.compile(
    r"(^|[_-])public([_-]|(?=key))"
    r"|(^|[_-])(sort|partition|primary|foreign|hash|range|cache|group|routing|publishable)[_-]?key$"
    r"|[_-](name|id|file|path|dir|url|uri|ttl|expiry|expires_in|length|size|prefix|enabled|type|limit|count|max|min)$",
    re.IGNORECASE,
)
# A password may hold an @ that is not escaped: what comes before the last one counts.
_PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:[^/\s\"'<>]+@")
# The @ of `name:tag@sha256:…` is another one.
_PASSWORD_IN_IMAGE: Final = re.compile(r"(?<!\S)[^/\s:@]+:[^/\s]+@(?!\w+:[0-9a-f]{32,})")
_SAID: Final = re.compile(r"(?<![\w-])([\w-]++)[\"']?[=:\s]++(?=\S)")  # --token=x, TOKEN=x, --token x, Authorization: x
_SECRET_MEMBERS: Final = frozenset({"value", "values", "header", "plaintext", "ciphertext", "associated_data", "stdin"})
_NAMES_A_THING: Final = re.compile(r"(name|id|slug|region|hostname|type|cursor|after|before)$", re.IGNORECASE)
_OPTION: Final = re.compile(r"--?[\w-]+")


def names_a_secret(name: str) -> bool:
    """Tell whether a variable of this name holds a secret, as far as a name can tell."""
    return bool(_NAMES.search(name)) and not _HARMLESS.search(name)


def holds_a_password(value: str) -> bool:
    """Tell whether there is a URL with a password in a text."""
    return bool(_PASSWORD_IN_URL.search(value))


def without_passwords(text: str) -> str:
    """Return a text without the passwords in its URLs and image references."""
    return _PASSWORD_IN_IMAGE.sub("…@", _PASSWORD_IN_URL.sub("://…@", text))


def all_without_passwords(texts: Iterable[str]) -> tuple[str, ...]:
    """Return texts without the passwords in their URLs and image references."""
    return tuple(map(without_passwords, texts))


def is_secret(path: Sequence[str | int], value: Any = None) -> bool:
    """Tell whether the value at this place of a machine's config must not be shown unasked.

    A text where no model knows the key may be anything, and so it counts as a secret.
    """
    return (
        _stands_among_secrets(path)
        or tells_a_secret(value)
        or _is_image_with_password(path, value)
        or (_has_text(value) and not _is_known(path))
    )


def tells_a_secret(value: Any) -> bool:
    """Tell whether a value says a secret aloud, wherever it stands: in a URL, or as a command's option."""
    if isinstance(value, Mapping):
        return any(names_a_secret(str(name)) or tells_a_secret(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        return any(map(tells_a_secret, value)) or any(map(_announces, pairwise(value)))
    return isinstance(value, str) and (holds_a_password(value) or _gives_a_secret(value))


def secret_texts(body: Any) -> Iterator[str]:
    """Yield the texts in a request's body that may be secret: values of an environment, of secrets, of variables."""
    left: list[tuple[tuple[str | int, ...], Any]] = [((), body)]
    while left:
        path, value = left.pop()
        if isinstance(value, Mapping):
            left += (((*path, key), item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            left += (((*path, number), item) for number, item in enumerate(value))
        elif isinstance(value, str) and _is_sent_in_secret(path, value):
            yield value


def _is_sent_in_secret(path: tuple[str | int, ...], value: str) -> bool:
    first, *inside = path or ("",)
    if first == "config":
        return is_secret(inside, value)
    if first == "variables":  # of GraphQL; what names a thing is left readable
        return not _NAMES_A_THING.search(str(inside[-1]))
    return first in _SECRET_MEMBERS or names_a_secret(str(first)) or tells_a_secret(value)


def shown(value: Any) -> str:
    """Write a value as `repr` does, but not if it tells a secret."""
    return HIDDEN if tells_a_secret(value) else repr(value)


def _announces(pair: tuple[Any, Any]) -> bool:
    """Tell whether the first of two words of a command is an option for a secret, such as `--token`."""
    option, _ = pair
    return isinstance(option, str) and bool(_OPTION.fullmatch(option)) and names_a_secret(option)


def _gives_a_secret(text: str) -> bool:
    return any(names_a_secret(match.group(1)) for match in _SAID.finditer(text))


def _stands_among_secrets(path: Sequence[str | int]) -> bool:
    last = str(path[-1]) if path else ""
    return "env" in path[:-1] or _is_of_headers(path) or last == "raw_value" or names_a_secret(last)


def _is_image_with_password(path: Sequence[str | int], value: Any) -> bool:
    is_image = bool(path) and path[-1] == "image" and isinstance(value, str)
    return is_image and bool(_PASSWORD_IN_IMAGE.search(value))


def _is_of_headers(path: Sequence[str | int]) -> bool:
    if "headers" not in path:
        return False
    inside = path[path.index("headers") + 1 :]
    is_name = len(inside) > 1 and isinstance(inside[0], int) and inside[1] == "name"
    return not is_name


def _has_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_text, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_text, value))
    return isinstance(value, str)


# Whether a model knows a place


def _is_known(path: Sequence[str | int]) -> bool:
    kind: Any = MachineConfig
    for step in path:
        kind = next(_kinds_inside(kind, step), None)
        if kind is None:
            return False
    return True


def _kinds_inside(kind: Any, step: str | int) -> Iterator[Any]:
    """Give the type that stands at a step inside another, if there is one."""
    for option in get_args(kind) if NoneType in get_args(kind) else (kind,):
        origin = get_origin(option)
        if origin is Mapping and isinstance(step, str):
            yield get_args(option)[1]
        elif origin is Sequence and isinstance(step, int):
            yield get_args(option)[0]
        elif isinstance(option, type) and issubclass(option, Model) and step in _fields(option):
            yield _fields(option)[str(step)].type


def _fields(kind: type[Model]) -> dict[str, Any]:
    return {name: one for name, one in fields_dict(kind).items() if name != "extra"}
