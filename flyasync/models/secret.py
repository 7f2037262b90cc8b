"""Secrets: values that an app's machines find in their environment when they start."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Secret(Model):
    """A secret by its name; `digest` tells one value from another without showing it.

    `value` comes only when asked for, and stays out of the repr. `version` comes from setting it, and belongs to all
    secrets of the app: pass it as `min_secrets_version`.
    """

    name: str | None = None
    digest: str | None = None
    value: str | None = field(default=None, repr=False)
    version: int | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class SecretList(Model):
    """The secrets of an app, as one answer."""

    secrets: Sequence[Secret] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class SecretsUpdate(Model):
    """What became of an app's secrets; a machine started with `min_secrets_version=version` sees all of it."""

    secrets: Sequence[Secret] | None = None
    version: int | None = None


def fingerprint(secrets: Iterable[Secret]) -> str | None:
    """Return a short text that changes when a secret is set to another value, added or deleted; it shows no value.

    It is made from names and digests. None where a digest is missing, for then a change would not be noticed.
    """
    known = sorted((secret.name or "", secret.digest or "") for secret in secrets)
    if not all(digest for _, digest in known):
        return None
    # 64 bits: enough to notice a change, short enough for metadata.
    return sha256(json.dumps(known).encode()).hexdigest()[:16]
