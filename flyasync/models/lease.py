"""Leases: the exclusive right to change a machine, for a limited time."""

from datetime import UTC, datetime

from attrs import field, frozen

from flyasync.models.model import Model, settled


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineLease(Model):
    """The holder of a machine's lease, without the nonce; `expires_at` is a unix time in seconds."""

    owner: str | None = None
    description: str | None = None
    expires_at: int | None = None

    @property
    def expires(self) -> datetime | None:
        """The time at which the lease expires, in UTC."""
        return None if self.expires_at is None else datetime.fromtimestamp(self.expires_at, UTC)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Lease(MachineLease):
    """A lease with the `nonce` that proves it. The repr does not show the nonce, with which any client can release it.

    `version` is the version of the machine when the lease was acquired. docs: machines/api/machines-resource
    """

    nonce: str = field(repr=False)
    version: str | None = None

    def acquired_at(self, ttl: int) -> float:
        """Return the unix time, by the API's clock, at which it was acquired or refreshed for `ttl` seconds."""
        return float((self.expires_at or 0) - ttl)
