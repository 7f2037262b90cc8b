"""Rolling: update machines where they are, a few of each region at a time; `max_unavailable` is in in_place.py."""

from collections.abc import Sequence
from typing import ClassVar

from attrs import frozen

from flyasync.deploy.plan.plan import Track
from flyasync.deploy.plan.strategies.in_place import InPlace


@frozen(kw_only=True)
class Rolling(InPlace):
    """Update machines in place, a few of each region at a time; one machine of all goes first."""

    name: ClassVar[str] = "rolling"

    def ahead(self, tracks: Sequence[Track]) -> tuple[str, list[Track]]:
        """Choose the first machine that is updated while it serves, if there are others to go after it."""
        updates = [each for each in tracks if each.takes_a_place]
        return "one machine goes first", updates[:1] if len(tracks) > 1 else []
