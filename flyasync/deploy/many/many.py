"""Many apps, one after the other and several at once: a report for each, and no memory of those that are done."""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from functools import partial
from typing import Any

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.many.executors import Executor, Here, Job
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.planning import Resolution, resolved
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Failure, Result
from flyasync.errors import FlyError, InvalidInput, JobLost
from flyasync.models.image import digest_of

Builders = DeployBuilder | Callable[[str], DeployBuilder]
"""What to deploy to an app: the same to each, or what a function says of its name."""

Apps = Iterable[str] | AsyncIterable[str]

IMAGES = 64
"""Of how many images the digests are kept while more apps begin."""


async def deploy_many(
    fly: FlyClient,
    builder: Builders,
    apps: Apps,
    *,
    at_once: int = 20,
    stop_on_failure: bool = False,
    executor: Executor | None = None,
) -> AsyncGenerator[DeployReport, None]:
    """Deploy to many apps, `at_once` of them together, and give the report of each as it finishes.

        async with aclosing(deploy_many(fly, base, apps)) as reports:
            async for report in reports:
                print(report)

    `builder` is a DeployBuilder, used with `for_app`, or a function that gives one for an app's name; only the latter
    may have a journal, each app its own. `apps` are names,
    from an iterable or an async one, which may be endless: it is read only as apps begin, so that never more than
    `at_once` have been read whose reports you have not taken. Nothing is kept of apps that are done; whoever takes
    reports slowly slows the deploys. Iterables that block the loop block the deploys too.

    The rate limits count for each app by itself, so apps do not slow each other; they share the client's connections.
    `at_once` deploys of 30 machines each hold up to 30 long polls each, and a client has room for 1,000
    (`Timeouts.polls`): more of them wait for a place. An app that is named twice may meet itself.

    The tag of an image is resolved once for all apps that have it, so that all run the same digest, as far as the API
    shows it.

    An app that cannot even begin gives a report that is not ok, whose machines are `not begun`, for the reason given
    with each of them, or as `unseen` where there is no telling which machines were wanted: it is not there, another
    deploy is at work on it, its builder was refused. A failure stops no other app. With `stop_on_failure` no further
    app begins after a report that is not ok, and those under way finish and are given.

    The deploys run in this process, by `fly`, or where `executor` has them run: `DaskExecutor(client)` spreads them
    over the workers of a Dask cluster. `fly` then only says which API is meant, and resolves tags. The function
    `builder` still is called here; what it gives may have no journal and no onlooker, for they would not be here. An
    app whose worker was lost for good gives a report whose machines are `unknown`: they may have been made, and the
    launch in it, deployed again, goes on from them.

    Raises InvalidInput, with the first step, for arguments that cannot be meant. What `apps` raises, and what a
    `builder` function or an executor raises besides FlyError, comes out once the deploys under way have finished and
    are given.

    Closed early, or cancelled, it cancels the deploys under way and waits until each has ended as `execute` does then:
    machines that are up stay up, and leases are given back. A second cancellation cuts this short. A `break` closes it
    only in `contextlib.aclosing`. An `apps` that is an async generator is closed with it.
    """
    build = partial(_Digests(fly).built, _checked(builder))
    deploy = partial(_report, fly.base_url, _executor(executor, fly), build)
    many = _Many(deploy, _names(apps), at_once=_positive(at_once), stops=stop_on_failure)
    try:
        while (report := await many.next()) is not None:
            yield report
    finally:
        await many.end()


