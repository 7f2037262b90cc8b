"""Leases: the right to change a machine, for a while."""

from datetime import UTC, datetime

from attrs import field, frozen

from flyasync.models.model import Model, settled


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineLease(Model):
    """Who holds a machine's lease, without the nonce; `expires_at` is in unix seconds."""

    owner: str | None = None
    description: str | None = None
    expires_at: int | None = None

    @property
    def expires(self) -> datetime | None:
        """The moment it ends by itself, in UTC."""
        return None if self.expires_at is None else datetime.fromtimestamp(self.expires_at, UTC)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Lease(MachineLease):
    """A lease with the `nonce` that proves it; whoever has that can release it, so it stays out of the repr.

    `version` is the version of the machine it was taken on. docs: machines/api/machines-resource
    """

    nonce: str = field(repr=False)
    version: str | None = None
