"""GraphQL by graphql-core: documents are parsed, validated against `schema.graphql` and executed.

This is the only module that needs the extra `emulator`. It is imported with the first request to `/graphql`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from attrs import frozen
from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FieldsOnCorrectTypeRule,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    KnownArgumentNamesRule,
    KnownTypeNamesRule,
    NamedTypeNode,
    build_schema,
    execute_sync,
    is_input_object_type,
    is_object_type,
    parse,
    specified_rules,
    validate,
)

from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.http.graphql.connections import Resolver
from flyasync.emulator.http.graphql.resolvers import FIELDS
from flyasync.emulator.world.world import World

# The parser and the executor are recursive; a document with deeper nesting is refused before it is parsed.
_DEEPEST = 100
_CODES: Mapping[int, str] = {401: "UNAUTHORIZED", 403: "UNAUTHORIZED", 404: "NOT_FOUND"}
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
# Arguments whose names in snake case are those of builtins.
_BUILTIN = {"id": "identity", "type": "kind"}
# The two forms of the same error, of graphql-core 3.3 and 3.2.
_UNKNOWN_INPUT = (
    re.compile(r"type '(?P<type>\w+)' not to include unknown field '(?P<field>\w+)'"),
    re.compile(r"Field '(?P<field>\w+)' is not defined by type '(?P<type>\w+)'"),
)


@frozen
class Executed:
    """The response body for a document, and what it named that the schema does not have, such as `Query.addOn`."""

    body: Json
    not_served: tuple[str, ...] = ()


# The three rules report what the schema does not have as the live API does, because clients match the text and code.


class _KnownFields(FieldsOnCorrectTypeRule):
    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent = self.context.get_parent_type()
        if parent and not self.context.get_field_def():
            name = node.name.value
            found = {"code": "undefinedField", "typeName": parent.name, "fieldName": name}
            text = f"Field '{name}' doesn't exist on type '{parent.name}'"
            self.report_error(GraphQLError(text, node, extensions=found))


class _KnownArguments(KnownArgumentNamesRule):
    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        parent, field = self.context.get_parent_type(), self.context.get_field_def()
        if parent and field and not self.context.get_directive() and not self.context.get_argument():
            owner = next(name for name, each in parent.fields.items() if each is field)  # type: ignore[union-attr]
            name = node.name.value
            found = {"code": "argumentNotAccepted", "name": owner, "typeName": "Field", "argumentName": name}
            text = f"Field '{owner}' doesn't accept argument '{name}'"
            self.report_error(GraphQLError(text, node, extensions=found))


class _KnownTypes(KnownTypeNamesRule):
    def enter_named_type(self, node: NamedTypeNode, *_: Any) -> None:
        name = node.name.value
        if name not in schema().type_map:
            found = {"code": "undefinedType", "typeName": name}
            self.report_error(GraphQLError(f"{name} isn't a defined type", node, extensions=found))


_OWN_RULES = {
    FieldsOnCorrectTypeRule: _KnownFields,
    KnownArgumentNamesRule: _KnownArguments,
    KnownTypeNamesRule: _KnownTypes,
}
_RULES = tuple(_OWN_RULES.get(rule, rule) for rule in specified_rules)


@cache
def schema() -> GraphQLSchema:
    """Return the schema that the emulator serves, with its resolvers; arguments have Python's names."""
    found = build_schema(resources.files(__package__).joinpath("schema.graphql").read_text())
    for each in found.type_map.values():
        if is_input_object_type(each):
            for name, field in each.fields.items():
                field.out_name = _snake(name)
        elif is_object_type(each) and not each.name.startswith("__"):
            for name, served in each.fields.items():
                for argument, value in served.args.items():
                    value.out_name = _BUILTIN.get(argument, _snake(argument))
                if resolver := FIELDS.get(each.name, {}).get(name):
                    served.resolve = _resolved(resolver)
    return found


def execute(world: World, query: str, variables: Mapping[str, Any], operation: str | None) -> Executed:
    """Return the response body for a document: `data`, or null and `errors`.

    An error of the world becomes one with its text and a code, such as `NOT_FOUND`.
    """
    document = _document(query)
    if isinstance(document, DocumentNode):
        result = execute_sync(
            schema(),
            document,
            context_value=world,
            variable_values=dict(variables),
            operation_name=operation,
            field_resolver=_attribute,
        )
        body, errors = dict(result.formatted), tuple(result.errors or ())
    else:
        body, errors = {"data": None, "errors": [error.formatted for error in document]}, document
    return Executed(body, tuple(dict.fromkeys(_not_served(errors))))


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


def _not_served(errors: tuple[GraphQLError, ...]) -> Iterator[str]:
    for error in errors:
        found = error.extensions or {}
        match found.get("code"):
            case "undefinedField":
                yield f"{found['typeName']}.{found['fieldName']}"
            case "argumentNotAccepted":
                yield f"{found['name']}({found['argumentName']}:)"
            case "undefinedType":
                yield str(found["typeName"])
            case _:
                found_inputs = (form.search(error.message) for form in _UNKNOWN_INPUT)
                yield from (f"{each['type']}.{each['field']}" for each in found_inputs if each)


def _resolved(resolver: Resolver) -> Resolver:
    def resolve(value: Any, info: GraphQLResolveInfo[World], **arguments: Any) -> Any:
        try:
            return resolver(info.context, value, **arguments)
        except ApiError as error:
            code = _CODES.get(error.status, "UNPROCESSABLE")
            raise GraphQLError(error.text, extensions={"code": code}) from None

    return resolve


def _attribute(value: Any, info: GraphQLResolveInfo[World], **_arguments: Any) -> Any:
    """Return the item or attribute of a value that has the name of the field."""
    name = _snake(info.field_name)
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name)


def _snake(name: str) -> str:
    return _CAPITAL.sub(lambda found: f"_{found[1].lower()}", name)
