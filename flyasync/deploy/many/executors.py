"""Where the deploys of many apps run: a job for each, and what an executor promises of it."""

import pickle
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from attrs import field, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.reporting.report import DeployReport
from flyasync.errors import InvalidInput


@frozen(kw_only=True)
class Job:
    """The deploy of one app, as a value that can be done elsewhere.

    Its launch is decided, so that it can be done twice: the second time finds what is there and makes only what is
    missing. `base_url` is that of the API it is meant for.
    """

    builder: DeployBuilder = field(repr=False)
    launch: str
    base_url: str

    @property
    def app(self) -> str:
        """The app that it deploys to."""
        return self.builder.app

    async def run(self, fly: FlyClient) -> DeployReport:
        """Deploy with this client, as `DeployBuilder.execute` does; raises InvalidInput for one of another API."""
        if fly.base_url != self.base_url:
            raise InvalidInput(
                f"the deploy of {self.app} is meant for {self.base_url}, but the client here is one of {fly.base_url}, "
                f"so nothing was asked of either: set FLY_FLAPS_BASE_URL={self.base_url} here, or make the client with "
                "that base_url"
            )
        return await self.builder.execute(fly)

    def packed(self) -> bytes:
        """Return the job as bytes, for `unpacked` elsewhere; they hold the values of env, which may be secret.

        Raises InvalidInput for what means nothing elsewhere: a journal, which is a file here, and observers.
        """
        if self.builder.journal is not None:
            raise InvalidInput(
                f"the journal {self.builder.journal} would be written where the deploy of {self.app} runs, and that is "
                "not here: leave it out; the same launch again goes on as well"
            )
        if self.builder.observers:
            raise InvalidInput(
                f"on_event would be called where the deploy of {self.app} runs, and that is not here: leave it out, "
                "and read the moments in the report"
            )
        try:
            pickled = pickle.dumps(self)
        except Exception as error:
            raise InvalidInput(
                f"the deploy of {self.app} cannot be sent elsewhere ({type(error).__name__}): something in its config "
                "is of a class that pickle cannot take; use plain texts, numbers, lists and dicts"
            ) from error
        return b"%s\n%s" % (installed().encode(), pickled)

    @classmethod
    def unpacked(cls, packed: bytes) -> "Job":
        """Read what `packed` returned; raises InvalidInput for the job of another version of flyasync.

        As with any pickle, whoever can write the bytes can run any code here: read only your own.
        """
        # The version comes first, outside the pickle: another one might not be able to read that.
        written_by, _, pickled = packed.partition(b"\n")
        if written_by.decode() != installed():
            raise InvalidInput(
                f"the job comes from flyasync {written_by.decode()}, but here is {installed()}: install the same "
                "version at both ends"
            )
        try:
            job: Job = pickle.loads(pickled)  # noqa: S301 - only whoever has packed it can have written it
        except Exception as error:
            raise InvalidInput(f"the job cannot be read here ({type(error).__name__}: {error})") from error
        return job


class Executor(Protocol):
    """Does the jobs of `deploy_many`, up to `at_once` of them together; write one for an engine of your own.

        class OnMyEngine:
            async def execute(self, job: Job) -> DeployReport:
                return await self.engine.call(deploy, job.packed())

        async def deploy(packed: bytes) -> DeployReport:  # there
            return await Job.unpacked(packed).run(fly)

    A report comes back by pickle too. Keep one FlyClient in each process, for all its jobs and on one event loop: the
    rate limits are counted in it.
    """

    async def execute(self, job: Job) -> DeployReport:
        """Have the job done, and return its report; keep nothing of it then.

        A job may be done again, since its worker may have died. Raises a FlyError where it did not begin, and JobLost
        where that is not sure or its end is not known: both become that app's report. Whatever else is raised is
        raised by `deploy_many`. Cancelled, it cancels the job, wherever that runs, and is done when the job has ended.
        """
        ...


@frozen
class LocalExecutor:
    """The default executor of `deploy_many`: each job is done in this process, by this client."""

    _fly: FlyClient

    async def execute(self, job: Job) -> DeployReport:
        """Do the job, and return its report."""
        return await job.run(self._fly)


@cache
def installed() -> str:
    """Return which version of flyasync is installed here."""
    try:
        return version("flyasync")
    except PackageNotFoundError:
        return "of unknown version"
