"""Placeholders for values that may be secret, which are equal where the values were equal.

The values of environments, secrets, files, headers, nonces and tokens are replaced by their position or name; then each
text of at least 8 characters that was replaced once, wherever it appears in a later text.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flyasync.models.redaction import contains_secret, is_secret, names_a_secret, without_passwords
from flyasync.safe_text import spellings

Path = tuple[str | int, ...]
Rule = Callable[[Path, Any], bool]

_PLACEHOLDER: Final = re.compile(r"redacted-\d+|cmVkYWN0ZWQt[\w=]+")
"""A placeholder, as it is and in base64."""
_CONFIGS: Final = frozenset({"config", "incomplete_config"})
_STATED_BY_TOOLS: Final = frozenset({"FLY_PROCESS_GROUP", "PRIMARY_REGION", "FLY_STANDBY_FOR"})
"""Variables that deploys write themselves: the names of a group and of a region, and the id of a machine."""
_OF_TOOLS: Final = ("fly_", "flyasync_")
_SENT: Final = frozenset({"value", "values", "header", "plaintext", "ciphertext", "associated_data", "stdin"})
_RETURNED: Final = _SENT | {"nonce", "stdout", "stderr"}
_ERRORS: Final = frozenset({"error", "message", "errors"})
_COMMANDS: Final = frozenset({"release", "seed", "verification"})
_NAMES_A_THING: Final = re.compile(
    r"(name|id|slug|region|hostname|type|cursor|after|before|image|ref|app)$", re.IGNORECASE
)
_PUBLIC: Final = frozenset(
    {"id", "name", "region", "image", "state", "instance_id", "version", "app", "path", "digest"}
)
"""Members that are public by their meaning: only tokens, nonces and the values of secrets are replaced in them."""


class Placeholders:
    """Replaces values by placeholders such as `redacted-3`, numbered in the order of their first appearance.

    `secrets` are texts that are replaced anywhere, such as the token. A value that is a placeholder stays the same. A
    variable may have a value that is public, such as the name of the app: texts keep what is in a path or is an image.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._numbers: dict[str, str] = {}
        self._everywhere: dict[str, str] = {}
        self._outside_names: dict[str, str] = {}
        self._public: set[str] = set()
        self._patterns: dict[int, re.Pattern[str]] = {}
        for secret in secrets:
            self._replacement((), secret)

    def __repr__(self) -> str:
        return f"<Placeholders for {len(self._numbers)} values>"

    def in_request(self, body: Any) -> Any:
        """Return the body of a request with placeholders."""
        return self._replaced((), body, _in_request)

    def in_response(self, operation: str, body: Any) -> Any:
        """Return the body of a response with placeholders; lines of a log are replaced too."""
        if operation.startswith("logs."):
            return self._replaced((), body, lambda path, _: path[-1:] == ("message",) or not path)
        return self._replaced((), body, _in_response)

    def in_facts(self, facts: Mapping[str, Any]) -> Any:
        """Return what a program records about itself, such as the spec of a deploy, with placeholders."""
        self._publish(str(facts.get("app")), str(facts.get("launch")))
        return self._replaced((), facts, _in_facts)

    def in_path(self, path: str) -> str:
        """Return the path of a URL without the secrets that are replaced anywhere; its segments are public."""
        self._publish(*path.split("/"))
        return self._swept(("path",), path)

    def in_text(self, text: str) -> str:
        """Return a text with placeholders for the values that were replaced before, and without passwords in URLs."""
        return without_passwords(self._swept((), text))

    def _replaced(self, path: Path, value: Any, is_secret_here: Rule) -> Any:
        if isinstance(value, Mapping):
            return {key: self._replaced((*path, str(key)), item, is_secret_here) for key, item in value.items()}
        if isinstance(value, list | tuple):
            # A list of texts, such as the words of a command, is one value.
            if value and all(isinstance(each, str) for each in value) and is_secret_here(path, value):
                return [self._replacement(path, each) for each in value]
            return [self._replaced((*path, number), item, is_secret_here) for number, item in enumerate(value)]
        if not isinstance(value, str) or not value:
            return value
        if is_secret_here(path, value):
            return self._replacement(path, value)
        if path[-1:] == ("image",):
            self._publish(value, value.partition("@")[0], value.partition("@")[0].rpartition(":")[0])
        text = self._swept(path, value)
        return without_passwords(text) if "@" in text else text

    def _publish(self, *texts: str) -> None:
        if not self._public.issuperset(texts):
            self._public.update(texts)
            self._patterns.clear()

    def _replacement(self, path: Path, value: str) -> str:
        if _PLACEHOLDER.fullmatch(value):
            return value
        if value not in self._numbers:
            self._numbers[value] = f"redacted-{len(self._numbers) + 1}"
            # A variable may have the value of an image or a region, which is not secret there.
            kept = self._outside_names if "env" in path or "metadata" in path else self._everywhere
            kept |= dict.fromkeys(spellings(value), self._numbers[value])
            self._patterns.clear()
        placeholder = self._numbers[value]
        return b64encode(placeholder.encode()).decode() if path[-1:] == ("raw_value",) else placeholder

    def _swept(self, path: Path, text: str) -> str:
        for known in (self._everywhere, *(() if path and path[-1] in _PUBLIC else (self._outside_names,))):
            if known and (pattern := self._patterns.get(id(known)) or self._pattern(known)).search(text):
                text = pattern.sub(lambda found, known=known: known[found[0]], text)  # type: ignore[misc]
        return text

    def _pattern(self, known: Mapping[str, str]) -> re.Pattern[str]:
        # The longest come first, so that a secret that contains another one is replaced completely.
        hidden = known.keys() - self._public if known is self._outside_names else known.keys()
        longest_first = sorted(hidden, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        return self._patterns.setdefault(id(known), pattern)


def _in_config(path: Path, value: Any) -> bool | None:
    """Whether a value of a machine's config may be secret; None for a value outside of configs."""
    start = next((number for number, step in enumerate(path) if step in _CONFIGS), None)
    if start is None or (inside := path[start + 1 :]) == ():
        return None
    if inside[0] == "metadata" and str(inside[-1]).startswith(_OF_TOOLS):
        return False
    return not (inside[0] == "env" and inside[-1] in _STATED_BY_TOOLS) and is_secret(inside, value)


def _in_request(path: Path, value: Any) -> bool:
    if (found := _in_config(path, value)) is not None:
        return found
    first, last = (path[0], str(path[-1])) if path else ("", "")
    if first == "variables":
        return not _NAMES_A_THING.search(last) or (isinstance(value, str) and without_passwords(value) != value)
    if first == "query":
        return False
    return first in _SENT or (names_a_secret(last) and not last.startswith(_OF_TOOLS)) or contains_secret(value)


def _in_response(path: Path, value: Any) -> bool:
    if (found := _in_config(path, value)) is not None:
        return found
    last = next((str(step) for step in reversed(path) if isinstance(step, str)), "")
    # The text of an error decides what the error is, so only known values are replaced in it.
    if last in _ERRORS or last.startswith(_OF_TOOLS) or "errors" in path:
        return False
    return last in _RETURNED or names_a_secret(last) or contains_secret(value)


def _in_facts(path: Path, value: Any) -> bool:
    if (found := _in_config(path, value)) is not None:
        return found
    return bool(_COMMANDS & {str(step) for step in path}) and contains_secret(value)
