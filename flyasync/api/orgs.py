"""Organizations: who owns apps and pays for them."""

from typing import Any, Final

from attrs import frozen

from flyasync.api.graphql import GraphQL
from flyasync.errors import Unreadable
from flyasync.models.app import Organization
from flyasync.models.json.codec import Mismatch, structure

ORGANIZATIONS: Final = "query Organizations { organizations { nodes { id slug rawSlug name type paidPlan } } }"


@frozen
class Orgs:
    """`fly.orgs`: the organizations that the token can see; asked by GraphQL, for the Machines API has no such list."""

    _graphql: GraphQL

    async def list(self) -> tuple[Organization, ...]:
        """List the organizations; needs a user's token to show more than one.

        May be repeated. Raises GraphQLFailed when the token may not ask; `fly.tokens.current` then still names its own.
        """
        answer = await self._graphql.ask(ORGANIZATIONS)
        try:
            return tuple(structure(_renamed(node), Organization) for node in answer["organizations"]["nodes"])
        except (Mismatch, KeyError, TypeError) as error:
            raise Unreadable(
                "graphql", "Organizations", f"the answer lists no organizations: {error}", may_have_happened=False
            ) from error


def _renamed(node: dict[str, Any]) -> dict[str, Any]:
    names = {"rawSlug": "raw_slug", "paidPlan": "paid_plan"}
    return {names.get(key, key): value for key, value in node.items()}
