"""Makes the plan for a spec: observe, resolve the image, decide."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import cast

from attrs import evolve, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.observe import check_regions, listed_addresses, observe
from flyasync.deploy.plan.addresses import AddressType, is_public, needed, remark_on
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import decide
from flyasync.deploy.plan.plan import Decision
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.saved_deploy import SavedDeploy
from flyasync.errors import FlyError
from flyasync.models.image import digest_of
from flyasync.models.ip_assignment import IPAssignment

PATIENCE = 5.0
"""Seconds after which the deploy continues without the digest of a tag."""


class Planner:
    """Plans one deploy, each time from a new observation; the image's tag is resolved once, by `resolve`.

    A deploy that a file contains, `saved`, may go on only if it accepts each plan.
    """

    def __init__(self, fly: FlyClient, spec: DeploySpec, saved: SavedDeploy | None, resolve: "Resolve") -> None:
        self._fly = fly
        self._spec = spec
        self._saved = saved
        self._resolved = resolve
        self._moved_to: str | None = None

    async def decide(self, *, by_id: bool = True, unlisted: Collection[str] = ()) -> Decision:
        """Return the plan; raises NotFound if the app does not exist, and InvalidInput if the spec is impossible.

        `unlisted` are ids of machines that an earlier list lacked. Raises FleetChanged if the saved deploy does not
        accept the plan.
        """
        asked = self._spec
        # A list may be seconds old, and would show changes that are none.
        by_id = by_id or bool(self._saved and self._saved.demands_fleet)
        fleet, wrong, addresses, _ = await asyncio.gather(
            observe(self._fly, asked, by_id=by_id, unlisted=unlisted),
            check_regions(self._fly, asked),
            self._addresses(),
            self._resolve(),
            return_exceptions=True,
        )
        # An unknown region explains more than an error of the observation, so it comes first.
        for result in (wrong, fleet, addresses):
            if isinstance(result, BaseException):
                raise result
        decision = decide(self._spec, cast("Fleet", fleet))
        lacking, types = self._reachable(cast("Sequence[IPAssignment] | None", addresses), cast("Fleet", fleet))
        remarks, lacks = (*decision.plan.remarks, *lacking), bool(lacking)
        if self._moved_to:
            kept = f"the digest of the {self._saved.noun if self._saved else 'plan'} is deployed"
            remarks += (f"the tag {asked.config.image} has moved to {self._moved_to} since; {kept}: {asked.digest}",)
        decision = evolve(decision, plan=evolve(decision.plan, remarks=remarks, addresses=types, lacks_address=lacks))
        return self._saved.accepted(decision) if self._saved else decision

    async def _addresses(self) -> Sequence[IPAssignment] | None:
        """Return the app's addresses if that matters; None if it does not, or if they cannot be listed."""
        is_asked = any(is_public(group.config) for group in self._spec.groups)
        return await listed_addresses(self._fly, self._spec.app) if is_asked else None

    def _reachable(
        self, addresses: Sequence[IPAssignment] | None, fleet: Fleet
    ) -> tuple[tuple[str, ...], tuple[AddressType, ...]]:
        """Return a remark on an address that is lacking, or the types of addresses to allocate."""
        if addresses is None:
            return (), ()
        configs = [group.config for group in self._spec.groups]
        types = needed(configs, addresses, fleet.machines) if self._spec.public_ips else ()
        return () if types else remark_on(self._spec.app, configs, addresses), types

    async def _resolve(self) -> None:
        """Resolve the image's tag once for all plans: record its digest, or why the API does not show it."""
        spec = self._spec
        # A saved deploy keeps its digest. It may have been saved long ago, so a tag that has moved since is a remark.
        if self._saved and self._saved.demands_fleet and spec.digest and not self._moved_to:
            found = await self._resolved(self._fly, spec.app, str(spec.config.image))
            self._moved_to = found.digest if found.digest != spec.digest else None
        elif spec.config.image and not (digest_of(spec.image) or spec.unresolved):
            found = await self._resolved(self._fly, spec.app, spec.config.image)
            self._spec = evolve(spec, digest=found.digest, unresolved=found.trouble)


@frozen
class Resolution:
    """The digest of a tag, or the `trouble` that prevented its resolution."""

    digest: str | None = None
    trouble: str | None = None


Resolve = Callable[[FlyClient, str, str], Awaitable[Resolution]]
"""Resolves the tag of an image for an app; returns a failure."""


async def resolved(fly: FlyClient, app: str, image: str) -> Resolution:
    """Resolve the tag of an image within `PATIENCE` seconds; a failure is returned, not raised."""
    try:
        async with asyncio.timeout(PATIENCE):
            return Resolution(digest=digest_of(await fly.images.resolve(app, image)))
    except TimeoutError:
        return Resolution(trouble=f"there was no response within {PATIENCE:g} s")
    except FlyError as error:
        return Resolution(trouble=error.for_command)  # of both wordings, the one without terms of Python
