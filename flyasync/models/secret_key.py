"""Secret keys: keys that encrypt and sign for an app, and that are never shown."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class SecretKey(Model):
    """A secret key by its name and `type`; `public_key` is its public half in base64, where it has one.

    `type` is such as `hs256`, `es256`, `xaes256gcm` or `nacl_box`. `version` comes from setting or deleting it.
    """

    name: str | None = None
    type: str | None = None
    public_key: str | None = None
    version: int | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class SecretKeyList(Model):
    """The secret keys of an app, as one answer."""

    secret_keys: Sequence[SecretKey] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class KeyWork(Model):
    """What a secret key made of the bytes it was given, in base64, each kind of work under its own name."""

    ciphertext: str | None = field(default=None, repr=False)
    plaintext: str | None = field(default=None, repr=False)
    signature: str | None = field(default=None, repr=False)
