"""What runs on Dask workers: the jobs of `deploy_many`, and the clients that they share.

Dask logs the arguments of a task that raises, so these return what went wrong.
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
"""What the keys of all jobs begin with, and the topic on which workers report their begin.

Dask keeps something of each indefinitely, so there is one.
"""

PLUGIN = "flyasync"

REMEMBERED = 10_000
"""How many cancelled jobs a worker remembers, to refuse those that reach it afterwards."""


@frozen(kw_only=True)
class Parcel:
    """One job on its way to a worker; what may be secret in it stays out of its repr, for Dask logs that."""

    number: str
    app: str
    launch: str
    connect: bytes = field(repr=False)
    job: bytes = field(repr=False)

    @property
    def key(self) -> tuple[str, ...]:
        """What Dask calls it; unlike any other, so that no answer is taken for that of the same launch before."""
        return GROUP, self.app, self.launch, self.number


class WorkerState(WorkerPlugin):
    """What a worker keeps: the clients that its jobs share, and the jobs under way."""

    def __init__(self) -> None:
        self._clients: dict[bytes, FlyClient] = {}
        self._under_way: dict[str, asyncio.Task[DeployReport]] = {}
        self._cancelled: deque[str] = deque(maxlen=REMEMBERED)

    @classmethod
    async def of(cls, worker: Worker) -> "WorkerState":
        """Return the state of a worker."""
        if PLUGIN not in worker.plugins:
            await worker.plugin_add(cls(), name=PLUGIN)  # is in place before anything else gets to run
        return cast("WorkerState", worker.plugins[PLUGIN])

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's own signature
        """Close the clients; Dask has ended the jobs by then."""
        await asyncio.gather(*(client.aclose() for client in self._clients.values()))

    async def do(self, parcel: Parcel) -> DeployReport:
        """Do a job in a task of its own, which can be cancelled without the worker's knowledge."""
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
                raise  # the worker closes: Dask gives the job to another one
            raise JobLost(parcel.app, parcel.launch, "it was cancelled") from None
        finally:
            del self._under_way[parcel.number]

    async def end(self, numbers: Collection[str]) -> None:
        """Cancel these jobs and wait until they have ended; those that have not arrived yet will not begin."""
        self._cancelled.extend(numbers)
        tasks = [self._under_way[number] for number in numbers if number in self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def work(parcel: Parcel) -> DeployReport | FlyError:
    """Do a job on the worker that this runs on."""
    worker = get_worker()
    worker.log_event(GROUP, parcel.number)
    # It waits on Fly.io and not for a CPU, so it takes no thread of the worker's.
    worker.handle_stimulus(SecedeEvent(key=parcel.key, compute_duration=0.0, stimulus_id=f"{PLUGIN}-{parcel.number}"))
    try:
        return await (await WorkerState.of(worker)).do(parcel)
    except FlyError as error:
        return error
    except Exception as error:  # noqa: BLE001 - as above
        return JobLost(parcel.app, parcel.launch, f"{type(error).__name__}: {error}")


async def end(numbers: Collection[str], dask_worker: Worker) -> None:
    """End jobs on each worker."""
    await (await WorkerState.of(dask_worker)).end(numbers)


def _connected(connect: bytes) -> FlyClient:
    try:
        client = loads(connect)()  # type: ignore[no-untyped-call]
    except Exception as error:
        raise InvalidInput(
            f"the Dask worker at {get_worker().address} could not make its client: {type(error).__name__}: {error}; "
            "mind that it looks in its own environment"
        ) from error
    if not isinstance(client, FlyClient):
        kind = None if client is None else getattr(client, "__qualname__", type(client).__name__)  # never its value
        raise InvalidInput(f"connect gave {kind}, but must give a FlyClient")
    return client