class _Many:
    """The deploys under way, the reports that nobody has taken yet, and the look at the next name."""

    def __init__(
        self,
        deploy: Callable[[str], Awaitable[DeployReport]],
        names: AsyncIterator[str],
        *,
        at_once: int,
        stops: bool,
    ) -> None:
        self._deploy = deploy
        self._names = names
        self._at_once = at_once
        self._stops = stops
        self._under_way: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._reports: deque[DeployReport] = deque()
        self._news = asyncio.Event()
        self._has_ended = False
        self._error: BaseException | None = None

    async def next(self) -> DeployReport | None:
        """Give the next report, or None when there is none to come; raises what has ended it, once all are given."""
        self._read_on()
        while not self._reports and self._tasks:
            self._news.clear()
            await self._news.wait()
            self._read_on()
        if self._error and not self._reports:
            raise self._error
        return self._reports.popleft() if self._reports else None

    @property
    def _tasks(self) -> set[asyncio.Task[None]]:
        return self._under_way | {self._reading} if self._reading else self._under_way

    def _read_on(self) -> None:
        """Read names, if one more app may begin and nobody is at it."""
        if self._may_begin and not self._reading:
            self._reading = self._task(self._read())

    @property
    def _may_begin(self) -> bool:
        return not self._has_ended and len(self._under_way) + len(self._reports) < self._at_once

    async def _read(self) -> None:
        """Read one name after the other and begin their deploys, as long as there is room for one more."""
        while self._may_begin:
            try:
                name = await anext(self._names)
            except StopAsyncIteration:
                self._has_ended = True
            else:
                self._under_way.add(self._task(self._begin(name)))

    async def _begin(self, name: str) -> None:
        report = await self._deploy(name)
        self._reports.append(report)
        if self._stops and not report.ok:
            self._stop()

    def _stop(self) -> None:
        """Begin no further app: a name that is just being read comes too late."""
        self._has_ended = True
        if self._reading:
            self._reading.cancel()

    def _task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[None]") -> None:
        """Forget a task that is done; what it raised, if anything, lets no further app begin."""
        self._under_way.discard(task)
        self._reading = None if task is self._reading else self._reading
        self._news.set()
        if not task.cancelled() and (error := task.exception()):
            self._error = self._error or error
            self._stop()

    async def end(self) -> None:
        """Cancel what is under way, see it end, and let go of the names."""
        tasks = self._tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(self._names, AsyncGenerator):
            await self._names.aclose()


class _Digests:
    """The digests that tags are at, each resolved once, so that all apps of a bulk run the same."""

    def __init__(self, fly: FlyClient) -> None:
        self._fly = fly
        self._asked: dict[str, asyncio.Future[Resolution]] = {}

    async def built(self, builder: Callable[[str], DeployBuilder], app: str) -> DeployBuilder:
        """Build the deploy to an app, with the digest of its image where the API shows it."""
        deploy = _built(builder, app)
        image = deploy.config.image
        if not image or digest_of(image):
            return deploy
        digest = await self._digest(app, image)
        return evolve(deploy, spec=evolve(deploy.spec, digest=digest)) if digest else deploy

    async def _digest(self, app: str, image: str) -> str | None:
        while len(self._asked) > IMAGES:
            self._asked.pop(next(iter(self._asked)))
        if image not in self._asked:
            self._asked[image] = asyncio.ensure_future(resolved(self._fly, app, image))
        found = await asyncio.shield(self._asked[image])
        if found.digest is None:
            self._asked.pop(image, None)  # another app's token, or another moment, may see it
        return found.digest


async def _report(
    base_url: str, executor: Executor, build: Callable[[str], Awaitable[DeployBuilder]], app: str
) -> DeployReport:
    """Deploy to one app, and report in any case."""
    loop = asyncio.get_running_loop()
    begun, wanted = loop.time(), None
    try:
        deploy = await build(app)
        wanted = deploy.deployment()
        # Whoever does it again deploys the same launch, and so finds what is there.
        decided = deploy.with_launch(wanted.launch)
        report: Any = await executor.execute(Job(builder=decided, launch=wanted.launch, base_url=base_url))
        if not isinstance(report, DeployReport):
            raise JobLost(app, wanted.launch, f"its executor gave {type(report).__name__} in place of a DeployReport")
        return report
    except FlyError as error:
        seconds = round(loop.time() - begun, 3)
        return _not_done(wanted, error, seconds) if wanted else _unknown(app, error, seconds)


