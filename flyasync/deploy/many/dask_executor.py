"""DaskExecutor: runs the deploys of many apps on the workers of a Dask cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from secrets import token_hex
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

from distributed import Client
from distributed.client import FutureCancelledError
from distributed.protocol.pickle import dumps
from distributed.scheduler import KilledWorker

from flyasync.api.client import FlyClient
from flyasync.deploy.many.dask_worker import GROUP, Parcel, end, work
from flyasync.deploy.many.executors import Job, installed
from flyasync.deploy.reporting.report import DeployReport
from flyasync.errors import FlyError, InvalidInput, JobLost

LAST_WAIT = 120.0
"""Seconds to wait for cancelled jobs to end: longer than their final checks and the release of their leases take."""

FETCHES = 5
"""How often to fetch a report: other users of the Dask client may cancel a fetch, which breaks this one too."""

Connect = Callable[[], FlyClient]


class DaskExecutor:
    """Distributes the jobs of `deploy_many` over the workers of a Dask cluster (`pip install 'flyasync[dask]'`).

        async with Client("tcp://scheduler:8786", asynchronous=True) as client:
            async for report in deploy_many(fly, base, apps, at_once=100, executor=DaskExecutor(client)):
                print(report)

    Each worker creates one FlyClient for all its jobs, with `connect`, and closes the client when the worker closes.
    The default, `FlyClient()`, finds the token, the URL and FLYASYNC_LIMITS (for shared limits) in the environment of
    the *worker*, so no token is sent. A worker whose client uses another API than `fly` does raises InvalidInput before
    any request. Everything in `connect`, such as a token, is sent with each job, as are the values of `env`: use TLS
    (`distributed.Security`) if others share the network. No key, log line or repr contains them.

    `at_once` is the limit over all workers. Jobs do not occupy a worker's threads, so a worker with one thread runs
    many of them. Without a worker, jobs wait for one. The scheduler and the workers need this version of flyasync.

    If a worker dies, its jobs are moved to other workers, where they wait up to 40 s for the dead worker's leases to
    expire. If Dask gives up (usually after four dead workers) or is lost itself, the app's report is not ok and shows
    that machines may have been created. Cancelled jobs end as a cancelled `execute` does; that is awaited for up to
    120 s. If this process dies, running jobs finish and no other job starts.

    Raises InvalidInput for a client that is not asynchronous, and for a `connect` that cannot be pickled.
    """

    def __init__(self, client: Client, *, connect: Connect = FlyClient) -> None:
        if not isinstance(client, Client):
            raise InvalidInput(f"client is {client!r}, but must be a distributed.Client")
        if not client.asynchronous:
            raise InvalidInput(
                "the Dask client does not use this event loop: create it here, with Client(…, asynchronous=True)"
            )
        self._client: Any = client  # its annotations are those of a synchronous client
        self._connect = _portable(connect)
        self._preparing = asyncio.Lock()
        self._opened: Any = None
        self._cancelled: list[str] = []
        self._cancelling: asyncio.Task[None] | None = None

    async def execute(self, job: Job) -> DeployReport:
        """Run the job on a worker, and return its report; Dask keeps neither of them afterwards."""
        parcel = Parcel(number=token_hex(8), app=job.app, launch=job.launch, connect=self._connect, job=job.packed())
        await self._prepare()
        with JobStarts.of(self._client).counted(parcel.number) as starts:
            future = self._client.submit(work, parcel, key=parcel.key, pure=False)
            fetch = asyncio.create_task(_fetched(future))
            try:
                # Shielded: Dask fetches several results in one task, which one cancelled waiter would cancel for all.
                result = await asyncio.shield(fetch)
            except asyncio.CancelledError:
                future.release()  # this ends the fetch
                # One message to the workers ends all jobs that are cancelled at the same time.
                self._cancelled.append(parcel.number)
                self._cancelling = self._cancelling or asyncio.create_task(self._send_cancellations())
                await asyncio.gather(self._cancelling, fetch)
                raise
            finally:
                future.release()
            # 1. The job has ended.
            if isinstance(result, DeployReport):
                return result
            # 2. The job was refused and nothing has happened. That is certain only if the job has run once: an earlier
            #    worker that died with the job may have created machines.
            if isinstance(result, FlyError) and starts() == 1:
                raise result
            # 3. Machines may have been created.
            raise JobLost(parcel.app, parcel.launch, _reason(result)) from result

    async def _prepare(self) -> None:
        """Check before the first job that the cluster has this flyasync; a job would kill a worker without it."""
        if self._client.status in {"closing", "closed"}:
            raise InvalidInput(f"the Dask client is {self._client.status}: keep it open until all reports have come")
        async with self._preparing:
            if self._opened is not None:
                return
            try:
                await self._client.wait_for_workers(1)
                found = await self._client.run(installed, on_error="return")
            except OSError as error:
                raise FlyError(f"the Dask cluster cannot be reached: {error}") from error
            try:
                scheduler = await self._client.run_on_scheduler(installed)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
                scheduler = error
            refuse_strangers({"the scheduler": scheduler, **found})
            # Each time that a group of tasks starts again, Dask adds a record that it never deletes. This task keeps
            # the group from ending.
            self._opened = self._client.submit(bool, key=(GROUP, "open", token_hex(8)), pure=False)

    async def _send_cancellations(self) -> None:
        await asyncio.sleep(0)  # so that all jobs cancelled in this iteration of the loop are included
        numbers, self._cancelled, self._cancelling = self._cancelled, [], None
        try:
            async with asyncio.timeout(LAST_WAIT):
                await self._client.run(end, numbers, on_error="ignore")
        except Exception as error:  # noqa: BLE001 - whatever keeps the message from the workers
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{len(numbers)} cancelled deploys may continue on Dask workers", "exception": error}
            )


class JobStarts:
    """Counts how often each job of a Dask client has started: more than once if a worker died running it."""

    _by_client: ClassVar["WeakKeyDictionary[Client, JobStarts]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._starts: dict[str, int] = {}

    @classmethod
    def of(cls, client: Any) -> "JobStarts":
        """Return the counter of a client; the first call subscribes it to the events of the workers."""
        if client not in cls._by_client:
            cls._by_client[client] = starts = cls()
            client.subscribe_topic(GROUP, starts.count)
        return cls._by_client[client]

    def count(self, event: tuple[float, str]) -> None:
        """Count the start of a job, from the event that its worker logs."""
        if event[1] in self._starts:
            self._starts[event[1]] += 1

    @contextmanager
    def counted(self, number: str) -> Iterator[Callable[[], int]]:
        """Count the starts of one job during the block; the events of a worker arrive before its results."""
        self._starts[number] = 0
        try:
            yield lambda: self._starts[number]
        finally:
            del self._starts[number]


async def _fetched(future: Awaitable[Any]) -> Any:
    """Return the result of a job, or the error that was raised instead."""
    for _ in range(FETCHES):
        try:
            return await future
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            await asyncio.sleep(0)  # another waiter was cancelled, and this fetch with it
        except Exception as error:  # noqa: BLE001 - the caller decides what it means
            return error
    return ConnectionError("its report is complete, but Dask does not return it, because another fetch was cancelled")


def _reason(error: Exception) -> str:
    if isinstance(error, FutureCancelledError):
        return f"Dask cancelled it ({error.reason})"
    if isinstance(error, KilledWorker):
        return f"{error.allowed_failures + 1} Dask workers died running it, the last at {error.last_worker.address}"
    return f"{type(error).__name__}: {error}"


def refuse_strangers(found: Mapping[str, Any]) -> None:
    """Raise InvalidInput unless all versions found are the version of flyasync that is installed here."""
    strangers = [
        f"{where}: {_reason(version) if isinstance(version, Exception) else version}"
        for where, version in found.items()
        if version != installed()
    ]
    if strangers:
        more = f", and {len(strangers) - 3} more" if len(strangers) > 3 else ""  # noqa: PLR2004 - a few are enough
        raise InvalidInput(
            f"the Dask cluster does not have flyasync {installed()}, the version of this process "
            f"({', '.join(strangers[:3])}{more}): install the same flyasync[dask] for its scheduler and workers"
        )


def _portable(connect: Any) -> bytes:
    """Return `connect` as bytes; jobs with equal bytes share a client on a worker."""
    if not callable(connect):
        raise InvalidInput(f"connect is a {type(connect).__name__}, but must be a function that returns a FlyClient")
    try:
        return cast("bytes", dumps(connect))  # type: ignore[no-untyped-call]
    except Exception as error:
        raise InvalidInput(
            f"connect cannot be sent to Dask workers ({type(error).__name__}): use a module-level function or a partial"
        ) from error
