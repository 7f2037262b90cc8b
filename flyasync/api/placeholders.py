"""Placeholders for values that may be secret, which are equal where the values were equal.

The values of environments, secrets, files, headers, nonces and tokens, the commands that are run, and the texts in
GraphQL are replaced by their position or name, and a token of Fly.io or a JWT wherever it is; then each text of at
least 8 characters that was replaced once, wherever it appears in a later text, also in base64 or as in a URL.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from flyasync.models.redaction import before_secret, contains_secret, is_secret, names_a_secret, without_passwords
from flyasync.safe_text import SHORTEST_SECRET, spellings

Path = tuple[str | int, ...]
Rule = Callable[[Path, Any], bool]

_PLACEHOLDER: Final = re.compile(r"redacted-\d+|cmVkYWN0ZWQt[\w=]+")
"""A placeholder, as it is and in base64."""
_CONFIGS: Final = frozenset({"config", "incomplete_config"})
_STATED_BY_TOOLS: Final = frozenset({"FLY_PROCESS_GROUP", "PRIMARY_REGION", "FLY_STANDBY_FOR"})
"""Variables that deploys write themselves: the names of a group and of a region, and the id of a machine."""
_OF_TOOLS: Final = ("fly_", "flyasync_")
_SENT: Final = frozenset(
    {"value", "values", "header", "plaintext", "ciphertext", "associated_data", "signature", "stdin", "command", "cmd"}
)
_RETURNED: Final = _SENT | {"nonce", "raw_value", "stdout", "stderr", "query"}
_TOKEN: Final = re.compile(r"\b(?:fm\d[a-z]?_|fo1_)[\w+/=-]{16,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
"""A macaroon of Fly.io, a token of its older kinds, or a JWT."""
_ERRORS: Final = frozenset({"error", "message", "errors"})
_COMMANDS: Final = frozenset({"release", "seed", "verification"})
_NAMES_A_THING: Final = re.compile(
    r"(name|id|slug|region|hostname|type|cursor|after|before|image|ref|app)$", re.IGNORECASE
)
_PUBLIC: Final = frozenset(
    {"id", "name", "region", "image", "state", "instance_id", "version", "app", "path", "digest"}
)
"""Members that are public by their meaning: only tokens, nonces and the values of secrets are replaced in them."""
_MAY_BE_PUBLIC: Final = frozenset({"env", "metadata", "graphql"})
"""Where a value may also be the name of something."""
_SHORTEST_WORD: Final = 4
"""A value whose name is that of a secret is replaced as a whole word from this length on, where longer ones are
replaced anywhere."""
_LITERAL: Final = re.compile(r'"""(.+?)"""|"((?:\\.|[^"\\\n])+)"', re.DOTALL)
"""A text in a GraphQL query."""
_WORD: Final = re.compile(r"\S+")
_DRAWN: Final = re.compile(r"(?=[a-z]*\d)(?=\d*[a-z])[0-9a-z]{6,}|\d{8,}|[a-z]{25,}", re.IGNORECASE)
"""What a key, a password or an id has, and words of a language do not: letters mixed with digits, or many of either."""


class Placeholders:
    """Replaces values by placeholders such as `redacted-3`, numbered in the order of their first appearance.

    `secrets` are texts that are replaced anywhere, such as the token. A value that is a placeholder stays the same. A
    variable may have a value that is public, such as the name of the app: texts keep what is in a path or is an image.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._numbers: dict[str, str] = {}
        self._everywhere, self._outside_names, self._words = _KnownTexts(), _KnownTexts(), _KnownWords()
        self._public: set[str] = set()
        for secret in secrets:
            self._replacement((), secret)

    def __repr__(self) -> str:
        return f"<Placeholders for {len(self._numbers)} values>"

    def in_request(self, body: Any) -> Any:
        """Return the body of a request with placeholders."""
        found = self._replaced((), body, _in_request)
        if isinstance(body, Mapping) and isinstance(query := body.get("query"), str):
            found["query"] = self._swept(("query",), _LITERAL.sub(self._literal, query))
        return found

    def in_response(self, operation: str, body: Any) -> Any:
        """Return the body of a response with placeholders; lines of a log keep the words that are of a language."""
        if operation.startswith("logs."):
            if isinstance(body, str):
                return self._line(body)
            return self._replaced((), body, _in_response, lines=frozenset({"message"}))
        if operation.startswith("tokens.") and isinstance(body, str):
            return self._replacement((), body.strip())  # the whole body is a token
        if operation == "graphql":
            return self._replaced(("graphql",), body, _in_graphql)
        return self._replaced((), body, _in_response)

    def in_facts(self, facts: Mapping[str, Any]) -> Any:
        """Return what a program records about itself, such as the spec of a deploy, with placeholders."""
        self._publish(str(facts.get("app")), str(facts.get("launch")))
        return self._replaced((), facts, _in_facts, lines=frozenset({"logs"}))

    def in_path(self, path: str) -> str:
        """Return the path of a URL without the secrets that are replaced anywhere; its segments are public."""
        self._publish(*path.split("/"))
        return self._swept(("path",), path)

    def in_query(self, name: str, value: str) -> str:
        """Return a value of a URL's query with placeholders."""
        return self._replacement((name,), value) if value and names_a_secret(name) else self._swept((name,), value)

    def in_text(self, text: str) -> str:
        """Return a text with placeholders for the values that were replaced before, and without passwords in URLs."""
        return without_passwords(self._swept((), text))

    def _replaced(self, path: Path, value: Any, is_secret_here: Rule, lines: frozenset[str] = frozenset()) -> Any:
        if isinstance(value, Mapping):
            return {
                self._everywhere.replaced(key): self._replaced((*path, key), item, is_secret_here, lines)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            # A list of texts, such as the words of a command, or of octets is one value.
            if value and all(isinstance(each, str) for each in value) and is_secret_here(path, value):
                return [self._replacement(path, each) for each in value]
            if value and all(type(each) is int for each in value) and is_secret_here(path, value):
                return self._number(str(list(value)))
            return [self._replaced((*path, n), item, is_secret_here, lines) for n, item in enumerate(value)]
        if not isinstance(value, str) or not value:
            return value
        if lines and not lines.isdisjoint(path[-2:]):
            return self._line(value)
        if is_secret_here(path, value):
            return self._replacement(path, value)
        if path[-1:] == ("image",):
            self._publish(value, value.partition("@")[0], value.partition("@")[0].rpartition(":")[0])
        text = self._swept(path, value)
        return without_passwords(text) if "@" in text else text

    def _publish(self, *texts: str) -> None:
        self._public.update(filter(None, texts))

    def _number(self, value: str) -> str:
        if _PLACEHOLDER.fullmatch(value):
            return value
        return self._numbers.setdefault(value, f"redacted-{len(self._numbers) + 1}")

    def _replacement(self, path: Path, value: str) -> str:
        placeholder = self._number(value)
        if placeholder == value:
            return value
        # A variable may have the value of an image or a region, which is not secret there.
        kept = self._everywhere if _MAY_BE_PUBLIC.isdisjoint(path) else self._outside_names
        if not kept.has(value):
            kept.add(value, placeholder)
        if path and (path[0] in _SENT or names_a_secret(str(path[-1]))):
            self._words.add(value, placeholder)
        return b64encode(placeholder.encode()).decode() if path[-1:] == ("raw_value",) else placeholder

    def _literal(self, found: "re.Match[str]") -> str:
        return f'"{self._replacement(("query",), found[1] or found[2])}"'

    def _line(self, text: str) -> str:
        """Return a line of a log in which words that may be secret, and all that follows the name of one, are hidden.

        These are not replaced elsewhere, since they may be ids.
        """
        begin = before_secret(text)
        named = self._number(text[len(begin) :]) if begin != text else ""
        return _WORD.sub(self._log_word, self.in_text(begin)) + named

    def _log_word(self, found: "re.Match[str]") -> str:
        word = found[0]
        is_drawn = _DRAWN.search(_PLACEHOLDER.sub(" ", word)) and self._public.isdisjoint(re.split(r"[^\w-]+", word))
        return self._number(word) if is_drawn else word

    def _swept(self, path: Path, text: str) -> str:
        text = _TOKEN.sub(lambda found: self._replacement((), found[0]), self._everywhere.replaced(text))
        if path and path[-1] in _PUBLIC:
            return text
        return self._words.replaced(self._outside_names.replaced(text, self._public), self._public)


class _KnownTexts:
    """Texts with their placeholders, in all their spellings, which are found anywhere in a text."""

    def __init__(self) -> None:
        self._added: set[str] = set()
        self._by_head: dict[str, list[tuple[str, str]]] = {}

    def has(self, text: str) -> bool:
        return text in self._added

    def add(self, text: str, placeholder: str) -> None:
        self._added.add(text)
        for each in spellings(text):
            group = self._by_head.setdefault(each[:SHORTEST_SECRET], [])
            group.append((each, placeholder))
            # The longest come first, so that a secret that contains another one is replaced completely.
            group.sort(key=lambda item: len(item[0]), reverse=True)

    def replaced(self, text: str, public: Collection[str] = ()) -> str:
        """Return a text with the placeholders of all that are known, except those that are `public`."""
        # All have the same number of characters in common with a key of the index: thousands are as fast as a few.
        heads, parts, at, kept = self._by_head, [], 0, 0
        last = len(text) - SHORTEST_SECRET if heads else -1
        while at <= last:
            for known, placeholder in heads.get(text[at : at + SHORTEST_SECRET], ()):
                if known not in public and text.startswith(known, at):
                    parts += [text[kept:at], placeholder]
                    at = kept = at + len(known)
                    break
            else:
                at += 1
        return "".join([*parts, text[kept:]]) if parts else text


class _KnownWords:
    """Secrets that are too short to be found anywhere: they are whole words."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, text: str, placeholder: str) -> None:
        if _SHORTEST_WORD <= len(text) < SHORTEST_SECRET and text not in self._known:
            self._known[text] = placeholder
            self._pattern = re.compile(rf"(?<![0-9A-Za-z])({'|'.join(map(re.escape, self._known))})(?![0-9A-Za-z])")

    def replaced(self, text: str, public: Collection[str]) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: found[0] if found[0] in public else self._known[found[0]], text)


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
        is_thing = _NAMES_A_THING.search(last) and not names_a_secret(last)
        return not is_thing or (isinstance(value, str) and without_passwords(value) != value)
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


def _in_graphql(path: Path, value: Any) -> bool:
    # A query returns its members under any name, so what does not name a thing may be secret. Errors keep their words.
    is_error = path[1:2] == ("errors",)
    return not is_error and (not _NAMES_A_THING.search(str(path[-1])) or contains_secret(value))


def _in_facts(path: Path, value: Any) -> bool:
    if (found := _in_config(path, value)) is not None:
        return found
    return bool(_COMMANDS & {str(step) for step in path}) and contains_secret(value)
