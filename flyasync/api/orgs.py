"""Organizations: the owners of apps."""

from typing import Final

from attrs import frozen

from flyasync.api.graphql import GraphQL
from flyasync.errors import Unreadable
from flyasync.models.app import Organization
from flyasync.models.json.codec import Mismatch, structure

ORGANIZATIONS: Final = "query Organizations { organizations { nodes { id slug rawSlug name type paidPlan } } }"


@frozen
class Orgs:
    """`fly.orgs`: the organizations that the token can see; read by GraphQL, since the Machines API lacks them."""

    _graphql: GraphQL

    async def list(self) -> tuple[Organization, ...]:
        """List the organizations; needs a user's token to show more than one.

        May be repeated. Raises GraphQLFailed if the token does not allow it; `fly.tokens.current` still names its own.
        """
        response = await self._graphql.ask(ORGANIZATIONS)
        names = {"rawSlug": "raw_slug", "paidPlan": "paid_plan"}
        try:
            nodes = [
                {names.get(key, key): value for key, value in node.items()}
                for node in response["organizations"]["nodes"]
            ]
            return tuple(structure(node, Organization) for node in nodes)
        except (Mismatch, KeyError, TypeError) as error:
            raise Unreadable(
                "graphql", "Organizations", f"the response contains no organizations: {error}", may_have_happened=False
            ) from error
