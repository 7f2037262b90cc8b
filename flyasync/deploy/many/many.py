"""deploy_many: deploys many apps concurrently, yields a report for each, and keeps nothing of finished ones."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.cancellation import unscoped
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.many.executors import Executor, Job, LocalExecutor
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.planner import Resolution, resolved
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Failure, Result
from flyasync.errors import FlyError, InvalidInput, JobLost
from flyasync.models.image import digest_of

Builders = DeployBuilder | Callable[[str], DeployBuilder]
"""What to deploy: one builder for all apps, or a function that returns the builder for an app's name."""

Apps = Iterable[str] | AsyncIterable[str]

IMAGES = 64
"""The maximum number of images whose digests are kept while more apps begin."""


async def deploy_many(
    fly: FlyClient,
    builder: Builders,
    apps: Apps,
    *,
    at_once: int = 20,
    stop_on_failure: bool = False,
    executor: Executor | None = None,
) -> AsyncGenerator[DeployReport, None]:
    """Deploy to many apps, `at_once` of them concurrently, and yield the report of each as it finishes.

        async with aclosing(deploy_many(fly, base, apps)) as reports:
            async for report in reports:
                print(report)

    Nothing is kept of apps that have finished. The rate limits count per app, so apps do not slow each other down, but
    they share the connections of the client: each deploy holds up to one long poll per machine, and a client has room
    for 1,000 long polls (`Timeouts.polls`); further ones wait. The tag of an image is resolved once for all apps that
    use it, so that all of them run the same digest, if the API shows it; apps are read meanwhile. On the workers of a
    cluster, apps that their own deploys create resolve it themselves until the first of them is deployed.

    The report of an app that cannot begin is not ok. Its machines are `not begun`, each with the reason: for example,
    the app does not exist, or another deploy of it is running. If the builder was refused, the report lists no machines
    and has the reason in `unseen`. A failure does not stop other apps, unless `stop_on_failure` is set.

    With a `DaskExecutor(client)`, the deploys run on the workers of a Dask cluster, and `fly` only resolves tags and
    names the API. A `builder` function is still called in this process; its builders may have neither a journal nor
    observers, which would be in another process. If the worker of an app is lost, the machines in its report are
    `unknown`: they may have been created. Deploying the launch in that report again continues from them.

    Raises InvalidInput for invalid arguments, when the first report is awaited. Exceptions from `apps`, and exceptions
    other than FlyError from a `builder` function or an executor, are raised after the running deploys have finished
    and been yielded.

    If it is closed early or cancelled, it cancels the running deploys and waits until each has ended as a cancelled
    `execute` does: machines that are up stay up, and leases are released. A second cancellation interrupts that. A
    `break` closes it only inside `contextlib.aclosing`. If `apps` is an async generator, it is closed too.

    Args:
        fly: The client that deploys, unless an `executor` does.
        builder: A DeployBuilder, used with `for_app`, or a function that returns one for an app's name. Only a
            function can set a journal, a separate one for each app.
        apps: The names of the apps, from an iterable or an async iterable, which may be infinite. A name is read only
            when its app can begin, so at most `at_once` names have been read whose reports have not been taken: taking
            reports slowly slows down the deploys. An iterable that blocks the loop blocks the deploys. Do not name an
            app twice: its deploys may conflict.
        at_once: The maximum number of apps that are deployed concurrently.
        stop_on_failure: Begin no further app after a report that is not ok; running deploys finish and are yielded.
        executor: Runs the deploys; by default, they run in this process.
    """
    # Which builder each app gets.
    builder_for: Callable[[str], DeployBuilder]
    if isinstance(builder, DeployBuilder):
        if builder.journal is not None:
            raise InvalidInput(
                f"the journal {builder.journal} is for one app, not for many: use a function that sets a journal for "
                "each app, such as lambda app: base.for_app(app).with_journal(f'{app}.jsonl')"
            )
        builder_for = builder.for_app
    elif callable(builder):
        builder_for = builder
    else:
        raise InvalidInput(f"builder is {builder!r}, but must be a DeployBuilder, or a function of an app's name")
    # Where the deploys run, and how many run at once.
    chosen: Any = LocalExecutor(fly) if executor is None else executor
    if isinstance(chosen, type) or not callable(getattr(chosen, "execute", None)):
        raise InvalidInput(
            f"executor is {executor!r}, but must have an async execute(job), as DaskExecutor(client) has"
        )
    if type(at_once) is not int or at_once < 1:
        raise InvalidInput(f"at_once is {at_once!r}, but must be a whole number, 1 or more")
    # Which apps. A single string is iterable too, but is most likely one name that should have been in a list.
    if isinstance(apps, str) or not isinstance(apps, Iterable | AsyncIterable):
        raise InvalidInput(f"apps is {apps!r}, but must be names, such as ['shop-a', 'shop-b']")
    names = aiter(apps) if isinstance(apps, AsyncIterable) else iter(apps)

    is_here = executor is None
    bulk = _BulkDeploy(fly, builder_for, names, chosen, is_here=is_here, at_once=at_once, stops=stop_on_failure)
    try:
        while (report := await bulk.next()) is not None:
            yield report
    finally:
        with unscoped():
            await bulk.end()


