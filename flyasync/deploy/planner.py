"""Makes the plan for a spec: observe, resolve the image, decide."""

import asyncio
from collections.abc import Collection
from typing import cast

from attrs import evolve, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.observe import check_regions, lacking_address, observe
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import decide
from flyasync.deploy.plan.plan import Decision
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.errors import FlyError
from flyasync.models.image import digest_of

PATIENCE = 5.0
"""Seconds after which the deploy continues without the digest of a tag."""


class Planner:
    """Plans one deploy, each time from a new observation; the image's tag is resolved once."""

    def __init__(self, fly: FlyClient, spec: DeploySpec) -> None:
        self._fly = fly
        self._spec = spec

    async def decide(self, *, by_id: bool = True, unlisted: Collection[str] = ()) -> Decision:
        """Return the plan; raises NotFound if the app does not exist, and InvalidInput if the spec is impossible.

        `unlisted` are ids of machines that an earlier list lacked.
        """
        asked = self._spec
        fleet, wrong, remarks, _ = await asyncio.gather(
            observe(self._fly, asked, by_id=by_id, unlisted=unlisted),
            check_regions(self._fly, asked),
            lacking_address(self._fly, asked.app, [group.config for group in asked.groups]),
            self._resolve(),
            return_exceptions=True,
        )
        # An unknown region explains more than an error of the observation, so it comes first.
        for result in (wrong, fleet, remarks):
            if isinstance(result, BaseException):
                raise result
        decision = decide(self._spec, cast("Fleet", fleet))
        remarks = (*decision.plan.remarks, *cast("tuple[str, ...]", remarks))
        return evolve(decision, plan=evolve(decision.plan, remarks=remarks))

    async def _resolve(self) -> None:
        """Resolve the image's tag once for all plans: record its digest, or why the API does not show it."""
        spec = self._spec
        if spec.config.image and not (digest_of(spec.image) or spec.unresolved):
            found = await resolved(self._fly, spec.app, spec.config.image)
            self._spec = evolve(spec, digest=found.digest, unresolved=found.trouble)


@frozen
class Resolution:
    """The digest of a tag, or the `trouble` that prevented its resolution."""

    digest: str | None = None
    trouble: str | None = None


async def resolved(fly: FlyClient, app: str, image: str) -> Resolution:
    """Resolve the tag of an image within `PATIENCE` seconds; a failure is returned, not raised."""
    try:
        async with asyncio.timeout(PATIENCE):
            return Resolution(digest=digest_of(await fly.images.resolve(app, image)))
    except TimeoutError:
        return Resolution(trouble=f"there was no response within {PATIENCE:g} s")
    except FlyError as error:
        return Resolution(trouble=error.for_command)  # of both wordings, the one without terms of Python