def _built(builder: Callable[[Any], Any], app: Any) -> DeployBuilder:
    if not isinstance(app, str):
        raise InvalidInput(f"{app!r} is no app: name each one as a text, such as 'shop-a'")
    built = builder(app)
    if not isinstance(built, DeployBuilder):
        raise InvalidInput(f"the builder of {app} gave {built!r}, but must give a DeployBuilder")
    return built


def _not_done(wanted: DeploySpec, error: FlyError, seconds: float) -> DeployReport:
    """Report on an app that did not even begin, as each machine says, or of which nobody knows how it ended."""
    failure, is_lost = Failure.of(error), isinstance(error, JobLost)
    result = Result.UNKNOWN if is_lost else Result.NOT_BEGUN
    wanted_regions = sum(asked > 0 for asked in wanted.counts.values())
    return DeployReport(
        app=wanted.app,
        launch=wanted.launch,
        image=wanted.image,
        require=str(wanted.required),
        needed=max(1, wanted.required.needed(wanted_regions)),  # not even none is done where none is wanted
        regions=tuple(
            RegionReport(
                region=region,
                asked=asked,
                machines=tuple(_machines(wanted, region, result, None if is_lost else failure)),
            )
            for region, asked in wanted.counts.items()
        ),
        seconds=seconds,
        unseen=failure if is_lost or not wanted_regions else None,
        strategy=wanted.strategy_name,
    )


def _machines(wanted: DeploySpec, region: str, result: Result, failure: Failure | None) -> Iterator[MachineReport]:
    for machine in wanted.machines(region):
        number = f"{wanted.group}-{region}-{machine.number}".replace("_", "-")
        name = machine.name if wanted.strategy.only_adds else number
        yield MachineReport(name=name, asked=region, result=result, failure=failure)


def _unknown(app: str, error: FlyError, seconds: float) -> DeployReport:
    """Report on an app whose builder was refused: there is no telling what was wanted."""
    return DeployReport(
        app=str(app),
        launch="-",
        image="-",
        require="-",
        needed=1,
        regions=(),
        seconds=seconds,
        unseen=Failure.of(error),
    )


# What was asked for.


def _checked(builder: Any) -> Callable[[str], DeployBuilder]:
    if isinstance(builder, DeployBuilder):
        if builder.journal is not None:
            raise InvalidInput(
                f"the journal {builder.journal} tells of one app, not of many: give a function that names each app's "
                "own, such as lambda app: base.for_app(app).with_journal(f'{app}.jsonl')"
            )
        return builder.for_app
    if not callable(builder):
        raise InvalidInput(f"builder is {builder!r}, but must be a DeployBuilder, or a function of an app's name")
    made: Callable[[str], DeployBuilder] = builder
    return made


def _executor(executor: Any, fly: FlyClient) -> Executor:
    if executor is None:
        return Here(fly)
    if isinstance(executor, type) or not callable(getattr(executor, "execute", None)):
        raise InvalidInput(
            f"executor is {executor!r}, but must be one with an async execute(job), such as DaskExecutor(client)"
        )
    chosen: Executor = executor
    return chosen


def _positive(at_once: Any) -> int:
    if type(at_once) is not int or at_once < 1:
        raise InvalidInput(f"at_once is {at_once!r}, but must be a whole number from 1")
    return at_once


def _names(apps: Any) -> AsyncIterator[str]:
    if isinstance(apps, AsyncIterable):
        return aiter(apps)
    if isinstance(apps, str) or not isinstance(apps, Iterable):
        raise InvalidInput(f"apps is {apps!r}, but must be names, such as ['shop-a', 'shop-b']")
    return _one_by_one(apps)


async def _one_by_one(apps: Iterable[str]) -> AsyncGenerator[str, None]:
    for app in apps:
        yield app
