"""Many apps, several of them at once: a report for each, and nothing kept of those that are done."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.many.executors import Executor, Job, LocalExecutor
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.planner import Resolution, resolved
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Failure, Result
from flyasync.errors import FlyError, InvalidInput, JobLost
from flyasync.models.image import digest_of

Builders = DeployBuilder | Callable[[str], DeployBuilder]
"""What to deploy to an app: the same to each, or what a function returns for its name."""

Apps = Iterable[str] | AsyncIterable[str]

IMAGES = 64
"""The number of images whose digests are kept while more apps begin."""


async def deploy_many(
    fly: FlyClient,
    builder: Builders,
    apps: Apps,
    *,
    at_once: int = 20,
    stop_on_failure: bool = False,
    executor: Executor | None = None,
) -> AsyncGenerator[DeployReport, None]:
    """Deploy to many apps, `at_once` of them together, and yield the report of each as it finishes.

        async with aclosing(deploy_many(fly, base, apps)) as reports:
            async for report in reports:
                print(report)

    `builder` is a DeployBuilder, used with `for_app`, or a function that returns one for an app's name; only the latter
    may have a journal, each app its own. `apps` are names, from an iterable or an async one, which may be endless: it
    is read only as apps begin, so that never more than `at_once` have been read whose reports you have not taken.
    Nothing is kept of apps that are done; taking reports slowly slows the deploys. Iterables that block the loop block
    the deploys too.

    The rate limits count for each app by itself, so apps do not slow each other; they share the client's connections.
    `at_once` deploys of 30 machines each hold up to 30 long polls each, and a client has room for 1,000
    (`Timeouts.polls`): more of them wait for one. An app that is named twice may meet itself.

    The tag of an image is resolved once for all apps that have it, so that all run the same digest, as far as the API
    shows it.

    An app that cannot even begin has a report that is not ok, whose machines are `not begun`, for the reason given
    with each of them, or as `unseen` where it is not known which machines were desired: it is not there, another
    deploy is at work on it, its builder was refused. A failure stops no other app. With `stop_on_failure` no further
    app begins after a report that is not ok, and those under way finish and are yielded.

    The deploys run in this process, by `fly`, or where `executor` has them run: `DaskExecutor(client)` spreads them
    over the workers of a Dask cluster. `fly` then only says which API is meant, and resolves tags. The function
    `builder` still is called here; what it returns may have no journal and no observer, for they would not be here. An
    app whose worker was lost for good has a report whose machines are `unknown`: they may have been made, and the
    launch in it, deployed again, goes on from them.

    Raises InvalidInput, with the first step, for arguments that cannot be meant. What `apps` raises, and what a
    `builder` function or an executor raises besides FlyError, is raised once the deploys under way have finished and
    been yielded.

    Closed early, or cancelled, it cancels the deploys under way and waits until each has ended as `execute` does then:
    machines that are up stay up, and leases are released. A second cancellation cuts this short. A `break` closes it
    only in `contextlib.aclosing`. An `apps` that is an async generator is closed with it.
    """
    # What each app is deployed with.
    builder_for: Callable[[str], DeployBuilder]
    if isinstance(builder, DeployBuilder):
        if builder.journal is not None:
            raise InvalidInput(
                f"the journal {builder.journal} tells of one app, not of many: give a function that names each app's "
                "own, such as lambda app: base.for_app(app).with_journal(f'{app}.jsonl')"
            )
        builder_for = builder.for_app
    elif callable(builder):
        builder_for = builder
    else:
        raise InvalidInput(f"builder is {builder!r}, but must be a DeployBuilder, or a function of an app's name")
    # Where the deploys run, and how many at once.
    chosen: Any = LocalExecutor(fly) if executor is None else executor
    if isinstance(chosen, type) or not callable(getattr(chosen, "execute", None)):
        raise InvalidInput(
            f"executor is {executor!r}, but must be one with an async execute(job), such as DaskExecutor(client)"
        )
    if type(at_once) is not int or at_once < 1:
        raise InvalidInput(f"at_once is {at_once!r}, but must be a whole number from 1")
    # Which apps. A text is iterable too, but is one name that was not put into a list.
    if isinstance(apps, str) or not isinstance(apps, Iterable | AsyncIterable):
        raise InvalidInput(f"apps is {apps!r}, but must be names, such as ['shop-a', 'shop-b']")
    names = aiter(apps) if isinstance(apps, AsyncIterable) else iter(apps)

    bulk = _BulkDeploy(fly, builder_for, names, chosen, at_once=at_once, stops=stop_on_failure)
    try:
        while (report := await bulk.next()) is not None:
            yield report
    finally:
        await bulk.end()


class _BulkDeploy:
    """The deploys under way, the reports that were not taken yet, and the task that reads the next name.

    An app takes one of the `at_once` slots from before its name is read until its report is taken.
    """

    def __init__(
        self,
        fly: FlyClient,
        builder_for: Callable[[str], DeployBuilder],
        names: Iterator[str] | AsyncIterator[str],
        executor: Executor,
        *,
        at_once: int,
        stops: bool,
    ) -> None:
        self._fly = fly
        self._builder_for = builder_for
        self._names = names
        self._executor = executor
        self._at_once = at_once
        self._stops = stops
        self._digests = _Digests(fly)
        self._under_way: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._reports: deque[DeployReport] = deque()
        self._news = asyncio.Event()
        self._has_ended = False
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        last = ", no further app begins" if self._has_ended else ", reading a name" if self._reading else ""
        return f"<{type(self).__name__} {len(self._under_way)} under way, {len(self._reports)} reports to take{last}>"

    async def next(self) -> DeployReport | None:
        """Return the next report, or None when there is none to come; raises what ended it, once all are taken."""
        while True:
            if self._has_room and not self._reading:
                self._reading = self._task(self._read())
            if self._reports:
                return self._reports.popleft()
            if not self._tasks:
                break
            self._news.clear()
            await self._news.wait()
        if self._error:
            raise self._error
        return None

    @property
    def _tasks(self) -> set[asyncio.Task[None]]:
        return self._under_way | {self._reading} if self._reading else self._under_way

    @property
    def _has_room(self) -> bool:
        return not self._has_ended and len(self._under_way) + len(self._reports) < self._at_once

    async def _read(self) -> None:
        """Read one name after the other and begin their deploys, as long as there is room for one more."""
        while self._has_room:
            try:
                name = await anext(self._names) if isinstance(self._names, AsyncIterator) else next(self._names)
            except (StopIteration, StopAsyncIteration):
                self._has_ended = True
            else:
                self._under_way.add(self._task(self._deploy(name)))

    async def _deploy(self, app: str) -> None:
        """Deploy to one app, and report in any case."""
        loop = asyncio.get_running_loop()
        begun, spec = loop.time(), None
        try:
            if not isinstance(app, str):
                raise InvalidInput(f"{app!r} is not an app name: use a string, such as 'shop-a'")
            builder = self._builder_for(app)
            if not isinstance(builder, DeployBuilder):
                raise InvalidInput(f"the builder of {app} gave {builder!r}, but must give a DeployBuilder")
            builder = await self._digests.pin(builder)
            spec = builder.deployment()
            # The launch is decided here, so that a second try of the job finds what the first one made.
            job = Job(builder=builder.with_launch(spec.launch), launch=spec.launch, base_url=self._fly.base_url)
            report: Any = await self._executor.execute(job)
            if not isinstance(report, DeployReport):
                gave = f"its executor gave {type(report).__name__} in place of a DeployReport"
                raise JobLost(app, spec.launch, gave)
        except FlyError as error:
            report = _failed(app, spec, error, round(loop.time() - begun, 3))
        self._reports.append(report)
        if self._stops and not report.ok:
            self._stop()

    def _task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        """Forget a task that is done; what it raised, if anything, lets no further app begin."""
        self._under_way.discard(task)
        self._reading = None if task is self._reading else self._reading
        self._news.set()
        if not task.cancelled() and (error := task.exception()):
            self._error = self._error or error
            self._stop()

    def _stop(self) -> None:
        """Begin no further app: a name that is being read comes too late."""
        self._has_ended = True
        if self._reading:
            self._reading.cancel()

    async def end(self) -> None:
        """Cancel what is under way, wait until it has ended, and close the names."""
        tasks = self._tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(self._names, AsyncGenerator):
            await self._names.aclose()


class _Digests:
    """The digests that tags are at, each resolved once, so that all apps of a bulk deploy run the same."""

    def __init__(self, fly: FlyClient) -> None:
        self._fly = fly
        self._resolutions: dict[str, asyncio.Future[Resolution]] = {}

    async def pin(self, builder: DeployBuilder) -> DeployBuilder:
        """Return a builder with the digest of its image, where the API shows it."""
        image = builder.config.image
        if not image or digest_of(image):
            return builder
        while len(self._resolutions) > IMAGES:
            self._resolutions.pop(next(iter(self._resolutions)))
        if image not in self._resolutions:
            self._resolutions[image] = asyncio.ensure_future(resolved(self._fly, builder.app, image))
        # Shielded, since other apps wait for it too.
        resolution = await asyncio.shield(self._resolutions[image])
        if resolution.digest is None:
            self._resolutions.pop(image, None)  # it may be seen with the token of another app, or later
            return builder
        return evolve(builder, spec=evolve(builder.spec, digest=resolution.digest))


def _failed(app: Any, spec: DeploySpec | None, error: FlyError, seconds: float) -> DeployReport:
    """Report on an app that did not even begin, or whose end is not known."""
    failure = Failure.of(error)
    # 1. Its builder was refused: it is not known what was desired.
    if spec is None:
        return DeployReport(
            app=str(app), launch="-", image="-", require="-", needed=1, regions=(), seconds=seconds, unseen=failure
        )
    # 2. Its job was lost: any machine may have been made, which the report as a whole explains.
    # 3. It did not begin, as each machine says.
    is_lost = isinstance(error, JobLost)
    regions: list[RegionReport] = []
    for region, asked in spec.counts.items():
        machines = []
        for machine in spec.machines(region):
            # In a group, machines are named by it and not by their launch.
            in_group = f"{spec.group}-{region}-{machine.number}".replace("_", "-")
            reported = MachineReport(
                name=machine.name if spec.strategy.only_adds else in_group,
                asked=region,
                result=Result.UNKNOWN if is_lost else Result.NOT_BEGUN,
                failure=None if is_lost else failure,
            )
            machines.append(reported)
        regions.append(RegionReport(region=region, asked=asked, machines=tuple(machines)))
    desired_regions = sum(asked > 0 for asked in spec.counts.values())
    return DeployReport(
        app=spec.app,
        launch=spec.launch,
        image=spec.image,
        require=str(spec.required),
        needed=max(1, spec.required.needed(desired_regions)),  # not even none is done where none is desired
        regions=tuple(regions),
        seconds=seconds,
        unseen=failure if is_lost or not desired_regions else None,
        strategy=spec.strategy_name,
    )
