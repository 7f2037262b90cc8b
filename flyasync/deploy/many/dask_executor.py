"""DaskExecutor: the deploys of many apps on the workers of a Dask cluster."""

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
"""Seconds to wait for jobs to end that are cancelled: more than their last checks and leases take."""

FETCHES = 5
"""How often to fetch a report: another user of the Dask client may cancel a fetch, and break all further ones."""

Connect = Callable[[], FlyClient]


class DaskExecutor:
    """Spreads the jobs of `deploy_many` over the workers of a Dask cluster (`pip install 'flyasync[dask]'`).

        async with Client("tcp://scheduler:8786", asynchronous=True) as client:
            async for report in deploy_many(fly, base, apps, at_once=100, executor=DaskExecutor(client)):
                print(report)

    Each worker makes one FlyClient for all its jobs, by `connect`, and closes it when it closes itself. The default is
    `FlyClient()`: it finds token and URL in the environment of the *worker*, and FLYASYNC_LIMITS for limits that count
    together, so that no token travels. A worker whose client is not one of the API that `fly` has is refused before
    any request. What `connect` holds, such as a token, travels with each job, as the values of env do: use TLS
    (`distributed.Security`) where the network is not yours alone. No key, log or repr shows them.

    `at_once` is the limit over all workers. Jobs leave their slot, so that a worker with one thread drives many apps.
    While there is no worker, jobs wait for one. Scheduler and workers need this version of flyasync.

    A job whose worker dies goes to another one, and waits there up to 40 s for leases of the dead to end. Where Dask
    gives up (usually after four dead workers), or is lost itself, the app's report is not ok, and says that machines
    may have been made. Cancelled jobs end as `execute` does, which is waited for up to 120 s. If this process dies,
    jobs under way go on to their end, and no other begins.

    Raises InvalidInput for a client that is not asynchronous, and for a `connect` that cannot be pickled.
    """

    def __init__(self, client: Client, *, connect: Connect = FlyClient) -> None:
        if not isinstance(client, Client):
            raise InvalidInput(f"client is {client!r}, but must be a distributed.Client")
        if not client.asynchronous:
            raise InvalidInput(
                "the Dask client is not of this event loop: make it here, with Client(…, asynchronous=True)"
            )
        self._client: Any = client  # its annotations are those of a client that blocks
        self._connect = _portable(connect)
        self._preparing = asyncio.Lock()
        self._opened: Any = None
        self._cancelled: list[str] = []
        self._cancelling: asyncio.Task[None] | None = None

    async def execute(self, job: Job) -> DeployReport:
        """Have a worker do the job, and return its report; Dask forgets both then."""
        parcel = Parcel(number=token_hex(8), app=job.app, launch=job.launch, connect=self._connect, job=job.packed())
        await self._prepare()
        with Begins.of(self._client).counted(parcel.number) as begins:
            future = self._client.submit(work, parcel, key=parcel.key, pure=False)
            fetch = asyncio.create_task(_fetched(future))
            try:
                # Shielded: Dask fetches results that are ready together in one task, which any waiter would cancel for
                # all.
                answer = await asyncio.shield(fetch)
            except asyncio.CancelledError:
                future.release()  # which ends the fetch
                # The workers end the job, and those that are cancelled together share one message.
                self._cancelled.append(parcel.number)
                self._cancelling = self._cancelling or asyncio.create_task(self._send_cancellations())
                await asyncio.gather(self._cancelling, fetch)
                raise
            finally:
                future.release()
            # 1. The job came to its end.
            if isinstance(answer, DeployReport):
                return answer
            # 2. It was refused, and nothing has happened: that is believed of a first run only, since a worker that was
            #    lost with the job may have done anything.
            if isinstance(answer, FlyError) and begins() == 1:
                raise answer
            # 3. Machines may have been made.
            raise JobLost(parcel.app, parcel.launch, _reason(answer)) from answer

    async def _prepare(self) -> None:
        """Check, before the first job, that the cluster has this flyasync: a worker without it would die of the job."""
        if self._client.status in {"closing", "closed"}:
            raise InvalidInput(f"the Dask client is {self._client.status}: keep it open until all reports have come")
        async with self._preparing:
            if self._opened is not None:
                return
            try:
                await self._client.wait_for_workers(1)
                found = await self._client.run(installed, on_error="return")
            except OSError as error:
                raise FlyError(f"the Dask cluster cannot be asked: {error}") from error
            try:
                scheduler = await self._client.run_on_scheduler(installed)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
                scheduler = error
            refuse_strangers({"the scheduler": scheduler, **found})
            # Dask keeps a record indefinitely of each time that a group of tasks begins anew: this task keeps the group
            # from ending.
            self._opened = self._client.submit(bool, key=(GROUP, "open", token_hex(8)), pure=False)

    async def _send_cancellations(self) -> None:
        await asyncio.sleep(0)  # until all that are cancelled now have been added
        numbers, self._cancelled, self._cancelling = self._cancelled, [], None
        try:
            async with asyncio.timeout(LAST_WAIT):
                await self._client.run(end, numbers, on_error="ignore")
        except Exception as error:  # noqa: BLE001 - whatever keeps the message from the workers
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{len(numbers)} cancelled deploys may go on on their Dask workers", "exception": error}
            )


