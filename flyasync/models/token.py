"""Tokens: their owners, their permissions, and tokens for machines and deploys."""

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from flyasync.models.model import Model, settled


@frozen(kw_only=True, repr=False, field_transformer=settled)
class TokenInfo(Model):
    """The owner of a token and its restrictions; never the token itself."""

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
    """The unique id of a macaroon; its bytes are base64, or a list of numbers."""

    kid: Any = field(default=None, repr=False)
    rnd: Any = field(default=None, repr=False)
    proof: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CaveatSet(Model):
    """The restrictions of a macaroon, as arbitrary JSON."""

    caveats: Sequence[Any] | None = field(default=None, repr=False)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class VerifiedToken(Model):
    """A token that has been verified; `header` and `permission_token` are secret, so the repr does not show them."""

    header: str | None = field(default=None, repr=False)
    nonce: MacaroonNonce | None = None
    caveats: CaveatSet | None = None
    permission_token: Any = field(default=None, repr=False)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class TokenAccess(Model):
    """The access to check: an `action` on a resource.

    `action` consists of the letters `r`, `w`, `c`, `d` and `C` (control), or is a number with one bit for each.
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
    """The access that was granted, with the API's numeric ids of the organization and the app.

    Members in camel case (`sourceApp`, `sourceMachine`) are in `extra`.
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
    """The result of an authorization check."""

    access: GrantedAccess | None = None
    verified_token: VerifiedToken | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class DeployToken(Model):
    """A new token, with its scheme, as used in an Authorization header; the repr does not show it."""

    token: str = field(repr=False)
