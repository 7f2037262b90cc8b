"""Where the deploys of `flyasync bulk` run: in this process, or on the workers of a dask cluster."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from flyasync.cli.shared.exit_codes import CommandFailed
from flyasync.deploy.many.executors import Executor

PATIENCE = 10.0
"""Seconds to wait for a scheduler to respond."""
WORKER_PATIENCE = 1.0
"""Seconds to wait for a worker before a note."""


@asynccontextmanager
async def open_executor(
    address: str | None, note: Callable[[str], None], *, patience: float = PATIENCE
) -> AsyncIterator[Executor | None]:
    """Open the executor at an address, None for this process; raises CommandFailed without dask or its scheduler.

    `note` is called if there are no workers yet; `patience` is the seconds within which the scheduler has to respond.
    """
    if address is None:
        yield None
        return
    try:
        from flyasync.deploy.many import dask_executor  # dask is an extra, and loads slowly
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"dask:// needs {error.name}, which is not installed: run pip install 'flyasync[dask]' here and on the "
            "hosts of the scheduler and the workers"
        ) from error
    dask: Any = dask_executor  # distributed is not typed
    client = dask.Client(address, asynchronous=True, timeout=patience)
    try:
        # Dask's own timeout covers only the connection, not a server that accepts it and never responds.
        try:
            async with asyncio.timeout(patience + 1):
                await client
        except Exception as error:  # another server may return anything, and dask may raise anything
            raise CommandFailed(
                f"no dask scheduler responds at {address} within {patience:g} s: start one with: dask scheduler --host "
                "HOST"
            ) from error
        try:
            await client.wait_for_workers(1, timeout=WORKER_PATIENCE)
        except TimeoutError:
            note(f"no worker is connected to {address} yet; the apps wait for one")
        executor: Executor = dask.DaskExecutor(client)
        yield executor
    finally:
        await client.close()
