"""Tokens: who one is, what a token allows, and tokens for a machine to show to others."""

from attrs import frozen

from flyasync.api.resource import Caller, given, request
from flyasync.models.json.codec import unstructure
from flyasync.models.token import Authorization, TokenAccess, TokenInfo, TokenInfoList, VerifiedToken
from flyasync.text import hidden
from flyasync.transport.request import Repeat


@frozen
class Tokens:
    """`fly.tokens`: look into tokens, and get some that only a machine can (docs: machines/api/tokens-resource).

    Tokens of apps are made by `fly.apps.create_deploy_token`. No token is in a repr, error or event of this library.
    """

    _caller: Caller

    async def current(self) -> tuple[TokenInfo, ...]:
        """Say whose the client's token is, and to which organization and apps it is bound: the cheap "who am I"."""
        ask = request("tokens.current", to="GET tokens/current", repeat=Repeat.ANYTIME)
        return tuple((await self._caller.read(ask, TokenInfoList)).tokens or ())

    async def authenticate(self, header: str) -> tuple[VerifiedToken, ...]:
        """Find out whether the tokens of an Authorization header, such as `FlyV1 fm2_…`, are good.

        Changes nothing. Raises BadRequest or Unauthorized for one that is not.
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
        """Find out whether the tokens of an Authorization header allow this `access`.

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
        """Get a JWT that proves to others which machine is asking; it is good for about ten minutes.

        Works only inside a machine, with `FlyClient(base_url="unix:///.fly/api")`. `aud` is for whom it is, by default
        `https://fly.io/<organization>`. May be repeated: each answer is another token. (docs: security/openid-connect)
        """
        ask = request(
            "tokens.oidc",
            to="POST tokens/oidc",
            repeat=Repeat.ANYTIME,
            body=given(aud=aud, aws_principal_tags=aws_principal_tags),
            reads="text",
        )
        return str(await self._caller.ask(ask))

    async def kms(self) -> str:
        """Get a token for the secret keys of the app whose machine is asking; works only inside a machine."""
        ask = request("tokens.kms", to="POST tokens/kms", repeat=Repeat.ANYTIME, reads="text")
        return str(await self._caller.ask(ask))