class _BulkDeploy:
    """The running deploys, the reports that have not been taken yet, and the task that reads the next name.

    An app occupies one of the `at_once` slots from before its name is read until its report is taken. Deploys that run
    in this process (`is_here`) read their apps while the tag is resolved; for others it is resolved before they begin.
    """

    def __init__(
        self,
        fly: FlyClient,
        builder_for: Callable[[str], DeployBuilder],
        names: Iterator[str] | AsyncIterator[str],
        executor: Executor,
        *,
        is_here: bool,
        at_once: int,
        stops: bool,
    ) -> None:
        self._fly = fly
        self._builder_for = builder_for
        self._names = names
        self._executor = executor
        self._is_here = is_here
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
        """Return the next report, or None after the last; then raises the error that ended the reading, if any."""
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
        """Read names one after another and begin their deploys, as long as a slot is free."""
        while self._has_room:
            try:
                name = await anext(self._names) if isinstance(self._names, AsyncIterator) else next(self._names)
            except (StopIteration, StopAsyncIteration):
                self._has_ended = True
            else:
                self._under_way.add(self._task(self._deploy(name)))

    async def _deploy(self, app: str) -> None:
        """Deploy to one app, and add its report, whatever happens."""
        loop = asyncio.get_running_loop()
        begun, spec = loop.time(), None
        try:
            if not isinstance(app, str):
                raise InvalidInput(f"{app!r} is not an app name: use a string, such as 'shop-a'")
            builder = self._builder_for(app)
            if not isinstance(builder, DeployBuilder):
                raise InvalidInput(f"the builder for {app} returned {builder!r}, but must return a DeployBuilder")
            builder = self._digests.share(builder) if self._is_here else await self._digests.pin(builder)
            spec = builder.deployment()
            # The launch is named here, so that a second run of the job finds the machines of the first.
            job = Job(builder=builder.with_launch(spec.launch), launch=spec.launch, base_url=self._fly.base_url)
            report: Any = await self._executor.execute(job)
            if not isinstance(report, DeployReport):
                reason = f"its executor returned {type(report).__name__} instead of a DeployReport"
                raise JobLost(app, spec.launch, reason)
        except FlyError as error:
            report = _failed(app, spec, error, round(loop.time() - begun, 3))
        if report.ok:
            self._digests.existing = app
        self._reports.append(report)
        if self._stops and not report.ok:
            self._stop()

    def _task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        """Remove a finished task; if it raised an exception, no further app begins."""
        self._under_way.discard(task)
        self._reading = None if task is self._reading else self._reading
        self._news.set()
        if not task.cancelled() and (error := task.exception()):
            self._error = self._error or error
            self._stop()

    def _stop(self) -> None:
        """Begin no further app, and stop reading the next name."""
        self._has_ended = True
        if self._reading:
            self._reading.cancel()

    async def end(self) -> None:
        """Cancel all tasks, wait until they have ended, and close the iterator of the names."""
        tasks = self._tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(self._names, AsyncGenerator):
            await self._names.aclose()


class _Digests:
    """The digests of tags, each resolved once, so that all apps of a bulk deploy run the same digest.

    A deploy in this process resolves its tag when its app exists. For a deploy elsewhere a tag is resolved before it
    begins, and the API resolves a tag only for an app that exists. An app may be created by its own deploy, so such
    tags are resolved for `existing`, an app that has been deployed to, as soon as there is one.
    """

    def __init__(self, fly: FlyClient) -> None:
        self._fly = fly
        self._resolutions: dict[str, asyncio.Future[Resolution]] = {}
        self.existing: str | None = None

    def share(self, builder: DeployBuilder) -> DeployBuilder:
        """Return the builder of a deploy that resolves its tag here, together with the other apps."""
        return evolve(builder, resolve=self.resolve)

    async def pin(self, builder: DeployBuilder) -> DeployBuilder:
        """Return the builder with the digest of its image, if the API shows it."""
        image = builder.config.image
        if not image or digest_of(image):
            return builder
        resolution = await self._shared(self.existing or builder.app, image)
        # Without it, the deploy resolves the tag itself: its token, or a later request, may be able to see it.
        return evolve(builder, spec=evolve(builder.spec, digest=resolution.digest)) if resolution.digest else builder

    async def resolve(self, fly: FlyClient, app: str, image: str) -> Resolution:
        """Resolve a tag together with the other apps, and for this app alone if that fails."""
        is_alone = image not in self._resolutions
        resolution = await self._shared(app, image)
        return resolution if resolution.digest or is_alone else await resolved(fly, app, image)

    async def _shared(self, app: str, image: str) -> Resolution:
        """Return the resolution that all apps share; the first of them that needs it sends the request."""
        while len(self._resolutions) > IMAGES:
            self._resolutions.pop(next(iter(self._resolutions)))
        if image not in self._resolutions:
            self._resolutions[image] = asyncio.ensure_future(resolved(self._fly, app, image))
        # Shielded, because other apps wait for the same resolution.
        resolution = await asyncio.shield(self._resolutions[image])
        if resolution.digest is None:
            self._resolutions.pop(image, None)
        return resolution


def _failed(app: Any, spec: DeploySpec | None, error: FlyError, seconds: float) -> DeployReport:
    """Return the report of an app whose deploy has not begun, or whose result is unknown."""
    failure = Failure.of(error)
    # 1. The builder was refused: the desired machines are unknown.
    if spec is None:
        return DeployReport(
            app=str(app), launch="-", image="-", require="-", needed=1, regions=(), seconds=seconds, unseen=failure
        )
    # 2. The job was lost: any machine may have been created, and the reason is in the report's `unseen`.
    # 3. The deploy has not begun: the reason is in the report of each machine.
    is_lost = isinstance(error, JobLost)
    regions: list[RegionReport] = []
    for region, asked in spec.counts.items():
        machines = []
        for machine in spec.machines(region):
            # In a group, machines are named after the group and not after the launch.
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
        needed=max(1, spec.required.needed(desired_regions)),  # a report without any desired region is not ok
        regions=tuple(regions),
        seconds=seconds,
        unseen=failure if is_lost or not desired_regions else None,
        strategy=spec.strategy_name,
    )
