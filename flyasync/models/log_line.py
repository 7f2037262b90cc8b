"""Log lines: the output of machines, and messages of the platform about them."""

from typing import Any

from attrs import field, frozen

from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class LogLine(Model):
    """One line of an app's log; `instance` is the id of its machine, `meta` is JSON with details."""

    id: str | None = None
    timestamp: Timestamp | None = field(default=None, converter=timestamp)
    message: str | None = None
    level: str | None = None
    instance: str | None = None
    region: str | None = None
    meta: Any = field(default=None, repr=False)
