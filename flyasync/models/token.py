"""Tokens: what they are, what they allow, and the ones that machines and deploys get."""

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from flyasync.models.model import Model, settled


@frozen(kw_only=True, repr=False, field_transformer=settled)
class TokenInfo(Model):
    """A token in use: whose it is, and what it is bound to; never the token itself."""

    token_id: str | None = None
    organization: str | None = None
    org_slug: str | None = None
    apps: Sequence[str] | None = None
    user: str | None = None
    restricted_to_machine: str | None = None
    source_machine_id: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class TokenInfoList(Model):
    """The tokens of one Authorization header."""

    tokens: Sequence[TokenInfo] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MacaroonNonce(Model):
    """What makes a macaroon unlike any other; its bytes come as base64, or as numbers."""

    kid: Any = field(default=None, repr=False)
    rnd: Any = field(default=None, repr=False)
    proof: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CaveatSet(Model):
    """What narrows a macaroon, as free JSON."""

    caveats: Sequence[Any] | None = field(default=None, repr=False)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class VerifiedToken(Model):
    """A token that was found good; `header` and `permission_token` are secret, and stay out of the repr."""

    header: str | None = field(default=None, repr=False)
    nonce: MacaroonNonce | None = None
    caveats: CaveatSet | None = None
    permission_token: Any = field(default=None, repr=False)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class TokenAccess(Model):
    """What a client wants to do: the `action`, and to what.

    `action` is made of the letters `r`, `w`, `c`, `d` and `C` (control), or a number with a bit for each.
    """

    action: str | int | None = None
    org_slug: str | None = None
    app_name: str | None = None
    machine_id: str | None = None
    volume_id: str | None = None
    org_feature: str | None = None
    app_feature: str | None = None
    machine_feature: str | None = None
    command: Sequence[str] | None = None
    mutation: str | None = None
    storage_object: str | None = None
    source_machine: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class GrantedAccess(Model):
    """The access that was granted, with the API's own numbers for the organization and the app.

    What the API spells otherwise than in lower case (`sourceApp`, `sourceMachine`) is in `extra`.
    """

    action: str | int | None = None
    orgid: int | None = None
    appid: int | None = None
    machine: str | None = None
    volume: str | None = None
    cluster: str | None = None
    feature: str | None = None
    app_feature: str | None = None
    machine_feature: str | None = None
    command: Sequence[str] | None = None
    mutation: str | None = None
    storage_object: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Authorization(Model):
    """The answer to asking what a token may do."""

    access: GrantedAccess | None = None
    verified_token: VerifiedToken | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DeployToken(Model):
    """A new token, with its scheme before it as it belongs in an Authorization header; it stays out of the repr."""

    token: str = field(repr=False)
