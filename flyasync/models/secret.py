"""Secrets: values that an app's machines get in their environment when they start."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Secret(Model):
    """A secret of an app; its `digest` changes with its value, without showing it.

    `value` is set only if it was requested, and the repr does not show it. Setting a secret returns the `version` of
    all secrets of the app: pass it as `min_secrets_version`.
    """

    name: str | None = None
    digest: str | None = None
    value: str | None = field(default=None, repr=False)
    version: int | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class SecretList(Model):
    """The secrets of an app, as the API returns them."""

    secrets: Sequence[Secret] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class SecretsUpdate(Model):
    """The result of changing secrets; a machine started with `min_secrets_version=version` gets all changes."""

    secrets: Sequence[Secret] | None = None
    version: int | None = None


def fingerprint(secrets: Iterable[Secret]) -> str | None:
    """Return a short text that changes if a secret is set to another value, added or deleted; it contains no value.

    It is computed from names and digests. Returns None if a digest is missing, since a change could go unnoticed.
    """
    known = sorted((secret.name or "", secret.digest or "") for secret in secrets)
    if not all(digest for _, digest in known):
        return None
    # 64 bits are enough to detect a change, and short enough for metadata.
    return sha256(json.dumps(known).encode()).hexdigest()[:16]
