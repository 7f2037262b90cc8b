"""GraphQL: for what the Machines API lacks."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from flyasync.api.resource import Caller
from flyasync.errors import CallFailed, GraphQLFailed
from flyasync.safe_text import each_text
from flyasync.transport.request import Repeat, Request

# Queries may contain the word too; those are then not repeated either, which is safe.
_MUTATION = re.compile(r"\bmutation\b")
_NAME = re.compile(r"\b(?:query|mutation)\s+(\w+)")


@frozen
class GraphQL:
    """Sends queries to the GraphQL API of api.fly.io, which promises no stability."""

    _caller: Caller

    async def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        operation: str = "graphql",
        identifier: str | None = None,
    ) -> dict[str, Any]:
        """Return the answer's `data`. Raise GraphQLFailed for an answer with errors.

        Queries of one `operation` and `identifier`, by default the query's name, share a rate limit.
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
        if not isinstance(answer, dict):
            failure: CallFailed = request.unreadable("the answer is not as GraphQL has it")
        # Errors beside data are a failure too: the data is incomplete.
        elif errors := answer.get("errors"):
            failure = GraphQLFailed(
                request.operation,
                request.identifier,
                each_text(self._caller.redaction(request), errors if isinstance(errors, list) else [errors]),
                data=answer.get("data"),
                may_have_happened=request.changes,
            )
            del errors
        elif isinstance(answer.get("data"), dict):
            data: dict[str, Any] = answer["data"]
            return data
        else:
            failure = request.unreadable("the answer holds neither data nor errors")
        del answer  # which no traceback with locals may show
        raise failure
