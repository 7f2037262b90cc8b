"""Who deploys: this process, or the workers of a dask cluster, which is loaded only for those who ask for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from flyasync.cli.shared.exit_codes import Failure
from flyasync.deploy.many.executors import Executor

PATIENCE = 10.0
"""Seconds to wait for a scheduler to answer."""
GLANCE = 1.0
"""Seconds to wait for a worker before it is said that there is none."""


@asynccontextmanager
async def executing(
    address: str | None, note: Callable[[str], None], *, patience: float = PATIENCE
) -> AsyncIterator[Executor | None]:
    """Open the executor at an address, None for this process; raises Failure where dask or its scheduler is missing.

    `note` is told when there are no workers yet; `patience` is in seconds, for the scheduler to answer.
    """
    if address is None:
        yield None
        return
    try:
        from flyasync.deploy.many import dask_executor
    except ModuleNotFoundError as error:
        raise Failure(
            f"dask:// needs {error.name}, which is not installed: pip install 'flyasync[dask]', here and where the "
            "scheduler and the workers run"
        ) from error
    dask: Any = dask_executor  # distributed is not typed
    client = dask.Client(address, asynchronous=True, timeout=patience)
    try:
        await _answered(client, address, patience)
        try:
            await client.wait_for_workers(1, timeout=GLANCE)
        except TimeoutError:
            note(f"no worker has come to {address} yet, so the apps wait for one")
        executor: Executor = dask.DaskExecutor(client)
        yield executor
    finally:
        await client.close()


async def _answered(client: Any, address: str, patience: float) -> None:
    try:
        async with asyncio.timeout(patience + 1):  # a port that answers and says nothing would be waited for
            await client
    except Exception as error:  # what is no scheduler answers anything, and Dask makes anything of it
        raise Failure(
            f"no dask scheduler answers at {address} within {patience:g} s: start one with: dask scheduler --host HOST"
        ) from error
