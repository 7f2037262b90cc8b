"""Executors, which run the deploys of many apps, and the job that each of these deploys is."""

import pickle
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from attrs import evolve, field, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.many.trace_context import current_trace_context, in_trace_context
from flyasync.deploy.reporting.report import DeployReport
from flyasync.errors import InvalidInput


@frozen(kw_only=True)
class Job:
    """The deploy of one app, as a value that can be sent to another process and run there.

    Its launch is already named, so a job can be run twice: the second run finds the machines of the first and creates
    only those that are missing. `base_url` is the URL of the API that it is meant for. A job that another process sent
    has its `trace_context`: the OpenTelemetry spans of `run` are children of the span in which it was packed.
    """

    builder: DeployBuilder = field(repr=False)
    launch: str
    base_url: str
    trace_context: Mapping[str, str] = field(factory=dict, repr=False, eq=False)

    @property
    def app(self) -> str:
        """The name of the app."""
        return self.builder.app

    async def run(self, fly: FlyClient) -> DeployReport:
        """Deploy as `DeployBuilder.execute` does; raises InvalidInput for a client with another `base_url`."""
        if fly.base_url != self.base_url:
            raise InvalidInput(
                f"the deploy of {self.app} is for {self.base_url}, but the client here uses {fly.base_url}, so no "
                f"request was sent: set FLY_FLAPS_BASE_URL={self.base_url} here, or pass that base_url to the client"
            )
        with in_trace_context(self.trace_context):
            return await self.builder.execute(fly)

    def packed(self) -> bytes:
        """Return the job as bytes for `unpacked` in another process; they contain the env values, which may be secret.

        Raises InvalidInput for a journal, which is a file of this process, and for observers.
        """
        if self.builder.journal is not None:
            raise InvalidInput(
                f"the journal {self.builder.journal} would be written in the process that deploys {self.app}, not in "
                "this one: omit it; executing the same launch again resumes the deploy too"
            )
        if self.builder.observers:
            raise InvalidInput(
                f"on_event would be called in the process that deploys {self.app}, not in this one: omit it, and read "
                "the moments in the report"
            )
        try:
            pickled = pickle.dumps(evolve(self, trace_context=current_trace_context()))
        except Exception as error:
            raise InvalidInput(
                f"the deploy of {self.app} cannot be sent to another process ({type(error).__name__}): a value in its "
                "config cannot be pickled; use plain strings, numbers, lists and dicts"
            ) from error
        return b"%s\n%s" % (installed().encode(), pickled)

    @classmethod
    def unpacked(cls, packed: bytes) -> "Job":
        """Read a job that `packed` has written; raises InvalidInput for one of another version of flyasync.

        As with any pickle, whoever can write the bytes can run any code here: only read bytes from a source you trust.
        """
        # The version comes before the pickle, because another version may not be able to read the pickle.
        written_by, _, pickled = packed.partition(b"\n")
        if written_by.decode() != installed():
            raise InvalidInput(
                f"the job was written by flyasync {written_by.decode()}, but this process has {installed()}: install "
                "the same version in both"
            )
        try:
            job: Job = pickle.loads(pickled)  # noqa: S301 - the docstring demands a trusted source
        except Exception as error:
            raise InvalidInput(f"the job cannot be read here ({type(error).__name__}: {error})") from error
        return job


class Executor(Protocol):
    """Runs the jobs of `deploy_many`, up to `at_once` of them concurrently; implement it for your own engine.

        class OnMyEngine:
            async def execute(self, job: Job) -> DeployReport:
                return await self.engine.call(deploy, job.packed())

        async def deploy(packed: bytes) -> DeployReport:  # runs in the other process
            return await Job.unpacked(packed).run(fly)

    A report can be pickled too. Keep one FlyClient per process, for all its jobs and on one event loop, because the
    client counts the rate limits.
    """

    async def execute(self, job: Job) -> DeployReport:
        """Run the job, return its report, and keep nothing of it.

        A job may be run again, for example after its worker has died. Raise a FlyError if the job has not begun, and
        JobLost if that is uncertain or its end is unknown: both become the report of that app. `deploy_many` raises any
        other exception. When cancelled, cancel the job wherever it runs, and return only once it has ended.
        """
        ...


@frozen
class LocalExecutor:
    """The default executor of `deploy_many`: it runs each job in this process, with this client."""

    _fly: FlyClient

    async def execute(self, job: Job) -> DeployReport:
        """Run the job, and return its report."""
        return await job.run(self._fly)


@cache
def installed() -> str:
    """Return the version of flyasync that is installed here."""
    try:
        return version("flyasync")
    except PackageNotFoundError:
        return "of unknown version"
