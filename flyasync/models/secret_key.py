"""Secret keys: keys with which an app encrypts and signs, and which the API never returns."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class SecretKey(Model):
    """The name and `type` of a secret key; `public_key` is its public half in base64, if it has one.

    Examples of `type` are `hs256`, `es256`, `xaes256gcm` and `nacl_box`. Only setting and deleting a key return
    `version`.
    """

    name: str | None = None
    type: str | None = None
    public_key: str | None = None
    version: int | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class SecretKeyList(Model):
    """The secret keys of an app, as the API returns them."""

    secret_keys: Sequence[SecretKey] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class KeyWork(Model):
    """The result of an operation with a secret key, in base64; one field per operation."""

    ciphertext: str | None = field(default=None, repr=False)
    plaintext: str | None = field(default=None, repr=False)
    signature: str | None = field(default=None, repr=False)
