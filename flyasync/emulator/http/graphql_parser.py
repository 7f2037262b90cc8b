"""As much of GraphQL as a small client needs: one query, fields with arguments, aliases and variables."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.go_json import parse

_TOKEN = re.compile(r'[\s,]+|#[^\n]*|(\.\.\.|[!$():=@\[\]{}|]|"(?:\\.|[^"\\\n])*"|-?\d+(?:\.\d+)?|[A-Za-z_]\w*)')
_DEEPEST = 100
_NAME = re.compile(r"[A-Za-z_]\w*")
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


class Complaint(Exception):
    """A query gets errors instead of data."""

    def __init__(self, message: str, *, path: Sequence[str] = (), code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = tuple(path)
        self.code = code

    def as_json(self) -> dict[str, Any]:
        """Give the one error the answer holds."""
        shown: dict[str, Any] = {"message": self.message}
        if self.path:
            shown["path"] = list(self.path)
        return shown | {"extensions": {"code": self.code}} if self.code else shown


@frozen
class Field:
    """Something that is asked for, and under which name it shall be answered."""

    name: str
    alias: str
    arguments: Mapping[str, Any] = field(factory=dict)
    fields: tuple["Field", ...] = ()


def read(query: str, variables: Mapping[str, Any]) -> tuple[Field, ...]:
    """Read a query with its variables filled in; anything else is complained about."""
    return _Reader(query, variables).query()


def is_mutation(query: str) -> bool:
    """Tell whether a document changes something."""
    return next(_tokens(query), "") == "mutation"


def project(value: Mapping[str, Any], fields: Sequence[Field], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Pick the fields that are asked for out of what there is; a value that is callable is called with its field."""
    return {item.alias: _picked(value, item, (*path, item.alias)) for item in fields}


def _picked(value: Mapping[str, Any], item: Field, path: tuple[str, ...]) -> Any:
    if item.name not in value:
        kind = value.get("__typename", "Query")
        raise Complaint(f"Field '{item.name}' doesn't exist on type '{kind}'", path=path, code="undefinedField")
    found = value[item.name]
    if callable(found):
        found = found(item)
    if isinstance(found, list):
        return [project(one, item.fields, path) for one in found]
    if isinstance(found, Mapping):
        # Without a type it is a scalar: JSON, shown whole.
        return project(found, item.fields, path) if "__typename" in found else found
    return found


def _tokens(query: str) -> Iterator[str]:
    at = 0
    while at < len(query):
        found = _TOKEN.match(query, at)
        if found is None:
            raise Complaint(f'Parse error on "{query[at]}"')
        if found[1]:
            yield found[1]
        at = found.end()


def _literal(word: str) -> Any:
    try:
        return parse(word.encode())
    except ApiError:
        raise Complaint(f'Parse error on "{word[:20]}"') from None


class _Reader:
    def __init__(self, query: str, variables: Mapping[str, Any]) -> None:
        self._tokens = [*_tokens(query), ""]
        self._variables = variables
        self._at = 0
        self._depth = 0

    def query(self) -> tuple[Field, ...]:
        if self._next == "subscription":
            raise Complaint(f"{self._next} is not emulated")
        while self._next not in {"{", ""}:
            self._take()
        return self._fields()

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self, wanted: str = "") -> str:
        token = self._next
        if not token or (wanted and token != wanted):
            raise Complaint(f'Parse error on "{token}"' if token else "Unexpected end of document")
        self._at += 1
        return token

    def _takes(self, token: str) -> bool:
        if self._next != token:
            return False
        self._at += 1
        return True

    def _fields(self) -> tuple[Field, ...]:
        self._take("{")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise bad_request(f"query has a depth of more than {_DEEPEST}")
        found: list[Field] = []
        while not self._takes("}"):
            found.append(self._field())
        self._depth -= 1
        return tuple(found)

    def _field(self) -> Field:
        alias = name = self._name()
        if self._takes(":"):
            name = self._name()
        arguments = dict(self._arguments()) if self._takes("(") else {}
        return Field(name, alias, arguments, self._fields() if self._next == "{" else ())

    def _arguments(self) -> Iterator[tuple[str, Any]]:
        while not self._takes(")"):
            name = self._name()
            self._take(":")
            yield name, self._value()

    def _value(self) -> Any:
        word = self._take()
        if word == "$":
            return self._variables.get(self._name())
        if word.startswith('"') or word.lstrip("-")[:1].isdigit():
            return _literal(word)
        if _NAME.fullmatch(word):
            return _WORDS.get(word, word)
        raise Complaint(f'Parse error on "{word}"')

    def _name(self) -> str:
        token = self._take()
        if not _NAME.fullmatch(token):
            raise Complaint(f'Parse error on "{token}"')
        return token
