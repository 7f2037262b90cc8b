"""Rechecks: before a machine begins, all machines changed so far are polled again, as a version may fail late."""

import asyncio
from contextlib import suppress

from flyasync.deploy.list_lag import is_behind
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.decisions import to_recheck
from flyasync.deploy.run.verify import Verifier
from flyasync.errors import FlyError
from flyasync.models.machine import Machine

RECENT = 60.0
"""Seconds after its change during which a machine is fetched by its id; after that, a list is enough."""

FRESH = 1.0
"""Seconds for which the result of one round of polls is used for all machines that begin."""


class Rechecks:
    """Polls the machines that a deploy has changed, in rounds shared by all machines that are about to begin."""

    def __init__(self, context: DeployContext, verifier: Verifier) -> None:
        self._context = context
        self._verifier = verifier
        self._lock = asyncio.Lock()
        self._begun = float("-inf")

    async def failed(self) -> list[tuple[MachineRun, FlyError]]:
        """Return the changed machines that are no longer in their promised state, each with the error found.

        Return none if another round has just reported them. A cancellation ends the round.
        """
        asked = asyncio.get_running_loop().time()
        async with self._lock:
            if self._begun > asked - FRESH:
                return []
            self._begun = asyncio.get_running_loop().time()
            # 1. A machine changed recently is fetched by its id, because lists lag.
            # 2. A machine changed earlier is not fetched if a list proves that it is well.
            # 3. Any other machine is fetched.
            runs = to_recheck(self._context.runs, self._context.spec)
            now = self._context.now()
            older = [run for run in runs if now - (run.ready_after or 0.0) >= RECENT]
            rows: dict[str, Machine] = {}
            if older:
                with suppress(FlyError):  # without a list, all are fetched
                    rows = {each.id: each for each in await self._context.fly.machines.list(self._context.app)}
            for run in older:
                row = rows.get(run.machine_id)
                is_current = row is not None and run.machine is not None and not is_behind(row, run.machine)
                if row is not None and is_current and self._verifier.why_down(run, row) is None:
                    runs.remove(run)
            ends = await asyncio.gather(*map(self._verifier.still_up, runs), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, FlyError):
                raise end
        return [(run, end) for run, end in zip(runs, ends, strict=True) if isinstance(end, FlyError)]
