"""Addresses: the IPs under which an app can be reached, or from which it calls out."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class IPPair(Model):
    """The two addresses that an app calls out from."""

    v4: str | None = None
    v6: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class IPAssignment(Model):
    """An address of an app.

    `shared` ones serve many apps; `egress` ones are for calling out, and come as an `ip_pair` when they are made.
    """

    ip: str | None = None
    region: str | None = None
    type: str | None = None
    shared: bool | None = None
    egress: bool | None = None
    service_name: str | None = None
    ip_pair: IPPair | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class IPAssignmentList(Model):
    """The addresses of an app, as one answer."""

    ips: Sequence[IPAssignment] | None = None
