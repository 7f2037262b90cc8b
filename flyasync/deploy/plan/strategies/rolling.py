"""Rolling: update machines in place, a few of each region at a time; `max_unavailable` is in in_place.py."""

from collections.abc import Sequence
from typing import ClassVar

from attrs import frozen

from flyasync.deploy.plan.plan import Track
from flyasync.deploy.plan.strategies.in_place import InPlace


@frozen(kw_only=True)
class Rolling(InPlace):
    """Update machines in place, a few of each region at a time, after one single machine."""

    name: ClassVar[str] = "rolling"

    def ahead(self, tracks: Sequence[Track]) -> tuple[str, list[Track]]:
        """Return the first machine that is updated while it serves, if other machines follow it."""
        updates = [each for each in tracks if each.takes_slot]
        return "one machine first", updates[:1] if len(tracks) > 1 else []