class Begins:
    """How often the jobs of a Dask client have begun: more than once where a worker was lost with one."""

    _by_client: ClassVar["WeakKeyDictionary[Client, Begins]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._begins: dict[str, int] = {}

    @classmethod
    def of(cls, client: Any) -> "Begins":
        """Return those of a client, which has the workers report them from the first time on."""
        if client not in cls._by_client:
            cls._by_client[client] = begins = cls()
            client.subscribe_topic(GROUP, begins.count)
        return cls._by_client[client]

    def count(self, event: tuple[float, str]) -> None:
        """Count a job that begins on a worker, by the event that the worker logs."""
        if event[1] in self._begins:
            self._begins[event[1]] += 1

    @contextmanager
    def counted(self, number: str) -> Iterator[Callable[[], int]]:
        """Count those of one job, and forget them; the events of a worker arrive before its results."""
        self._begins[number] = 0
        try:
            yield lambda: self._begins[number]
        finally:
            del self._begins[number]


async def _fetched(future: Awaitable[Any]) -> Any:
    """Return what a job returns, or the error that came instead."""
    for _ in range(FETCHES):
        try:
            return await future
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            await asyncio.sleep(0)  # another waiter for results was cancelled, and this fetch with it
        except Exception as error:  # noqa: BLE001 - the caller decides what it means
            return error
    return ConnectionError("its report is there, but Dask gives none any more, since a fetch of others was cancelled")


def _reason(error: Exception) -> str:
    if isinstance(error, FutureCancelledError):
        return f"Dask cancelled it ({error.reason})"
    if isinstance(error, KilledWorker):
        return f"{error.allowed_failures + 1} Dask workers died with it, the last one at {error.last_worker.address}"
    return f"{type(error).__name__}: {error}"


def refuse_strangers(found: Mapping[str, Any]) -> None:
    """Raise InvalidInput unless all that was found is the flyasync that is installed here."""
    strangers = [
        f"{where}: {_reason(version) if isinstance(version, Exception) else version}"
        for where, version in found.items()
        if version != installed()
    ]
    if strangers:
        more = f", and {len(strangers) - 3} more" if len(strangers) > 3 else ""  # noqa: PLR2004 - a few say enough
        raise InvalidInput(
            f"the Dask cluster does not have flyasync {installed()}, as this process has ({', '.join(strangers[:3])}"
            f"{more}): install the same flyasync[dask] where its scheduler and workers run"
        )


def _portable(connect: Any) -> bytes:
    """Return `connect` as bytes: equal ones share a client on a worker."""
    if not callable(connect):
        raise InvalidInput(f"connect is {type(connect).__name__}, but must be a function that makes a FlyClient")
    try:
        return cast("bytes", dumps(connect))  # type: ignore[no-untyped-call]
    except Exception as error:
        raise InvalidInput(
            f"connect cannot be sent to Dask workers ({type(error).__name__}): use a function of a module, or partial"
        ) from error
