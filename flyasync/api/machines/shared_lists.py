"""Many lookups in one app, and one list a second for all of them."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from attrs import Factory, define

from flyasync.models.machine import Machine

EVERY = 1.0
"""Seconds between two lists of an app, which is what the rate limit allows, and for which a list is shared."""


class Lister(Protocol):
    """Lists an app's machines, as `fly.machines.list` does."""

    async def __call__(
        self, app: str, /, *, metadata: Mapping[str, str] | None, summary: bool | None, include_leases: bool | None
    ) -> tuple[Machine, ...]:
        """List those with that metadata."""


@define
class _Batch:
    """The lookups that one list serves: `metadata` is what they have in common, which the API filters by."""

    metadata: Mapping[str, str]
    is_sent: bool = False
    listed_at: float | None = None
    listing: "asyncio.Task[tuple[Machine, ...]] | None" = None

    def admit(self, metadata: Mapping[str, str]) -> None:
        """Let the list serve one more lookup: it returns what this one needs too."""
        self.metadata = dict(self.metadata.items() & metadata.items())

    def serves(self, metadata: Mapping[str, str]) -> bool:
        """Whether the list contains all machines with that metadata."""
        return self.metadata.items() <= metadata.items()

    def sent(self) -> None:
        """Record that the list is being requested, so that it can serve no further lookups with other metadata."""
        self.is_sent = True

    def arrived(self, moment: float) -> None:
        """Record when the list was received."""
        self.listed_at = moment


@define(eq=False)
class SharedLists:
    """The lists of one client that several lookups share, for each app."""

    _list: Lister
    _summary: bool | None = None
    _include_leases: bool | None = None
    _batches: dict[str, _Batch] = Factory(dict)

    async def find(self, app: str, metadata: Mapping[str, str] | None = None) -> tuple[Machine, ...]:
        """Return the machines with that metadata from a list that is at most a second old.

        Raises what the list raises, to each lookup that shares it; the next lookup sends a new list.
        """
        metadata = metadata or {}
        batch = self._batch(app, metadata)
        assert batch.listing is not None  # noqa: S101 - set with the batch
        # The list is not cancelled with one of its lookups, since others may share it.
        machines = await asyncio.shield(batch.listing)
        return tuple(each for each in machines if metadata.items() <= each.metadata.items()) if metadata else machines

    def _batch(self, app: str, metadata: Mapping[str, str]) -> _Batch:
        """Return the batch that serves a lookup: the last one, or a new one."""
        last = self._batches.get(app)
        now = asyncio.get_running_loop().time()
        # 1. The list has not been requested yet: it is to serve this lookup too.
        if last and not last.is_sent:
            last.admit(metadata)
            return last
        # 2. It is under way, or not older than a second, and contains what this lookup needs.
        is_current = last and (last.listed_at is None or last.listed_at + EVERY > now)
        if last and is_current and last.serves(metadata):
            return last
        # 3. A new one, a second after the last.
        new = self._batches[app] = _Batch(metadata)
        new.listing = asyncio.create_task(self._listed(app, new, after=last))
        new.listing.add_done_callback(_mark_retrieved)
        return new

    async def _listed(self, app: str, batch: _Batch, *, after: _Batch | None) -> tuple[Machine, ...]:
        loop = asyncio.get_running_loop()
        try:
            if after and after.listing:
                await asyncio.wait([after.listing])
                await asyncio.sleep((after.listed_at or 0.0) + EVERY - loop.time())
            batch.sent()
            machines = await self._list(
                app, metadata=batch.metadata or None, summary=self._summary, include_leases=self._include_leases
            )
        except BaseException:
            self._forget(app, batch)
            raise
        batch.arrived(loop.time())
        loop.call_later(EVERY, self._forget, app, batch)
        return machines

    def _forget(self, app: str, batch: _Batch) -> None:
        if self._batches.get(app) is batch:
            del self._batches[app]


def _mark_retrieved(listing: "asyncio.Task[tuple[Machine, ...]]") -> None:
    """Keep asyncio from logging the error of a list whose lookups have all been cancelled."""
    if not listing.cancelled():
        listing.exception()
