"""GraphQL: for what the Machines API lacks."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from flyasync.api.resource import Caller
from flyasync.errors import CallFailed, GraphQLFailed
from flyasync.safe_text import each_text
from flyasync.transport.request import Repeat, Request

# A query may contain the word too; it is then not repeated, which is safe.
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
        """Return the `data` of the response. Raise GraphQLFailed for a response with errors.

        Queries with the same `operation` and `identifier` (by default the name of the query) share a rate limit.
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
        response = await self._caller.ask(request)
        if not isinstance(response, dict):
            failure: CallFailed = request.unreadable("the response is not a GraphQL response")
        # Errors with data are a failure too, since the data is incomplete.
        elif errors := response.get("errors"):
            failure = GraphQLFailed(
                request.operation,
                request.identifier,
                each_text(self._caller.redaction(request), errors if isinstance(errors, list) else [errors]),
                data=response.get("data"),
                may_have_happened=request.changes,
            )
            del errors
        elif isinstance(response.get("data"), dict):
            data: dict[str, Any] = response["data"]
            return data
        else:
            failure = request.unreadable("the response contains neither data nor errors")
        del response  # so that no traceback with locals shows it
        raise failure
