"""The machines that a deploy has changed are observed again before the next one begins: a version may fail late."""

import asyncio
from collections.abc import Callable, Sequence

from flyasync.api.client import FlyClient
from flyasync.deploy.freshness import is_behind
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.verify import Watching
from flyasync.errors import FlyError
from flyasync.models.machine import Machine

RECENT = 60.0
"""Seconds after its change for which a machine is fetched by its id; after that, a list is enough."""

FRESH = 1.0
"""Seconds for which one round of observations serves all machines that are about to begin."""


class Rechecks:
    """Observes again what a deploy has changed, by rounds that serve all who ask meanwhile."""

    def __init__(self, fly: FlyClient, app: str, watching: Watching, clock: Callable[[], float]) -> None:
        self._fly = fly
        self._app = app
        self._watching = watching
        self._clock = clock
        self._lock = asyncio.Lock()
        self._begun = float("-inf")

    async def failed(self, changed: Callable[[], Sequence[MachineRun]]) -> list[tuple[MachineRun, FlyError]]:
        """Return those of the changed machines that are not as they shall be any more, each with what shows it.

        Those that a list proves to be well are not fetched, if their change is not recent.
        """
        asked = asyncio.get_running_loop().time()
        async with self._lock:
            if self._begun > asked - FRESH:
                return []
            self._begun = asyncio.get_running_loop().time()
            runs = await self._doubtful(changed())
            ends = await asyncio.gather(*map(self._watching.still_up, runs), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, FlyError):
                raise end
        return [(run, end) for run, end in zip(runs, ends, strict=True) if isinstance(end, FlyError)]

    async def _doubtful(self, runs: Sequence[MachineRun]) -> list[MachineRun]:
        now = self._clock()
        older = {run.machine_id: run for run in runs if now - (run.ready_after or 0.0) >= RECENT}
        rows = await self._rows() if older else {}
        proven = {id_ for id_, run in older.items() if id_ in rows and self._proves(rows[id_], run)}
        return [run for run in runs if run.machine_id not in proven]

    async def _rows(self) -> dict[str, Machine]:
        try:
            return {machine.id: machine for machine in await self._fly.machines.list(self._app)}
        except FlyError:
            return {}  # without a list, all are fetched

    def _proves(self, row: Machine, run: MachineRun) -> bool:
        is_current = run.machine is not None and not is_behind(row, run.machine)
        return is_current and self._watching.why_down(run, row) is None
