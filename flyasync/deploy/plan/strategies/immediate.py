"""Immediate: update all machines at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from attrs import frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import Stage
from flyasync.deploy.plan.reconcile import Member
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.strategies.group import GroupStrategy, Wave
from flyasync.deploy.plan.strategies.in_place import VERIFY, surplus
from flyasync.deploy.plan.strategies.tracks import changed


@frozen(kw_only=True)
class Immediate(GroupStrategy):
    """Update all machines at once; this interrupts the service."""

    name: ClassVar[str] = "immediate"

    def widths(self, serving: Mapping[str, int]) -> dict[str, int]:  # noqa: ARG002 - there is no limit
        """Return no limit for any region."""
        return {}

    def stages(self, spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: Wave) -> Iterator[Stage]:
        """Yield a verification stage if no machine runs, then all machines, then the surplus machines."""
        tracks = list(changed(spec, fleet, members))
        yield Stage.of(f"{VERIFY}{wave}", [each for each in tracks if each.verifies])
        yield Stage.of(f"all machines at once{wave}", [each for each in tracks if not each.verifies])
        yield surplus(members, wave)
