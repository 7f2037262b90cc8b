"""Tokens: their owners, their permissions, and tokens with which a machine proves its identity."""

from attrs import frozen

from flyasync.api.resource import Caller, given, request
from flyasync.models.json.codec import unstructure
from flyasync.models.token import Authorization, TokenAccess, TokenInfo, TokenInfoList, VerifiedToken
from flyasync.safe_text import hidden
from flyasync.transport.request import Repeat


@frozen
class Tokens:
    """`fly.tokens`: inspect tokens, and get those that only a machine can get (docs: machines/api/tokens-resource).

    Tokens of apps are created by `fly.apps.create_deploy_token`. No token is in a repr, error or event of this library.
    """

    _caller: Caller

    async def current(self) -> tuple[TokenInfo, ...]:
        """Return the owner of the client's token, its organization and its apps, in one request."""
        ask = request("tokens.current", to="GET tokens/current", repeat=Repeat.ANYTIME)
        return tuple((await self._caller.read(ask, TokenInfoList)).tokens or ())

    async def authenticate(self, header: str) -> tuple[VerifiedToken, ...]:
        """Verify the tokens of an Authorization header, such as `FlyV1 fm2_…`.

        Changes nothing. Raises BadRequest or Unauthorized for one that is not valid.
        """
        header = hidden(header)
        ask = request(
            "tokens.authenticate",
            to="POST tokens/authenticate",
            repeat=Repeat.ANYTIME,
            body={"header": header},
            changes=False,
        )
        return await self._caller.read(ask, tuple[VerifiedToken, ...])

    async def authorize(self, header: str, access: TokenAccess) -> Authorization:
        """Check whether the tokens of an Authorization header allow this `access`.

        Changes nothing. Raises Forbidden or BadRequest when they do not.
        """
        header = hidden(header)
        ask = request(
            "tokens.authorize",
            to="POST tokens/authorize",
            repeat=Repeat.ANYTIME,
            body={"header": header, "access": unstructure(access)},
            changes=False,
        )
        return await self._caller.read(ask, Authorization)

    async def oidc(self, *, aud: str | None = None, aws_principal_tags: bool | None = None) -> str:
        """Get a JWT that proves to others which machine calls; it is valid for about ten minutes.

        Works only inside a machine, with `FlyClient(base_url="unix:///.fly/api")`. `aud` is its audience, by default
        `https://fly.io/<organization>`. May be repeated: each response is a new token. (docs: security/openid-connect)
        """
        ask = request(
            "tokens.oidc",
            to="POST tokens/oidc",
            repeat=Repeat.ANYTIME,
            body=given(aud=aud, aws_principal_tags=aws_principal_tags),
            reads="bytes",
        )
        return _text(await self._caller.ask(ask))

    async def kms(self) -> str:
        """Get a token for the secret keys of the app whose machine calls; works only inside a machine."""
        ask = request("tokens.kms", to="POST tokens/kms", repeat=Repeat.ANYTIME, reads="bytes")
        return _text(await self._caller.ask(ask))


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace").strip()
