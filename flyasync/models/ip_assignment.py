"""IP assignments: the addresses under which an app can be reached, or from which it connects to others."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class IPPair(Model):
    """The IPv4 and IPv6 address from which an app connects to others."""

    v4: str | None = None
    v6: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class IPNetwork(Model):
    """The private network that a Flycast address belongs to; `name` is empty for the organization's default network."""

    name: str | None = None
    org_slug: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class IPAssignment(Model):
    """An address of an app.

    A `shared` address serves many apps. `egress` addresses are for outgoing connections; creating both at once returns
    an `ip_pair`, and no `ip`. Only a `private_v6` has a `network`.
    """

    ip: str | None = None
    region: str | None = None
    type: str | None = None
    shared: bool | None = None
    egress: bool | None = None
    service_name: str | None = None
    ip_pair: IPPair | None = None
    network: IPNetwork | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class IPAssignmentList(Model):
    """The addresses of an app, as the API returns them."""

    ips: Sequence[IPAssignment] | None = None
