"""GraphQL: for the little that the Machines API lacks."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from flyasync.api.resource import Caller
from flyasync.errors import CallFailed, GraphQLFailed
from flyasync.text import each_text
from flyasync.transport.request import Repeat, Request
from flyasync.transport.response import Redaction

# More than mutations may hold the word; those are then not repeated either, which is safe.
_MUTATION = re.compile(r"\bmutation\b")
_NAME = re.compile(r"\b(?:query|mutation)\s+(\w+)")


@frozen
class GraphQL:
    """Asks the GraphQL API of api.fly.io, which promises no stability."""

    _caller: Caller

    async def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        operation: str = "graphql",
        identifier: str | None = None,
    ) -> dict[str, Any]:
        """Give the answer's `data`. Raises GraphQLFailed for an answer with errors.

        Queries of one `operation` and `identifier`, the query's name unless given, share a rate limit.
        """
        changes = bool(_MUTATION.search(query))
        name = _NAME.search(query)
        request = Request(
            operation=operation,
            identifier=identifier or (name[1] if name else "-"),
            method="POST",
            path="/graphql",
            repeat=Repeat.UNSENT if changes else Repeat.ANYTIME,
            body={"query": query, "variables": dict(variables or {})},
            changes=changes,
        )
        answer = await self._caller.ask(request)
        failure = _failure(request, answer, self._caller.redaction)
        if failure is None:
            data: dict[str, Any] = answer["data"]
            return data
        del answer  # which no traceback with locals is to show
        raise failure


def _failure(request: Request, answer: Any, redaction: Redaction) -> CallFailed | None:
    """Return what is wrong with an answer, if anything, without the secrets that it repeats."""
    if not isinstance(answer, dict):
        return request.unreadable("the answer is not as GraphQL has it")
    if errors := answer.get("errors"):
        details = errors if isinstance(errors, list) else [errors]
        return GraphQLFailed(
            request.operation,
            request.identifier,
            each_text(redaction(request), details),
            data=answer.get("data"),
            may_have_happened=request.changes,
        )
    if not isinstance(answer.get("data"), dict):
        return request.unreadable("the answer holds neither data nor errors")
    return None
