"""Images: the digest that a tag points to."""

from typing import Final

from attrs import frozen

from flyasync.api.graphql import GraphQL
from flyasync.errors import Unreadable
from flyasync.models.image import at_digest, digest_of
from flyasync.models.lint.linter import check_image, refuse
from flyasync.models.redaction import without_passwords

RESOLVE: Final = (
    "query ResolveImage($app: String!, $image: String!) { app(name: $app) { image(ref: $image) { digest } } }"
)


@frozen
class Images:
    """`fly.images`: what image references point to; read by GraphQL, since the Machines API does not offer it."""

    _graphql: GraphQL

    async def resolve(self, app: str, image: str) -> str:
        """Return the reference with the digest to which its tag points now for machines of `app`.

        A reference with a digest is returned unchanged, without a request. Repeated after a lost response. Raises
        InvalidInput for an invalid reference, GraphQLFailed if the token has no access, and Unreadable if the response
        contains no digest.
        """
        refuse(check_image(image))
        if digest_of(image):
            return image
        response = await self._graphql.ask(
            RESOLVE, {"app": app, "image": image}, operation="images.resolve", identifier=app
        )
        try:
            digest = response["app"]["image"]["digest"]
        except (KeyError, TypeError):
            digest = None
        resolved = at_digest(image, digest if isinstance(digest, str) else None)
        if resolved == image:
            what = f"the response contains no digest of {without_passwords(image)}"
            raise Unreadable("images.resolve", app, what, may_have_happened=False)
        return resolved
