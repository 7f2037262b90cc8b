"""The part that runs on Dask workers: the jobs of `deploy_many`, and the clients that they share.

Dask logs the arguments of a task that raises, so these tasks return their errors instead.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final, cast

from attrs import field, frozen
from distributed import Worker, WorkerPlugin, get_worker
from distributed.protocol.pickle import loads
from distributed.worker_state_machine import SecedeEvent

from flyasync.api.client import FlyClient
from flyasync.deploy.many.executors import Job
from flyasync.deploy.reporting.report import DeployReport
from flyasync.errors import FlyError, InvalidInput, JobLost

GROUP: Final = "flyasync-deploy"
"""The prefix of all job keys, and the topic on which workers log the start of each job.

Dask keeps data about each group and each topic indefinitely, so there is only one.
"""

PLUGIN = "flyasync"

REMEMBERED = 10_000
"""How many cancelled jobs a worker remembers, to refuse them if they arrive after their cancellation."""


@frozen(kw_only=True)
class Parcel:
    """One job as it is sent to a worker; its repr, which Dask logs, contains no part that may be secret."""

    number: str
    app: str
    launch: str
    connect: bytes = field(repr=False)
    job: bytes = field(repr=False)

    @property
    def key(self) -> tuple[str, ...]:
        """The key of the task in Dask; unique, so that no earlier result of the same launch is mistaken for its own."""
        return GROUP, self.app, self.launch, self.number


class WorkerState(WorkerPlugin):
    """The state of a worker: the clients that its jobs share, and the jobs that are running."""

    def __init__(self) -> None:
        self._clients: dict[bytes, FlyClient] = {}
        self._under_way: dict[str, asyncio.Task[DeployReport]] = {}
        self._cancelled: deque[str] = deque(maxlen=REMEMBERED)

    @classmethod
    async def of(cls, worker: Worker) -> "WorkerState":
        """Return the state of a worker."""
        if PLUGIN not in worker.plugins:
            await worker.plugin_add(cls(), name=PLUGIN)  # adds the plugin before any other task can run
        return cast("WorkerState", worker.plugins[PLUGIN])

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's own signature
        """Close the clients; Dask has ended the jobs before it calls this."""
        await asyncio.gather(*(client.aclose() for client in self._clients.values()))

    async def do(self, parcel: Parcel) -> DeployReport:
        """Run a job in its own task, which `end` can cancel without Dask."""
        if parcel.number in self._cancelled:
            raise JobLost(parcel.app, parcel.launch, "it was cancelled")
        job = Job.unpacked(parcel.job)
        if parcel.connect not in self._clients:
            self._clients[parcel.connect] = _connected(parcel.connect)
        task = asyncio.create_task(job.run(self._clients[parcel.connect]))
        self._under_way[parcel.number] = task
        try:
            return await task
        except asyncio.CancelledError:
            if (own := asyncio.current_task()) and own.cancelling():
                raise  # the worker is closing: Dask moves the job to another worker
            raise JobLost(parcel.app, parcel.launch, "it was cancelled") from None
        finally:
            del self._under_way[parcel.number]

    async def end(self, numbers: Collection[str]) -> None:
        """Cancel these jobs and wait until they have ended; those that have not arrived yet are refused later."""
        self._cancelled.extend(numbers)
        tasks = [self._under_way[number] for number in numbers if number in self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def work(parcel: Parcel) -> DeployReport | FlyError:
    """Run a job on the current worker; return its report, or its error."""
    worker = get_worker()
    worker.log_event(GROUP, parcel.number)
    # A job waits for the network and not for a CPU, so it secedes: it does not count as a busy thread of the worker.
    worker.handle_stimulus(SecedeEvent(key=parcel.key, compute_duration=0.0, stimulus_id=f"{PLUGIN}-{parcel.number}"))
    try:
        return await (await WorkerState.of(worker)).do(parcel)
    except FlyError as error:
        return error
    except Exception as error:  # noqa: BLE001 - as above
        return JobLost(parcel.app, parcel.launch, f"{type(error).__name__}: {error}")


async def end(numbers: Collection[str], dask_worker: Worker) -> None:
    """Cancel these jobs on a worker; Dask calls this on each of them."""
    await (await WorkerState.of(dask_worker)).end(numbers)


def _connected(connect: bytes) -> FlyClient:
    try:
        client = loads(connect)()  # type: ignore[no-untyped-call]
    except Exception as error:
        raise InvalidInput(
            f"the Dask worker at {get_worker().address} could not create its client: {type(error).__name__}: {error}; "
            "FlyClient() reads the environment of the worker, not that of the process with deploy_many"
        ) from error
    if not isinstance(client, FlyClient):
        kind = None if client is None else getattr(client, "__qualname__", type(client).__name__)  # never its value
        raise InvalidInput(f"connect returned {kind}, but must return a FlyClient")
    return client
