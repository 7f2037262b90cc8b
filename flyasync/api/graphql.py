"""GraphQL: for the little that the Machines API lacks."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from flyasync.api.call import Caller
from flyasync.errors import GraphQLFailed, Unreadable
from flyasync.wire.request import Repeat, Request

# More than mutations may hold the word; those are then not repeated either, which is safe.
_MUTATION = re.compile(r"\bmutation\b")
_NAME = re.compile(r"\b(?:query|mutation)\s+(\w+)")


@frozen
class GraphQL:
    """Asks the GraphQL API of api.fly.io, which promises no stability."""

    _caller: Caller

    async def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, *, identifier: str | None = None
    ) -> dict[str, Any]:
        """Give the answer's `data`. Raises GraphQLFailed for an answer with errors.

        Queries of one `identifier`, the query's name unless given, share a rate limit.
        """
        name = _NAME.search(query)
        request = Request(
            operation="graphql",
            identifier=identifier or (name[1] if name else "-"),
            method="POST",
            path="/graphql",
            repeat=Repeat.UNSENT if _MUTATION.search(query) else Repeat.ANYTIME,
            body={"query": query, "variables": dict(variables or {})},
        )
        return _data(request, await self._caller.ask(request))


def _data(request: Request, answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise Unreadable(request.operation, request.identifier, "the answer is not as GraphQL has it")
    if errors := answer.get("errors"):
        details = errors if isinstance(errors, list) else [errors]
        raise GraphQLFailed(
            request.operation,
            request.identifier,
            details,
            data=answer.get("data"),
            may_have_happened=request.repeat is Repeat.UNSENT,
        )
    if not isinstance(answer.get("data"), dict):
        raise Unreadable(request.operation, request.identifier, "the answer holds neither data nor errors")
    data: dict[str, Any] = answer["data"]
    return data
