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
"""Seconds to wait for jobs to end that are cancelled: more than their last looks and leases take."""

FETCHES = 5
"""How often to fetch a report: whoever else uses the Dask client may cancel a fetch, and break all further ones."""

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
    gives up (as a rule after four dead workers), or is lost itself, the app's report is not ok, and says that machines
    may have been made. Cancelled jobs end as `execute` does, which is waited for up to 120 s. If this process dies,
    jobs under way go on to their end, and no other begins.

    Raises InvalidInput for a client that is not asynchronous, and for a `connect` that cannot be pickled.
    """

    def __init__(self, client: Client, *, connect: Connect = FlyClient) -> None:
        self._client: Any = _checked(client)  # its annotations are those of its other life, where it blocks
        self._connect = _portable(connect)
        self._preparing = asyncio.Lock()
        self._opened: Any = None
        self._unwanted: list[str] = []
        self._telling: asyncio.Task[None] | None = None

    async def execute(self, job: Job) -> DeployReport:
        """Have a worker do the job, and give its report; Dask forgets both then."""
        parcel = Parcel(number=token_hex(8), app=job.app, launch=job.launch, connect=self._connect, job=job.packed())
        await self._prepare()
        with Begins.told_to(self._client).counted(parcel.number) as begins:
            return judged(parcel, await self._sent(parcel), begins())

    async def _sent(self, parcel: Parcel) -> Any:
        """Send a job to the cluster, and give what comes of it."""
        future = self._client.submit(work, parcel, key=parcel.key, pure=False)
        fetch = asyncio.create_task(_fetched(future))
        try:
            # Shielded: Dask fetches results that are ready together in one task, which any waiter would cancel for all.
            return await asyncio.shield(fetch)
        except asyncio.CancelledError:
            future.release()  # which ends the fetch
            await asyncio.gather(self._end(parcel.number), fetch)
            raise
        finally:
            future.release()

    async def _prepare(self) -> None:
        """See, before the first job, that the cluster has this flyasync: a worker without it would die of the job."""
        if self._client.status in {"closing", "closed"}:
            raise InvalidInput(f"the Dask client is {self._client.status}: keep it open until all reports have come")
        async with self._preparing:
            if self._opened is None:
                refuse_strangers(await self._found())
                # Dask keeps a record for ever of each time that a group of tasks begins anew: this one lets it not end.
                self._opened = self._client.submit(bool, key=(GROUP, "open", token_hex(8)), pure=False)

    async def _found(self) -> dict[str, Any]:
        """Ask scheduler and workers which flyasync they have, as soon as there are workers."""
        try:
            await self._client.wait_for_workers(1)
            workers = await self._client.run(installed, on_error="return")
        except OSError as error:
            raise FlyError(f"the Dask cluster cannot be asked: {error}") from error
        try:
            scheduler = await self._client.run_on_scheduler(installed)
        except Exception as error:  # noqa: BLE001 - what it is made of is told
            scheduler = error
        return {"the scheduler": scheduler, **workers}

    async def _end(self, number: str) -> None:
        """Have the workers end a job, and see it end; those that are cancelled together share one message."""
        self._unwanted.append(number)
        self._telling = self._telling or asyncio.create_task(self._tell())
        await self._telling

    async def _tell(self) -> None:
        await asyncio.sleep(0)  # until all that are cancelled now have come by
        numbers, self._unwanted, self._telling = self._unwanted, [], None
        try:
            async with asyncio.timeout(LAST_WAIT):
                await self._client.run(end, numbers, on_error="ignore")
        except Exception as error:  # noqa: BLE001 - whatever keeps the workers from hearing it
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{len(numbers)} cancelled deploys may go on on their Dask workers", "exception": error}
            )


class Begins:
    """How often the jobs of a Dask client have begun: more than once where a worker was lost with one."""

    _by_client: ClassVar["WeakKeyDictionary[Client, Begins]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._begins: dict[str, int] = {}

    @classmethod
    def told_to(cls, client: Any) -> "Begins":
        """Give those of a client, which has the workers tell of them from the first time on."""
        if client not in cls._by_client:
            cls._by_client[client] = begins = cls()
            client.subscribe_topic(GROUP, begins.hear)
        return cls._by_client[client]

    def hear(self, event: tuple[float, str]) -> None:
        """Hear from a worker that a job begins there."""
        if event[1] in self._begins:
            self._begins[event[1]] += 1

    @contextmanager
    def counted(self, number: str) -> Iterator[Callable[[], int]]:
        """Count those of one job, and forget them; a worker is heard before what it gives."""
        self._begins[number] = 0
        try:
            yield lambda: self._begins[number]
        finally:
            del self._begins[number]


def judged(parcel: Parcel, answer: Any, begins: int) -> DeployReport:
    """Give the report, or raise what came instead; that nothing has happened is believed of a first run only."""
    if isinstance(answer, DeployReport):
        return answer
    if isinstance(answer, FlyError) and begins == 1:
        raise answer
    raise JobLost(parcel.app, parcel.launch, _reason(answer)) from answer


async def _fetched(future: Awaitable[Any]) -> Any:
    """Wait for what a job gives, or for what went wrong with it."""
    for _ in range(FETCHES):
        try:
            return await future
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            await asyncio.sleep(0)  # somebody else with results to fetch was cancelled, and this fetch with his
        except Exception as error:  # noqa: BLE001 - it is judged by the caller
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
    strangers = [f"{where}: {_shortly(said)}" for where, said in found.items() if said != installed()]
    if strangers:
        more = f", and {len(strangers) - 3} more" if len(strangers) > 3 else ""  # noqa: PLR2004 - a few say enough
        raise InvalidInput(
            f"the Dask cluster does not have flyasync {installed()}, as this process has ({', '.join(strangers[:3])}"
            f"{more}): install the same flyasync[dask] where its scheduler and workers run"
        )


def _shortly(said: Any) -> str:
    return _reason(said) if isinstance(said, Exception) else str(said)


def _checked(client: Any) -> Client:
    if not isinstance(client, Client):
        raise InvalidInput(f"client is {client!r}, but must be a distributed.Client")
    if not client.asynchronous:
        raise InvalidInput("the Dask client is not of this event loop: make it here, with Client(…, asynchronous=True)")
    return client


def _portable(connect: Any) -> bytes:
    """Give `connect` as bytes: equal ones share a client on a worker."""
    if not callable(connect):
        raise InvalidInput(f"connect is {type(connect).__name__}, but must be a function that makes a FlyClient")
    try:
        return cast("bytes", dumps(connect))  # type: ignore[no-untyped-call]
    except Exception as error:
        raise InvalidInput(
            f"connect cannot be sent to Dask workers ({type(error).__name__}): use a function of a module, or partial"
        ) from error
