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
    """Update all machines at once, whatever that interrupts."""

    name: ClassVar[str] = "immediate"

    def widths(self, serving: Mapping[str, int]) -> dict[str, int]:  # noqa: ARG002 - there is no limit
        """Return no limit for any region."""
        return {}

    def stages(self, spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: Wave) -> Iterator[Stage]:
        """Yield what verifies the others where none runs, then all at once, then what is left over."""
        tracks = list(changed(spec, fleet, members))
        yield Stage.of(f"{VERIFY}{wave}", [each for each in tracks if each.verifies])
        yield Stage.of(f"all at once{wave}", [each for each in tracks if not each.verifies])
        yield surplus(members, wave)
