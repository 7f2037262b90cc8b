"""GraphQL by graphql-core: documents are parsed, validated against `schema.graphql` and executed.

This is the only module that needs the extra `emulator`. It is imported with the first request to `/graphql`.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FieldsOnCorrectTypeRule,
    GraphQLError,
    GraphQLSchema,
    build_schema,
    execute_sync,
    parse,
    specified_rules,
    validate,
)

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.go_json import Json

# The parser and the executor are recursive; a document with deeper nesting is refused before it is parsed.
_DEEPEST = 100


class _KnownFields(FieldsOnCorrectTypeRule):
    """Reports an unknown field as the live API does, because clients match the text and the code."""

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent = self.context.get_parent_type()
        if parent and not self.context.get_field_def():
            text = f"Field '{node.name.value}' doesn't exist on type '{parent.name}'"
            self.report_error(GraphQLError(text, node, extensions={"code": "undefinedField"}))


_RULES = tuple(_KnownFields if rule is FieldsOnCorrectTypeRule else rule for rule in specified_rules)


@cache
def schema() -> GraphQLSchema:
    """Return the schema that the emulator serves."""
    return build_schema(resources.files(__package__).joinpath("schema.graphql").read_text())


def execute(query: str, variables: Mapping[str, Any], operation: str | None, root: Mapping[str, Any]) -> Json:
    """Return the response body for a document: `data`, or null and `errors`.

    `root` holds the fields of `Query` and of `Mutation`; validation ensures that a document names only those of its
    own type. A callable field is called with its arguments. An exception that it raises becomes an error with its
    text, and with its `extensions` if it has any.
    """
    document = _document(query)
    if not isinstance(document, DocumentNode):
        return {"data": None, "errors": [error.formatted for error in document]}
    result = execute_sync(schema(), document, root, variable_values=dict(variables), operation_name=operation)
    return dict(result.formatted)


@lru_cache(maxsize=64)
def _document(query: str) -> DocumentNode | tuple[GraphQLError, ...]:
    """Return a parsed document, or its errors; cached, because a client repeats a few documents."""
    depth = deepest = 0
    for character in query:
        depth += (character in "{[") - (character in "}]")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        raise bad_request(f"query has a depth of more than {_DEEPEST}")
    try:
        document = parse(query)
    except GraphQLError as error:
        return (error,)
    return tuple(validate(schema(), document, _RULES)) or document
